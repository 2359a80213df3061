"""Probe coordinates: there and back, what the grid covers, and resampling that neither aliases nor shifts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kretz_files import convex, sampled
from scipy.spatial.transform import Rotation

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume import probe_resampling
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid, transform_points
from FetalPoseLib.volume.probe_resampling import resample_probe, scan_converted
from FetalPoseLib.volume.probe_volume import ProbeGrid, ProbeVolume
from FetalPoseLib.volume.resampling import resample


def placed(angles, shift, mirrored) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([1 - 2 * mirrored, 1, 1])
    matrix[:3, 3] = shift
    return matrix


@st.composite
def grids(draw):
    """Probes from transvaginal to flat, with angles that rise or fall, evenly or not, anywhere in the world."""
    radius = draw(st.floats(5, 120))
    axis = draw(st.floats(-60, 0.15 * (radius - 1)))
    angles = []
    for _ in range(2):
        steps = np.array(draw(st.lists(st.floats(0.3, 1), min_size=5, max_size=12)))
        half = draw(st.floats(0.05, 0.9))
        turned = np.interp(np.cumsum(steps), [steps[0], steps.sum()], [-half, half])
        angles.append(turned if draw(st.booleans()) else -turned)
    to_ras = placed([draw(st.floats(-180, 180)) for _ in range(3)], [draw(st.floats(-80, 80)) for _ in range(3)],
                    draw(st.booleans()))  # fmt: skip
    return ProbeGrid(draw(st.integers(2, 12)), radius, draw(st.floats(0.05, 1.5)), axis, *angles, to_ras)


def all_voxels(grid: ProbeGrid) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1).astype(float)


@given(grids(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_voxels_go_to_the_world_and_back(grid, seed):
    voxels = np.random.default_rng(seed).uniform(-0.49, np.array(grid.shape) - 0.51, (20, 3))
    np.testing.assert_allclose(grid.to_voxel(grid.to_world(voxels)), voxels, atol=1e-6)


@given(grids())
@settings(deadline=None)
def test_the_formula_of_the_format_holds_at_every_sample(grid):
    i, j, k = np.moveaxis(all_voxels(grid), -1, 0)
    r, theta, phi = grid.radius + i * grid.step, grid.theta[j.astype(int)], grid.phi[k.astype(int)]
    x, y = r * np.sin(theta), -(r * np.cos(theta) - grid.axis) * np.sin(phi)
    z = grid.axis * (1 - np.cos(phi)) + r * np.cos(theta) * np.cos(phi)
    expected = transform_points(grid.probe_to_ras, np.stack([x, y, z], axis=-1))
    np.testing.assert_allclose(grid.to_world(all_voxels(grid)), expected, atol=1e-9)


@given(grids())
@settings(deadline=None)
def test_the_corners_are_those_of_the_smallest_box_around_all_voxels(grid):
    corners = grid.corners()
    assert corners.shape == (8, 3)
    along = [np.array([-0.5, grid.samples - 0.5]), *(np.linspace(-0.5, n - 0.5, 200) for n in grid.shape[1:])]
    shells = grid.to_world(np.stack(np.meshgrid(*along, indexing="ij"), axis=-1)).reshape(-1, 3)
    tolerance = 2e-3 * np.ptp(shells, axis=0).max()
    np.testing.assert_allclose(corners.min(axis=0), shells.min(axis=0), atol=tolerance)
    np.testing.assert_allclose(corners.max(axis=0), shells.max(axis=0), atol=tolerance)


def test_spacing_is_that_of_the_middle_beam():
    grid = convex()
    middle = (np.array(grid.shape) - 1) / 2
    steps = [np.linalg.norm(grid.to_world(middle + e / 2) - grid.to_world(middle - e / 2)) for e in np.eye(3)]
    np.testing.assert_allclose(grid.spacing, steps, rtol=1e-3)


def test_what_lies_outside_the_fan_the_sweep_or_the_depth_is_outside():
    grid = convex()
    centre = grid.to_world((np.array(grid.shape) - 1) / 2)
    inside = grid.to_voxel(centre)
    assert ((inside > 0) & (inside < np.array(grid.shape) - 1)).all()
    for aside in ([60, 0, 0], [-60, 0, 0], [0, 60, 0], [0, -60, 0], [0, 0, 60], [0, 0, -60], [0, 0, -300]):
        voxel = grid.to_voxel(centre + aside)
        assert ((voxel < -0.5) | (voxel > np.array(grid.shape) - 0.5)).any()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"step": 0.0}, "must be positive"),
        ({"radius": -1.0}, "must be positive"),
        ({"axis": np.nan}, "finite"),
        ({"samples": 1}, "two samples"),
        ({"axis": 60.0}, "behind the axis"),
        ({"theta": np.array([0.1, 0.3, 0.2])}, "neither rise nor fall"),
        ({"theta": np.array([0.1])}, "two beams or more"),
        ({"phi": np.array([0.1, np.nan])}, "finite angles"),
        ({"phi": np.radians(np.linspace(-95, 95, 20))}, "less than 90"),
        ({"probe_to_ras": np.diag([2.0, 1, 1, 1])}, "rigid"),
    ],
)
def test_a_geometry_that_no_probe_has_is_refused(change, message):
    grid = convex()
    known = {name: getattr(grid, name) for name in grid.__dataclass_fields__}
    with pytest.raises(FetalPoseError, match=message):
        ProbeGrid(**(known | change))


@pytest.mark.parametrize("array", [np.zeros((3, 3, 3), np.uint8), np.zeros(convex().array_shape)])
def test_an_array_that_does_not_belong_to_the_grid_is_refused(array):
    with pytest.raises(FetalPoseError, match="not on a probe's grid"):
        ProbeVolume(array, convex())


# --- resampling


def ball(centre, radius=9.0, spacing=0.4) -> Volume:
    """A smooth bright ball in the world."""
    n = int(4 * radius / spacing)
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = np.asarray(centre) - spacing * (n - 1) / 2
    places = transform_points(matrix, np.stack(np.indices((n, n, n))[::-1], axis=-1))
    distance = np.linalg.norm(places - centre, axis=-1)
    return Volume((200 / (1 + np.exp((distance - radius) / 0.8)) + 20).astype(np.uint8), matrix)


@pytest.mark.parametrize("to_ras", [np.eye(4), placed((20, -35, 70), (10, -20, 5), True)])
def test_a_ball_keeps_its_place_and_size(to_ras):
    grid = convex(samples=200, beams=90, fans=80, step=0.3, view=50, sweep=45, to_ras=to_ras)
    centre = grid.to_world((np.array(grid.shape) - 1) * [0.5, 0.4, 0.6])
    volume = sampled(ball(centre), grid)
    target = canonical_grid(volume, 0.8)
    image = resample(volume, target).numpy()
    bright = np.argwhere(image > 120)[:, ::-1]
    np.testing.assert_allclose(target.to_world(bright.mean(axis=0)), centre, atol=0.05)
    assert (len(bright) * 0.8**3) ** (1 / 3) == pytest.approx((4 / 3 * np.pi * 9**3) ** (1 / 3), rel=0.02)


def test_what_was_scanned_is_above_0_and_what_was_not_is_0():
    grid = convex()
    image = resample_probe(ProbeVolume(np.zeros(grid.array_shape, np.uint8), grid), canonical_grid_of(grid, 1.5))
    assert set(np.unique(image)) == {0.0, 1.0}
    voxels = grid.to_voxel(canonical_grid_of(grid, 1.5).to_world(np.argwhere(image > 0)[:, ::-1]))
    assert (voxels >= -0.51).all() and (voxels <= np.array(grid.shape) - 0.49).all()
    assert 0.3 < image.mean() < 0.8


def canonical_grid_of(grid: ProbeGrid, spacing: float) -> Grid:
    return canonical_grid(ProbeVolume(np.ones(grid.array_shape, np.uint8), grid), spacing)


@pytest.mark.parametrize("axis, fraction", [(0, 0.5), (1, 0.1), (1, 0.9), (2, 0.1), (2, 0.9)])
def test_detail_that_the_target_cannot_hold_is_averaged_at_every_depth(axis, fraction):
    """Every second sample along one axis is bright: at 4 mm only the mean may be left, and no moire."""
    grid = convex(samples=150, beams=150, fans=150, step=0.4, radius=30)
    stripes = np.indices(grid.array_shape)[2 - axis] % 2 * 200
    image = resample_probe(ProbeVolume(stripes.astype(np.uint8), grid), canonical_grid_of(grid, 4.0))
    target = canonical_grid_of(grid, 4.0)
    voxels = grid.to_voxel(target.to_world(np.stack(np.indices(target.array_shape)[::-1], axis=-1)))
    inner = ((voxels > 12) & (voxels < np.array(grid.shape) - 13)).all(axis=-1)
    depth = np.abs(voxels[..., 0] / grid.samples - fraction) < 0.25
    values = image[inner & depth]
    assert len(values) > 20
    np.testing.assert_allclose(values, 100, atol=6)


def test_an_edge_is_as_wide_near_the_probe_as_far_from_it():
    """The blur is one of millimetres, though beams lie three times closer near the probe."""
    grid = convex(samples=300, beams=401, fans=3, radius=20, step=0.2, view=50, sweep=4, axis=10.0)
    array = np.ones(grid.array_shape, np.uint8)
    array[:, len(grid.theta) // 2 :] = 201
    affine = np.diag([0.1, 3.0, 3.0, 1.0])
    affine[:3, 3] = -10, 0, 22
    fine = Grid((200, 1, 19), affine)  # read closely after a blur for 3 mm
    coarse = Grid((10, 1, 19), np.diag([3.0, 3.0, 3.0, 1.0]))
    blurred = probe_resampling._blurred(ProbeVolume(array, grid), coarse)
    image = resample_probe(ProbeVolume(np.clip(blurred, 1, 255).astype(np.uint8), grid), fine)
    widths = []
    for row in image[1:, 0]:
        profile = row[row > 0]
        widths.append(np.interp(160, profile, np.arange(len(profile))) * 0.1)
        widths[-1] -= np.interp(40, profile, np.arange(len(profile))) * 0.1
    # From 20 to 80 % a Gaussian edge measures 1.683 standard deviations; a voxel's width of 3 mm is 2.355 of them.
    np.testing.assert_allclose(widths, 1.683 * 3 / 2.355, rtol=0.08)


def test_a_target_finer_than_the_samples_is_not_blurred():
    grid = convex()
    array = np.random.default_rng(0).integers(1, 255, grid.array_shape, dtype=np.uint8)
    k, j, i = 10, 20, 30
    affine = np.diag([0.1, 0.1, 0.1, 1.0])
    affine[:3, 3] = grid.to_world([i, j, k])
    assert resample_probe(ProbeVolume(array, grid), Grid((1, 1, 1), affine))[0, 0, 0] == array[k, j, i]


def test_a_scan_converted_volume_is_not_resampled_again_at_its_own_spacing():
    grid = convex(to_ras=placed((20, -35, 70), (10, -20, 5), False))
    volume = ProbeVolume(np.random.default_rng(0).integers(0, 255, grid.array_shape, dtype=np.uint8), grid)
    converted = scan_converted(volume, 1.25)
    assert converted.array.dtype == np.uint8
    target = canonical_grid(converted, 1.25)
    np.testing.assert_allclose(target.affine, canonical_grid(volume, 1.25).affine, atol=1e-9)
    np.testing.assert_array_equal(resample(converted, target), resample(volume, target))


def test_an_absurd_extent_is_refused_as_for_any_volume():
    with pytest.raises(FetalPoseError, match="too large for voxels"):
        scan_converted(ProbeVolume(np.ones(convex().array_shape, np.uint8), convex()), 0.01)
