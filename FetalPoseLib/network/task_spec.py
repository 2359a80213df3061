"""What a trained network is shown and asked, as the header of its weights tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.network.unet import NORMALISATIONS
from FetalPoseLib.volume.grid import Grid, grid_in_frame

SPACING_MM = (0.1, 20.0)  # least and most of a canonical grid


@dataclass(frozen=True)
class TaskSpec:
    """The task of one network; `training.tasks.Task.metadata` writes it."""

    task: str  #: "locate", "orient", "detect" or "whole"
    spacing_mm: float  #: of the canonical grid that is read
    sigma: float  #: of the Gaussian maps, in heatmap voxels
    lower: tuple[float, ...] | None = None  #: (3,) body units, corner of the box in the fetus's frame; None: all
    upper: tuple[float, ...] | None = None  #: (3,) body units, the opposite corner
    voxels_per_size: float | None = None  #: voxels per body unit
    foreground: float = 0.0  #: weight of the maps' foreground in the loss, see `losses.heatmap_loss`
    normalisation: str = "volume"  #: batch norm's statistics, see `unet.set_normalisation`

    @classmethod
    def from_header(cls, header: object) -> TaskSpec:
        """The spec in a header's JSON; FetalPoseError if a value is missing or of the wrong kind."""
        known = (
            {name: header[name] for name in cls.__dataclass_fields__ if name in header}
            if isinstance(header, Mapping)
            else {}
        )
        try:
            spec = cls(**known)
        except TypeError as error:
            raise FetalPoseError(f"The weights' header does not describe a task: {error}. Export them again.") from None
        if not spec._is_usable():
            raise FetalPoseError(f"The weights' header describes no usable task: {listed([known])}. Export them again.")
        return spec

    def _is_usable(self) -> bool:
        plain = isinstance(self.task, str) and self.normalisation in NORMALISATIONS
        usable = plain and _within(self.spacing_mm, SPACING_MM) and _within(self.sigma, (1e-3, 100.0))
        usable &= _within(self.foreground, (0.0, 1e6))
        if self.lower is None and self.upper is None:
            return usable
        corners = [
            corner for corner in (self.lower, self.upper) if isinstance(corner, list | tuple) and len(corner) == 3
        ]
        sides = zip(*corners, strict=True) if len(corners) == 2 else [(0.0, 0.0)]
        box = all(_within(x, (-10.0, 10.0)) and _within(y, (-10.0, 10.0)) and x < y for x, y in sides)
        return usable and box and _within(self.voxels_per_size, (1.0, 200.0))

    def box(self, frame: FetalFrame) -> Grid:
        """The grid that the network is shown of a fetus in this frame; ValueError if it is shown whole volumes."""
        if self.lower is None or self.upper is None or self.voxels_per_size is None:
            raise ValueError(f"the network of the task '{self.task}' is shown whole volumes")
        return grid_in_frame(frame, self.lower, self.upper, self.voxels_per_size)


def _within(value: object, limits: tuple[float, float]) -> bool:
    """Whether a value of a header is a number within the limits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and limits[0] <= value <= limits[1]
