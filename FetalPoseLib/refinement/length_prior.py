"""How likely the lengths of a body's segments are, over the body's size: learnt from the pose library's atlases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import Skeleton
from FetalPoseLib.detection.locate import SIZES
from FetalPoseLib.errors import FetalPoseError

LEAST_LOG_SD = 0.2  # of the log of a length: a few hundred atlases are not all bodies, and peaks are not exact
MAX_LENGTH_COST = 12.5  # of a length: that of five standard deviations, and of all beyond
SIZES_MM = np.geomspace(*SIZES, 24)  # the body units that are tried


@dataclass(frozen=True, eq=False)
class LengthPrior:
    """Normal distribution of the log of each segment's length over the body's size: ``mean`` and ``sd``, (15,)."""

    skeleton: Skeleton
    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, library: PoseLibrary) -> LengthPrior:
        """The prior that a library's atlases give, with `LEAST_LOG_SD` at the least. FetalPoseError if it has none."""
        if not len(library):
            raise FetalPoseError("The pose library is empty: add at least one atlas, or ask for no refinement.")
        segments = library.skeleton.segments
        sizes = np.array([FetalFrame.from_landmarks(pose, library.skeleton).size for pose in library.poses])
        ends = np.array([[segment.start, segment.end] for segment in segments])
        lengths = np.linalg.norm(library.poses[:, ends[:, 0]] - library.poses[:, ends[:, 1]], axis=2)
        logs = np.log(np.maximum(lengths, 0.1) / sizes[:, None])
        return cls(library.skeleton, logs.mean(axis=0), np.maximum(logs.std(axis=0), LEAST_LOG_SD))

    def cost(self, segment: int, lengths: np.ndarray) -> np.ndarray:
        """Negative log-likelihood, less its constant, of lengths (...) mm in bodies of `SIZES_MM`: (24, ...).

        A length of NaN, to a landmark that is not visible, costs nothing.
        """
        sizes = SIZES_MM.reshape(-1, *[1] * np.ndim(lengths))
        z = (np.log(np.maximum(lengths, 0.1) / sizes) - self.mean[segment]) / self.sd[segment]
        return np.nan_to_num(np.minimum(z**2 / 2, MAX_LENGTH_COST))
