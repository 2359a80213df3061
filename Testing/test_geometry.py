"""The geometry that goes wrong silently: axis orders, handedness, spacing, direction cosines, and the grids between."""

import time
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid, transform_points
from FetalPoseLib.volume.intensity import normalise_intensity
from FetalPoseLib.volume.resampling import resample, sample

OBLIQUE = Rotation.from_euler("xyz", [25, -40, 70], degrees=True).as_matrix()
ORDERS = list(product(permutations(range(3)), product((1, -1), repeat=3)))  # the 48 ways to store one volume


def placed(rotation, spacing, origin):
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


def on_grid(function, shape, matrix):
    """The volume whose voxels (nx, ny, nz) hold function(world point)."""
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return Volume(function(transform_points(matrix, ijk)).transpose(2, 1, 0), matrix)


def restored(volume, order, signs):
    """The same anatomy saved with its axes in another order and direction."""
    array = volume.array.transpose(2, 1, 0)
    reorder = np.zeros((4, 4))  # from new to old voxel indices
    reorder[3, 3] = 1
    for new, (old, sign) in enumerate(zip(order, signs, strict=True)):
        reorder[old, new] = sign
        reorder[old, 3] = 0 if sign > 0 else array.shape[old] - 1
    array = array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    return Volume(array.transpose(2, 1, 0), volume.ijk_to_ras @ reorder)


def blob(centre, width=2.0):
    return lambda points: np.exp(-((points - centre) ** 2).sum(axis=-1) / (2 * width**2))


def world_maximum(tensor, grid):
    z, y, x = np.unravel_index(int(tensor.argmax()), tensor.shape)
    return grid.to_world([x, y, z])


def centres(grid):
    """World position of each voxel, (nz, ny, nx, 3)."""
    zyx = np.stack(np.meshgrid(*(np.arange(n) for n in grid.array_shape), indexing="ij"), axis=-1)
    return grid.to_world(zyx[..., ::-1])


@pytest.mark.parametrize("rotation", [np.eye(3), OBLIQUE], ids=["straight", "oblique"])
def test_all_48_axis_orders_and_flips_are_one_volume(rotation):
    rng = np.random.default_rng(0)
    matrix = placed(rotation, (0.5, 0.8, 1.1), (12.0, -30.0, 7.0))
    volume = Volume(rng.integers(0, 255, (13, 17, 22), dtype=np.uint8), matrix)
    grid = canonical_grid(volume, 1.25)
    image = resample(volume, grid)
    assert np.linalg.det(grid.affine[:3, :3]) > 0 and image.std() > 1
    handedness = set()
    for order, signs in ORDERS:
        other = restored(volume, order, signs)
        handedness.add(np.sign(np.linalg.det(other.ijk_to_ras)))
        other_grid = canonical_grid(other, 1.25)
        assert other_grid.shape == grid.shape
        np.testing.assert_allclose(other_grid.affine, grid.affine, atol=1e-9)
        torch.testing.assert_close(resample(other, other_grid), image, atol=2e-2, rtol=0)  # of 255
    assert handedness == {-1, 1}


def test_a_left_handed_oblique_anisotropic_volume_keeps_its_world():
    matrix = placed(OBLIQUE @ np.diag([1, 1, -1]), (0.6, 0.9, 1.2), (5.0, 8.0, -20.0))
    shape = (40, 30, 24)
    for voxel in ([8, 20, 5], [30, 8, 17]):
        point = transform_points(matrix, voxel)
        volume = on_grid(blob(point), shape, matrix)
        grid = canonical_grid(volume, 1.0)
        assert np.linalg.norm(world_maximum(resample(volume, grid), grid) - point) < 0.9  # half a voxel's diagonal


def test_a_turned_body_gives_turned_points():
    point, turn = np.array([3.0, -4.0, 5.0]), np.eye(4)
    turn[:3, :3], turn[:3, 3] = OBLIQUE, (1, 2, 3)
    matrix = placed(np.eye(3), (0.7, 0.7, 0.7), (-10, -10, -10))
    volume = on_grid(blob(point), (30, 30, 30), matrix)
    turned = Volume(volume.array, turn @ matrix)
    grid = canonical_grid(turned, 0.5)
    assert np.linalg.norm(world_maximum(resample(turned, grid), grid) - transform_points(turn, point)) < 0.45


