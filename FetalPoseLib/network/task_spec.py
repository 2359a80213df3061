"""What a trained network is shown and asked, as the header of its weights tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.grid import Grid, grid_in_frame


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
    def from_header(cls, header: Mapping) -> TaskSpec:
        """The spec in a header's JSON; FetalPoseError if a value is missing or of the wrong kind."""
        known = {name: header[name] for name in cls.__dataclass_fields__ if name in header}
        try:
            spec = cls(**known)
            usable = spec._has_usable_box() and spec.spacing_mm > 0 and spec.sigma > 0
        except TypeError as error:
            raise FetalPoseError(f"The weights' header does not describe a task: {error}. Export them again.") from None
        if not usable:
            raise FetalPoseError(f"The weights' header describes no usable task: {known}. Export them again.")
        return spec

    def box(self, frame: FetalFrame) -> Grid:
        """The grid that the network is shown of a fetus in this frame; ValueError if it is shown whole volumes."""
        if self.lower is None or self.upper is None or self.voxels_per_size is None:
            raise ValueError(f"the network of the task '{self.task}' is shown whole volumes")
        return grid_in_frame(frame, self.lower, self.upper, self.voxels_per_size)

    def _has_usable_box(self) -> bool:
        if self.lower is None:
            return True
        upper, voxels = self.upper or (), self.voxels_per_size or 0
        return len(self.lower) == len(upper) == 3 and voxels > 0
