"""Two fetuses in one volume are never measured as one without a word."""

import numpy as np
import pytest

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.second_head import second_head_warning
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.resources import resource_path

SKELETON = load_skeleton()
HEAD = SKELETON.index("head")


@pytest.fixture(scope="module")
def body() -> np.ndarray:
    return PoseLibrary.load(resource_path("pose_library.npz")).poses[0]


def test_the_own_head_and_what_lies_in_it_is_no_second(body):
    heads = body[HEAD] + np.array([[0, 0, 0], [3, 0, 0], [0, -4, 2]])
    assert second_head_warning(heads, body) == ""
    assert second_head_warning(np.empty((0, 3)), body) == ""


def test_a_head_beside_the_pose_is_named_with_its_distance(body):
    outwards = (body[HEAD] - body[SKELETON.index("neck")]) / np.linalg.norm(body[HEAD] - body[SKELETON.index("neck")])
    text = second_head_warning(np.stack([body[HEAD], body[HEAD] + 60 * outwards]), body)
    assert "another head, 60 mm from this pose" in text and "crop" in text


def test_without_a_trunk_nothing_is_said(body):
    assert second_head_warning(body[[HEAD]] + 90, np.full((16, 3), np.nan)) == ""
    headless = body.copy()
    headless[HEAD] = np.nan
    assert "another head" in second_head_warning(body[[HEAD]] + 90, headless)


def twins(seed: int):
    """A volume of two simulated fetuses beside each other, both wholly in the field."""
    from FetalPoseLib.simulation.datasets import draw_subject
    from FetalPoseLib.simulation.field import in_sector
    from FetalPoseLib.simulation.kinematics import move_body, pose_body, random_orientation
    from FetalPoseLib.simulation.medium import build_medium
    from FetalPoseLib.simulation.ultrasound import acquire

    subject, rng = draw_subject("fresh", seed), np.random.default_rng(seed)
    body, crl = subject.body, subject.biometry.crl
    while True:
        other = move_body(pose_body(rng, body.biometry), random_orientation(rng), np.zeros(3))
        direction = rng.normal(size=3)
        shift = rng.uniform(0.6, 0.9) * crl * direction / np.linalg.norm(direction)
        other = move_body(other, np.eye(3), body.landmarks.mean(axis=0) - other.landmarks.mean(axis=0) + shift)
        held = subject.probe.pose.copy()
        held[:3, 3] += shift / 2 - held[:3, 2] * 15  # over the middle of both, further away
        probe = subject.probe.held_at(held)
        if np.linalg.norm(other.landmarks[:, None] - body.landmarks, axis=2).min() < 0.15 * crl:
            continue
        if min(in_sector(probe, twin.landmarks).sum() for twin in (body, other)) >= 15:
            break
    medium = build_medium(body, subject.sac, probe, rng, subject.scenario, twin=other)
    return acquire(medium, probe, subject.settings, spacing=np.full(3, 1.0), seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_twins_beside_each_other_are_warned_about(seed):
    from FetalPoseLib.estimator import Estimator

    warnings = Estimator(device="cpu").estimate(twins(seed)).warnings
    assert any("another head" in warning for warning in warnings), warnings


@pytest.mark.slow
@pytest.mark.parametrize("subject", range(3))
def test_one_fetus_is_not_taken_for_two(subject):
    from FetalPoseLib.estimator import Estimator
    from FetalPoseLib.simulation.datasets import simulate

    warnings = Estimator(device="cpu").estimate(simulate("validation", subject, spacing=1.0).volume).warnings
    assert not any("another head" in warning for warning in warnings), warnings
