"""The fetus of 10 to 14 weeks as implicit shapes hung on a posed `Body`.

What tells head from foot and front from back must be visible, because left and right follow from those two by
handedness: the face (orbits, nose, jaws) looks anterior; the vertebral column with its arches lies dorsal; the belly
with liver and cord insertion ventral; knees bend backwards and elbows forwards. Stomach and heart lie on the left, the
liver on the right. At this age the calvarium, the jaws, the clavicles, the ribs, the vertebral centra and arches, the
ilia and the shafts of long bones are ossified; joints are cartilage.

Shapes are laid over one another in order, from the skin inwards. All lengths in mm.
"""

from __future__ import annotations

import numpy as np

from FetalPoseLib.simulation.anatomy import (
    ANTERIOR,
    CRANIAL,
    RIGHT,
    SIDES,
    Place,
    cranium,
    head_place,
    head_shapes,
    skin_shapes,
    trunk_place,
)
from FetalPoseLib.simulation.biometry import VERTEBRAE
from FetalPoseLib.simulation.implicit import Canvas, Capsule, Ellipsoid, Shell, Slab
from FetalPoseLib.simulation.kinematics import Body


def _paint_head(canvas: Canvas, body: Body, tissues, skull_gaps=None) -> None:
    head, skull, b = head_place(body), cranium(body), body.biometry
    wall = 0.35 + 0.004 * b.crl
    canvas.paint(skull, tissues["brain"])
    wide = b.bpd * b.build.head_width / b.ofd
    for _, sign in SIDES:  # lateral ventricles fill most of each hemisphere, the choroid plexus most of the ventricle
        canvas.paint(head.ellipsoid((sign * 0.42 * wide, -0.05, 0.18), (0.30 * wide, 0.62, 0.42)), tissues["ventricle"])
        canvas.paint(head.ellipsoid((sign * 0.42 * wide, -0.18, 0.16), (0.22 * wide, 0.36, 0.26)), tissues["choroid"])
    canvas.paint(head.ellipsoid((0, -0.58, -0.38), (0.42 * wide, 0.22, 0.18)), tissues["soft"])  # cerebellum
    inner = Ellipsoid(skull.centre, skull.rotation, skull.radii - wall)
    canvas.paint(
        Slab(
            head.at(0, 0, 0.3), body.head[:, RIGHT], 0.45, head.ellipsoid((0, 0, 0.15), 0.94 * inner.radii / head.unit)
        ),
        tissues["membrane"],
    )  # falx
    base = (head.at(0, 0, -0.42), -body.head[:, CRANIAL])
    canvas.paint(Shell(skull, wall, (base,)), tissues["skull"], within=skull_gaps)
    canvas.paint(
        Slab(head.at(0, 0, 0.9), body.head[:, RIGHT], 0.9, head.ellipsoid((0, 0.45, 0.75), (0.12, 0.35, 0.5))),
        tissues["membrane"],
    )  # anterior fontanelle: a window in the vault
    canvas.paint(Capsule(head.at(-0.30, -0.1, -0.52), head.at(0.30, -0.1, -0.52), 0.07 * head.unit), tissues["bone"])
    canvas.paint(Capsule(head.at(0, -0.45, -0.6), head.at(0, 0.3, -0.45), 0.06 * head.unit), tissues["bone"])
    for _, sign in SIDES:
        eye = head.at(sign * 0.34, 0.70, -0.36)
        canvas.paint(Ellipsoid(eye, body.head, np.full(3, 0.19 * head.unit)), tissues["bone"])  # orbit
        canvas.paint(Ellipsoid(eye, body.head, np.full(3, 0.155 * head.unit)), tissues["fluid"])
        canvas.paint(
            Ellipsoid(head.at(sign * 0.35, 0.80, -0.36), body.head, np.full(3, 0.06 * head.unit)), tissues["membrane"]
        )  # lens
        jaw = [head.at(sign * x, y, z) for x, y, z in ((0.42, 0.18, -0.62), (0.36, 0.50, -0.84), (0.0, 0.82, -0.90))]
        cheek = [head.at(sign * x, y, z) for x, y, z in ((0.30, 0.55, -0.60), (0.0, 0.88, -0.60))]
        for path in (jaw, cheek):
            for a, c in zip(path[:-1], path[1:], strict=True):
                canvas.paint(Capsule(a, c, 0.25 + 0.004 * b.crl), tissues["bone"])
    canvas.paint(
        Capsule(head.at(0, 0.92, -0.22), head.at(0, 1.04, -0.38), 0.25 + 0.003 * b.crl), tissues["bone"]
    )  # nasal bone
    canvas.paint(head.ellipsoid((0, 0.55, -0.72), (0.20, 0.26, 0.07)), tissues["fluid"])  # mouth


