"""Moving bodies: joints, courses, sequences and speckle over time."""

import json

import numpy as np
import pytest
import torch

from FetalPoseLib.body.estimate import points_of_rows
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.resources import resource_path
from FetalPoseLib.simulation.carried import TissueMotion
from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.simulation.kinematics import LIMITS, free_of_itself, move_body, posed
from FetalPoseLib.simulation.movement import KINDS, Course, draw_movement
from FetalPoseLib.simulation.scatterers import DECAY, MovingScatterers, kept_of
from FetalPoseLib.simulation.sequences import FRAMES, PROGRAMS, SETS, draw_sequence, frames

PROBE_DEPTH = 40


@pytest.fixture(scope="module")
def moving():
    """All ten fixed sequences, before any image is formed."""
    return [draw_sequence("sequences", index) for index in range(SETS["sequences"])]


@pytest.mark.parametrize("split", ["test", "validation2", "shifted2"])
def test_the_same_joints_give_the_same_body(split):
    for index in range(5):
        body = draw_subject(split, index).body
        again = move_body(posed(body.joints), body.pelvis, body.landmarks[7])
        np.testing.assert_allclose(again.landmarks, body.landmarks, atol=1e-9)
        assert free_of_itself(body.joints)


def test_every_kind_of_movement_is_simulated_at_1_to_20_volumes_a_second():
    assert {kind for program in PROGRAMS for kind in program.kinds} == set(KINDS)
    rates = [program.rate for program in PROGRAMS]
    assert min(rates) == 1 and max(rates) == 20 and len(PROGRAMS) == SETS["sequences"]


def test_joints_stay_within_their_limits_and_bodies_out_of_themselves(moving):
    for one in moving:
        for time in one.times:
            joints = one.movement.joints_at(time)
            assert free_of_itself(joints)
            for part, (angles, _) in joints.limbs.items():
                posture = one.subject.scenario.posture.limits(LIMITS, part)
                for name, angle in angles.items():
                    assert min(posture[name][0], LIMITS[name][0]) - 1e-6 <= angle
                    assert angle <= max(posture[name][1], LIMITS[name][1]) + 1e-6


def test_bones_keep_their_lengths_and_each_movement_is_seen(moving):
    limbs = [3, 4, 5, 6, 11, 12, 13, 14]  # segments within arms and legs
    for one in moving:
        poses = np.array([one.body_at(frame).landmarks for frame in range(FRAMES)])
        np.testing.assert_allclose(
            segment_lengths(poses)[:, limbs], segment_lengths(poses)[:1, limbs].repeat(FRAMES, 0)
        )
        assert [episode.kind for episode in one.episodes] == [k for k in one.program.kinds if k != "rest"]
        for episode in one.episodes:
            assert 0 < episode.start < episode.stop
            if episode.kind in ("kick", "startle", "general movement"):
                during = (one.times >= episode.start) & (one.times <= episode.stop)
                assert np.linalg.norm(poses[during] - poses[0], axis=2).max() > 3


def test_a_course_is_smooth_and_comes_back():
    course = Course("left_leg", "knee_flexion", 40.0, 1.0, 0.3, 0.1, 0.5)
    times = np.linspace(0, 3, 3001)
    way = np.array([course.at(time) for time in times])
    assert way[0] == way[-1] == 0 and way.max() == pytest.approx(40)
    acceleration = np.diff(way, 2) / (times[1] - times[0]) ** 2
    assert np.abs(np.diff(acceleration)).max() < 0.05 * np.abs(acceleration).max()  # no jump in a millisecond


def test_rest_is_at_rest_but_for_drift():
    subject = draw_subject("fresh-sequences", 0)
    times = np.arange(24) / 2
    movement = draw_movement(np.random.default_rng(1), subject.body, subject.scenario.posture, ("rest",), 12.0, times)
    assert not movement.episodes
    shapes = [np.linalg.norm(b[:, None] - b[None], axis=2) for b in (movement.at(t).landmarks for t in times)]
    np.testing.assert_allclose(shapes, [shapes[0]] * 24, atol=1e-6)
    with pytest.raises(ValueError, match="there is no movement"):
        draw_movement(np.random.default_rng(1), subject.body, subject.scenario.posture, ("dance",), 12.0, times)


def test_the_ten_sequences_are_frozen(moving):
    frozen = json.loads(resource_path("sequences.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in frozen] == [one.name for one in moving]
    for row, one in zip(frozen, moving, strict=True):
        for frame, rows in zip(row["frames"], row["landmarks"], strict=True):
            np.testing.assert_allclose(one.landmarks_at(frame), points_of_rows(rows), atol=0.01)


def test_volumes_lie_where_the_first_does_and_a_lost_one_shows_nothing():
    one = draw_sequence("sequences", 2)
    first, second = frames(one, spacing=2.0, count=2)
    np.testing.assert_allclose(first.volume.ijk_to_ras, second.volume.ijk_to_ras, atol=1e-9)
    assert first.volume.array.shape == second.volume.array.shape and second.time == pytest.approx(0.25)
    inside = (first.volume.array > 0) & (second.volume.array > 0)
    alike = np.corrcoef(first.volume.array[inside], second.volume.array[inside])[0, 1]
    assert 0.8 < alike < 0.9999
    lost = draw_sequence("sequences", 9)
    assert np.isnan(lost.landmarks_at(lost.program.lost[0])).all()
    assert np.isfinite(lost.landmarks_at(lost.program.lost[1] + 1)).any()


def test_speckle_decorrelates_as_tissue_moves():
    probe = draw_subject("sequences", 2).probe
    depths, lines = len(probe.depths()), 12
    shift = torch.zeros((depths, 10, lines, 3))
    assert float(kept_of(shift, probe).min()) == 1
    shift[..., 2] = probe.axial_width()
    assert float(kept_of(shift, probe).mean()) == pytest.approx(np.exp(-DECAY))
    scatterers = MovingScatterers(3)
    shape = (depths, 10, lines)
    kept = torch.full(shape, 0.6)
    before = scatterers.frame(None)(shape)
    after = scatterers.frame(kept)(shape)
    alike = float((before * after).mean() / (before.square().mean() * after.square().mean()).sqrt())
    assert alike == pytest.approx(0.6, abs=0.03)
    assert float(after.square().mean()) == pytest.approx(0.5, rel=0.05)


def test_tissue_is_carried_by_the_nearest_bone():
    one = draw_sequence("sequences", 3)
    now, before = one.body_at(9), one.body_at(0)
    motion = TissueMotion(now, before)
    for name in ("left_shank", "right_shank", "left_forearm"):
        middle, was = ((b.bones[name].start + b.bones[name].end) / 2 for b in (now, before))
        shift = motion.shift(torch.as_tensor(middle, dtype=torch.float32)[None])[0].numpy()
        assert np.linalg.norm(middle + shift - was) < 0.5 + 0.15 * np.linalg.norm(middle - was)
    far = torch.as_tensor(now.landmarks[0] + [0, 0, 80.0], dtype=torch.float32)[None]
    assert float(motion.shift(far).abs().max()) < 0.05


@pytest.mark.parametrize(("which", "index"), [("sequences", 10), ("sequences", -1), ("none", 0)])
def test_sequences_that_do_not_exist(which, index):
    with pytest.raises(ValueError, match="sequences"):
        draw_sequence(which, index)
