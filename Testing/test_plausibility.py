"""What should make a person look twice: judged on bodies of the bundled library, each left out of it."""

import numpy as np
import pytest

from FetalPoseLib.body.plausibility import crown_rump_length, doubts
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.resources import resource_path

SKELETON = load_skeleton()


@pytest.fixture(scope="module")
def library():
    return PoseLibrary.load(resource_path("pose_library.npz"))


def case(library, seed):
    """A body placed a little worse than good detections in Sim-152 (0.5 mm per axis), and the library without it."""
    rng = np.random.default_rng(seed)
    atlas = int(rng.integers(len(library)))
    points = library.poses[atlas] + rng.normal(0, 0.6, (16, 3)) + [50, -20, 30]
    return points, PoseLibrary(np.delete(library.poses, atlas, axis=0))


def test_good_poses_raise_no_doubts(library):
    doubted = sum(bool(doubts(*_args(library, seed))) for seed in range(20))
    assert doubted <= 1


def _args(library, seed):
    points, rest = case(library, seed)
    return points, np.full(16, 0.9), rest


@pytest.mark.parametrize("limbs", [None, ["left_arm"], ["right_leg"]])
def test_exchanged_sides_are_found(library, limbs):
    found = 0
    for seed in range(10):
        points, rest = case(library, seed)
        order = SKELETON.mirror if limbs is None else SKELETON.exchange(limbs)
        exchanges = [doubt.exchange for doubt in doubts(points[order], None, rest) if doubt.exchange]
        found += exchanges == [("body",) if limbs is None else (f"left_{limbs[0][-3:]}", f"right_{limbs[0][-3:]}")]
    assert found >= 8


def test_long_segment_is_named_with_both_lengths(library):
    points, rest = case(library, 1)
    points[SKELETON.index("left_wrist")] += 30 * np.array([1, 0, 0])
    [doubt] = [doubt for doubt in doubts(points, None, rest) if "left forearm is long" in doubt.reason]
    assert doubt.landmarks == (SKELETON.index("left_elbow"), SKELETON.index("left_wrist"))


def test_unsure_landmark_is_doubted_unless_a_person_placed_it(library):
    points, _ = case(library, 2)
    confidence = np.full(16, 0.9)
    confidence[[3, 4]] = 0.1
    assert [doubt.landmarks for doubt in doubts(points, confidence, placed=[4])] == [(3,)]


def test_unset_landmarks_and_no_library_are_no_obstacle(library):
    points, rest = case(library, 3)
    points[[5, 9]] = np.nan
    assert doubts(points, np.full(16, np.nan), rest) == []
    assert doubts(np.full((16, 3), np.nan), None, rest) == []
    assert doubts(points) == []


def test_crown_rump_length_follows_from_the_column(library):
    points, _ = case(library, 4)
    assert crown_rump_length(2 * points) == pytest.approx(2 * crown_rump_length(points))
    points[SKELETON.index("spine")] = np.nan
    assert np.isnan(crown_rump_length(points))


def test_wrong_landmark_that_the_model_is_sure_of_is_seen_beside_its_partner(library):
    points, rest = case(library, 5)
    hip, knee = (SKELETON.index(name) for name in ("left_hip", "left_knee"))
    right = np.linalg.norm(points[SKELETON.index("right_knee")] - points[SKELETON.index("right_hip")])
    along = (points[knee] - points[hip]) / np.linalg.norm(points[knee] - points[hip])
    points[knee] = points[hip] + 1.35 * right * along
    reasons = [doubt.reason for doubt in doubts(points, np.full(16, 0.9), rest) if knee in doubt.landmarks]
    assert any("thigh" in reason for reason in reasons)
