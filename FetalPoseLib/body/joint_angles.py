"""Flexion of elbows, hips and knees: 0 degrees where the limb is straight, more the further the joint is bent."""

import numpy as np

from FetalPoseLib.body.skeleton import Skeleton, load_skeleton

JOINTS = ("left_elbow", "right_elbow", "left_hip", "right_hip", "left_knee", "right_knee")


def flexion_deg(points, skeleton: Skeleton | None = None) -> np.ndarray:
    """Flexion in degrees, 0 to 180, of `JOINTS` in poses (..., 16, 3): (..., 6), NaN where a landmark is not visible.

    An elbow and a knee lie between the bones on either side; a hip lies between the thigh and the lower trunk, from
    the spine's landmark to the sacrum.
    """
    skeleton, points = skeleton or load_skeleton(), np.asarray(points, dtype=np.float64)

    def at(name: str) -> np.ndarray:
        return points[..., skeleton.index(name), :]

    found = []
    for joint in JOINTS:
        side, which = joint.split("_")
        if which == "hip":
            before, after = at("sacrum") - at("spine"), at(f"{side}_knee") - at(f"{side}_hip")
        else:
            first, last = ("shoulder", "wrist") if which == "elbow" else ("hip", "ankle")
            before, after = at(joint) - at(f"{side}_{first}"), at(f"{side}_{last}") - at(joint)
        found.append(_angle(before, after))
    return np.stack(found, axis=-1)


def _angle(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Degrees between vectors (..., 3); NaN where one has no length."""
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (one * other).sum(axis=-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
