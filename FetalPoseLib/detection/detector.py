"""The trained networks of a model, and how a volume is looked at with them.

Pass 1 finds the fetus's own frame in the whole volume (`locate`, and `search` where that leaves a doubt); pass 2 looks
closely at the fetus in that frame, twice, the second time in the frame that its own landmarks give. A model of one
network, the paper's, sees the whole volume at once.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.detection.locate import Reading, certain_heads, coarse_frames, distinct, read_frames
from FetalPoseLib.detection.search import (
    FrameSearch,
    Judged,
    SearchOptions,
    SearchStep,
    bright_middle,
    rounds_of_frames,
    starts,
)
from FetalPoseLib.detection.view import Scan, View
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.heatmaps import decode
from FetalPoseLib.network.precision import autocast
from FetalPoseLib.network.task_spec import TaskSpec
from FetalPoseLib.network.unet import LandmarkNet, set_normalisation
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid
from FetalPoseLib.volume.intensity import exchanged_greys, normalise_intensity, picture_of
from FetalPoseLib.volume.probe_volume import ProbeVolume
from FetalPoseLib.volume.resampling import resample

LEAST_SIDE_MM = 30.0  # a fetus of 10 weeks lies in a sac of about this width
FIRST_READINGS = 3  # of the frame, that pass 2 judges before a search
INVERTED = (
    "The picture is inverted: a fetus is recognised in it with dark and bright exchanged only. Invert its greys, "
    "in Slicer with InvertIntensityImageFilter of the module Simple Filters, and estimate again."
)
MAIN_NETWORKS = ("detect", "whole")  # those that mark the 16 landmarks; a model has one of them


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """One trained network, its task, and whether it computes in bfloat16."""

    net: LandmarkNet
    spec: TaskSpec
    bfloat16: bool

    @classmethod
    def build(cls, name: str, state: dict, header: dict, device: torch.device, bfloat16: bool) -> TrainedNetwork:
        """One of a model's networks, from the part of the state whose keys begin with its name."""
        net, spec, prefix = (
            LandmarkNet.from_config(header["network"]),
            TaskSpec.from_header(header.get("task")),
            f"{name}.",
        )
        own = {key.removeprefix(prefix): value.float() for key, value in state.items() if key.startswith(prefix)}
        net.load_state_dict(own, strict=False)  # `check_networks` has compared them
        set_normalisation(net, spec.normalisation)
        net = net.eval().to(device)
        return cls(net.to(memory_format=torch.channels_last_3d), spec, bfloat16)  # type: ignore[call-overload]

    def heatmap_grid(self, grid: Grid) -> Grid:
        """Where the heatmaps of an input on ``grid`` lie."""
        return grid.coarsened(self.net.input_stride)

    def heatmaps(self, image: torch.Tensor) -> torch.Tensor:
        """Heatmaps (C, nz, ny, nx) of one input (nz, ny, nx)."""
        return self.heatmaps_of_batch(image[None])[0]

    @torch.inference_mode()
    def heatmaps_of_batch(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps (N, C, nz, ny, nx) of inputs (N, nz, ny, nx)."""
        with autocast(images.device, self.bfloat16):
            return self.net(images[:, None]).float()


@dataclass(frozen=True, eq=False)
class Detector:
    """Looks at volumes with a model's networks.

    Parameters
    ----------
    networks : by name: "locate", "orient" and "detect", or "whole" alone
    device : where the volumes go
    template : (5, 3) body units, `locate.mean_body` of the pose library; None for a model without pass 1
    search : how far the search goes
    """

    networks: dict[str, TrainedNetwork]
    device: torch.device
    template: np.ndarray | None
    search: SearchOptions = field(default_factory=SearchOptions)

    @property
    def main(self) -> TrainedNetwork:
        """The network that marks the 16 landmarks."""
        return next(self.networks[name] for name in MAIN_NETWORKS if name in self.networks)

    @property
    def two_passes(self) -> bool:
        """Whether the fetus is located before it is looked at closely."""
        return "locate" in self.networks

    def with_main(self, *, spacing_mm: float | None, checkpointing: bool) -> Detector:
        """The same networks, the main one reading another spacing (mm) or checkpointing its gradients."""
        main, net = self.main, copy.copy(self.main.net)  # shares the weights
        net.checkpointing = checkpointing
        spec = main.spec if spacing_mm is None else replace(main.spec, spacing_mm=spacing_mm)
        name = next(name for name, network in self.networks.items() if network is main)
        return replace(self, networks={**self.networks, name: replace(main, net=net, spec=spec)})

    def look(self, volume: Volume | ProbeVolume, frame: FetalFrame | None = None) -> Generator[SearchStep, None, View]:
        """The generator's value is the view in which the pose is read and may be refined; ``frame`` replaces pass 1.

        Yields a `SearchStep` after every forward pass of a search, if there is one. Close it to cancel.

        Raises
        ------
        FetalPoseError
            The volume is too small or holds no picture, or nothing in it looks like a fetus.
        """
        scan = self.scan(volume)
        if not self.two_passes:
            return self.view_of(self.main, scan, scan.image, scan.grid, self.main.heatmaps(scan.image))
        if frame is not None:
            return self._best_view([frame], scan)
        located, grid = self._located(scan)
        heads = certain_heads(located, grid)
        frames = self.first_frames(scan, located, grid)
        view = self._best_view(frames, scan) if frames else None
        if view is not None and view.certainty >= self.search.doubt:
            return replace(view, heads=heads, unsearched=True)
        inverted = self._is_fetus_in(Scan(exchanged_greys(scan.image), scan.grid))
        best = yield from self._searched(scan, located, grid, known=[] if view is None else [_judged(view)])
        if best is None:
            raise FetalPoseError(
                "No fetus found: nothing in the volume looks like a fetus in any orientation. "
                + (
                    INVERTED
                    if inverted
                    else "Is the whole fetus in the volume? Check the volume's spacing, or place the landmarks of the "
                    "trunk and start from them."
                )
            )
        return replace(best.view, inverted=inverted, heads=heads)

    def search_beyond(self, view: View) -> Generator[SearchStep, None, View | None]:
        """Search the scan of a view for another frame; the generator's value is the best other view, None without any.

        Yields as `look`.
        """
        rejected = [frame for frame in (view.frame, view.own_frame) if frame is not None]
        best = yield from self._searched(view.scan, *self._located(view.scan), rejected=rejected)
        return None if best is None else replace(best.view, heads=view.heads)

    def _searched(
        self, scan: Scan, located: torch.Tensor, grid: Grid, *, known: Sequence[Judged] = (),
        rejected: Sequence[FetalFrame] = (),
    ) -> Generator[SearchStep, None, Judged | None]:  # fmt: skip
        points = starts(located, grid, bright_middle(scan.image, scan.grid), self.search.peaks)
        search = FrameSearch(lambda frames: self._oriented(frames, scan), lambda frames: self._judged(frames, scan),
                             self.search)  # fmt: skip
        return (yield from search.run(rounds_of_frames(points, scan.grid, self.search), known, rejected))

    def first_frames(self, scan: Scan, located: torch.Tensor, grid: Grid) -> list[FetalFrame]:
        """The first reading of pass 1: how the fetus is turned, seen from head and sacrum; likeliest first."""
        frames = coarse_frames(located, grid)
        readings = [reading for frame in frames for reading in self._oriented([frame], scan)[0]]
        return [reading.frame for reading in distinct(readings, FIRST_READINGS)]

    def _is_fetus_in(self, scan: Scan) -> bool:
        """Whether the first reading of a scan leaves no doubt."""
        frames = self.frames_in(scan)
        return bool(frames) and self._best_view(frames, scan).certainty >= self.search.certain

    def frames_in(self, scan: Scan) -> list[FetalFrame]:
        """Pass 1 without a search: where the fetus may be in a scan, likeliest first."""
        return self.first_frames(scan, *self._located(scan))

    def view_from(self, frame: FetalFrame, scan: Scan) -> View:
        """What pass 2 sees from a frame, in one look."""
        return self._views([frame], scan)[0]

    def scan(self, volume: Volume | ProbeVolume) -> Scan:
        """A volume as the networks read it. FetalPoseError if it is too small or holds no picture."""
        spacing = self.main.spec.spacing_mm
        grid = canonical_grid(volume, spacing)
        extent = np.array(grid.shape) * spacing
        if extent.min() < LEAST_SIDE_MM:
            size = " x ".join(f"{side:.3g}" for side in extent)
            raise FetalPoseError(
                f"The volume measures {size} mm, and a fetus needs {LEAST_SIDE_MM:g} mm on every side. "
                f"Correct its spacing, now {np.round(volume.grid.spacing, 4).tolist()} mm, or choose a larger volume."
            )
        return Scan(normalise_intensity(resample(picture_of(volume), grid, device=self.device)), grid)

    def _located(self, scan: Scan) -> tuple[torch.Tensor, Grid]:
        """What *locate* marks in the whole volume: its heatmaps (5, nz, ny, nx) and their grid."""
        locate = self.networks["locate"]
        fine = Volume(scan.image.cpu().numpy(), scan.grid.affine)
        coarse = canonical_grid(fine, locate.spec.spacing_mm)
        return locate.heatmaps(resample(fine, coarse, device=self.device)).cpu(), locate.heatmap_grid(coarse)

    def _oriented(self, frames: list[FetalFrame], scan: Scan) -> list[list[Reading]]:
        """What *orient* reads from each of the frames, likeliest first; nothing where it sees no trunk."""
        orient, template = self.networks["orient"], self.template
        assert template is not None, "a model with pass 1 has the mean body of its library"
        boxes = [orient.spec.box(frame) for frame in frames]
        heatmaps = orient.heatmaps_of_batch(scan.on_each(boxes)).cpu()
        return [
            read_frames(found, orient.heatmap_grid(box), template) for found, box in zip(heatmaps, boxes, strict=True)
        ]

    def _best_view(self, frames: list[FetalFrame], scan: Scan) -> View:
        """The one of at least one frame in which pass 2 recognises most, once more in the frame of its own landmarks.

        The others are not looked at once one leaves no doubt.
        """
        views: list[View] = []
        for frame in frames:
            views += self._views([frame], scan)
            if views[-1].certainty >= self.search.certain:
                break
        best = max(views, key=lambda view: view.certainty)
        if best.own_frame is None:
            return best
        return max(best, *self._views([best.own_frame], scan), key=lambda view: view.certainty)

    def _judged(self, frames: list[FetalFrame], scan: Scan) -> list[Judged]:
        return [_judged(view) for view in self._views(frames, scan)]

    def _views(self, frames: list[FetalFrame], scan: Scan) -> list[View]:
        """What pass 2 sees from each of the frames."""
        network = self.networks["detect"]
        boxes = [network.spec.box(frame) for frame in frames]
        images = scan.on_each(boxes)
        found = zip(frames, boxes, images, network.heatmaps_of_batch(images), strict=True)
        return [self.view_of(network, scan, image, box, heatmaps, frame) for frame, box, image, heatmaps in found]

    @staticmethod
    def view_of(
        network: TrainedNetwork, scan: Scan, image, grid: Grid, heatmaps, frame: FetalFrame | None = None
    ) -> View:
        """The view with these heatmaps of an input on ``grid``."""
        points, confidence = decode(heatmaps.cpu())
        return View(image, grid, heatmaps, network.heatmap_grid(grid).to_world(points), confidence, scan, frame)


def run_to_end(look: Generator[SearchStep, None, View]) -> View:
    """The view that `Detector.look` ends with."""
    while True:
        try:
            next(look)
        except StopIteration as end:
            return end.value


def _judged(view: View) -> Judged:
    assert view.frame is not None, "a view of pass 2 has a frame"
    return Judged(view.frame, view.certainty, view.own_frame, view)
