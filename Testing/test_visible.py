"""Which landmarks a view counts as visible: the confident ones, inside what was scanned, not on its edge."""

import numpy as np
import pytest
import torch

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.detection.view import EDGE_CONFIDENCE, EDGE_MM, LEAST_CONFIDENCE, Scan, View
from FetalPoseLib.volume.grid import Grid

SPACING = 1.25  # mm
WIDTH = 40  # voxels, of which the first ten along x were not scanned


@pytest.fixture
def scan():
    image = torch.ones(WIDTH, WIDTH, WIDTH)
    image[:, :, :10] = 0
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]) * SPACING
    affine = np.block([[turned, np.array([[5.0], [-7.0], [3.0]])], [np.zeros((1, 3)), 1]])
    return Scan(image, Grid((WIDTH,) * 3, affine))


def view(scan, points, frame=True):
    box = FetalFrame(np.eye(3), np.zeros(3), 20.0) if frame else None
    return View(scan.image, scan.grid, torch.zeros(16, 4, 4, 4), points, np.zeros(16), scan, box)


def at(scan, x, y=20.0, z=20.0):
    """16 points at a voxel, RAS mm."""
    return np.repeat(scan.grid.to_world(np.array([[x, y, z]])), 16, axis=0)


def visible(scan, points, confidence, frame=True):
    found = view(scan, points, frame).visible(points, np.full(16, confidence))
    shown = np.isfinite(found).all(axis=1)
    np.testing.assert_array_equal(found[shown], points[shown])
    assert shown.all() or not shown.any()
    return bool(shown.all())


def test_deep_in_the_scan_a_little_confidence_is_enough(scan):
    assert visible(scan, at(scan, 25), LEAST_CONFIDENCE)
    assert not visible(scan, at(scan, 25), LEAST_CONFIDENCE - 0.01)


@pytest.mark.parametrize("edge", ["sector", "box"])
def test_at_the_edge_more_confidence_is_asked_for(scan, edge):
    first, step = (10, 1) if edge == "sector" else (WIDTH - 1, -1)
    assert visible(scan, at(scan, first), EDGE_CONFIDENCE)
    assert not visible(scan, at(scan, first), EDGE_CONFIDENCE - 0.01)
    within = first + step * int(EDGE_MM / SPACING)  # so many voxels away from the last one that was not scanned
    assert not visible(scan, at(scan, within - step), EDGE_CONFIDENCE - 0.01)
    assert visible(scan, at(scan, within + step), EDGE_CONFIDENCE - 0.01)


def test_outside_the_scan_nothing_is_visible(scan):
    assert not visible(scan, at(scan, 9), 1.0)
    assert not visible(scan, at(scan, 25, y=WIDTH), 1.0)
    assert not visible(scan, np.full((16, 3), np.nan), 1.0)


def test_one_pass_over_the_whole_volume_has_a_limit_of_its_own(scan):
    assert visible(scan, at(scan, 11), 0.1, frame=False)
    assert not visible(scan, at(scan, 11), 0.05, frame=False)
    assert not visible(scan, at(scan, 9), 1.0, frame=False)
