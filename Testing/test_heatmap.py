"""Maps of points, and points of maps: exact to a fraction of a voxel, at borders, with noise, and honest in doubt."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from FetalPoseLib.network.heatmaps import decode, peaks, render, render_mean
from FetalPoseLib.volume.grid import Grid

SHAPE = (30, 24, 36)  # (nz, ny, nx), all different: an exchanged axis cannot hide


def points_within(margin, count=16, seed=0):
    size = np.array(SHAPE[::-1])
    return np.random.default_rng(seed).uniform(margin, size - 1 - margin, (count, 3))


def test_a_map_is_the_gaussian_of_its_definition():
    point = np.array([20.3, 5.6, 11.2])
    zyx = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    expected = np.exp(-((zyx[..., ::-1] - point) ** 2).sum(axis=-1) / (2 * 1.7**2))
    result = render(point[None], SHAPE, 1.7)
    assert result.dtype == torch.float32 and result.shape == (1, *SHAPE)
    np.testing.assert_allclose(result[0], expected, atol=1e-6)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
def test_round_trip(sigma):
    for seed in range(3):
        points = points_within(0, seed=seed)
        found, confidence = decode(render(points, SHAPE, sigma))
        assert np.abs(found - points).max() < 0.05
        assert found.dtype == np.float64 and (confidence > 0.98).all() and (confidence <= 1).all()


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_round_trip_at_faces_edges_and_corners(sigma):
    nx, ny, nz = SHAPE[::-1]
    points = np.array([[0, 0, 0], [nx - 1, ny - 1, nz - 1], [0.4, 10, nz - 1.3], [-0.4, 5, 5], [nx - 0.6, 0.2, 9.5]])
    found, _ = decode(render(points, SHAPE, sigma))
    np.testing.assert_allclose(found, points, atol=0.05)


def test_a_point_beyond_the_border_is_not_found_further_than_the_border():
    found, confidence = decode(render([[-3.0, 10.0, 10.0]], SHAPE, 2.0))
    np.testing.assert_allclose(found, [[-0.5, 10, 10]], atol=0.05)
    assert confidence[0] < 0.5


def test_round_trip_through_the_world_of_a_coarsened_oblique_grid():
    affine = np.eye(4)
    affine[:3, :3] = 1.25 * Rotation.from_euler("zyx", [30, 20, 50], degrees=True).as_matrix()
    affine[:3, 3] = 10, -40, 25
    fine = Grid((72, 48, 60), affine)
    world = fine.to_world(np.random.default_rng(5).uniform(2, 45, (16, 3)))
    coarse = fine.coarsened(2)
    found, _ = decode(render(coarse.to_voxel(world), coarse.array_shape, 1.5))
    assert np.linalg.norm(coarse.to_world(found) - world, axis=1).max() < 0.05 * 2.5


def test_noise_moves_a_point_little():
    points = points_within(3)
    noise = 0.03 * torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(0))
    found, confidence = decode(render(points, SHAPE, 2.0) + noise)
    assert np.linalg.norm(found - points, axis=1).mean() < 0.35
    assert (confidence > 0.8).all()


def test_an_unseen_landmark_has_an_empty_map_and_comes_back_unset():
    points = points_within(3)
    points[4] = np.nan
    points[9, 1] = np.nan  # half a point is no point
    maps = render(points, SHAPE, 2.0)
    assert maps[4].abs().sum() == 0 and maps[9].abs().sum() == 0 and maps[5].max() > 0.8
    found, confidence = decode(maps)
    assert np.isnan(found[[4, 9]]).all() and (confidence[[4, 9]] == 0).all()
    assert np.isfinite(np.delete(found, [4, 9], axis=0)).all()


def test_maps_a_network_may_spoil():
    clean = render(points_within(4, count=4), SHAPE, 2.0)
    spoilt = clean.clone()
    spoilt[0] = torch.nan
    spoilt[1] = -1
    spoilt[2, 0, 0, :5] = torch.nan
    spoilt[2, -1, -1, -1] = torch.inf
    spoilt[3] = 0.7
    found, confidence = decode(spoilt)
    assert np.isnan(found[:2]).all() and (confidence[:2] == 0).all()
    np.testing.assert_allclose(found[2], decode(clean[2:3])[0][0], atol=1e-6)
    assert 0 <= confidence[3] <= 0.5 and np.isfinite(found[3]).all()  # a plateau points nowhere
    assert decode(5 * clean)[1].max() <= 1


def test_confidence_falls_with_height_and_with_a_second_reading():
    near, far = np.array([[8.0, 12, 15]]), np.array([[26.0, 12, 15]])

    def confidence(second, at, height=1.0):
        return decode(height * torch.maximum(render(near, SHAPE, 1.5), second * render(at, SHAPE, 1.5)))[1][0]

    single = confidence(0.0, far)
    assert single == pytest.approx(1.0, abs=1e-3)
    assert single > confidence(0.3, far) > confidence(0.6, far) > confidence(0.99, far)
    assert confidence(1.0, far) == pytest.approx(0.5, abs=0.01)
    assert confidence(0.0, far, height=0.4) == pytest.approx(0.4, abs=1e-3)
    assert confidence(0.99, near + [2, 0, 0]) > 0.9  # a bump on the same peak is no second reading


def test_confidence_does_not_depend_on_where_between_voxels_a_point_lies():
    for fraction in (0.0, 0.25, 0.5):
        _, confidence = decode(render([[10 + fraction, 9 - fraction, 12 + fraction]], SHAPE, 1.0))
        assert confidence[0] == pytest.approx(1.0, abs=0.01)


def test_peaks_are_separate_and_come_highest_first():
    points = np.array([[5.2, 6.1, 7.4], [25.5, 15.3, 20.2], [8.1, 6.0, 7.0], [30.0, 4.0, 25.0]])
    heights = torch.tensor([0.6, 1.0, 0.5, 0.2])
    heatmap = (heights[:, None, None, None] * render(points, SHAPE, 1.0)).sum(dim=0)
    found, values = peaks(heatmap, 3, 5.0)
    np.testing.assert_allclose(found, points[[1, 0, 3]], atol=0.1)
    np.testing.assert_allclose(values, [1.0, 0.6, 0.2], atol=0.05)
    assert len(peaks(heatmap, 10, 1.0)[0]) == 4 and len(peaks(heatmap, 1, 1.0)[0]) == 1
    empty, none = peaks(torch.zeros(SHAPE), 3, 2.0)
    assert empty.shape == (0, 3) and none.shape == (0,)


def test_maps_thinner_than_the_window_still_decode():
    found, _ = decode(render([[4.3, 0.0, 1.0]], (2, 1, 9), 1.5))
    np.testing.assert_allclose(found, [[4.3, 0.0, 1.0]], atol=0.05)


def test_the_mean_map_is_the_mean_of_the_maps():
    poses = points_within(2, count=5 * 16).reshape(5, 16, 3)
    expected = torch.stack([render(pose, SHAPE, 2.0) for pose in poses]).mean(dim=0)
    torch.testing.assert_close(render_mean(poses, SHAPE, 2.0), expected, atol=1e-6, rtol=0)
    poses[3, 7] = np.nan  # a body without the landmark does not dim the others' map
    expected = torch.stack([render(pose, SHAPE, 2.0) for pose in np.delete(poses, 3, axis=0)]).mean(dim=0)
    torch.testing.assert_close(render_mean(poses, SHAPE, 2.0)[7], expected[7], atol=1e-6, rtol=0)
    poses[:, 0] = np.nan
    assert render_mean(poses, SHAPE, 2.0)[0].abs().sum() == 0
