"""Posture from a pose against the anatomy of simulated bodies, and angles that can be set by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.posture import CDH_SD_DEG, HINGES, HIPS, NEUTRAL_DEG, posture_of
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.kinematics import pose_body
from FetalPoseLib.simulation.posture import Posture as DrawnPosture
from FetalPoseLib.simulation.true_posture import cranial_dorsal_hip_deg, head_trunk_deg, hip_flexion_deg

SKELETON = load_skeleton()


@pytest.fixture(scope="module")
def bodies():
    """Bodies that no constant was fitted to, by their spine."""
    drawn = {}
    for word, spine in enumerate(("habit", "curled", "extended")):
        streams = [np.random.default_rng([29, word, k]) for k in range(40)]
        drawn[spine] = [pose_body(rng, draw_biometry(rng), DrawnPosture(spine=spine)) for rng in streams]
    return drawn


@pytest.fixture
def pose(bodies):
    return bodies["habit"][0].landmarks


def without(points, *names):
    points = points.copy()
    points[[SKELETON.index(name) for name in names]] = np.nan
    return points


@pytest.mark.parametrize(
    ("spine", "state", "share"), [("habit", "neutral", 0.7), ("curled", "flexed", 0.7), ("extended", "extended", 0.8)]
)
def test_the_state_is_that_of_the_anatomy(bodies, spine, state, share):
    low, high = NEUTRAL_DEG
    angles = np.array([cranial_dorsal_hip_deg(body) for body in bodies[spine]])
    truly = {"flexed": angles < low, "neutral": (angles >= low) & (angles <= high), "extended": angles > high}[state]
    found = [posture_of(body.landmarks).state == state for body in bodies[spine]]
    assert truly.mean() > share  # what the simulator draws is what the range calls it
    assert np.mean(found) > share - 0.1


def test_the_cranial_dorsal_hip_angle_has_the_error_that_is_stated(bodies):
    drawn = [body for some in bodies.values() for body in some]
    errors = [posture_of(b.landmarks).cranial_dorsal_hip_deg - cranial_dorsal_hip_deg(b) for b in drawn]
    assert np.std(errors) < 1.1 * CDH_SD_DEG and abs(np.mean(errors)) < 2.5


def test_the_head_is_bent_as_the_anatomy_says(bodies):
    drawn = [body for some in bodies.values() for body in some]
    errors = [posture_of(b.landmarks).head_trunk_deg - head_trunk_deg(b) for b in drawn]
    assert np.median(np.abs(errors)) < 4.0
    means = {spine: np.mean([posture_of(b.landmarks).head_trunk_deg for b in some]) for spine, some in bodies.items()}
    assert means["extended"] < means["habit"] - 15 < means["curled"] - 30


def test_hips_are_bent_as_the_anatomy_says(bodies):
    errors = [
        posture_of(body.landmarks).flexion_deg[f"{side}_hip"] - hip_flexion_deg(body, side)
        for body in bodies["habit"]
        for side in ("right", "left")
    ]
    assert np.median(np.abs(errors)) < 5.0


@pytest.mark.parametrize("name", HINGES)
@pytest.mark.parametrize("angle", [0.0, 40.0, 90.0, 135.0])
def test_elbows_and_knees_have_the_angle_between_their_bones(pose, name, angle):
    before, joint, beyond = (SKELETON.index(landmark) for landmark in HINGES[name])
    points = pose.copy()
    along = points[joint] - points[before]
    axis = np.cross(along, [0.3, 0.5, 0.8])
    turn = Rotation.from_rotvec(np.radians(angle) * axis / np.linalg.norm(axis))
    points[beyond] = points[joint] + 0.8 * turn.apply(along)
    assert posture_of(points).flexion_deg[name] == pytest.approx(angle, abs=1e-4)


def test_posture_does_not_depend_on_place_and_size(pose):
    turn = Rotation.random(rng=np.random.default_rng(4)).as_matrix()
    before, after = posture_of(pose), posture_of(1.6 * pose @ turn.T + [5, 6, 7])
    assert after.cranial_dorsal_hip_deg == pytest.approx(before.cranial_dorsal_hip_deg)
    assert after.head_trunk_deg == pytest.approx(before.head_trunk_deg)
    assert dict(after.flexion_deg) == pytest.approx(dict(before.flexion_deg))


def test_a_mirrored_body_has_its_angles_on_the_other_side(pose):
    before, after = posture_of(pose), posture_of((pose * [-1, 1, 1])[SKELETON.mirror])
    assert after.cranial_dorsal_hip_deg == pytest.approx(before.cranial_dorsal_hip_deg)
    for name in (*HINGES, *HIPS):
        side, joint = name.split("_")
        other = "left" if side == "right" else "right"
        assert after.flexion_deg[f"{other}_{joint}"] == pytest.approx(before.flexion_deg[name], abs=1e-6)


@pytest.mark.parametrize(
    ("missing", "unknown"),
    [
        ("head", {"head_trunk_deg", "cranial_dorsal_hip_deg"}),
        ("sacrum", {"cranial_dorsal_hip_deg", *HIPS}),
        ("left_wrist", {"left_elbow"}),
        ("right_knee", {"right_knee", "right_hip"}),
    ],
)
def test_what_needs_a_landmark_that_is_not_visible_is_unknown(pose, missing, unknown):
    posture = posture_of(without(pose, missing))
    angles = {**posture.flexion_deg, "head_trunk_deg": posture.head_trunk_deg}
    angles["cranial_dorsal_hip_deg"] = posture.cranial_dorsal_hip_deg
    assert {name for name, angle in angles.items() if np.isnan(angle)} == unknown
    assert (posture.state == "unknown") == ("cranial_dorsal_hip_deg" in unknown)


def test_degenerate_landmarks_give_no_angle():
    posture = posture_of(np.zeros((16, 3)))
    assert posture.state == "unknown" and np.isnan(list(posture.flexion_deg.values())).all()


@pytest.mark.parametrize(
    ("angle", "state"), [(118.2, "flexed"), (118.3, "neutral"), (137.8, "neutral"), (138, "extended")]
)
def test_the_published_range_decides(pose, angle, state):
    assert replace(posture_of(pose), cranial_dorsal_hip_deg=angle).state == state
