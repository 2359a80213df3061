"""Joining over time: the smoother, sides, bones, gaps, and what a track says of movement. No network."""

import numpy as np
import pytest
from painted_poses import LIBRARY, SKELETON

from FetalPoseLib.body.joint_angles import JOINTS, flexion_deg
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.tracking.activity import ActivityOptions, activity_of
from FetalPoseLib.tracking.bones import held, usual_lengths
from FetalPoseLib.tracking.joining import Track, join
from FetalPoseLib.tracking.observation import Observation
from FetalPoseLib.tracking.options import JoinOptions, SmoothOptions
from FetalPoseLib.tracking.smoother import smooth

POSE = LIBRARY.poses[7] + [3.0, -40.0, 25.0]
TIMES = np.arange(30) / 5.0
SURE = np.full(16, 0.8)
LEFT_ARM, RIGHT_ARM = SKELETON.limbs["left_arm"], SKELETON.limbs["right_arm"]
LEFT_WRIST, RIGHT_WRIST = SKELETON.index("left_wrist"), SKELETON.index("right_wrist")


def noisy(poses: np.ndarray, sd: float, seed: int = 0) -> np.ndarray:
    return poses + np.random.default_rng(seed).normal(0, sd, poses.shape)


def still() -> np.ndarray:
    return np.tile(POSE, (len(TIMES), 1, 1))


def kicking() -> np.ndarray:
    """The left ankle goes 15 mm away within half a second and comes back."""
    poses, ankle = still(), SKELETON.index("left_ankle")
    poses[:, ankle, 0] += 15 * np.exp(-(((TIMES - 3) / 0.35) ** 2))
    return poses


def seen(poses: np.ndarray, confidence=SURE) -> list[Observation]:
    return [Observation(pose, np.array(confidence), True, "followed") for pose in poses]


def rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(a**2)))


def test_rest_is_smoothed_and_movement_is_followed():
    truth = kicking()
    read = noisy(truth, 0.5)
    found = smooth(read, np.full(truth.shape[:2], 0.8), TIMES, SmoothOptions())
    ankle, rest = SKELETON.index("left_ankle"), [i for i in range(16) if i != SKELETON.index("left_ankle")]
    assert rms(found.points[:, rest] - truth[:, rest]) < 0.75 * rms(read[:, rest] - truth[:, rest])
    assert rms(found.points[:, ankle] - truth[:, ankle]) < rms(read[:, ankle] - truth[:, ankle])
    assert np.ptp(found.points[:, ankle, 0]) > 13
    assert np.linalg.norm(found.velocity[:, ankle], axis=1).max() > 20
    assert np.linalg.norm(found.velocity[:, rest], axis=2).mean() < 3


def test_an_outlier_does_not_pull_and_what_is_sure_counts_more():
    read = noisy(still(), 0.3)
    read[12, 5] += [9, -9, 4]
    found = smooth(read, np.full(read.shape[:2], 0.8), TIMES, SmoothOptions())
    assert np.linalg.norm(found.points[12, 5] - POSE[5]) < 0.5
    assert found.weight[12, 5] < 0.1 < found.weight[11, 5]
    confidence = np.full((2, 1), 0.9)
    confidence[1] = 0.2
    pair = smooth(np.array([[[0.0, 0, 0]], [[2.0, 0, 0]]]), confidence, np.array([0, 1e-3]), SmoothOptions())
    assert pair.points[1, 0, 0] < 0.5


@pytest.mark.parametrize("count", [1, 2])
def test_few_volumes(count):
    found = smooth(still()[:count], np.full((count, 16), 0.8), TIMES[:count], SmoothOptions())
    np.testing.assert_allclose(found.points, still()[:count], atol=1e-3)


def test_times_must_increase():
    with pytest.raises(ValueError, match="must increase"):
        smooth(still()[:3], np.full((3, 16), 0.8), np.array([0, 1, 1.0]), SmoothOptions())


