"""Search and verify: find the fetus's frame where the first reading of the volume leaves a doubt.

The first reading follows the head and the sacrum that *locate* marks. In a volume with haze, or with the fetus in
contact with the wall, one of the two is often wrong, and then no later step can recover. The search relies on one of
them at a time. It assumes that a peak of the head, or a peak of the sacrum, is right, and tries body axes in all
directions and four body sizes from there; *orient* looks along each. The last start is the middle of the bright tissue,
which depends on no peak. The readings that fit a body best are looked at once more by *orient*, in the frame that they
propose. Pass 2 judges the best readings of both kinds: the mean confidence of its landmarks is high only if the frame
is right to some 20 degrees and its size to some 30 %. The search ends as soon as pass 2 is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np

from FetalPoseLib.body.estimate import Progress
from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.plausibility import POSE_CHECK_CONFIDENCE
from FetalPoseLib.detection.locate import HEAD_TO_SACRUM, PEAK_DISTANCE, POINTS, Reading, axis_frame
from FetalPoseLib.network.heatmaps import peaks
from FetalPoseLib.volume.grid import Grid

Found = TypeVar("Found")  # what a search ends with: a view, or perhaps none
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # radians; successive multiples never come near each other


@dataclass(frozen=True)
class SearchOptions:
    """How far the search goes.

    Attributes
    ----------
    doubt : mean confidence of pass 2 below which the first reading is in doubt and the search begins
    certain : mean confidence of pass 2 from which a frame ends the search
    directions : directions of the body axis from each start, spread evenly over the sphere
    sizes_mm : sizes of the body unit, in mm, that every start is tried with
    rounds : rounds at the most, one start in each: the highest peaks of the head, those of the sacrum, the middle
    peaks : highest peaks of the head, and of the sacrum, in *locate*'s heatmaps that the search starts from
    room : distance, in body units, that head and sacrum may lie outside the volume
    closer : distinct readings that *orient* looks at again after each round, in their own frames, at the most
    judged : distinct frames of *orient*'s first readings that pass 2 judges after each round at the most, and as many
        of its closer ones
    settled : of these, the most certain ones that pass 2 judges once more in the frame of their own landmarks
    batch : views in one forward pass; the search can be cancelled between two of them
    same_deg : degrees up to which two frames are the same if their places agree, too
    same_shift : distance of the origins, in body units, up to which two frames are in the same place
    same_ratio : ratio of the sizes up to which two frames are of the same body
    """

    doubt: float = POSE_CHECK_CONFIDENCE
    certain: float = POSE_CHECK_CONFIDENCE
    directions: int = 16
    sizes_mm: tuple[float, ...] = (12.0, 18.0, 27.0, 40.0)
    rounds: int = 5
    peaks: int = 2
    room: float = 0.2
    closer: int = 6
    judged: int = 4
    settled: int = 2
    batch: int = 8
    same_deg: float = 40.0
    same_shift: float = 0.6
    same_ratio: float = 1.35


@dataclass(frozen=True, eq=False)
class Judged:
    """A frame and what pass 2 says of it.

    Attributes
    ----------
    frame : where pass 2 looked from
    certainty : mean confidence of the landmarks, 0 to 1
    own_frame : the frame that these landmarks have; None if the trunk is not visible
    view : whatever the caller needs to go on from here
    """

    frame: FetalFrame
    certainty: float
    own_frame: FetalFrame | None
    view: Any


@dataclass(frozen=True)
class SearchStep:
    """How far the search is: ``views`` of ``total`` taken, and the best ``certainty`` so far (0 if there is none)."""

    views: int
    total: int
    certainty: float


@dataclass(frozen=True, eq=False)
class Start:
    """A point (3,) RAS mm that the search takes for the "head", for the "sacrum", or for the "middle" between them."""

    part: str
    point: np.ndarray

    def frame(self, direction: np.ndarray, size_mm: float, twist: float) -> FetalFrame:
        """The frame whose body axis has this cranial direction (3,), with this body unit and twist (radians)."""
        reach = size_mm * HEAD_TO_SACRUM * direction
        sacrum = self.point - {"head": 1.0, "middle": 0.5, "sacrum": 0.0}[self.part] * reach
        return axis_frame(sacrum + reach, sacrum, twist)


def starts(heatmaps, grid: Grid, middle: np.ndarray, count: int) -> list[list[Start]]:
    """The points to search from, by round: ``middle`` (3,), then the highest peaks of head and sacrum, then the next.

    The peaks are the ``count`` highest of each in *locate*'s heatmaps (5, nz, ny, nx) on ``grid``.
    """
    rounds: list[list[Start]] = []
    for part in ("head", "sacrum"):
        points, _ = peaks(heatmaps[POINTS.index(part)], count, PEAK_DISTANCE)
        rounds += [[Start(part, point)] for point in grid.to_world(points)]
    return [*rounds, [Start("middle", middle)]]


def bright_middle(image, grid: Grid) -> np.ndarray:
    """The centre (3,) RAS mm of the brighter half of the scanned voxels; ``image`` (nz, ny, nx) is 0 outside."""
    values = image[image != 0]
    bright = ((image > values.median()) & (image != 0)).nonzero().double().mean(dim=0)
    return grid.to_world(bright.flip(0).cpu().numpy())


def sphere_directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3), spread evenly over the sphere on a spiral (Gonzalez, Math. Geosci. 42, 2010)."""
    z = 1 - (2 * np.arange(count) + 1) / count
    angle = GOLDEN_ANGLE * np.arange(count)
    return np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)


