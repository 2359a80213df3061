"""The fetus's own coordinate frame: x to its right, y to its front, z to its head; as right-handed as RAS.

In this frame every fetus lies the same way, so the second pass of the detector need not learn all orientations.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError

TRUNK = ("neck", "spine", "sacrum", "right_shoulder", "left_shoulder", "right_hip", "left_hip")
LEAST_EXTENT = 1e-3  # body units: shorter vectors have no direction


@dataclass(frozen=True, eq=False)
class FetalFrame:
    """Position, orientation and size of a fetus in the world.

    Attributes
    ----------
    rotation : (3, 3)
        Columns: the world directions of the fetus's right, anterior and cranial. ValueError unless a proper rotation:
        a mirrored frame would swap the fetus's sides.
    origin : (3,) RAS mm
        Midway between neck and sacrum.
    size : float, mm
        Length of the column from neck over spine to sacrum: one "body unit".
    """

    rotation: np.ndarray
    origin: np.ndarray
    size: float

    def __post_init__(self):
        rotation, origin = np.array(self.rotation, dtype=np.float64), np.array(self.origin, dtype=np.float64)
        if rotation.shape != (3, 3) or origin.shape != (3,) or not np.isfinite(origin).all():
            raise ValueError(f"a frame needs a (3, 3) rotation and a finite (3,) origin, got {rotation}, {origin}")
        if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-6) or np.linalg.det(rotation) < 0:
            raise ValueError(f"not a proper rotation (orthogonal, determinant +1): {rotation.tolist()}")
        if not 0 < self.size < np.inf:
            raise ValueError(f"size must be positive, got {self.size} mm")
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "size", float(self.size))

    @classmethod
    def from_landmarks(cls, points, skeleton: Skeleton | None = None) -> "FetalFrame":
        """The frame of a pose (16, 3) in RAS mm, from its trunk; FetalPoseError if that gives none, with the reason."""
        frame, reason = _frame_or_reason(points, skeleton or load_skeleton())
        if frame is None:
            raise FetalPoseError(reason)
        return frame

    @classmethod
    def find(cls, points, skeleton: Skeleton | None = None) -> "FetalFrame | None":
        """As `from_landmarks`, but None where a landmark of the trunk is not visible or the trunk is degenerate."""
        return _frame_or_reason(points, skeleton or load_skeleton())[0]

    def to_body(self, points) -> np.ndarray:
        """RAS points (..., 3) in body units: R^T (p - origin) / size."""
        return (np.asarray(points, dtype=np.float64) - self.origin) @ self.rotation / self.size

    def to_world(self, points) -> np.ndarray:
        """Points (..., 3) in body units back in RAS mm."""
        return self.size * np.asarray(points, dtype=np.float64) @ self.rotation.T + self.origin

    def disturbed(self, rng: np.random.Generator, *, rotation_deg: float, shift: float, scale: float) -> "FetalFrame":
        """This frame with a random error, as a first pass makes it.

        Parameters
        ----------
        rotation_deg : float
            Standard deviation in degrees of the normal angle, about an axis uniform on the sphere.
        shift : float
            Standard deviation of the origin's error along each axis, in body units.
        scale : float
            Standard deviation of the error of log(size).
        """
        axis = rng.normal(size=3)
        turn = np.deg2rad(rng.normal(0, rotation_deg)) * axis / np.linalg.norm(axis)
        rotation = Rotation.from_rotvec(turn).as_matrix() @ self.rotation
        origin = self.origin + rng.normal(0, shift * self.size, size=3)
        return FetalFrame(rotation, origin, self.size * np.exp(rng.normal(0, scale)))

    def angle_to(self, other: "FetalFrame") -> float:
        """Angle in degrees, 0 to 180, of the rotation from this frame to the other."""
        chord = np.linalg.norm(self.rotation - other.rotation) / np.sqrt(8)  # sin(angle / 2); exact for small angles
        return float(np.rad2deg(2 * np.arcsin(min(chord, 1.0))))


def frame_obstacle(points, skeleton: Skeleton | None = None) -> str:
    """Why a pose (16, 3) has no frame, as a sentence; empty if it has one."""
    return _frame_or_reason(points, skeleton or load_skeleton())[1]


def _frame_or_reason(points, skeleton: Skeleton) -> tuple[FetalFrame | None, str]:
    points = np.asarray(points, dtype=np.float64)
    at = {name: points[skeleton.index(name)] for name in TRUNK}
    missing = [name for name, point in at.items() if not np.isfinite(point).all()]
    if missing:
        return None, f"The fetus's frame needs its trunk; not visible: {', '.join(missing)}. Place them."
    size = np.linalg.norm(at["neck"] - at["spine"]) + np.linalg.norm(at["spine"] - at["sacrum"])
    cranial = at["neck"] - at["sacrum"]
    if not np.linalg.norm(cranial) > LEAST_EXTENT * size:
        return None, _no_frame("neck and sacrum coincide")
    cranial = cranial / np.linalg.norm(cranial)
    right = at["right_shoulder"] - at["left_shoulder"] + at["right_hip"] - at["left_hip"]
    right = right - cranial * (right @ cranial)
    if not np.linalg.norm(right) > LEAST_EXTENT * size:
        return None, _no_frame("its two sides are not apart")
    right = right / np.linalg.norm(right)
    rotation = np.stack([right, np.cross(cranial, right), cranial], axis=1)
    return FetalFrame(rotation, (at["neck"] + at["sacrum"]) / 2, float(size)), ""


def _no_frame(why: str) -> str:
    return f"The landmarks give no fetal frame: {why}. Correct the points of the trunk."
