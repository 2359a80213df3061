"""Following: each volume is looked at from where the fetus was in the one before.

Pass 2 needs a frame that is right to some 20 degrees and 30 % of its size. The frame of the volume before is nearly
always that good, so that one look is enough. Its mean confidence tells when it was not. Then pass 2 looks from the
frame of the landmarks it has just read, and then pass 1 looks for the fetus in the whole volume.

Following begins where the fetus is found with certainty: a search of the first volume, and where that leaves a doubt of
some others, of which the most certain is taken. From there it goes on to the last volume, and back to the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.detection.detector import Detector, run_to_end
from FetalPoseLib.detection.view import Scan, View
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.consensus import frame_of_view, further_view, heatmaps_turned
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.tracking.observation import Frames, Observation
from FetalPoseLib.tracking.options import FollowOptions
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume


@dataclass(frozen=True)
class Seen:
    """How far following is: ``done`` of ``total`` looks, and what the last one saw in ``frame``, counted from 0."""

    done: int
    total: int
    frame: int
    observation: Observation


class Follower:
    """Follows one fetus.

    Parameters
    ----------
    detector : of a model with two passes; FetalPoseError for one that sees the whole volume at once.
    reader : how a pose is read from heatmaps.
    """

    def __init__(self, detector: Detector, reader: PoseReader, options: FollowOptions | None = None):
        if not detector.two_passes:
            raise FetalPoseError(
                "This model sees the whole volume at once and cannot follow a fetus over time. Choose fetal-frame, or "
                "a model of that kind."
            )
        self.detector, self.reader, self.options = detector, reader, options or FollowOptions()

    def run(self, frames: Frames, start: dict[int, np.ndarray] | None = None) -> Iterator[Seen]:
        """Yield what is seen in each volume once, from where following begins onwards and then backwards.

        Close it to cancel.

        Parameters
        ----------
        start : frame, counted from 0, to a pose (16, 3) RAS mm that a person has looked at: there the fetus is looked
            at from this pose, and following begins at the first of them.
        """
        known = {n: f for n, p in sorted((start or {}).items()) if (f := FetalFrame.find(p)) is not None}
        begin, frame = (next(iter(known.items()))) if known else self._begin(frames)
        count, first = len(frames), frame
        order = [*range(begin, count), *reversed(range(begin))]
        for done, number in enumerate(order, start=1):
            if number == begin - 1:
                frame = first
            observation, frame = self.see(frames.volume(number), known.get(number, frame), way=number)
            yield Seen(done, count, number, observation)

    def see(
        self, volume: Volume | ProbeVolume, frame: FetalFrame | None, *, way: int = 0
    ) -> tuple[Observation, FetalFrame | None]:
        """What is seen in a volume, and the frame to look at the next one from.

        Parameters
        ----------
        frame : where the fetus was last; None if it was not found yet.
        way : number of the way to look, of those of `FollowOptions.views`
        """
        try:
            view, how = self._view(self.detector.scan(volume), frame, way % self.options.views)
        except FetalPoseError as error:
            return Observation.nothing(len(load_skeleton()), str(error)), frame
        if view is None:
            return Observation.nothing(len(load_skeleton()), "Nothing in this volume looks like the fetus."), frame
        points, confidence = self._read(view)
        observation = Observation(view.visible(points, confidence), confidence, True, how)
        return observation, self._next(frame, FetalFrame.find(points) or view.frame)

    def _begin(self, frames: Frames) -> tuple[int, FetalFrame | None]:
        """The volume to begin with, and the frame of the fetus there; None if no search found it."""
        count, found = len(frames), self.options.located
        best: tuple[int, FetalFrame | None] = (0, None)
        shares = (0.0, 0.5, 1.0, 0.25, 0.75)[: self.options.searches]
        for number in dict.fromkeys(round(share * (count - 1)) for share in shares):
            try:
                view = run_to_end(self.detector.look(frames.volume(number)))
            except FetalPoseError:
                continue
            if view.certainty >= found and view.frame is not None:
                best, found = (number, view.own_frame or view.frame), view.certainty
            if found >= self.options.certain:
                break
        return best

    def _view(self, scan: Scan, frame: FetalFrame | None, way: int) -> tuple[View | None, str]:
        """The view in which the fetus is recognised, and how it was found; None if it is lost."""
        if frame is not None:
            view = self._closer(self._look(frame, scan, way), scan)
            if view.certainty >= self.options.lost:
                return view, "followed"
        views = [self.detector.view_from(other, scan) for other in self.detector.frames_in(scan)]
        if not views:
            return None, ""
        view = self._closer(max(views, key=lambda view: view.certainty), scan)
        return (view, "located") if view.certainty >= self.options.located else (None, "")

    def _look(self, frame: FetalFrame, scan: Scan, way: int) -> View:
        """One look from near a frame: from it, from its mirror image, or turned by a few degrees."""
        if way == 0:
            return self.detector.view_from(frame, scan)
        network, (near, turn) = self.detector.main, frame_of_view(frame, way)
        box = network.spec.box(near)
        image = scan.on(box)
        heatmaps = heatmaps_turned(network.heatmaps, image, turn, load_skeleton().mirror)
        return self.detector.view_of(network, scan, image, box, heatmaps, near)

    def _closer(self, view: View, scan: Scan) -> View:
        own = view.own_frame
        if view.certainty >= self.options.sure or own is None:
            return view
        return max(view, self.detector.view_from(own, scan), key=lambda one: one.certainty)

    def _read(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        heatmaps = view.heatmaps
        if self.options.mirror:
            heatmaps = (heatmaps + further_view(self.detector, view, 1)) / 2
        return self.reader.read(heatmaps, self.detector.main.heatmap_grid(view.grid))

    def _next(self, before: FetalFrame | None, now: FetalFrame | None) -> FetalFrame | None:
        """A body does not change its size from one volume to the next."""
        if before is None or now is None:
            return now or before
        kept = self.options.size_memory
        return replace(now, size=float(np.exp(kept * np.log(before.size) + (1 - kept) * np.log(now.size))))
