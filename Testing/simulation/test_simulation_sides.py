"""Handedness and joints of the simulated fetus: sides, bends, ranges, no limb through another."""

from itertools import chain, combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from simulated_bodies import (
    ANTERIOR,
    BONY,
    C7,
    CRANIAL,
    FLUID,
    HEART,
    LIVER,
    NEUTRAL_SPINE,
    RIGHT,
    SPREAD_LIMBS,
    T12,
    _tensor,
    along,
    average_body,
    part_of,
)

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.simulation.anatomy import (
    cord_insertion,
    cranium,
    head_place,
    skin_shapes,
    trunk_place,
)
from FetalPoseLib.simulation.collision import limb_radius
from FetalPoseLib.simulation.datasets import AXIS_ROTATIONS
from FetalPoseLib.simulation.kinematics import LIMITS, move_body, random_orientation


def box(place, lower, upper, count=24):
    """Coordinates (n, 3) of a regular grid in a local frame, and the same points in the world."""
    axes = (np.linspace(a, b, count) for a, b in zip(lower, upper, strict=True))
    local = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return local, place.origin + place.unit * local @ place.rotation.T


def limb_of(name):
    side, part = name.split("_", 1)
    return side, part in ("thigh", "shank", "foot")


# handedness


def test_left_and_right_follow_from_head_and_front(bodies):
    skeleton = load_skeleton()
    for body in bodies:
        for name, frame in (("shoulder", body.thorax), ("hip", body.pelvis)):
            across = body.landmarks[skeleton.index(f"right_{name}")] - body.landmarks[skeleton.index(f"left_{name}")]
            right = np.cross(frame[:, ANTERIOR], frame[:, CRANIAL])
            assert across @ right > 0.9 * np.linalg.norm(across)
        frame = FetalFrame.from_landmarks(body.landmarks)
        middle = body.vertebrae[T12][1]
        assert np.trace(frame.rotation.T @ middle) > 1 + 2 * np.cos(np.radians(60))


def test_organs_lie_on_their_sides(scans):
    hearts = []
    for subject, impedance in scans:
        chest, belly = skin_shapes(subject.body)[4:6]
        local, world = box(trunk_place(subject.body, 0.38), (-0.9, -0.3, -0.3), (0.9, 0.9, 0.7))
        inside = belly.distance(_tensor(world)).numpy() < -0.1 * belly.radii[0]
        local, found = local[inside], impedance(world[inside])
        assert local[np.abs(found - LIVER) < 0.002].mean(axis=0)[RIGHT] > 0.1
        fluid = local[found < FLUID + 0.03]
        stomach = fluid[np.abs(fluid[:, RIGHT]) > 0.38]  # clear of the bladder
        assert len(stomach) > 20 and (stomach[:, RIGHT] < 0).mean() > 0.95
        local, world = box(trunk_place(subject.body, 0.74), (-0.7, -0.7, -0.7), (0.7, 0.8, 0.5))
        inside = chest.distance(_tensor(world)).numpy() < -0.1 * chest.radii[0]
        hearts.append(local[inside][np.abs(impedance(world[inside]) - HEART) < 0.002].mean(axis=0))
        assert hearts[-1][ANTERIOR] > 0.1
    assert np.mean(hearts, axis=0)[RIGHT] < -0.03  # in the smallest bodies the stomach reaches into it


def test_spine_is_dorsal_and_the_face_anterior(scans):
    for subject, impedance in scans:
        body = subject.body
        local, world = box(trunk_place(body, 0.3), (-0.2, -1.3, -0.25), (0.2, 0.8, 0.25))
        bone = local[impedance(world) > BONY]
        assert len(bone) > 20 and (bone[:, ANTERIOR] < -0.4).mean() > 0.8  # the rest is ribs of a bent body
        assert cord_insertion(body)[1] @ body.vertebrae[5][1][:, ANTERIOR] > 0.9

        # the only fluid in the skull, beside the ventricles of another impedance, is that of the eyes
        skull = cranium(body)
        local, world = box(head_place(body), (-1, -1, -0.55), (1, 1, 0.9), 50)  # above mouth and spinal canal
        inside = skull.distance(_tensor(world)).numpy() < 0
        eyes = local[inside][np.abs(impedance(world[inside]) - FLUID) < 0.006]
        assert len(eyes) > 20 and (eyes[:, ANTERIOR] > 0.4).mean() > 0.9
        assert abs(np.mean(eyes[:, RIGHT] > 0) - 0.5) < 0.25


