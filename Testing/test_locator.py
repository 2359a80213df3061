"""Pass 1: the fetus's frame from the peaks of five heatmaps, with doubt kept where there is doubt."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.detection.locate import POINTS, coarse_frames, locator_points, mean_body, read_frames
from FetalPoseLib.network.heatmaps import render
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.kinematics import move_body, pose_body
from FetalPoseLib.volume.grid import Grid

GRID = Grid((28, 26, 32), np.array([[4.0, 0, 0, -54], [0, 4.0, 0, -50], [0, 0, 4.0, -62], [0, 0, 0, 1]]))


def pose(seed: int, rotation=None) -> np.ndarray:
    """A simulated pose (16, 3) about the middle of the grid."""
    rng = np.random.default_rng(seed)
    body = pose_body(rng, draw_biometry(rng, weeks=12.5))
    turned = Rotation.random(rng=rng).as_matrix() if rotation is None else rotation
    landmarks = move_body(body, turned, np.zeros(3)).landmarks
    return landmarks - landmarks.mean(axis=0)


@pytest.fixture(scope="module")
def template() -> np.ndarray:
    return mean_body(np.array([pose(seed) for seed in range(100, 140)]))


def maps(points: np.ndarray) -> torch.Tensor:
    return render(GRID.to_voxel(points), GRID.array_shape, 1.25)


def test_front_lies_before_the_spine_by_half_a_body_unit():
    landmarks = pose(1)
    frame = FetalFrame.from_landmarks(landmarks)
    front = frame.to_body(locator_points(landmarks))[POINTS.index("front")]
    spine = frame.to_body(landmarks)[6]
    np.testing.assert_allclose(front - spine, [0, 0.5, 0], atol=1e-9)


def test_unseen_trunk_leaves_the_front_unseen():
    landmarks = pose(1)
    landmarks[2] = np.nan
    points = locator_points(landmarks)
    assert np.isnan(points[1]).all() and np.isnan(points[4]).all() and np.isfinite(points[[0, 2, 3]]).all()


@pytest.mark.parametrize("seed", range(6))
def test_frame_is_found_in_any_orientation(template, seed):
    landmarks = pose(seed)
    truth = FetalFrame.from_landmarks(landmarks)
    frame = read_frames(maps(locator_points(landmarks)), GRID, template)[0].frame
    assert frame.angle_to(truth) < 15
    assert abs(np.log(frame.size / truth.size)) < 0.2
    assert np.linalg.norm(frame.origin - truth.origin) < 0.15 * truth.size
    assert np.linalg.det(frame.rotation) == pytest.approx(1)


def test_doubt_between_front_and_back_keeps_both_readings(template):
    landmarks = pose(3)
    points = locator_points(landmarks)
    behind = points.copy()
    behind[4] = 2 * points[2] - points[4]
    heatmaps = maps(points) + 0.9 * maps(behind) * torch.tensor([0, 0, 0, 0, 1.0])[:, None, None, None]
    readings = read_frames(heatmaps, GRID, template)
    assert len(readings) == 2
    truth = FetalFrame.from_landmarks(landmarks)
    assert readings[0].frame.angle_to(truth) < 20
    assert readings[1].frame.angle_to(truth) > 90
    assert readings[0].score > readings[1].score


def test_a_false_peak_that_fits_no_body_is_passed_over(template):
    landmarks = pose(5)
    points = locator_points(landmarks)
    astray = points.copy()
    astray[3] = points[0] + 10  # a brighter "sacrum" beside the head
    heatmaps = 0.8 * maps(points)
    heatmaps[3] = torch.maximum(heatmaps[3], maps(astray)[3])
    frame = read_frames(heatmaps, GRID, template)[0].frame
    assert frame.angle_to(FetalFrame.from_landmarks(landmarks)) < 20


def test_nothing_seen_gives_no_reading():
    blank = torch.zeros((5, *GRID.array_shape))
    assert read_frames(blank, GRID, np.zeros((5, 3))) == []
    assert coarse_frames(blank, GRID) == []