def test_uneven_times_do_not_bend_a_straight_way():
    times = np.cumsum(np.random.default_rng(4).uniform(0.05, 0.6, 30))
    truth = POSE + times[:, None, None] * np.array([4.0, -2, 1])
    found = smooth(noisy(truth, 0.3), np.full(truth.shape[:2], 0.8), times, SmoothOptions())
    assert rms(found.points - truth) < 0.85 * rms(noisy(truth, 0.3) - truth)
    np.testing.assert_allclose(found.velocity[15].mean(axis=0), [4, -2, 1], atol=0.5)


def test_a_volume_without_the_fetus_is_a_gap():
    observations = seen(noisy(still(), 0.2))
    for frame in (10, 11, 12):
        observations[frame] = Observation.nothing(16, "no contact")
    track = join(observations, TIMES)
    assert (
        not track.found[10:13].any() and np.isnan(track.points[10:13]).all() and np.isnan(track.velocity[10:13]).all()
    )
    assert np.isfinite(track.points[[9, 13]]).all()
    assert np.linalg.norm(track.points[13] - track.points[9], axis=1).max() < 1


def test_a_landmark_is_bridged_for_a_short_time_only():
    poses = noisy(still(), 0.2)
    poses[14, 5] = np.nan
    poses[3:25, 9] = np.nan
    poses[:, 12] = np.nan
    track = join(seen(poses), TIMES)
    assert track.bridged[14, 5] and np.linalg.norm(track.points[14, 5] - POSE[5]) < 1
    assert track.confidence[14, 5] == 0
    assert np.isnan(track.points[14, 9]).all() and not track.bridged[14, 9]
    assert np.isnan(track.points[:, 12]).all()


def test_without_times_there_are_no_speeds():
    track = join(seen(noisy(still(), 0.3)), None)
    assert track.velocity is None and activity_of(track) is None
    assert rms(track.points - POSE) < 0.3


def test_nothing_seen_at_all():
    track = join([Observation.nothing(16, "")] * 5, TIMES[:5])
    assert not track.found.any() and np.isnan(track.points).all()
    with pytest.raises(ValueError, match="at least one"):
        join([], TIMES)


def exchanged(poses: np.ndarray, frames, limbs=("left_arm",)) -> np.ndarray:
    poses = poses.copy()
    for frame in frames:
        poses[frame] = poses[frame][SKELETON.exchange(limbs)]
    return poses


@pytest.mark.parametrize("limbs", [("left_arm",), ("left_leg",), ("left_arm", "left_leg")])
@pytest.mark.parametrize("frames", [(7,), (0, 1, 2), (4, 11, 12, 13, 29)])
def test_limbs_that_change_sides_are_put_back(limbs, frames):
    truth = kicking()
    track = join(seen(exchanged(noisy(truth, 0.3), frames, limbs)), TIMES)
    assert np.flatnonzero(track.exchanged).tolist() == list(frames)
    assert np.linalg.norm(track.points - truth, axis=2).max() < 3


def test_without_the_decision_about_sides_they_change():
    read = exchanged(still(), range(10, 20))
    track = join(seen(read), TIMES, JoinOptions(sides=False, smooth=None))
    assert np.linalg.norm(track.points[15, LEFT_WRIST] - POSE[LEFT_WRIST]) > 5


def test_sides_are_kept_across_a_gap():
    observations = seen(exchanged(noisy(still(), 0.2), range(20, 24)))
    for frame in range(16, 20):
        observations[frame] = Observation.nothing(16, "")
    track = join(observations, TIMES)
    assert np.flatnonzero(track.exchanged).tolist() == [20, 21, 22, 23]


def test_the_surer_readings_decide_about_the_sides():
    read, confidence = exchanged(still(), range(16)), np.full((30, 16), 0.3)
    confidence[16:] = 0.9
    track = join([Observation(p, c, True) for p, c in zip(read, confidence, strict=True)], TIMES)
    assert np.flatnonzero(track.exchanged).tolist() == list(range(16))


