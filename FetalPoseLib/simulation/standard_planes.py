"""The true standard planes of a simulated body, from its anatomy: what `body.planes` is measured against.

BPD and OFD are the head's own axes, so the transverse plane of the head holds both. The abdomen's plane is square to
the column at T12-L1, the level of the abdominal circumference, and lies between the centres of stomach and kidneys,
nearer to the stomach. A body that is bent or twisted has no plane of symmetry: its mid-sagittal plane is the one
nearest to the midline of head, column and belly. Any plane that holds a long bone's axis shows the bone in its full
length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.simulation.anatomy import RIGHT, head_place, trunk_place
from FetalPoseLib.simulation.kinematics import Body

ABDOMEN = 0.36  # of the column, the level of the abdominal circumference
STOMACH_ABOVE = 0.045  # of the column, from there
BONES = {"femur": "thigh", "humerus": "upper_arm"}


@dataclass(frozen=True, eq=False)
class TruePlane:
    """A plane by its ``normal`` (3,), or a bone's axis by its ``direction`` (3,); with its ``middle`` (3,) mm."""

    middle: np.ndarray
    normal: np.ndarray | None = None
    direction: np.ndarray | None = None

    def angle_to(self, normal: np.ndarray) -> float:
        """Degrees, 0 to 90, between this plane and one with the ``normal`` (3,), or from that to the bone's axis."""
        if self.normal is not None:
            return float(np.degrees(np.arccos(min(abs(self.normal @ normal), 1.0))))
        assert self.direction is not None
        return float(np.degrees(np.arcsin(min(abs(self.direction @ normal), 1.0))))

    def offset_from(self, origin: np.ndarray, normal: np.ndarray) -> float:
        """Distance in mm of this plane's middle from another plane."""
        return float(abs((self.middle - origin) @ normal))


def true_planes(body: Body) -> dict[str, TruePlane]:
    """The true planes of a body, by the names of `body.planes.KINDS`."""
    head, abdomen = head_place(body), trunk_place(body, ABDOMEN)
    above = STOMACH_ABOVE * body.biometry.trunk / abdomen.unit
    planes = {
        "mid_sagittal": _mid_sagittal(body),
        "head_transverse": TruePlane(head.origin, body.head[:, 2]),
        "abdomen_transverse": TruePlane(abdomen.at(0, 0, above), abdomen.rotation[:, 2]),
        "face_coronal": TruePlane(head.at(0, 0.70, -0.36), body.head[:, 1]),
    }
    for side in ("right", "left"):
        for bone, part in BONES.items():
            start, end = body.bones[f"{side}_{part}"].start, body.bones[f"{side}_{part}"].end
            direction = (end - start) / np.linalg.norm(end - start)
            planes[f"{side}_{bone}"] = TruePlane((start + end) / 2, direction=direction)
    return planes


def midline(body: Body) -> np.ndarray:
    """Points (18, 3) mm of the midline: of the head at crown, occiput, nose and chin, of the column, of the belly."""
    head = head_place(body)
    points = [head.at(0, y, z) for y, z in ((0, 0.90), (-1.0, 0), (1.10, -0.44), (0.86, -0.84))]
    points += [position for position, _ in body.vertebrae[::3]]
    points += [trunk_place(body, fraction).at(0, 0.9, 0) for fraction in (0.1, 0.3, 0.5, 0.7, 0.9)]
    return np.array(points)


def _mid_sagittal(body: Body) -> TruePlane:
    points = midline(body)
    middle = points.mean(axis=0)
    normal = np.linalg.svd(points - middle)[2][2]
    towards = body.head[:, RIGHT] + body.thorax[:, RIGHT] + body.pelvis[:, RIGHT]
    return TruePlane(middle, normal * np.sign(normal @ towards))
