"""The long bones' segments beside those of the library's bodies of the same size.

The norms are a straight line of the logarithms and the standard deviation about it. A z-score tells how usual a length
is among simulated bodies, measured from joint to joint. It is no growth chart, and nothing of it is a diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from FetalPoseLib.body.crown_rump import crown_rump_of_pose
from FetalPoseLib.body.measurements import Z90, segment_lengths
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.resources import resource_path

PARTS = ("upper_arm", "forearm", "thigh", "lower_leg")


@dataclass(frozen=True)
class BoneScore:
    """A long bone's segment: its length in mm, and what bodies of that size have: mean and the middle 90 %.

    NaN where an end or the body's size is not visible.
    """

    segment: str
    length_mm: float
    expected_mm: float
    usual_mm: tuple[float, float]
    z: float


@dataclass(frozen=True, eq=False)
class BoneNorms:
    """How long segments are in bodies of a size: log(length) is a line of log(crown-rump length).

    Attributes
    ----------
    segments : names
    slope, constant, sd : (N,) each, of the logarithms
    """

    segments: tuple[str, ...]
    slope: np.ndarray
    constant: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, library: PoseLibrary) -> BoneNorms:
        """The norms of a library's bodies."""
        names = [segment.name for segment in library.skeleton.segments]
        chosen = [i for i, name in enumerate(names) if name.endswith(PARTS)]
        lengths = np.log(segment_lengths(library.poses, library.skeleton)[:, chosen])
        size = np.log([_size_mm(pose) for pose in library.poses])
        features = np.column_stack([size, np.ones(len(size))])
        slope, constant = np.linalg.lstsq(features, lengths, rcond=None)[0]
        rest = lengths - features @ [slope, constant]
        return cls(tuple(names[i] for i in chosen), slope, constant, rest.std(axis=0, ddof=2))

    def scores(self, points, skeleton: Skeleton | None = None) -> list[BoneScore]:
        """A score per long bone's segment of a pose (16, 3) mm."""
        skeleton, size = skeleton or load_skeleton(), _size_mm(points)
        names = [segment.name for segment in skeleton.segments]
        lengths = dict(zip(names, segment_lengths(points, skeleton), strict=True))
        found = []
        for name, slope, constant, sd in zip(self.segments, self.slope, self.constant, self.sd, strict=True):
            length = lengths[name] if lengths[name] > 0 else np.nan
            expected = slope * np.log(size) + constant
            usual = float(np.exp(expected - Z90 * sd)), float(np.exp(expected + Z90 * sd))
            z = (np.log(length) - expected) / sd
            found.append(BoneScore(name, float(length), float(np.exp(expected)), usual, float(z)))
        return found


@lru_cache
def bundled_norms() -> BoneNorms:
    """The norms of the bundled library's bodies."""
    return BoneNorms.of(PoseLibrary.load(resource_path("pose_library.npz")))


def _size_mm(points) -> float:
    found = crown_rump_of_pose(points)
    return np.nan if found is None else found.length_mm
