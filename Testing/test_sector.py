"""The sector is found again where dark greys became the same as what lies outside it, and only there."""

import numpy as np
import pytest
import torch

from FetalPoseLib.volume.intensity import normalise_intensity
from FetalPoseLib.volume.sector import lost_in_sector

SHAPE = (60, 64, 72)


def fan(radius: float = 30.0) -> np.ndarray:
    """What a curved probe of this radius (voxels) over the middle of the box scans, 45 degrees to either side."""
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    depth, across = z + 0.7 * radius, np.hypot(x - 35.5, y - 31.5)
    reach = np.hypot(depth, across)
    return (reach >= radius) & (reach <= radius + 50) & (across < depth)


@pytest.mark.parametrize("radius", [6.0, 12.0])
def test_a_whole_sector_stays_as_it_is_with_the_bay_before_a_curved_face(radius):
    assert not lost_in_sector(fan(radius)).any()


def test_dark_fluid_that_was_lost_at_the_edge_is_found():
    sector = fan(10.0)
    seen = sector.copy()
    seen[20:, :, 50:] = False  # a shadow or fluid that reaches the sector's edge, but for a few speckles
    speckles = np.random.default_rng(0).random(SHAPE) < 0.02
    seen |= sector & speckles
    lost = lost_in_sector(seen)
    assert lost.sum() > 0.9 * (sector & ~seen).sum()
    assert (lost & ~sector).sum() < 0.04 * sector.sum()  # the bay


@pytest.mark.parametrize("mask", ["empty", "one", "line", "plane", "full"])
def test_what_has_no_hull_stays(mask):
    array = np.zeros(SHAPE, dtype=bool)
    array[{"empty": (slice(0, 0),), "one": (3, 4, 5), "line": (3, 4), "plane": (3,), "full": (slice(None),)}[mask]] = (
        True
    )
    assert not lost_in_sector(array).any()


def test_lost_voxels_count_as_the_darkest():
    image = torch.from_numpy(
        np.where(fan(10.0), 100 + np.random.default_rng(0).random(SHAPE) * 50, 0).astype(np.float32)
    )
    image[25:55, 20:40, 50:] = 0
    image[54, 30, 60] = image[54, 25, 55] = image[50, 35, 62] = 120.0
    result = normalise_intensity(image)
    assert result[40, 30, 55] == result[result != 0].min()