@pytest.mark.parametrize("spacing", [0.4, 1.25], ids=["finer", "coarser"])
def test_resampling_moves_nothing(spacing):
    """A linear ramp in the world is kept exactly by blurring and trilinear reading, if no axis or offset is wrong."""
    slope = np.array([3.0, -2.0, 1.0])
    matrix = placed(OBLIQUE, (0.5, 0.8, 1.1), (1.0, 2.0, 3.0))
    volume = on_grid(lambda p: p @ slope + 100, (40, 30, 26), matrix)
    grid = canonical_grid(volume, spacing)
    points = centres(grid)
    voxels = volume.grid.to_voxel(points)
    inside = ((voxels > 8) & (voxels < np.array(volume.grid.shape) - 9)).all(axis=-1)
    assert inside.sum() > 50
    np.testing.assert_allclose(resample(volume, grid).numpy()[inside], (points @ slope + 100)[inside], atol=5e-3)


def test_resampling_to_its_own_grid_changes_nothing():
    volume = Volume(np.random.default_rng(1).random((7, 9, 11)), placed(OBLIQUE, (0.5, 1, 2), (3, 2, 1)))
    np.testing.assert_allclose(resample(volume, volume.grid).numpy(), volume.array, atol=1e-4)


def test_downsampling_is_anti_aliased_and_keeps_what_the_grid_can_show():
    i = np.arange(96)
    grid = Grid((38, 10, 10), placed(np.eye(3), [1.25] * 3, (0.3, 0.1, 0.2)))
    inner = np.s_[2:-2, 2:-2, 4:-4]

    def contrast(period_mm):
        line = 100 + 50 * np.sin(2 * np.pi * i * 0.5 / period_mm + 0.4)
        array = np.broadcast_to(line, (30, 30, 96))
        return resample(Volume(array, np.diag([0.5, 0.5, 0.5, 1])), grid)[inner].std() / (50 / np.sqrt(2))

    assert contrast(1.3) < 0.08  # would alias to a wave of 32 mm
    assert contrast(10.0) > 0.9
    anisotropic = Volume(np.broadcast_to(100 + 50 * (-1.0) ** i, (6, 30, 96)), np.diag([0.5, 0.5, 2.5, 1]))
    assert resample(anisotropic, grid)[inner].std() < 2  # blurred along its fine axis, whatever the coarse one is


def test_nothing_is_outside():
    volume = Volume(np.full((6, 6, 6), 50, dtype=np.uint8), np.diag([1.0, 1.0, 1.0, 1]))
    grid = Grid((20, 20, 20), placed(np.eye(3), [0.5] * 3, [-2.25] * 3))
    image = resample(volume, grid)
    inside = ((centres(grid) > -0.5) & (centres(grid) < 5.5)).all(axis=-1)
    np.testing.assert_allclose(image.numpy()[inside], 50, rtol=1e-6)
    assert inside.sum() == 12**3 and (image.numpy()[~inside] == 0).all()


