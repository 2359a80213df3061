"""The crown-rump length of a pose: crown and rump are no landmarks, so it follows from those that are near them.

It is the length that calipers measure on the fetus as it lies, from the crown's skin to the rump's along the line from
head to sacrum; in a neutral posture it is that of the charts. The constants are fitted by `benchmark.body_constants` on
bodies of the simulator's training splits. Where the volume is at hand, `FetalPoseLib.measurement` looks for both ends
in it instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.parts import column_mm, visible
from FetalPoseLib.body.plausibility import TRUNK_TO_CRL
from FetalPoseLib.body.skeleton import Skeleton

SOURCES = ("volume", "head and trunk", "trunk")
COVERAGE = 0.9  # share of lengths that the interval holds
HEAD_SACRUM, HEAD_NECK, COLUMN, CONSTANT_MM = 1.12, 0.405, 0.128, 1.93  # of the line fitted to simulated bodies
POSE_ERROR = 0.046  # of the length: 90 % of those fitted are nearer to the truth
TRUNK_ERROR = 0.22  # the same of a length that the column alone gives


@dataclass(frozen=True)
class CrownRump:
    """A crown-rump length.

    Attributes
    ----------
    length_mm : float
    interval_mm : (low, high), holds the true length in 90 % of cases
    source : "volume", both ends seen there; "head and trunk" or "trunk", from landmarks
    """

    length_mm: float
    interval_mm: tuple[float, float]
    source: str

    def __post_init__(self):
        values = (self.length_mm, *self.interval_mm)
        if not (np.isfinite(values).all() and 0 < self.length_mm and self.source in SOURCES):
            raise ValueError(f"not a crown-rump length: {values} mm from {self.source!r}")

    @classmethod
    def with_error(cls, length_mm: float, share: float, source: str) -> CrownRump:
        """A length whose interval is ``share`` of it on both sides."""
        return cls(length_mm, (length_mm * (1 - share), length_mm * (1 + share)), source)


def crown_rump_of_pose(points, skeleton: Skeleton | None = None) -> CrownRump | None:
    """The crown-rump length that the landmarks of a pose (16, 3) mm give; None where the trunk is not visible."""
    at = visible(points, skeleton)
    if any(landmark not in at for landmark in ("neck", "spine", "sacrum")):
        return None
    column = column_mm(at)
    if not column > 0:
        return None
    if "head" not in at:
        return CrownRump.with_error(column / TRUNK_TO_CRL, TRUNK_ERROR, "trunk")
    length = float(crown_rump_features(at) @ [HEAD_SACRUM, HEAD_NECK, COLUMN]) + CONSTANT_MM
    return CrownRump.with_error(length, POSE_ERROR, "head and trunk")


def crown_rump_features(at: Mapping[str, np.ndarray]) -> np.ndarray:
    """Distances (3,) in mm that give the length: from head to sacrum, from head to neck, and along the column."""
    head_sacrum, head_neck = (np.linalg.norm(at["head"] - at[other]) for other in ("sacrum", "neck"))
    return np.array([head_sacrum, head_neck, column_mm(at)])