def test_bones_keep_their_lengths():
    truth = kicking()
    read = noisy(truth, 0.6)
    lengths = usual_lengths(read)
    np.testing.assert_allclose(lengths, segment_lengths(POSE), atol=0.6)
    loose = held(read, np.full(read.shape[:2], 0.6), lengths, 0.1)
    assert np.abs(segment_lengths(loose) - lengths)[0].max() < 0.15
    read[4, 3] = np.nan
    assert np.isnan(held(read, np.full(read.shape[:2], 0.6), lengths, 0.1)[4, 3]).all()


def test_flexion_of_a_straight_and_a_bent_limb():
    pose = np.full((16, 3), np.nan)
    at = {
        "left_shoulder": (0, 0, 0), "left_elbow": (0, 0, -10), "left_wrist": (0, 0, -18), "spine": (0, 0, 20),
        "sacrum": (0, 0, 10), "left_hip": (-5, 0, 10), "left_knee": (-5, 10, 10), "left_ankle": (-5, 10, 0),
    }  # fmt: skip
    for name, point in at.items():
        pose[SKELETON.index(name)] = point
    angles = dict(zip(JOINTS, flexion_deg(pose), strict=True))
    assert angles["left_elbow"] == pytest.approx(0, abs=1e-5)
    assert angles["left_hip"] == pytest.approx(90) and angles["left_knee"] == pytest.approx(90)
    assert np.isnan(angles["right_elbow"])


def moving(parts: dict[str, tuple[float, float]], speed: float = 30.0) -> Track:
    """A track in which limbs move at a speed (mm/s) from one time to another."""
    velocity = np.zeros((len(TIMES), 16, 3))
    for part, (start, stop) in parts.items():
        landmarks = [0] if part == "head" else list(SKELETON.limbs[part][1:])
        frames = (TIMES >= start) & (TIMES <= stop)
        velocity[np.ix_(frames, landmarks, [0])] = speed
    shape = velocity.shape[:2]
    return Track(
        still(), np.full(shape, 0.8), TIMES, np.ones(30, bool), np.zeros(shape, bool), np.zeros(30, bool), velocity,
        np.full(shape, 0.3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"left_leg": (2, 2.4)}, "leg movement"),
        ({"left_leg": (2, 2.4), "right_leg": (2.2, 2.8)}, "leg movement"),
        ({"right_arm": (2, 3)}, "arm movement"),
        ({"head": (2, 3)}, "head movement"),
        ({"left_arm": (2, 2.4), "right_arm": (2, 2.4), "left_leg": (2, 2.4)}, "startle"),
        ({"left_arm": (1, 3), "right_arm": (2, 4), "left_leg": (1.5, 4)}, "general movement"),
        ({"left_arm": (1, 3), "right_leg": (2, 4), "head": (1.5, 4)}, "general movement"),
        ({"left_arm": (1, 3), "right_leg": (2, 4)}, "other movement"),
    ],
)
def test_movements_are_named_by_what_moves_and_for_how_long(parts, kind):
    activity = activity_of(moving(parts))
    (event,) = activity.events
    assert event.kind == kind and set(event.parts) == set(parts) and event.peak_mm_s == pytest.approx(30)
    assert event.start_s == pytest.approx(min(start for start, _ in parts.values()) - 0.1)
    assert event.stop_s == pytest.approx(max(stop for _, stop in parts.values()) + 0.1)


def test_periods_of_rest_and_pauses():
    activity = activity_of(moving({"left_leg": (2, 2.2), "right_leg": (2.6, 3.0)}))
    assert len(activity.events) == 1
    assert activity.rests == ((0.0, pytest.approx(1.9)), (pytest.approx(3.1), pytest.approx(5.8)))
    assert activity.resting[:9].all() and not activity.resting[11]
    apart = activity_of(moving({"left_leg": (1, 1.2), "right_arm": (4, 4.2)}), ActivityOptions(shortest_rest_s=2.0))
    assert [event.kind for event in apart.events] == ["leg movement", "arm movement"]
    assert [round(start, 1) for start, _ in apart.rests] == [1.3]


def test_drift_moves_the_trunk_and_not_the_limbs():
    track = moving({})
    track.velocity[:] = [12.0, 0, 0]
    (event,) = activity_of(track).events
    assert event.parts == ("trunk",) and event.kind == "other movement"
