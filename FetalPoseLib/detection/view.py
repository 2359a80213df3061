"""A volume on the canonical grid, one view of it, and which landmarks a view shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.volume.grid import Grid
from FetalPoseLib.volume.resampling import sample, sample_each

LEAST_CONFIDENCE = 0.3  # from which a landmark counts as visible
ONE_PASS_LEAST_CONFIDENCE = 0.08  # the same of one pass over the whole volume, whose confidences are lower
#: Where a limb is cut off, the network often marks the cut. A landmark as near to the scan's edge as this is visible
#: from a higher confidence only.
EDGE_MM = 5.0
EDGE_CONFIDENCE = 0.6


@dataclass(frozen=True, eq=False)
class Scan:
    """A volume on the canonical grid: ``image`` (nz, ny, nx), normalised, exactly 0 outside the sector."""

    image: torch.Tensor
    grid: Grid

    def on(self, grid: Grid) -> torch.Tensor:
        """The scan read on another grid."""
        return sample(self.image, self.grid, grid)

    def on_each(self, grids: Sequence[Grid]) -> torch.Tensor:
        """The scan read on N grids of one shape, (N, nz, ny, nx)."""
        return sample_each(self.image, self.grid, grids)

    def holds(self, points: np.ndarray, margin_mm: float = 0.0) -> np.ndarray:
        """Whether points (N, 3) mm lie in the sector, and at least the margin from its edge: (N,) bool."""
        radius = int(np.ceil(margin_mm / self.grid.spacing[0]))
        around = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * 3), axis=-1).reshape(-1, 3)
        around = around[np.linalg.norm(around, axis=1) * self.grid.spacing[0] <= margin_mm]
        voxels = np.nan_to_num(np.round(self.grid.to_voxel(points)), nan=-1).astype(int)[:, None] + around
        inside = ((voxels >= 0) & (voxels < self.grid.shape)).all(axis=2)
        x, y, z = np.moveaxis(np.clip(voxels, 0, np.array(self.grid.shape) - 1), 2, 0)
        return (inside & (self.image[z, y, x] != 0).cpu().numpy()).all(axis=1)


@dataclass(frozen=True, eq=False)
class View:
    """One look of the network from a frame: its input on ``grid``, its heatmaps, and the pose read from them.

    ``points`` (16, 3) RAS mm; ``confidence`` (16,); ``frame`` is where it looked from, None where it saw the whole
    ``scan`` at once; ``inverted`` says that the network recognises a fetus only with dark and bright exchanged.
    ``heads`` (N, 3) RAS mm are those that pass 1 is sure of; none where it was left out.
    """

    image: torch.Tensor
    grid: Grid
    heatmaps: torch.Tensor
    points: np.ndarray
    confidence: np.ndarray
    scan: Scan
    frame: FetalFrame | None = None
    inverted: bool = False
    heads: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))
    unsearched: bool = False  #: the frame is that of pass 1's first reading, which was certain enough

    @property
    def certainty(self) -> float:
        """Mean confidence of the landmarks: pass 2's own verdict on the frame."""
        return float(self.confidence.mean())

    @property
    def own_frame(self) -> FetalFrame | None:
        """The frame of the view's own landmarks, None where the trunk is not visible."""
        return FetalFrame.find(self.points)

    def visible(self, points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
        """The points (16, 3) with NaN for those that the network is unsure of or that lie outside what was scanned."""
        if self.frame is None:
            kept = confidence >= ONE_PASS_LEAST_CONFIDENCE
        else:
            deep = self.scan.holds(points, EDGE_MM)
            kept = (confidence >= EDGE_CONFIDENCE) | (deep & (confidence >= LEAST_CONFIDENCE))
        return np.where((kept & self.scan.holds(points))[:, None], points, np.nan)