def test_elbows_bend_forwards_and_knees_backwards(bodies, posed):
    for body in bodies:
        for side in ("right", "left"):
            arm, hand = body.bones[f"{side}_upper_arm"], body.bones[f"{side}_forearm"]
            assert (hand.end - hand.start) @ arm.rotation[:, ANTERIOR] >= -1e-9
            thigh, shank, foot = (body.bones[f"{side}_{part}"] for part in ("thigh", "shank", "foot"))
            assert (shank.end - shank.start) @ thigh.rotation[:, ANTERIOR] < 0
            assert (foot.end - foot.start) @ shank.rotation[:, ANTERIOR] > 0
    straight = posed(average_body(12.0), **NEUTRAL_SPINE, **SPREAD_LIMBS)
    for name, bone in straight.bones.items():  # at rest a limb's front is the body's
        trunk = straight.pelvis if limb_of(name)[1] else straight.vertebrae[C7 - 2][1]
        if part_of(name) in ("thigh", "upper_arm"):
            assert bone.rotation[:, ANTERIOR] @ trunk[:, ANTERIOR] > 0.9
    habit = np.array([[body.landmarks[i] - body.landmarks[i - 1] for i in (11, 14)] for body in bodies])
    assert habit[..., ANTERIOR].mean() > 0 and (habit[..., ANTERIOR] > 0).mean() > 0.85  # knees drawn up in front


def test_moving_a_body_keeps_it_right_handed(bodies):
    rng = np.random.default_rng(9)
    for body in bodies[:20]:
        turn, shift = random_orientation(rng), rng.normal(0, 50, 3)
        moved = move_body(body, turn, shift)
        assert moved.landmarks == pytest.approx(body.landmarks @ turn.T + shift)
        frames = [
            moved.head,
            moved.thorax,
            moved.pelvis,
            *(r for _, r in moved.vertebrae),
            *(bone.rotation for bone in moved.bones.values()),
        ]
        assert np.linalg.det(frames) == pytest.approx(1)
        corners = [0, 1, 3, 7]  # head, shoulders and sacrum span a volume whose sign a reflection would change
        before, after = (np.linalg.det(b.landmarks[corners[1:]] - b.landmarks[corners[0]]) for b in (body, moved))
        assert after == pytest.approx(before)
        for name, bone in moved.bones.items():
            assert bone.start - moved.landmarks[7] == pytest.approx(turn @ (body.bones[name].start - body.landmarks[7]))
            assert bone.rotation == pytest.approx(turn @ body.bones[name].rotation)
            assert bone.start - bone.end == pytest.approx(np.linalg.norm(bone.start - bone.end) * bone.rotation[:, 2])
        for (position, frame), (old, old_frame) in zip(moved.vertebrae, body.vertebrae, strict=True):
            assert position == pytest.approx(turn @ old + shift) and frame == pytest.approx(turn @ old_frame)
        assert moved.head == pytest.approx(turn @ body.head)
        found = FetalFrame.from_landmarks(moved.landmarks).rotation
        assert found == pytest.approx(turn @ FetalFrame.from_landmarks(body.landmarks).rotation)


# kinematics


def joint_angles(body):
    """Angles in degrees by joint, found from the rotations of neighbouring parts; of a limb's joints on both sides."""
    found = {}
    ends = {"lumbar": (0, T12), "thoracic": (T12, C7), "cervical": (C7, len(body.vertebrae) - 1)}
    for name, (low, high) in ends.items():
        bend = _turn(body.vertebrae[low][1], body.vertebrae[high][1]).as_rotvec(degrees=True)
        found |= {f"{name}_flexion": [-bend[0]], f"{name}_bend": [bend[1]], f"{name}_twist": [bend[2]]}
    for side, sign in (("right", 1), ("left", -1)):
        arm = body.vertebrae[C7 - 2][1], ("upper_arm", "forearm", "hand"), ("shoulder", "elbow", "wrist")
        leg = body.pelvis, ("thigh", "shank", "foot"), ("hip", "knee", "ankle")
        for root, parts, (ball, hinge, end) in (arm, leg):
            first, second, third = (body.bones[f"{side}_{part}"].rotation for part in parts)
            for angle, value in zip(("flexion", "abduction", "rotation"), _swing(root, first, sign), strict=True):
                found.setdefault(f"{ball}_{angle}", []).append(value)
            bends = np.array([_turn(*pair).as_rotvec(degrees=True) for pair in ((first, second), (second, third))])
            assert np.abs(bends[:, 1:]).max() < 1e-6  # hinges
            bend, last = bends[:, 0]
            found.setdefault(f"{hinge}_flexion", []).append(-bend if hinge == "knee" else bend)
            found.setdefault(f"{end}_flexion", []).append(last - 90 if hinge == "knee" else last)
    return found