def test_the_canonical_grid_covers_the_volume_and_no_more():
    volume = Volume(np.zeros((20, 30, 40)), placed(OBLIQUE, (0.5, 0.7, 0.9), (-7, 100, 3)))
    outer, corners = canonical_grid(volume, 1.25).corners(), volume.grid.corners()
    assert (outer.min(axis=0) <= corners.min(axis=0)).all() and (outer.max(axis=0) >= corners.max(axis=0)).all()
    assert (np.ptp(outer, axis=0) < np.ptp(corners, axis=0) + 1.25).all()
    straight = Volume(np.zeros((10, 20, 30)), np.diag([0.5, 0.5, 0.5, 1]))
    assert canonical_grid(straight, 0.5).shape == (30, 20, 10)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_coarsened_voxel_lies_amid_the_voxels_it_covers(stride):
    grid = Grid((12, 24, 36), placed(OBLIQUE, (0.5, 0.7, 0.9), (1, 2, 3)))
    coarse = grid.coarsened(stride)
    assert coarse.shape == (12 // stride, 24 // stride, 36 // stride)
    pooled = torch.nn.functional.avg_pool3d(torch.from_numpy(centres(grid)).permute(3, 0, 1, 2), stride)
    np.testing.assert_allclose(pooled.permute(1, 2, 3, 0), centres(coarse), atol=1e-9)
    points = np.random.default_rng(2).normal(size=(5, 3)) * 30
    np.testing.assert_allclose(coarse.to_world(coarse.to_voxel(points)), points, atol=1e-9)
    np.testing.assert_allclose(grid.coarsened(2).coarsened(2).affine, grid.coarsened(4).affine, atol=1e-12)


def test_coarsened_sizes_round_up():
    assert Grid((5, 6, 7), np.eye(4)).coarsened(2).shape == (3, 3, 4)


def test_sample_between_turned_grids_with_and_without_channels():
    source = Grid((20, 22, 24), placed(OBLIQUE, [1.0] * 3, (1, 2, 3)))
    target = Grid((5, 6, 7), placed(np.eye(3), [0.8] * 3, source.to_world([9, 10, 11])))
    slopes = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])
    channels = torch.from_numpy(np.moveaxis(centres(source) @ slopes.T, -1, 0)).float()
    result = sample(channels, source, target)
    np.testing.assert_allclose(result, np.moveaxis(centres(target) @ slopes.T, -1, 0), atol=1e-4)
    torch.testing.assert_close(sample(channels[1], source, target), result[1])
    with pytest.raises(ValueError, match="not on a grid"):
        sample(channels.transpose(1, 3), source, target)


def test_points_that_are_not_set_stay_so():
    moved = transform_points(np.diag([2, 2, 2, 1]), [[1, 2, 3], [np.nan] * 3])
    np.testing.assert_array_equal(moved, [[2, 4, 6], [np.nan] * 3])


def test_intensity_is_normalised_over_the_sector_only():
    rng = np.random.default_rng(3)
    image = torch.from_numpy(rng.uniform(10, 200, (8, 9, 10)).astype(np.float32))
    image[:, :, :4] = 0
    image[0, 0, 5] = torch.nan
    result = normalise_intensity(image)
    sector = result[image > 0]
    assert abs(sector.mean()) < 1e-5 and abs(sector.std() - 1) < 1e-4
    assert (result[:, :, :4] == 0).all() and result[0, 0, 5] == 0 and result.dtype == torch.float32
    torch.testing.assert_close(normalise_intensity(3 * image), result, atol=1e-5, rtol=0)  # gain does not matter


@pytest.mark.parametrize("value", [0, 7, 255, np.nan, np.inf, -3])
def test_a_volume_without_a_picture_is_refused(value):
    volume = Volume(np.full((9, 8, 7), value, dtype=np.float32), placed(OBLIQUE, (0.5, 0.6, 0.7), (0, 0, 0)))
    with pytest.raises(FetalPoseError, match="no picture"):
        normalise_intensity(resample(volume, canonical_grid(volume, 1.0)))


@pytest.mark.parametrize("shape", [(10, 10), (1, 10, 10), (4, 10, 10, 10), (10, 10, 10, 3)])
def test_what_is_not_one_3d_volume_is_refused(shape):
    with pytest.raises(FetalPoseError, match=str(shape[0])):
        Volume(np.zeros(shape), np.eye(4))


def test_a_volume_with_an_impossible_place_is_refused():
    for matrix in (np.diag([1.0, 0.0, 1.0, 1.0]), np.full((4, 4), np.nan)):
        with pytest.raises(FetalPoseError, match="IJK-to-RAS"):
            Volume(np.zeros((5, 5, 5)), matrix)
    with pytest.raises(FetalPoseError, match="spacing"):
        canonical_grid(Volume(np.zeros((20, 20, 20)), np.diag([500.0, 500.0, 500.0, 1.0])), 1.25)
    with pytest.raises(ValueError):
        Grid((4, 4, 4), np.zeros((4, 4)))


def test_a_full_volume_is_resampled_in_time():
    array = np.random.default_rng(4).integers(0, 255, (260, 205, 220), dtype=np.uint8)
    volume = Volume(array, np.diag([0.5, 0.5, 0.5, 1]))
    grid, seconds = canonical_grid(volume, 1.25), []
    for _ in range(3):
        start = time.process_time()
        resample(volume, grid)
        seconds.append(time.process_time() - start)
    assert grid.shape == (88, 82, 104) and min(seconds) < 1.5