def rounds_of_frames(starts: list[list[Start]], volume: Grid, options: SearchOptions) -> list[list[FetalFrame]]:
    """The frames that *orient* looks from, by round; none whose head or sacrum would lie outside the volume."""
    plan = [product(found, options.sizes_mm) for found in starts]
    directions = sphere_directions(options.directions)
    rounds = []
    for pairs in plan:
        frames = [
            start.frame(direction, size, number * GOLDEN_ANGLE)
            for start, size in pairs
            for number, direction in enumerate(directions)
        ]
        rounds.append([frame for frame in frames if _within(frame, volume, options.room)])
    return [frames for frames in rounds if frames][: options.rounds]


def _within(frame: FetalFrame, volume: Grid, room: float) -> bool:
    reach = HEAD_TO_SACRUM / 2
    ends = volume.to_voxel(frame.to_world([[0.0, 0.0, reach], [0.0, 0.0, -reach]]))
    outside = np.maximum(-ends, ends - (np.array(volume.shape) - 1)) * volume.spacing
    return bool((outside <= room * frame.size).all())


@dataclass(frozen=True, eq=False)
class FrameSearch:
    """The search of one volume.

    Parameters
    ----------
    look : callable
        From N frames to N lists of readings by *orient*, best first; an empty list where it sees no trunk.
    judge : callable
        From N frames to N `Judged`.
    """

    look: Callable[[list[FetalFrame]], list[list[Reading]]]
    judge: Callable[[list[FetalFrame]], list[Judged]]
    options: SearchOptions = SearchOptions()

    def run(
        self, rounds: list[list[FetalFrame]], known: Sequence[Judged] = (), rejected: Sequence[FetalFrame] = ()
    ) -> Generator[SearchStep, None, Judged | None]:
        """Yield a `SearchStep` after every forward pass; the generator's value is the best frame, None without any.

        ``known`` are frames that pass 2 has judged before; they are not judged again, and the best of them may win.
        ``rejected`` are frames that are not to be judged. Close the generator to cancel.
        """
        judged, coarse, fine, views = list(known), [], [], 0
        proposed: list[FetalFrame] = []  # frames that *orient* has looked from again
        tried = [*rejected, *(frame for one in known for frame in (one.frame, one.own_frame) if frame is not None)]
        total = sum(map(len, rounds))
        for frames in rounds:
            for batch in _batches(frames, self.options.batch):
                coarse += [reading for found in self.look(batch) for reading in found]
                views += len(batch)
                yield SearchStep(views, total, _certainty(judged))
            for batch in _batches(self._best(coarse, [*tried, *proposed], self.options.closer), self.options.batch):
                fine += [reading for found in self.look(batch) for reading in found]
                proposed += batch
                yield SearchStep(views, total, _certainty(judged))
            chosen = self._best(fine, tried, self.options.judged)
            chosen += self._best(coarse, [*tried, *chosen], self.options.judged)
            first: list[Judged] = []
            for batch in _batches(chosen, self.options.batch):
                first += self.judge(batch)
                yield SearchStep(views, total, _certainty(judged + first))
            first.sort(key=lambda one: -one.certainty)
            own = [one.own_frame for one in first[: self.options.settled] if one.own_frame is not None]
            judged += first + (self.judge(own) if own else [])
            tried += chosen + own
            yield SearchStep(views, total, _certainty(judged))
            if _certainty(judged) >= self.options.certain:
                break
        return max(judged, key=lambda one: one.certainty, default=None)

    def _best(self, readings: list[Reading], known: list[FetalFrame], count: int) -> list[FetalFrame]:
        """The best readings' frames that differ from one another and from all known ones, best first."""
        new: list[FetalFrame] = []
        for reading in sorted(readings, key=lambda r: -r.score):
            if len(new) == count:
                break
            if not any(self._same(reading.frame, frame) for frame in [*known, *new]):
                new.append(reading.frame)
        return new

    def _same(self, one: FetalFrame, other: FetalFrame) -> bool:
        apart = float(np.linalg.norm(one.origin - other.origin)) / min(one.size, other.size)
        ratio = max(one.size, other.size) / min(one.size, other.size)
        options = self.options
        return one.angle_to(other) <= options.same_deg and apart <= options.same_shift and ratio <= options.same_ratio


def _certainty(judged: list[Judged]) -> float:
    return max((one.certainty for one in judged), default=0.0)


def _batches(frames: list[FetalFrame], size: int) -> Iterator[list[FetalFrame]]:
    for first in range(0, len(frames), size):
        yield frames[first : first + size]


def search_progress(looking: Generator[SearchStep, None, Found], steps: int) -> Generator[Progress, None, Found]:
    """The generator's value is what a search ends with; its steps are passed on as progress of ``steps`` in all."""
    while True:
        try:
            step = next(looking)
        except StopIteration as end:
            return end.value
        message = f"Searching in other orientations: {step.views} of {step.total} views"
        yield Progress("search", 0, steps, None, None, message)
