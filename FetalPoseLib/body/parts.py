"""How head and trunk lie, from a pose: the directions that its parts call right, anterior and cranial.

The landmarks give the line from neck to head and the two halves of the spinal column. What they do not give follows
from how bodies bend: the head turns further than the line to it, and the belly lies between the two halves of the
column. The constants are fitted by `benchmark.body_constants` on bodies drawn as those of the simulator's training
splits are, with landmarks that are off by `FIT_NOISE_MM`, as an estimate's are; `Testing/test_body_constants.py` fits
them again. No landmark tells how far the head is turned about its own long axis: it is taken to look where the
shoulders do.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError

FIT_NOISE_MM = 0.5  # standard deviation along each axis of the landmarks that the constants are fitted with
HEAD_NOD_GAIN = 1.21  # turn of the head over the turn of the line from neck to head, about the axis through both sides
HEAD_TILT_GAIN = 0.95  # the same about the axis from back to front
HEAD_NOD_DEG = 9.6  # by which the head is extended against that
BELLY_NOD_GAIN = 0.48  # turn of T12-L1 over the turn from the lumbar to the thoracic half of the column
BELLY_TILT_GAIN = 0.54  # the same about the axis from back to front
BELLY_NOD_DEG = 2.2
OFD_TO_HEAD_NECK = 1.76  # occipito-frontal diameter over the distance from head to neck
HALF_TRUNK_TO_COLUMN = 0.37  # half the width of the trunk over the length of the column
LEAST_SINE = 1e-3  # of the angle between two directions that give a frame

PAIRS = (("right_shoulder", "left_shoulder"), ("right_hip", "left_hip"))


class DegenerateError(FetalPoseError):
    """Landmarks coincide or lie on a line, so that they give no direction."""


def visible(points, skeleton: Skeleton | None = None) -> dict[str, np.ndarray]:
    """The landmarks (3,) RAS mm of a pose (16, 3) that are visible, by name."""
    skeleton, points = skeleton or load_skeleton(), np.asarray(points, dtype=np.float64)
    if points.shape != (len(skeleton), 3):
        raise ValueError(f"a pose has shape ({len(skeleton)}, 3), got {points.shape}")
    found = zip(skeleton.landmarks, points, strict=True)
    return {name: point for name, point in found if np.isfinite(point).all()}


def unit(vector: np.ndarray) -> np.ndarray:
    """The direction (3,) of a vector; DegenerateError if it has none."""
    length = np.linalg.norm(vector)
    if not length > 0:
        raise DegenerateError("Two landmarks coincide.")
    return vector / length


def frame_of(cranial: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Rotation (3, 3) with the columns right, anterior, cranial: exactly along ``cranial``, nearly along ``right``."""
    cranial, right = unit(cranial), unit(right)
    right = right - cranial * (right @ cranial)
    if not np.linalg.norm(right) > LEAST_SINE:
        raise DegenerateError("The two sides of the body are not apart.")
    right = unit(right)
    return np.stack([right, np.cross(cranial, right), cranial], axis=1)


def to_the_right(at: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sum (3,) mm of the vectors from left to right of shoulders and hips, of which one pair must be visible."""
    pairs = [at[right] - at[left] for right, left in PAIRS if right in at and left in at]
    return np.sum(pairs, axis=0)


def thorax(at: Mapping[str, np.ndarray]) -> np.ndarray:
    """Frame (3, 3) of the column from spine to neck; DegenerateError if it has none."""
    return frame_of(at["neck"] - at["spine"], to_the_right(at))


def loins(at: Mapping[str, np.ndarray]) -> np.ndarray:
    """Frame (3, 3) of the column from sacrum to spine; DegenerateError if it has none."""
    return frame_of(at["spine"] - at["sacrum"], to_the_right(at))


def head(at: Mapping[str, np.ndarray], turn_deg: float = 0.0) -> np.ndarray:
    """Frame (3, 3) of the head; DegenerateError if it has none.

    It looks where the shoulders do, but for ``turn_deg``, a turn about its long axis to the fetus's left; see
    `measurement.head_turn`.
    """
    trunk = thorax(at)
    x, y, _ = shortest_turn(unit(trunk.T @ (at["head"] - at["neck"])))
    nod = HEAD_NOD_GAIN * x + np.radians(HEAD_NOD_DEG)
    straight = trunk @ Rotation.from_rotvec([nod, HEAD_TILT_GAIN * y, 0.0]).as_matrix()
    return straight @ Rotation.from_rotvec([0.0, 0.0, np.radians(turn_deg)]).as_matrix()


def belly(at: Mapping[str, np.ndarray]) -> np.ndarray:
    """Frame (3, 3) of the column at T12-L1; DegenerateError if it has none."""
    lower = loins(at)
    x, y, _ = Rotation.from_matrix(lower.T @ thorax(at)).as_rotvec()
    nod = BELLY_NOD_GAIN * x + np.radians(BELLY_NOD_DEG)
    return lower @ Rotation.from_rotvec([nod, BELLY_TILT_GAIN * y, 0.0]).as_matrix()


def occipito_frontal_mm(at: Mapping[str, np.ndarray]) -> float:
    """Occipito-frontal diameter in mm that goes with the distance from head to neck."""
    return OFD_TO_HEAD_NECK * float(np.linalg.norm(at["head"] - at["neck"]))


def column_mm(at: Mapping[str, np.ndarray]) -> float:
    """Length in mm of the spinal column from neck over spine to sacrum."""
    return float(np.linalg.norm(at["neck"] - at["spine"]) + np.linalg.norm(at["spine"] - at["sacrum"]))


def half_trunk_mm(at: Mapping[str, np.ndarray]) -> float:
    """Half the width in mm of a trunk with this column."""
    return HALF_TRUNK_TO_COLUMN * column_mm(at)


def shortest_turn(direction: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) of the shortest turn from cranial to a direction (3,)."""
    axis = np.array([-direction[1], direction[0], 0.0])  # cranial x direction
    sine = np.linalg.norm(axis)
    return axis / sine * np.arctan2(sine, direction[2]) if sine > 0 else axis