def _swing(root, first, sign):
    """Flexion, abduction and rotation of a ball joint; ``sign`` is 1 on the right."""
    flexion, abduction, rotation = _turn(root, first).as_euler("XYZ", degrees=True) * [1, -sign, sign]
    if abs(rotation) > 100:  # abducted beyond 90 degrees, where Euler angles have a second reading
        flexion, rotation = ((angle + 360) % 360 - 180 for angle in (flexion, rotation))
        abduction = 180 - abduction
    return flexion, abduction, rotation


def _turn(a, b):
    return Rotation.from_matrix(a.T @ b)


def test_joints_stay_within_their_limits_and_use_them(bodies):
    measured = [joint_angles(body) for body in bodies]
    assert set(measured[0]) == set(LIMITS)
    for joint, (low, high, _, _) in LIMITS.items():
        angles = np.array([found[joint] for found in measured])
        assert angles.min() >= low - 1e-6 and angles.max() <= high + 1e-6, joint
        assert np.ptp(angles) > 0.6 * (high - low), joint


def test_both_sides_move_on_their_own(bodies):
    measured = [joint_angles(body) for body in bodies]
    for joint in ("elbow_flexion", "knee_flexion", "hip_abduction", "shoulder_flexion"):
        right, left = np.array([found[joint] for found in measured]).T
        assert abs(np.corrcoef(right, left)[0, 1]) < 0.35  # 3.5 standard errors of 100 pairs


def test_orientation_is_uniform_over_all_rotations():
    """Moments of the uniform distribution on SO(3): mean 0, second moments 1/3, angles about 90 + 2 / pi rad."""
    rng = np.random.default_rng(11)
    turns = np.array([random_orientation(rng) for _ in range(4000)])
    flat = turns.reshape(-1, 9)
    assert np.linalg.det(turns) == pytest.approx(1)
    assert np.abs(flat.mean(axis=0)).max() < 4 * 3**-0.5 / 4000**0.5
    assert np.abs(flat.T @ flat / 4000 - np.eye(9) / 3).max() < 0.025
    angles = Rotation.from_matrix(turns).magnitude()
    assert angles.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.045)


def test_subjects_lie_any_way_round_to_the_probe(subjects):
    drawn = list(chain.from_iterable(subjects.values()))
    for frames in (
        np.array([s.body.pelvis for s in drawn]),
        np.array([s.probe.pose[:3, :3].T @ s.body.pelvis for s in drawn]),
    ):
        assert np.abs(frames.mean(axis=0)).max() < 4 * 3**-0.5 / len(drawn) ** 0.5
    assert len({m.tobytes() for m in AXIS_ROTATIONS}) == 24
    assert np.linalg.det(AXIS_ROTATIONS) == pytest.approx(1)


def test_limbs_do_not_pass_through_each_other(bodies):
    for body in bodies:
        for (one, a), (other, b) in combinations(body.bones.items(), 2):
            if limb_of(one) == limb_of(other):
                continue
            apart = np.linalg.norm(along(a)[:, None] - along(b), axis=-1).min()
            assert apart > 0.9 * sum(limb_radius(body.biometry, part_of(name)) for name in (one, other)), (one, other)


def test_limbs_do_not_pass_through_trunk_and_head(bodies):
    """The middle of a limb's flesh stays out, beyond its first joint, but for a touch."""
    for body in bodies:
        skull, *trunk = (cranium(body), *skin_shapes(body)[4:7])
        for name, bone in body.bones.items():
            points = _tensor(along(bone, first=0.75 if part_of(name) in ("upper_arm", "thigh") else 0.0))
            assert skull.distance(points).min() > -0.1 * body.biometry.bpd, name
            for shape in trunk:
                assert shape.distance(points).min() > -0.1 * body.biometry.trunk_width, name
        elbows_wrists_knees_ankles = _tensor(body.landmarks[[4, 5, 8, 9, 11, 12, 14, 15]])
        assert min(skull.distance(elbows_wrists_knees_ankles)) > 0
