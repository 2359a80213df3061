"""The surface of the fetus of 10 to 14 weeks as implicit shapes on a posed `Body`, and the frames of head and trunk.

What lies inside is painted by `fetus`. All lengths in mm.
"""

from __future__ import annotations

import numpy as np

from FetalPoseLib.simulation.biometry import VERTEBRAE
from FetalPoseLib.simulation.collision import head_ellipsoids, limb_radius
from FetalPoseLib.simulation.implicit import Capsule, Ellipsoid
from FetalPoseLib.simulation.kinematics import Body

RIGHT, ANTERIOR, CRANIAL = 0, 1, 2
SIDES = (("right", 1.0), ("left", -1.0))


class Place:
    """A local frame: `at(right, anterior, cranial)` gives a world point (3,), scaled by ``unit`` mm."""

    def __init__(self, origin: np.ndarray, rotation: np.ndarray, unit: float):
        self.origin, self.rotation, self.unit = origin, rotation, unit

    def at(self, right: float, anterior: float, cranial: float) -> np.ndarray:
        """The world point (3,) mm at coordinates in units of the frame."""
        return self.origin + self.rotation @ (self.unit * np.array([right, anterior, cranial]))

    def ellipsoid(self, centre, radii) -> Ellipsoid:
        """An ellipsoid along the axes of the frame, its centre and radii in units of it."""
        return Ellipsoid(self.at(*centre), self.rotation, self.unit * np.asarray(radii, dtype=float))


def _vertebra(body: Body, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Position and rotation of the column ``fraction`` of the way from sacrum (0) to C7-T1 (1)."""
    last = VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"]
    return body.vertebrae[round(fraction * last)]


def trunk_place(body: Body, fraction: float) -> Place:
    """Frame at the centre of the trunk's cross-section; one unit is half the trunk's width."""
    position, rotation = _vertebra(body, fraction)
    half = 0.5 * body.biometry.trunk_width
    return Place(position + rotation[:, ANTERIOR] * 0.66 * half, rotation, half)


def head_place(body: Body) -> Place:
    """Frame at the centre of the cranium; one unit is half the occipito-frontal diameter."""
    return Place(body.landmarks[0], body.head, 0.5 * body.biometry.ofd)


def cranium(body: Body) -> Ellipsoid:
    """Outer surface of the skull: BPD wide, OFD long."""
    ofd, bpd, build = body.biometry.ofd, body.biometry.bpd, body.biometry.build
    radii = np.array([0.5 * bpd * build.head_width, 0.5 * ofd, 0.45 * ofd * build.head_height])
    return Ellipsoid(body.landmarks[0], body.head, radii)


def head_shapes(body: Body) -> list:
    """Skull with its skin, face, nose and chin."""
    head, size = head_place(body), body.biometry.build.face
    skull, face = (Ellipsoid(centre, body.head, radii)
                   for centre, radii in head_ellipsoids(body.biometry, body.landmarks[0], body.head))  # fmt: skip
    nose = Capsule(head.at(0, 0.85, -0.36), head.at(0, 1.10, -0.44), 0.13 * size * head.unit)
    chin = Capsule(head.at(0, 0.55, -0.85), head.at(0, 0.86, -0.84), 0.20 * size * head.unit)
    return [skull, face, nose, chin]


def skin_shapes(body: Body) -> list:
    """The parts whose smooth union is the body's surface."""
    b = body.biometry
    half = 0.5 * b.trunk_width
    build, shapes = b.build, head_shapes(body)
    chest, belly, pelvis = (trunk_place(body, f) for f in (0.74, 0.36, 0.06))
    length = b.trunk / half
    shapes += [
        chest.ellipsoid((0, -0.02, 0), (0.94 * build.chest, 0.90 * build.chest, 0.36 * length)),
        belly.ellipsoid((0, 0.10, 0), (build.belly, build.belly, 0.36 * length)),
        pelvis.ellipsoid((0, -0.10, -0.10), (0.86, 0.72, 0.24 * length)),
    ]
    column = [p for p, _ in body.vertebrae[::2]] + [body.vertebrae[-1][0]]
    shapes += [Capsule(a, c, 0.34 * half) for a, c in zip(column[:-1], column[1:], strict=True)]
    neck, c1 = body.vertebrae[VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"]], body.vertebrae[-1]
    shapes.append(
        Capsule(
            neck[0] + neck[1][:, ANTERIOR] * 0.2 * half,
            c1[0] + c1[1][:, ANTERIOR] * 0.25 * half,
            0.46 * build.neck * half,
        )
    )
    for name, bone in body.bones.items():
        part = name.split("_", 1)[1]
        radius = limb_radius(b, part)
        if part in ("hand", "foot"):
            flat = np.array([1.5 if part == "hand" else 1.1, 0.62, 0.0]) * radius
            shapes.append(
                Ellipsoid(
                    0.5 * (bone.start + bone.end),
                    bone.rotation,
                    flat + [0, 0, 0.55 * np.linalg.norm(bone.end - bone.start)],
                )
            )
        else:
            shapes.append(Capsule(bone.start, bone.end, radius, 0.8 * radius))
    for side, sign in SIDES:  # deltoids and buttocks join limbs to the trunk
        shoulder, hip = body.bones[f"{side}_upper_arm"].start, body.bones[f"{side}_thigh"].start
        shapes.append(
            Capsule(
                trunk_place(body, 0.9).at(sign * 0.4, 0.1, 0), shoulder, 0.42 * half, 1.1 * limb_radius(b, "upper_arm")
            )
        )
        shapes.append(Capsule(pelvis.at(sign * 0.2, 0, 0), hip, 0.55 * half, 1.1 * limb_radius(b, "thigh")))
    return shapes


def cord_insertion(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Where the umbilical cord leaves the belly (3,) and the direction in which it does."""
    place = trunk_place(body, 0.24)
    return place.at(0, 1.02, 0), place.rotation[:, ANTERIOR]
