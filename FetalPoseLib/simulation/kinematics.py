"""The fetal body as a tree of joints: where the landmarks are, and which way everything on them faces.

The root is the sacrum. Three stretches of spinal column rise from it (lumbar to T12-L1, thoracic to C7-T1, cervical to
the cranium), arms hang on the thorax, legs on the pelvis. Every joint has anatomical angles and limits. The prior is
the flexed habit of the first trimester, both sides drawn independently; a part of all limbs is drawn evenly over its
limits, because kicks and stretches are common at this age. Bodies that pass through themselves are drawn again.

Body axes are the fetus's own right, anterior and cranial (x, y, z), a right-handed frame like RAS.

Limits follow goniometry of the newborn (hips and knees do not extend fully: Waugh et al., Phys Ther 1983;63:1616-1621),
widened where the buoyant first-trimester fetus is seen to move more (de Vries, Visser and Prechtl, Early Hum Dev
1982;7:301-322, describe stretches, kicks and retroflexion of the head from 10 weeks on).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.simulation.biometry import VERTEBRAE, Biometry
from FetalPoseLib.simulation.collision import clear, enters_head, limb_radius, obstacles
from FetalPoseLib.simulation.posture import Posture

#: angle: (lower limit, upper limit, habitual mean, habitual SD), degrees.
LIMITS = {
    "lumbar_flexion": (-10, 45, 14, 12),
    "lumbar_bend": (-15, 15, 0, 6),
    "lumbar_twist": (-12, 12, 0, 5),
    "thoracic_flexion": (0, 45, 20, 10),
    "thoracic_bend": (-15, 15, 0, 6),
    "thoracic_twist": (-18, 18, 0, 7),
    "cervical_flexion": (-35, 50, 8, 18),
    "cervical_bend": (-20, 20, 0, 8),
    "cervical_twist": (-50, 50, 0, 18),
    "shoulder_flexion": (-30, 150, 45, 32),
    "shoulder_abduction": (-5, 100, 32, 20),
    "shoulder_rotation": (-40, 80, 30, 30),
    "elbow_flexion": (0, 145, 80, 32),
    "wrist_flexion": (-50, 70, 15, 25),
    "hip_flexion": (-5, 130, 68, 32),
    "hip_abduction": (-12, 60, 18, 15),
    "hip_rotation": (-35, 45, 8, 18),
    "knee_flexion": (5, 145, 72, 34),
    "ankle_flexion": (-40, 30, -5, 18),
}
HABIT = Posture()
SPINE_LANDMARK = 0.42  # T12-L1 lies this far up the column from sacrum to C7-T1


@dataclass(frozen=True)
class Bone:
    """A rigid part from ``start`` to ``end`` (mm); ``rotation`` has its right, anterior, proximal axes as columns."""

    start: np.ndarray
    end: np.ndarray
    rotation: np.ndarray


@dataclass(frozen=True)
class Joints:
    """What a pose is made of: with the same joints, `posed` gives the same body.

    spine: angles (degrees) of the three stretches, by the names of `LIMITS`. nod: of the head on the neck, degrees.
    roots: by side, how far the shoulder is raised and brought forward, of the trunk's length.
    limbs: by name such as "left_arm", the angles (degrees) of its joints and the lengths (mm) of its three parts.
    """

    biometry: Biometry
    spine: dict[str, float]
    nod: float
    roots: dict[str, tuple[float, float]]
    limbs: dict[str, tuple[dict[str, float], tuple[float, float, float]]]


@dataclass(frozen=True)
class Body:
    """A posed fetus: landmarks (16, 3) in mm in skeleton order, and the frames that anatomy is hung on.

    ``vertebrae`` are (position (3,), rotation (3, 3)) from sacrum to C1; the rotations ``head``, ``pelvis`` and
    ``thorax`` have the columns right, anterior, cranial. ``bones`` maps names such as ``left_thigh`` to a `Bone`.
    ``joints`` are what it was posed by.
    """

    biometry: Biometry
    landmarks: np.ndarray
    vertebrae: list[tuple[np.ndarray, np.ndarray]]
    head: np.ndarray
    thorax: np.ndarray
    pelvis: np.ndarray
    bones: dict[str, Bone] = field(default_factory=dict)
    joints: Joints | None = None


@dataclass(frozen=True)
class _Trunk:
    """Spinal column, head, and where the limbs hang: ``roots`` maps a limb's name to a point and a frame."""

    vertebrae: list[tuple[np.ndarray, np.ndarray]]
    head: np.ndarray
    head_centre: np.ndarray
    thorax: np.ndarray
    roots: dict[str, tuple[np.ndarray, np.ndarray]]


def _rotation(flexion: float, bend: float, twist: float) -> np.ndarray:
    """Flexion tips cranial to anterior (about minus right), bend tips it to the right, twist turns about cranial."""
    return Rotation.from_rotvec(np.radians([-flexion, bend, twist])).as_matrix()