def _paint_organs(canvas: Canvas, body: Body, tissues, skin, rng) -> None:
    chest, belly, pelvis = (trunk_place(body, f) for f in (0.74, 0.38, 0.06))
    long = 0.36 * body.biometry.trunk / chest.unit
    for _, sign in SIDES:
        canvas.paint(chest.ellipsoid((sign * 0.42, 0.0, 0.0), (0.36, 0.62, 0.85 * long)), tissues["lung"], within=skin)
        canvas.paint(
            belly.ellipsoid((sign * 0.42, -0.46, -0.25 * long), (0.22, 0.2, 0.32 * long)),
            tissues["kidney"],
            within=skin,
        )
        canvas.paint(
            belly.ellipsoid((sign * 0.42, -0.44, -0.25 * long), (0.07, 0.07, 0.12 * long)),
            tissues["fluid"],
            within=skin,
        )
    canvas.paint(belly.ellipsoid((0.12, 0.10, 0.30 * long), (0.78, 0.68, 0.52 * long)), tissues["liver"], within=skin)
    canvas.paint(belly.ellipsoid((0, 0.15, -0.55 * long), (0.62, 0.50, 0.34 * long)), tissues["bowel"], within=skin)
    heart = (-0.12, 0.24, -0.18 * long)
    canvas.paint(chest.ellipsoid(heart, (0.44, 0.42, 0.42)), tissues["heart"], within=skin)
    chambers = ((0.10, 0.12, -0.08), (-0.16, 0.10, -0.1), (0.10, -0.14, 0.12), (-0.12, -0.14, 0.12))
    for right, anterior, cranial in chambers:
        canvas.paint(
            chest.ellipsoid((heart[0] + right, heart[1] + anterior, heart[2] + cranial), (0.10, 0.10, 0.14)),
            tissues["blood"],
        )
    stomach = rng.uniform(0.16, 0.34)
    canvas.paint(
        belly.ellipsoid((-0.46, -0.05, 0.25 * long), (0.75 * stomach, stomach, 1.1 * stomach)),
        tissues["fluid"],
        within=skin,
    )
    bladder = rng.uniform(0.12, 0.34)
    canvas.paint(pelvis.ellipsoid((0, 0.16, 0.0), (bladder, bladder, 1.2 * bladder)), tissues["fluid"], within=skin)
    aorta = [p + r[:, ANTERIOR] * 0.36 * chest.unit for p, r in body.vertebrae[2 : VERTEBRAE["lumbar"] + 10 : 3]]
    for a, c in zip(aorta[:-1], aorta[1:], strict=True):
        canvas.paint(Capsule(a, c, 0.10 * chest.unit), tissues["blood"])


