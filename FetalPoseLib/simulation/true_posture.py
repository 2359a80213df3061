"""The true posture and crown-rump length of a simulated body, from its anatomy, to measure those of a pose against."""

from __future__ import annotations

import numpy as np

from FetalPoseLib.simulation.anatomy import ANTERIOR, skin_shapes
from FetalPoseLib.simulation.biometry import VERTEBRAE
from FetalPoseLib.simulation.implicit import Ellipsoid
from FetalPoseLib.simulation.kinematics import Body

BACK = 0.34  # of half the trunk's width: the skin behind the column
THORAX = slice(VERTEBRAE["lumbar"], VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"] + 1)  # T12-L1 to C7-T1


def crown_and_rump(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Ends (3,) mm of the crown-rump length of a body as it lies: the skin's outermost points along head and sacrum."""
    axis = body.landmarks[0] - body.landmarks[7]
    axis = axis / np.linalg.norm(axis)
    shapes = skin_shapes(body)
    return _outermost(shapes[0], axis), _outermost(shapes[6], -axis)


def crown_rump_mm(body: Body) -> float:
    """Crown-rump length in mm as the body lies: the extent of head and trunk along the line from sacrum to head."""
    axis = body.landmarks[0] - body.landmarks[7]
    crown, rump = crown_and_rump(body)
    return float((crown - rump) @ axis / np.linalg.norm(axis))


def cranial_dorsal_hip_deg(body: Body) -> float:
    """Angle in degrees at the thoracic back between crown and rump."""
    crown, rump = crown_and_rump(body)
    half = 0.5 * body.biometry.trunk_width
    back = np.array([position - rotation[:, ANTERIOR] * BACK * half for position, rotation in body.vertebrae[THORAX]])
    line = (crown - rump) / np.linalg.norm(crown - rump)
    behind = (back - rump) - ((back - rump) @ line)[:, None] * line
    distance = np.linalg.norm(behind, axis=1) * np.sign(behind @ -body.thorax[:, ANTERIOR])
    dorsal = back[np.argmax(distance)]
    up, down = crown - dorsal, rump - dorsal
    return float(np.degrees(np.arccos(up @ down / (np.linalg.norm(up) * np.linalg.norm(down)))))


def hip_flexion_deg(body: Body, side: str) -> float:
    """Flexion in degrees of a thigh in the profile against the pelvis."""
    bone = body.bones[f"{side}_thigh"]
    thigh = body.pelvis.T @ (bone.end - bone.start)
    return float(np.degrees(np.arctan2(thigh[1], -thigh[2])))


def head_trunk_deg(body: Body) -> float:
    """Flexion in degrees of the head's long axis against the line from spine to neck, in the thorax's profile."""
    trunk = body.landmarks[2] - body.landmarks[6]
    trunk = trunk / np.linalg.norm(trunk)
    right = body.thorax[:, 0] - trunk * (body.thorax[:, 0] @ trunk)
    anterior = np.cross(trunk, right / np.linalg.norm(right))
    return float(np.degrees(np.arctan2(body.head[:, 2] @ anterior, body.head[:, 2] @ trunk)))


def _outermost(shape: Ellipsoid, direction: np.ndarray) -> np.ndarray:
    axes = shape.rotation * shape.radii
    local = axes.T @ direction
    return shape.centre + axes @ (local / np.linalg.norm(local))