def _draw(rng: np.random.Generator, joints: tuple[str, ...], limits: dict, *, free: bool) -> dict[str, float]:
    angles = {}
    for joint in joints:
        low, high, mean, sd = limits[joint]
        value = rng.uniform(low, high) if free else rng.normal(mean, sd)
        while not low <= value <= high:
            value = rng.normal(mean, sd)
        angles[joint] = float(value)
    return angles


def _column(start, rotation, length, count, angles, name):
    """Vertebrae of one stretch: a constant-curvature arc in ``count`` equal steps from ``start``."""
    step = _rotation(angles[f"{name}_flexion"] / count, angles[f"{name}_bend"] / count, angles[f"{name}_twist"] / count)
    position, frames = start, []
    for _ in range(count):
        rotation = rotation @ step
        position = position + rotation[:, 2] * length / count
        frames.append((position, rotation))
    return frames


def _limb(root: np.ndarray, frame: np.ndarray, lengths, angles, side: float, names, *, knee: bool) -> dict[str, Bone]:
    """Two long bones and a hand or foot. ``side`` is +1 on the fetus's right; at rest all bones hang along caudal."""
    if knee:
        flexion, abduction, rotation = (angles[f"hip_{a}"] for a in ("flexion", "abduction", "rotation"))
        hinge, end = -angles["knee_flexion"], 90 + angles["ankle_flexion"]
    else:
        flexion, abduction, rotation = (angles[f"shoulder_{a}"] for a in ("flexion", "abduction", "rotation"))
        hinge, end = angles["elbow_flexion"], angles["wrist_flexion"]
    swing = (
        Rotation.from_rotvec(np.radians([flexion, 0, 0]))
        * Rotation.from_rotvec(np.radians([0, -side * abduction, 0]))
        * Rotation.from_rotvec(np.radians([0, 0, side * rotation]))
    )
    bones, start, turn = {}, root, frame @ swing.as_matrix()
    for name, length, bend in zip(names, lengths, (0.0, hinge, end), strict=True):
        turn = turn @ Rotation.from_rotvec(np.radians([bend, 0, 0])).as_matrix()
        stop = start - turn[:, 2] * length
        bones[name] = Bone(start, stop, turn)
        start = stop
    return bones


def _limb_of(root, frame, limb_name: str, angles, lengths) -> dict[str, Bone]:
    """The bones of the limb of this name, such as "left_arm"."""
    side_name, which = limb_name.split("_")
    parts = ("upper_arm", "forearm", "hand") if which == "arm" else ("thigh", "shank", "foot")
    side = 1.0 if side_name == "right" else -1.0
    return _limb(root, frame, lengths, angles, side, [f"{side_name}_{part}" for part in parts], knee=which == "leg")


def _draw_limb(rng, body: Biometry, posture: Posture, limb_name: str):
    """Angles and lengths of a limb, see `Joints.limbs`."""
    free = rng.random() < posture.free_limb
    if limb_name.endswith("arm"):
        joints, lengths = ("shoulder", "elbow", "wrist"), (body.upper_arm, body.forearm, 0.09 * body.crl)
    else:
        joints, lengths = ("hip", "knee", "ankle"), (body.thigh, body.shank, 0.12 * body.crl)
    limits = LIMITS if free else posture.limits(LIMITS, limb_name)
    angles = _draw(rng, tuple(j for j in LIMITS if j.split("_")[0] in joints), limits, free=free)
    lengths = (*lengths[:2], lengths[2] * body.build.hand_foot)
    if posture.asymmetry:
        lengths = tuple(np.array(lengths) * np.exp(np.clip(rng.normal(0, posture.asymmetry, 3), -0.06, 0.06)))
    return angles, lengths


def _trunk(body: Biometry, spine: dict[str, float], nod: float, sides: dict[str, tuple[float, float]]) -> _Trunk:
    lengths = {
        "lumbar": SPINE_LANDMARK * body.trunk,
        "thoracic": (1 - SPINE_LANDMARK) * body.trunk,
        "cervical": 0.55 * body.head_to_neck,
    }
    pelvis = np.eye(3)
    vertebrae = [(np.zeros(3), pelvis)]
    for stretch, count in VERTEBRAE.items():
        vertebrae += _column(*vertebrae[-1], lengths[stretch], count, spine, stretch)
    neck_index = VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"]
    neck, thorax = vertebrae[neck_index]
    atlas, skull_base = vertebrae[-1]
    head = skull_base @ _rotation(nod, 0, 0)
    head_centre = atlas + 0.45 * body.head_to_neck * (0.92 * head[:, 2] + 0.39 * head[:, 1])
    upper = vertebrae[neck_index - 2][1]
    half = 0.5 * body.trunk_width
    roots = {}
    for side_name, (lift, reach) in sides.items():
        side = 1.0 if side_name == "right" else -1.0
        shoulder = np.array([side * 0.80 * body.build.shoulders * half, reach * body.trunk, (lift - 0.10) * body.trunk])
        hip = np.array([side * 0.46 * body.build.hips * half, 0.16 * body.trunk, -0.10 * body.trunk])
        roots[f"{side_name}_arm"] = (neck + upper @ shoulder, upper)
        roots[f"{side_name}_leg"] = (hip, pelvis)
    return _Trunk(vertebrae, head, head_centre, thorax, roots)


