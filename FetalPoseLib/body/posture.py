"""Whether a fetus lies flexed, neutral or extended, and how far its joints are bent, from its pose.

A crown-rump length holds for a neutral posture only. The cranial-dorsal-hip angle tells that posture: in the profile,
the angle at the back between the crown and the rump. Its authors found 118.3 to 137.8 degrees in 95 % of neutral
fetuses; smaller angles are hyperflexion, larger ones hyperextension. Crown, back and rump are no landmarks, so the
angle follows from that at the landmark *spine* between head and sacrum, by a line fitted to simulated bodies, on which
crown and rump are the ends of the crown-rump length and the back's point is the one of the thorax that lies farthest
from the line between them. The article's summary gives the range, not where exactly the points lie; that they mean the
same is our reading. Of simulated bodies that are drawn with a habitual spine 79 % then are neutral, of those that are
drawn curled 87 % flexed, of those that are drawn extended 99 % extended (`Testing/test_posture.py`).

Reference
---------
Y. Tan et al., "Introducing and validating the cranial-dorsal-hip angle: a method for accurate fetal position assessment
in the first trimester and future AI applications", Ultrasound International Open 2024;10:a23370078.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.parts import DegenerateError, head, loins, thorax, unit, visible
from FetalPoseLib.body.skeleton import Skeleton

NEUTRAL_DEG = (118.3, 137.8)  # cranial-dorsal-hip angle of 95 % of the neutral fetuses of Tan et al. 2024
CDH_STRAIGHT_DEG, CDH_SLOPE = (
    149.4,
    0.52,
)  # of a spine that is not bent, and by which each degree takes off
CDH_SD_DEG = 3.9  # of the angle, from landmarks that are off by `parts.FIT_NOISE_MM`
PELVIS_BEND_GAIN, PELVIS_HIPS_GAIN, PELVIS_NOD_DEG = -0.164, 0.484, -26.5  # turn of the pelvis against the loins

#: Joints whose flexion is told: (the landmarks before it, at it and beyond it).
HINGES = {
    f"{side}_{name}": tuple(f"{side}_{landmark}" for landmark in chain)
    for side in ("right", "left")
    for name, chain in (("elbow", ("shoulder", "elbow", "wrist")), ("knee", ("hip", "knee", "ankle")))
}
HIPS = ("right_hip", "left_hip")


@dataclass(frozen=True)
class Posture:
    """Angles in degrees, NaN where a landmark that one takes is not visible.

    Attributes
    ----------
    head_trunk_deg : by which the head is bent towards the chest, against the thorax; negative: bent backwards
    cranial_dorsal_hip_deg : see the module
    flexion_deg : of elbows, knees and hips by name, 0 stretched; of a hip, in the profile against the pelvis
    """

    head_trunk_deg: float
    cranial_dorsal_hip_deg: float
    flexion_deg: Mapping[str, float]

    @property
    def state(self) -> str:
        """ "flexed", "neutral" or "extended" by `NEUTRAL_DEG`; "unknown" where the angle is."""
        if not np.isfinite(self.cranial_dorsal_hip_deg):
            return "unknown"
        low, high = NEUTRAL_DEG
        angle = self.cranial_dorsal_hip_deg
        return "flexed" if angle < low else "extended" if angle > high else "neutral"


def posture_of(points, skeleton: Skeleton | None = None) -> Posture:
    """The posture of a pose (16, 3) mm in any position and orientation.

    Example
    -------
    >>> posture_of(estimate.points).state
    'neutral'
    """
    at = visible(points, skeleton)
    flexion = {name: _hinge(at, *chain) for name, chain in HINGES.items()}
    flexion |= {name: _hip(at, name, name.replace("hip", "knee")) for name in HIPS}
    return Posture(_head_trunk(at), _cranial_dorsal_hip(at), MappingProxyType(flexion))


def _cranial_dorsal_hip(at: Mapping[str, np.ndarray]) -> float:
    if not _seen(at, "head", "neck", "spine", "sacrum") or not _sided(at):
        return np.nan
    try:
        return CDH_STRAIGHT_DEG - CDH_SLOPE * spine_bend_deg(at)
    except DegenerateError:
        return np.nan


def _head_trunk(at: Mapping[str, np.ndarray]) -> float:
    if not _seen(at, "head", "neck", "spine") or not _sided(at):
        return np.nan
    try:
        cranial = thorax(at).T @ head(at)[:, 2]
    except DegenerateError:
        return np.nan
    return float(np.degrees(np.arctan2(cranial[1], cranial[2])))


def _hinge(at: Mapping[str, np.ndarray], before: str, joint: str, beyond: str) -> float:
    if not _seen(at, before, joint, beyond):
        return np.nan
    try:
        first, second = unit(at[joint] - at[before]), unit(at[beyond] - at[joint])
    except DegenerateError:
        return np.nan
    return float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))


def _hip(at: Mapping[str, np.ndarray], hip: str, knee: str) -> float:
    if not _seen(at, "neck", "spine", "sacrum", *HIPS, knee):
        return np.nan
    try:
        thigh = pelvis(at).T @ unit(at[knee] - at[hip])
    except DegenerateError:
        return np.nan
    return float(np.degrees(np.arctan2(thigh[1], -thigh[2])))


def spine_bend_deg(at: Mapping[str, np.ndarray]) -> float:
    """Degrees by which the way from head over spine to sacrum is bent, positive towards the front."""
    up, down = unit(at["head"] - at["spine"]), unit(at["sacrum"] - at["spine"])
    bend = np.degrees(np.arccos(np.clip(-up @ down, -1, 1)))
    return float(bend * np.sign((up + down) @ thorax(at)[:, 1]))


def pelvis_features(at: Mapping[str, np.ndarray]) -> np.ndarray:
    """What tells how the pelvis is turned against the loins: turns in rad of the column, and of the hips (2,)."""
    lower = loins(at)
    curve = Rotation.from_matrix(lower.T @ thorax(at)).as_rotvec()[0]
    hips = lower.T @ ((at["right_hip"] + at["left_hip"]) / 2 - at["sacrum"])
    return np.array([curve, np.arctan2(hips[1], -hips[2])])


def pelvis(at: Mapping[str, np.ndarray]) -> np.ndarray:
    """Frame (3, 3) of the pelvis, which the column's curve and the place of the hips before the sacrum give."""
    nod = pelvis_features(at) @ [PELVIS_BEND_GAIN, PELVIS_HIPS_GAIN] + np.radians(PELVIS_NOD_DEG)
    return loins(at) @ Rotation.from_rotvec([nod, 0.0, 0.0]).as_matrix()


def _seen(at: Mapping[str, np.ndarray], *landmarks: str) -> bool:
    return all(landmark in at for landmark in landmarks)


def _sided(at: Mapping[str, np.ndarray]) -> bool:
    return any(_seen(at, f"right_{joint}", f"left_{joint}") for joint in ("shoulder", "hip"))