def _paint_axial_skeleton(canvas: Canvas, body: Body, tissues, skin) -> None:
    b = body.biometry
    half = 0.5 * b.trunk_width
    pitch = b.trunk / (VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"])
    thin = 0.22 + 0.0035 * b.crl
    for index, (position, rotation) in enumerate(body.vertebrae):
        place = Place(position, rotation, half)
        canvas.paint(place.ellipsoid((0, 0, 0), (0.24, 0.20, 0.62 * pitch / half)), tissues["cartilage"])
        canvas.paint(place.ellipsoid((0, -0.27, 0), (0.11, 0.10, 0.62 * pitch / half)), tissues["fluid"])  # canal
        canvas.paint(place.ellipsoid((0, 0, 0), (0.17, 0.15, 0.34 * pitch / half)), tissues["bone"])  # centrum
        for _, sign in SIDES:
            canvas.paint(
                Capsule(place.at(sign * 0.26, -0.16, 0), place.at(sign * 0.16, -0.42, -0.06), thin), tissues["bone"]
            )  # arch
        if VERTEBRAE["lumbar"] < index <= VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"]:
            _paint_ribs(
                canvas,
                trunk_place(body, index / 19),
                tissues,
                skin,
                thin,
                spread=0.62 if index > 17 else 0.86,
                floating=index < VERTEBRAE["lumbar"] + 3,
            )
    neck = trunk_place(body, 0.93)
    for side, sign in SIDES:
        shoulder = body.bones[f"{side}_upper_arm"].start
        canvas.paint(
            Capsule(neck.at(sign * 0.12, 0.62, -0.1), shoulder + 0.15 * (neck.at(0, 0.4, 0) - shoulder), 1.2 * thin),
            tissues["bone"],
        )  # clavicle
        blade = trunk_place(body, 0.78).at(sign * 0.62, -0.62, 0)
        canvas.paint(Capsule(shoulder + 0.3 * (blade - shoulder), blade, 1.3 * thin, thin), tissues["bone"])  # scapula
        hip = body.bones[f"{side}_thigh"].start
        crest = trunk_place(body, 0.10).at(sign * 0.58, -0.30, 0.1)
        canvas.paint(Capsule(hip + 0.3 * (crest - hip), crest, 1.2 * thin, 1.6 * thin), tissues["bone"])  # ilium


def _paint_ribs(canvas, place: Place, tissues, skin, radius: float, *, spread: float, floating: bool) -> None:
    """One pair of ribs: three chords from the vertebra round the chest wall, sloping down as they come forward."""
    for _, sign in SIDES:
        angles = np.radians([-58, -10, 35] if floating else [-58, -10, 35, 66])
        arc = [place.at(sign * spread * np.cos(a), 0.80 * np.sin(a) - 0.02, -0.18 * k) for k, a in enumerate(angles)]
        for a, c in zip(arc[:-1], arc[1:], strict=True):
            canvas.paint(Capsule(a, c, 0.9 * radius), tissues["bone"], within=skin)


def shafts(body: Body) -> dict[str, Capsule]:
    """The ossified shafts of the long bones, by name; ``forearm`` and ``shank`` give the thicker bone, ulna and tibia.

    They lie on the line between the joints here; where there are two bones, they are painted on either side of it.
    """
    epiphysis, thick = body.biometry.epiphysis, 0.30 + 0.0045 * body.biometry.crl
    found = {}
    for name, bone in body.bones.items():
        if name.endswith(("hand", "foot")):
            continue
        along = (bone.end - bone.start) / np.linalg.norm(bone.end - bone.start)
        found[name] = Capsule(bone.start + epiphysis * along, bone.end - epiphysis * along, thick)
    return found


def _paint_limb_skeleton(canvas: Canvas, body: Body, tissues) -> None:
    crl = body.biometry.crl
    for name, shaft in shafts(body).items():
        bone = body.bones[name]
        for joint in (bone.start, bone.end):
            canvas.paint(
                Ellipsoid(joint, bone.rotation, np.full(3, 0.9 * body.biometry.epiphysis)), tissues["cartilage"]
            )
        if name.endswith(("forearm", "shank")):
            apart = bone.rotation[:, RIGHT] * (0.45 + 0.006 * crl)
            canvas.paint(Capsule(shaft.start + apart, shaft.end + apart, 0.75 * shaft.radius), tissues["bone"])
            shaft = Capsule(shaft.start - 0.5 * apart, shaft.end - 0.5 * apart, shaft.radius)
        canvas.paint(shaft, tissues["bone"])
    for name, bone in body.bones.items():
        if not name.endswith(("hand", "foot")):
            continue
        reach = bone.end - bone.start
        for ray in np.linspace(-1, 1, 5):
            spread = ray * bone.rotation[:, RIGHT] * (0.030 if name.endswith("hand") else 0.020) * crl
            base, knuckle = bone.start + 0.25 * reach + 0.5 * spread, bone.start + 0.55 * reach + 0.9 * spread
            canvas.paint(Capsule(knuckle, bone.start + 1.05 * reach + 1.2 * spread, 0.011 * crl), tissues["soft"])
            canvas.paint(Capsule(base, knuckle, 0.10 + 0.002 * crl), tissues["bone"])
            canvas.paint(
                Capsule(knuckle + 0.12 * reach, bone.start + 0.9 * reach + 1.1 * spread, 0.08 + 0.0015 * crl),
                tissues["bone"],
            )


def paint_head_alone(canvas: Canvas, body: Body, tissues) -> None:
    """The head of a body without the rest of it."""
    skin = canvas.distance_field(head_shapes(body), fillet=0.02 * body.biometry.crl)
    canvas.paint_distance(skin, tissues["skin"])
    canvas.paint_distance(skin + 0.7, tissues["soft"])
    _paint_head(canvas, body, tissues)


def paint_fetus(canvas: Canvas, body: Body, tissues, rng: np.random.Generator, *, skull_gaps=None):
    """Paint the fetus on an empty canvas; returns the signed distance field (nz, ny, nx) of its skin.

    The canvas must cover the body; ``rng`` draws what varies between subjects beyond size, such as the filling of
    stomach and bladder. Where the field ``skull_gaps`` (nz, ny, nx) is positive, the vault is not ossified.
    """
    skin = canvas.distance_field(skin_shapes(body), fillet=0.05 * body.biometry.crl)
    canvas.paint_distance(skin, tissues["skin"])
    canvas.paint_distance(skin + 0.7, tissues["soft"])
    _paint_organs(canvas, body, tissues, skin, rng)
    _paint_axial_skeleton(canvas, body, tissues, skin + 0.5)
    _paint_limb_skeleton(canvas, body, tissues)
    _paint_head(canvas, body, tissues, skull_gaps)
    return skin