def _pose_once(rng: np.random.Generator, body: Biometry, posture: Posture) -> Body | None:
    limits = posture.limits(LIMITS, "spine")
    spine: dict[str, float] = {}
    for stretch in VERTEBRAE:
        spine |= _draw(rng, tuple(f"{stretch}_{a}" for a in ("flexion", "bend", "twist")), limits, free=False)
    nod = rng.normal(8, 6)
    sides = {side: (rng.normal(0, 0.03), rng.normal(0.10, 0.05)) for side in ("right", "left")}
    trunk = _trunk(body, spine, nod, sides)
    others = obstacles(body, trunk.vertebrae, trunk.head_centre, trunk.head)
    limbs = {}
    for limb_name in rng.permutation(list(trunk.roots)):
        for _ in range(60):
            drawn = _draw_limb(rng, body, posture, str(limb_name))
            limb = _limb_of(*trunk.roots[limb_name], str(limb_name), *drawn)
            in_head = posture.exact_head and enters_head(limb, body, trunk.head_centre, trunk.head)
            if not in_head and clear(limb, others, body):
                break
        else:
            return None
        limbs[str(limb_name)] = drawn
        others += _capsules(limb, body)
    return posed(Joints(body, spine, nod, sides, limbs))


def _capsules(limb: dict[str, Bone], body: Biometry) -> list[tuple[np.ndarray, np.ndarray, float]]:
    return [(bone.start, bone.end, limb_radius(body, name.split("_", 1)[1])) for name, bone in limb.items()]


def posed(joints: Joints) -> Body:
    """The body with these joints; the sacrum is the origin, the pelvis upright. It may pass through itself."""
    trunk = _trunk(joints.biometry, joints.spine, joints.nod, joints.roots)
    bones: dict[str, Bone] = {}
    for name, drawn in joints.limbs.items():
        bones |= _limb_of(*trunk.roots[name], name, *drawn)
    starts = {name: bone.start for name, bone in bones.items()}
    column = trunk.vertebrae
    landmarks = [
        trunk.head_centre, starts["right_upper_arm"], column[VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"]][0],
        starts["left_upper_arm"], starts["left_forearm"], starts["left_hand"], column[VERTEBRAE["lumbar"]][0],
        column[0][0], starts["right_forearm"], starts["right_hand"], starts["right_thigh"], starts["right_shank"],
        starts["right_foot"], starts["left_thigh"], starts["left_shank"], starts["left_foot"],
    ]  # fmt: skip
    return Body(
        joints.biometry, np.array(landmarks), column, trunk.head, trunk.thorax, column[0][1], bones, joints
    )  # fmt: skip


def free_of_itself(joints: Joints, *, exact_head: bool = False) -> bool:
    """Whether no limb of the body with these joints passes through its trunk, its head or another limb.

    ``exact_head`` is as `Posture` has it.
    """
    body = joints.biometry
    trunk = _trunk(body, joints.spine, joints.nod, joints.roots)
    others = obstacles(body, trunk.vertebrae, trunk.head_centre, trunk.head)
    for name, drawn in joints.limbs.items():
        limb = _limb_of(*trunk.roots[name], name, *drawn)
        if exact_head and enters_head(limb, body, trunk.head_centre, trunk.head) or not clear(limb, others, body):
            return False
        others += _capsules(limb, body)
    return True


def pose_body(rng: np.random.Generator, biometry: Biometry, posture: Posture = HABIT) -> Body:
    """Draw a pose within joint limits that does not pass through itself; the sacrum is the origin, the pelvis upright.

    Raises
    ------
    RuntimeError
        if no such pose is found in 200 draws, which means that the biometry is not that of a fetus.
    """
    for _ in range(200):
        body = _pose_once(rng, biometry, posture)
        if body is not None:
            return body
    raise RuntimeError(f"No pose without self-intersection found for {biometry}")


def move_body(body: Body, rotation: np.ndarray, translation: np.ndarray) -> Body:
    """The body turned by ``rotation`` (3, 3) about its origin and then shifted by ``translation`` (3,) mm."""

    def point(p):
        return p @ rotation.T + translation

    return Body(
        body.biometry,
        point(body.landmarks),
        [(point(p), rotation @ r) for p, r in body.vertebrae],
        rotation @ body.head,
        rotation @ body.thorax,
        rotation @ body.pelvis,
        {n: Bone(point(b.start), point(b.end), rotation @ b.rotation) for n, b in body.bones.items()},
        body.joints,
    )


def random_orientation(rng: np.random.Generator) -> np.ndarray:
    """A rotation matrix (3, 3) drawn evenly from SO(3)."""
    return Rotation.random(rng=rng).as_matrix()
