"""The simulated ultrasound against the physics it claims: speckle, point-spread function, attenuation, geometry."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from FetalPoseLib.simulation import ultrasound
from FetalPoseLib.simulation.display import scan_convert, volume_to_world
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.settings import Settings
from FetalPoseLib.volume.resampling import resample

SILENT = {"noise": -150.0, "reverberation": -150.0, "side_lobes": -100.0, "tgc_error": 0.0, "smoothing": 0.0}
NARROW = Probe(lateral_view=30.0, sweep=36.0)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("zyx", (40, -65, 25), degrees=True).as_matrix()
OBLIQUE[:3, 3] = 40.0, -70.0, 25.0


class Medium:
    """Soft tissue, but for what `change(points, layers)` writes into its three layers (3, ...)."""

    def __init__(self, change=lambda points, layers: None):
        self.change = change

    def sample(self, points):
        layers = torch.ones((3, *points.shape[:-1]))
        layers[1], layers[2] = 0.5, 1.63
        self.change(points, layers)
        return layers


def shell(near, far, values, probe=NARROW):
    """A layer from depth `near` to `far` (mm) along the beams, on the side x > 0 only."""

    def change(points, layers):
        x, y, z = points.unbind(-1)
        r, _, _ = probe.to_beam(x, y, z)
        layers[:, (r >= near) & (r < far) & (x > 0)] = torch.tensor(values)[:, None]

    return Medium(change)


def sac(points, layers):
    """A fluid sac with a body in it and a bony shell in the body."""
    radius = torch.linalg.vector_norm(points - torch.tensor([4.0, 0.0, 72.0]), dim=-1)
    for reach, *values in ((26, 0.01, 0.005, 1.51), (14, 0.8, 0.5, 1.62), (8, 1.5, 6.0, 2.8), (7, 0.4, 0.3, 1.58)):
        layers[:, radius < reach] = torch.tensor(values)[:, None]


def half_maximum_width(profile, positions):
    """Distance between the two crossings of half the peak, on a spline through the logarithms."""
    level = np.log(profile.double().numpy() / profile.max().item())
    near = level > -8
    crossings = CubicSpline(positions[near], level[near]).solve(np.log(0.5), extrapolate=False)
    return np.ptp(crossings)


def decibel(ratio):
    return 10 * np.log10(float(ratio))


def test_envelope_of_uniform_tissue_is_rayleigh_at_three_depths():
    data = ultrasound.beam_data(Medium(), NARROW, Settings(), seed=1)
    for depth in (25, 65, 115):
        speckle = data.envelope[(data.r - depth).abs() < 4]
        assert speckle.mean() / speckle.std() == pytest.approx(1.91, rel=0.05)
        assert speckle.square().mean().sqrt() == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize("depth", [45.0, 105.0])
def test_point_target_has_the_width_asked_for(depth):
    probe = Probe(lateral_view=16.0, sweep=30.0, lines_per_width=5.0)
    middle = [len(probe.phis()) // 2, len(probe.thetas()) // 2]
    row = int((probe.depths() - depth).abs().argmin())

    def point(points, layers):
        layers[0] = 0
        layers[0, row, middle[0], middle[1]] = 1

    data = ultrasound.beam_data(Medium(point), probe, Settings(**SILENT), seed=2)
    r = data.r[row].double()
    axial = half_maximum_width(data.envelope[:, middle[0], middle[1]], data.r.numpy())
    lateral = half_maximum_width(data.envelope[row, middle[0]], data.theta.numpy() * float(probe.curvature + r))
    elevational = half_maximum_width(data.envelope[row, :, middle[1]], data.phi.numpy() * float(probe.pivot + r))
    assert axial == pytest.approx(probe.axial_width(), rel=0.03)
    assert lateral == pytest.approx(float(probe.lateral_width(r)), rel=0.03)
    assert elevational == pytest.approx(float(probe.elevational_width(r)), rel=0.03)
    assert axial < lateral < elevational


def test_beams_widen_with_depth():
    for seed in range(20):
        probe = Probe.random(np.random.default_rng(seed))
        near, far = (np.float64(depth) for depth in (75, 115))
        assert probe.axial_width() < probe.lateral_width(near) < probe.lateral_width(far)
        assert probe.lateral_width(far) < probe.elevational_width(far)
        assert probe.elevational_width(near) < probe.elevational_width(far)


@pytest.mark.parametrize(
    "thickness, attenuation",
    [(2.0, 10.0), (20.0, 0.005)],
    ids=["shadow behind bone", "enhancement behind fluid"],
)
def test_intensity_behind_a_layer_follows_its_attenuation(thickness, attenuation):
    medium = shell(50, 50 + thickness, (1.0, attenuation, 1.63))
    data = ultrasound.beam_data(medium, NARROW, Settings(**SILENT), seed=3)
    behind = data.envelope[(data.r > 80) & (data.r < 110)].square()
    found = decibel(behind[..., data.theta > 0.08].mean() / behind[..., data.theta < -0.08].mean())
    wanted = 2 * NARROW.frequency * (0.5 - attenuation) * thickness / 10
    assert found == pytest.approx(wanted, abs=0.6)


def test_fluid_is_dark_and_noise_grows_with_depth():
    fluid = Medium(lambda points, layers: layers[0].fill_(1e-4))
    data = ultrasound.beam_data(fluid, NARROW, Settings(noise=-20, reverberation=-150, tgc_error=0), seed=4)
    near, far = (data.envelope[(data.r - depth).abs() < 2].square().mean() for depth in (70, 120))
    assert decibel(far / near) == pytest.approx(2 * NARROW.frequency * 0.5 * 5, abs=1)
    assert decibel(far) == pytest.approx(-20 - 2 * NARROW.frequency * 0.5 * 0.8, abs=1)


@pytest.mark.parametrize("axis", [0, 1], ids=["lateral", "elevational"])
def test_specular_echo_follows_incidence(axis):
    def wall(degrees):
        normal = torch.zeros(3)
        normal[axis], normal[2] = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))

        def change(points, layers):
            layers[0] = 1e-3
            depth = (points - torch.tensor([0.0, 0.0, 70.0])) @ normal
            layers[2] = 1.63 + 0.1 * ((depth + 0.15) / 0.3).clamp(0, 1)

        return Medium(change)

    def echo(degrees):
        data = ultrasound.beam_data(wall(degrees), NARROW, Settings(**SILENT, specular_exponent=6.0), seed=5)
        middle = data.envelope[(data.r - 70).abs() < 10, len(data.phi) // 2, len(data.theta) // 2]
        return middle.max().item()

    normal, tilted, grazing = echo(0), echo(30), echo(70)
    reflected = 100 * 0.1 / (2 * 1.68)  # specular_gain 40 dB
    assert 20 * np.log10(normal / reflected) == pytest.approx(0, abs=4)
    assert 20 * np.log10(tilted / normal) == pytest.approx(20 * np.log10(np.cos(np.radians(30)) ** 6), abs=5)
    assert 20 * np.log10(grazing / normal) < -35


@pytest.mark.parametrize("axis", [0, 1], ids=["lateral", "elevational"])
@pytest.mark.parametrize("degrees", [0, 25, 50])
def test_incidence_of_a_thin_tilted_plate(axis, degrees):
    normal = torch.zeros(3)
    normal[axis], normal[2] = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))

    def plate(points, layers):
        depth = (points - torch.tensor([0.0, 0.0, 70.0])) @ normal
        layers[2] += (1.4 - depth.abs()).clamp(0, 0.7)

    axes = NARROW.depths(), NARROW.phis(), NARROW.thetas()
    impedance = Medium(plate).sample(NARROW.sample_points())[2]
    cosine = ultrasound.incidence(impedance, NARROW, *axes).sqrt()
    row = int((axes[0] - 70).abs().argmin()) // ultrasound.COARSE
    found = cosine[row, len(axes[1]) // 2, len(axes[2]) // 2]
    assert np.degrees(np.arccos(found.item())) == pytest.approx(degrees, abs=8)


@pytest.mark.parametrize("pose", [np.eye(4), OBLIQUE], ids=["straight", "oblique"])
def test_scan_conversion_inverts_the_geometry(pose):
    """A picture whose grey is a coordinate of the world shows that coordinate in every voxel, left as left."""
    probe = Probe(box=(70.0, 60.0, 90.0), pose=pose)
    points = probe.sample_points()
    matrix = volume_to_world(probe, 0.5)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(0.5**3)
    for axis in range(3):
        lowest, highest = points[..., axis].min(), points[..., axis].max()
        grey = scan_convert((points[..., axis] - lowest) / (highest - lowest), probe, 0.5)
        k, j, i = np.nonzero(grey)
        wanted = np.stack([i, j, k], -1) @ matrix[axis, :3] + matrix[axis, 3]
        found = (grey[k, j, i] - 1.0) / 254 * float(highest - lowest) + float(lowest)
        assert abs(found - wanted).max() < 0.5
        assert len(k) > 0.7 * grey.size


@pytest.mark.parametrize("pose", [np.eye(4), OBLIQUE], ids=["straight", "oblique"])
def test_target_appears_where_it_is(pose):
    probe = Probe(lateral_view=50.0, sweep=50.0, pose=pose)
    target = pose[:3, :3] @ (14.0, -9.0, 70.0) + pose[:3, 3]

    def ball(points, layers):
        radius = torch.linalg.vector_norm(points - torch.as_tensor(target, dtype=torch.float32), dim=-1)
        layers[0] = torch.where(radius < 4, 10.0, 0.01)

    volume = ultrasound.acquire(Medium(ball), probe, Settings(), spacing=1.0, seed=6)
    bright = np.argwhere(volume.array > 200)[:, ::-1]
    assert np.linalg.norm(volume.grid.to_world(bright).mean(0) - target) < 1.0


@pytest.fixture(scope="module")
def native():
    return ultrasound.acquire(Medium(sac), Probe(), Settings(), seed=7)


def test_volume_is_as_a_machine_stores_it(native):
    assert native.array.dtype == np.uint8
    assert native.array.shape == (260, 205, 220)
    assert native.grid.spacing == pytest.approx(0.5)
    assert native.array[:2, :20, :20].max() == 0  # beside the probe
    assert native.array[200, 102, 110] > 0


@pytest.mark.parametrize("spacing", [1.25, 1.0])
def test_coarse_volume_matches_the_downsampled_one(native, spacing):
    coarse = ultrasound.acquire(Medium(sac), Probe(), Settings(), spacing=spacing, seed=7)
    reference = resample(native, coarse.grid).numpy()
    for found, wanted in zip(statistics(coarse.array, spacing), statistics(reference, spacing), strict=True):
        assert found == pytest.approx(wanted, rel=0.1)
    sector, shown = (image[image >= 0.5].astype(float) for image in (coarse.array, reference))
    assert len(sector) == pytest.approx(len(shown), rel=0.02)
    assert sector.mean() == pytest.approx(shown.mean(), rel=0.02)
    assert sector.std() == pytest.approx(shown.std(), rel=0.03)
    bins = np.linspace(0, 256, 33)
    found, wanted = (np.histogram(image, bins)[0] / image.size for image in (coarse.array, reference))
    assert abs(found - wanted).sum() / 2 < 0.1
    assert np.corrcoef(coarse.array.ravel(), reference.ravel())[0, 1] > 0.98


def statistics(image, spacing):
    """Mean, speckle contrast and correlation lengths (mm, along z, y, x) of uniform tissue before the sac."""
    start, stop = (int(mm / spacing) for mm in (18, 40))
    speckle = image[start:stop, image.shape[1] // 4 : -image.shape[1] // 4, image.shape[2] // 4 : -image.shape[2] // 4]
    speckle = speckle.astype(float)
    yield speckle.mean()
    yield speckle.std() / speckle.mean()
    speckle -= speckle.mean((1, 2), keepdims=True)
    for axis in range(3):
        ahead = np.moveaxis(speckle, axis, 0)
        next_to = (ahead[1:] * ahead[:-1]).mean() / (speckle**2).mean()
        yield spacing / np.sqrt(-np.log(next_to))  # of a Gaussian autocorrelation


def test_same_seed_same_volume():
    probe, medium = Probe(lateral_view=20, sweep=20), Medium(sac)
    first, again, other = (ultrasound.acquire(medium, probe, Settings(), spacing=1.25, seed=seed) for seed in (8, 8, 9))
    assert np.array_equal(first.array, again.array)
    assert not np.array_equal(first.array, other.array)
    generator = torch.Generator().manual_seed(8)
    assert np.array_equal(
        first.array, ultrasound.acquire(medium, probe, Settings(), spacing=1.25, seed=generator).array
    )


def test_draws_stay_in_their_ranges():
    for seed in range(50):
        rng = np.random.default_rng(seed)
        probe, scanner, shifted = Probe.random(rng), Settings.random(rng), Settings.shifted(rng)
        endocavitary = Probe.transvaginal(rng)
        assert 45 <= scanner.dynamic_range <= 70 and abs(scanner.gain) <= 5
        assert not 45 <= shifted.dynamic_range <= 70 and abs(shifted.gain) > 5
        assert probe.axial_width() < probe.lateral_width(np.float64(70)) < probe.elevational_width(np.float64(110))
        assert endocavitary.curvature < 20 < probe.curvature


def test_impossible_probes_are_refused():
    with pytest.raises(ValueError, match="mirrors"):
        Probe(pose=np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(ValueError, match="behind the sweep's pivot"):
        Probe(lateral_view=150.0, pivot=20.0)
