"""Crown and rump found in volumes of painted bodies, whose skin is known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from FetalPoseLib.body import parts
from FetalPoseLib.body.crown_rump import crown_rump_of_pose
from FetalPoseLib.body.parts import unit
from FetalPoseLib.measurement.crown_rump import SEEN_ERROR_MM, crown_rump_length
from FetalPoseLib.measurement.greys import Greys
from FetalPoseLib.measurement.head_turn import head_turn_deg
from FetalPoseLib.simulation.anatomy import skin_shapes
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.implicit import Canvas
from FetalPoseLib.simulation.kinematics import pose_body
from FetalPoseLib.simulation.true_posture import crown_and_rump, crown_rump_mm
from FetalPoseLib.volume.grid import Volume

SPACING = 0.6
MARGIN = 8.0


class Painted:
    """A body in dark fluid with speckle, blurred as ultrasound is; 0 outside a box about it."""

    def __init__(self, seed):
        rng = np.random.default_rng([37, seed])
        self.body = pose_body(rng, draw_biometry(rng, weeks=11.0))
        shapes = skin_shapes(self.body)
        bounds = np.array([shape.bounds() for shape in shapes])
        canvas = Canvas(bounds[:, 0].min(axis=0) - MARGIN, bounds[:, 1].max(axis=0) + MARGIN, SPACING)
        field = canvas.distance_field(shapes, fillet=0.05 * self.body.biometry.crl).numpy()
        greys = np.where(field < 0, 110.0, 45.0) * rng.rayleigh(0.8, field.shape)
        self.array = gaussian_filter(greys, 1.0).clip(1, 255)
        self.points = canvas.points().numpy()
        self.ijk_to_ras = np.diag([SPACING, SPACING, SPACING, 1.0])
        self.ijk_to_ras[:3, 3] = self.points[0, 0, 0]
        self.pose = self.body.landmarks

    @property
    def volume(self):
        return Volume(np.round(self.array).astype(np.uint8), self.ijk_to_ras)

    def height(self):
        """How far along the line from sacrum to head every voxel lies, (nz, ny, nx) mm; and of crown and rump."""
        axis = unit(self.pose[0] - self.pose[7])
        return self.points @ axis, [end @ axis for end in crown_and_rump(self.body)]


@pytest.fixture(scope="module")
def painted():
    return [Painted(seed) for seed in range(4)]


def test_both_ends_are_found_in_the_volume(painted):
    for one in painted:
        found, truth = crown_rump_length(one.volume, one.pose), crown_rump_mm(one.body)
        assert found.source == "volume"
        assert found.length_mm == pytest.approx(truth, abs=1.2)
        assert np.ptp(found.interval_mm) == pytest.approx(2 * SEEN_ERROR_MM)


def test_the_length_is_that_of_the_volume_where_landmarks_are_off(painted):
    """The head taken too low and the sacrum too high: landmarks alone make the fetus too short."""
    for one in painted:
        axis, pose = unit(one.pose[0] - one.pose[7]), one.pose.copy()
        pose[0] -= 1.2 * axis
        pose[7] += 0.6 * axis
        truth = crown_rump_mm(one.body)
        by_volume, by_pose = crown_rump_length(one.volume, pose), crown_rump_of_pose(pose)
        assert abs(by_volume.length_mm - truth) < abs(by_pose.length_mm - truth) - 0.3


@pytest.mark.parametrize("curve", [lambda g: g - 128.0, lambda g: 20 * np.log10(g), lambda g: 700 * (g / 255) ** 0.5])
def test_the_scale_of_the_greys_does_not_matter(painted, curve):
    one = painted[0]
    other = Volume(curve(np.round(one.array)), one.ijk_to_ras)
    assert crown_rump_length(other, one.pose).length_mm == pytest.approx(
        crown_rump_length(one.volume, one.pose).length_mm, abs=0.26
    )


def test_axes_and_handedness_of_the_volume_do_not_matter(painted):
    one = painted[1]
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, one.array.shape[2] - 1
    turned = Volume(one.volume.array[:, :, ::-1], one.ijk_to_ras @ flip)
    swap = np.eye(4)[[2, 1, 0, 3]]
    swapped = Volume(one.volume.array.transpose(2, 1, 0), one.ijk_to_ras @ swap)
    asked = crown_rump_length(one.volume, one.pose)
    for other in (turned, swapped):
        assert crown_rump_length(other, one.pose).length_mm == pytest.approx(asked.length_mm, abs=1e-6)


@pytest.mark.parametrize("end", [0, 1])
def test_an_end_that_touches_the_wall_or_is_cut_off_is_not_made_up(painted, end):
    for one in painted[:2]:
        height, ends = one.height()
        beyond = height > ends[0] - 1.5 if end == 0 else height < ends[1] + 1.5
        wall, cut = one.array.copy(), one.array.copy()
        inside = wall[~beyond & (wall > np.median(wall))]
        wall[beyond] = np.random.default_rng(0).choice(inside, beyond.sum())
        cut[beyond] = 0
        for array in (gaussian_filter(wall, 0.5), cut):
            found = crown_rump_length(Volume(np.round(array).astype(np.uint8), one.ijk_to_ras), one.pose)
            assert found == crown_rump_of_pose(one.pose)


def test_an_inverted_or_empty_picture_gives_the_length_of_the_pose(painted):
    one = painted[0]
    for array in (255 - one.volume.array, np.zeros_like(one.volume.array), np.full(one.array.shape, np.nan)):
        assert crown_rump_length(Volume(array, one.ijk_to_ras), one.pose) == crown_rump_of_pose(one.pose)


def test_a_pose_outside_the_volume_gives_the_length_of_the_pose(painted):
    one = painted[0]
    away = one.pose + 500.0
    assert crown_rump_length(one.volume, away) == crown_rump_of_pose(away)


def test_without_head_or_sides_the_landmarks_decide(painted):
    one = painted[0]
    for rows in ([0], [1, 13], [1, 3, 10, 13]):
        pose = one.pose.copy()
        pose[rows] = np.nan
        assert crown_rump_length(one.volume, pose) == crown_rump_of_pose(pose)
    pose = one.pose.copy()
    pose[7] = np.nan
    assert crown_rump_length(one.volume, pose) is None


def test_greys_are_ranks_and_nothing_outside_the_sector():
    rng = np.random.default_rng(0)
    array = rng.integers(1, 200, (20, 20, 20)).astype(np.uint8)
    array[:6] = 0
    greys = Greys.of(Volume(array, np.eye(4)))
    assert np.isnan(greys.at([10, 10, 2])) and np.isnan(greys.at([-3, 10, 10])) and np.isnan(greys.at([10, 10, 30]))
    brightest = np.argwhere(array == array.max())[0][::-1]
    assert greys.at(brightest) > 0.98
    values = greys.at(np.argwhere(array > 0)[:500, ::-1])
    assert 0 <= values.min() and values.max() <= 1 and np.median(values) == pytest.approx(0.5, abs=0.1)


# the head's turn


def two_sided_head(body, rng):
    """Greys of a head that is the same on both sides, with what a face and a brain have: (function of points)."""
    blobs = rng.uniform([0.15, -0.8, -0.7], [0.8, 0.9, 0.7], (30, 3))
    half = 0.5 * body.biometry.ofd

    def greys(points):
        local = (points - body.landmarks[0]) @ body.head / half
        local = np.stack([np.abs(local[..., 0]), local[..., 1], local[..., 2]], axis=-1)
        inside = np.linalg.norm(local / [0.8, 1.0, 0.9], axis=-1)
        values = np.where(inside < 1, 60.0, 20.0) + 90 * ((inside > 0.88) & (inside < 1))
        for blob in blobs:
            values = values + 80 * np.exp(-0.5 * (np.linalg.norm(local - blob, axis=-1) / 0.10) ** 2)
        return values

    return greys


@pytest.mark.parametrize("seed", range(4))
def test_the_heads_turn_is_found_by_its_symmetry(seed):
    rng = np.random.default_rng([41, seed])
    body = pose_body(rng, draw_biometry(rng, weeks=12.0))
    line = np.arange(-18, 18.1, 0.8)
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    points = body.landmarks[0] + np.stack([x, y, z], axis=-1)
    array = two_sided_head(body, rng)(points) * rng.rayleigh(0.8, points.shape[:3])
    matrix = np.diag([0.8, 0.8, 0.8, 1.0])
    matrix[:3, 3] = body.landmarks[0] - 18
    volume = Volume(gaussian_filter(array, 0.7), matrix)
    straight = parts.head(parts.visible(body.landmarks))
    forward = straight.T @ body.head[:, 1]
    asked = np.degrees(np.arctan2(-forward[0], forward[1]))
    assert head_turn_deg(volume, body.landmarks) == pytest.approx(asked, abs=7.0)


def test_a_picture_without_a_head_gives_no_turn(painted):
    one = painted[0]
    noise = np.random.default_rng(0).integers(1, 255, one.array.shape).astype(np.uint8)
    assert head_turn_deg(Volume(noise, one.ijk_to_ras), one.pose) is None
    assert head_turn_deg(Volume(np.zeros_like(noise), one.ijk_to_ras), one.pose) is None
    assert head_turn_deg(one.volume, one.pose + 500.0) is None
    pose = one.pose.copy()
    pose[0] = np.nan
    assert head_turn_deg(one.volume, pose) is None
