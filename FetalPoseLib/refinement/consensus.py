"""Refinement by consensus: further views of the volume, its mirror image first, are joined.

A network's mistakes depend on how the volume is shown, so they are seldom the same in two views. Each iteration shows
the same volume in another way, mirrored or from another frame. It brings the heatmaps to the grid of the first view and
averages them with all before. The peaks of the mean are then chosen jointly (`pose_reader`), by the pose library. Here
the views must agree; in the paper (section 2.2) the network must agree with the label proxy made of atlases. Nothing is
learnt, so an iteration costs one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.detection.detector import Detector
from FetalPoseLib.detection.view import View
from FetalPoseLib.refinement.pose_reader import PoseReader
from FetalPoseLib.volume.axis_turns import MIRROR, AxisTurn
from FetalPoseLib.volume.grid import Grid
from FetalPoseLib.volume.resampling import sample

#: Standard deviation of the frames of further views: degrees, body units, log of size. Half of that in training.
VIEW_SD = (6.0, 0.03, 0.04)


@dataclass(frozen=True, eq=False)
class Agreement:
    """After ``iteration`` further views: ``points`` (16, 3) RAS mm, NaN where not visible; ``confidence`` (16,)."""

    iteration: int
    points: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True, eq=False)
class Consensus:
    """The loop over views of one volume.

    Parameters
    ----------
    heatmaps_of : callable
        From the number of a further view, 1 for the first, to its heatmaps (16, nz, ny, nx) on ``grid``.
    grid : where the heatmaps lie in the world.
    reader : how a pose is read from heatmaps.
    iterations : further views; 0 reads the first one only, jointly.
    placed : landmark index (0-based) to (3,) RAS mm, points a person has placed, see `PoseReader.read`.

    Raises
    ------
    ValueError
        A placed point is not finite, or ``iterations`` is negative.
    """

    heatmaps_of: Callable[[int], Tensor]
    grid: Grid
    reader: PoseReader
    iterations: int = 1
    placed: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        if self.iterations < 0:
            raise ValueError(f"iterations is {self.iterations}; at least 0")
        if not np.isfinite([point for point in self.placed.values()]).all():
            raise ValueError(f"a placed point must be finite: {dict(self.placed)}")

    def run(self, heatmaps: Tensor) -> Iterator[Agreement]:
        """Yield `iterations` + 1 agreements, the first on the first view's heatmaps (16, nz, ny, nx) alone."""
        total = heatmaps.clone()
        for iteration in range(self.iterations + 1):
            if iteration:
                total += self.heatmaps_of(iteration)
            yield Agreement(iteration, *self.reader.read(total / (iteration + 1), self.grid, self.placed))


def frame_of_view(frame: FetalFrame, number: int) -> tuple[FetalFrame, AxisTurn]:
    """The frame of further view ``number``, and how it is turned: the first is mirrored in place, then every other."""
    turn = MIRROR if number % 2 else AxisTurn()
    if number == 1:
        return frame, turn
    degrees, shift, scale = VIEW_SD
    rng = np.random.default_rng(number)  # the same views every time
    return frame.disturbed(rng, rotation_deg=degrees, shift=shift, scale=scale), turn


def heatmaps_turned(heatmaps: Callable[[Tensor], Tensor], image: Tensor, turn: AxisTurn, mirror: np.ndarray) -> Tensor:
    """What a network marks in the turned image, turned back, with the names of a mirrored body's sides put right.

    The image's sides must be multiples of the network's input stride, so that its heatmaps' voxels fall in place.
    """
    found = turn.undo(heatmaps(turn.apply(image)))
    return found[torch.as_tensor(mirror.copy(), device=found.device)] if turn.mirrors else found


def further_view(detector: Detector, view: View, number: int) -> Tensor:
    """The heatmaps (16, nz, ny, nx) of further view ``number``, 1 for the mirror image, on the grid of ``view``'s."""
    network = detector.main
    seen_from = view.own_frame or view.frame
    assert seen_from is not None, "a view of pass 2 has a frame"
    frame, turn = frame_of_view(seen_from, number)
    box = network.spec.box(frame)
    found = heatmaps_turned(network.heatmaps, view.scan.on(box), turn, load_skeleton().mirror)
    there, here = network.heatmap_grid(box), network.heatmap_grid(view.grid)
    return torch.stack([sample(heatmap, there, here) for heatmap in found])
