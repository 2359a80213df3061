"""Grey values of any scale give the pose of the machine's picture; a picture that is stored so stays as it is."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from FetalPoseLib.detection.search import SearchOptions
from FetalPoseLib.training.pool import canonical_case
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.intensity import normalise_intensity, picture_of

SAMPLE = Path(__file__).parent.parent / "Resources" / "sample" / "sample.nrrd"


def in_sector(shape=(40, 44, 48), seed=0) -> np.ndarray:
    """Greys of 1 to 255 in a ball, smooth enough to hold a shape, and 0 outside."""
    z, y, x = np.mgrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    grey = np.random.default_rng(seed).integers(1, 256, shape) * (0.4 + 0.6 * (x > 0))
    return np.where(x**2 + y**2 + z**2 < 1.2, np.maximum(grey, 1), 0).astype(np.uint8)


def decibel(grey):
    with np.errstate(divide="ignore"):
        return 20 * np.log10(grey / np.float32(255))


def z_score(grey):
    return ((grey - grey.mean()) / grey.std()).astype(np.float32)


def z_score_of_sector(grey):
    values = grey[grey > 0]
    return np.where(grey > 0, (grey - values.mean()) / values.std(), 0).astype(np.float32)


#: What tools make of the greys of 0 to 255 without losing one of them.
KEEPING = {
    "16 bits": lambda grey: grey.astype(np.uint16) * 257,
    "signed": lambda grey: (grey.astype(np.int16) - 128).astype(np.int8),
    "offset": lambda grey: grey.astype(np.int16) + 1000,
    "padded": lambda grey: np.where(grey > 0, grey.astype(np.int16), -1024),
    "fraction": lambda grey: grey / np.float32(255),
    "tiny": lambda grey: grey * np.float32(1e-6),
    "huge": lambda grey: grey * np.float32(1e30),
    "linear decibel": lambda grey: grey / np.float32(255) * 60 - 60,
    "decibel": decibel,
    "decibel with a floor": lambda grey: np.maximum(decibel(grey), -60),
    "decibel beside 0": lambda grey: np.where(grey > 0, decibel(grey) - np.float32(0.01), 0),
    "z-score": z_score,
    "z-score of the sector": z_score_of_sector,
    "logarithm": lambda grey: np.log1p(grey.astype(np.float32)),
    "gamma 0.5": lambda grey: (grey / np.float32(255)) ** 0.5,
    "gamma 2": lambda grey: (grey / np.float32(255)) ** 2,
    "amplitude": lambda grey: np.where(grey > 0, 10 ** ((grey / np.float32(255) * 60 - 60) / 20), 0),
    "NaN outside": lambda grey: np.where(grey > 0, grey, np.nan).astype(np.float32),
}
#: 8 bits again, after which several greys are the same.
LOSING = {
    "gamma 0.5": lambda grey: np.round(255 * (grey / 255) ** 0.5).astype(np.uint8),
    "logarithm": lambda grey: np.round(255 * np.log1p(grey.astype(float)) / np.log(256)).astype(np.uint8),
    "gamma 2.2, 16 bits": lambda grey: np.round(65535 * (grey / 255) ** 2.2).astype(np.uint16),
    "halved": lambda grey: grey // 2,
    "brighter": lambda grey: np.clip(grey.astype(int) + 20, 0, 255).astype(np.uint8),
    "stretched": lambda grey: np.clip(grey * 1.1, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_a_stored_picture_stays_as_it_is(dtype):
    grey = in_sector()
    picture = picture_of(Volume(grey.astype(dtype), np.eye(4)))
    np.testing.assert_array_equal(picture.array, grey)
    assert picture.array.dtype == np.uint8


@pytest.mark.parametrize("name", KEEPING)
def test_an_increasing_function_is_undone(name):
    grey = in_sector()
    mapped = picture_of(Volume(KEEPING[name](grey), np.eye(4))).array
    np.testing.assert_array_equal(mapped > 0, grey > 0)  # what lies outside the sector is found
    inside = grey > 0
    difference = _standard(mapped[inside]) - _standard(grey[inside])
    assert np.abs(difference).max() < 1e-5


@pytest.mark.parametrize("name", LOSING)
def test_a_curve_in_8_bits_is_undone_as_far_as_greys_are_left(name):
    grey = in_sector()
    mapped = picture_of(Volume(LOSING[name](grey), np.eye(4))).array
    inside = grey > 0
    assert np.abs(_standard(mapped[inside]) - _standard(grey[inside])).mean() < 0.05


def test_a_volume_without_an_outside_is_all_picture():
    grey = np.random.default_rng(0).normal(-40, 10, (30, 30, 30)).astype(np.float32)
    picture = picture_of(Volume(grey, np.eye(4))).array
    assert picture.min() == 1 and picture.max() == 255
    assert np.corrcoef(picture.ravel(), grey.ravel())[0, 1] > 0.999


def test_one_voxel_far_from_all_others_does_not_flatten_the_picture():
    grey = np.random.default_rng(0).normal(100, 10, (30, 30, 30)).astype(np.float32)
    grey[3, 4, 5] = 1e6
    assert picture_of(Volume(grey, np.eye(4))).array.std() > 15


def test_black_without_echo_within_the_sector_is_dark_and_not_outside():
    image = torch.zeros(20, 20, 20)
    image[2:18, 2:18, 2:18] = torch.rand(16, 16, 16, generator=torch.Generator().manual_seed(0)) * 100 + 100
    image[8:11, 8:11, 8:11] = 0
    result = normalise_intensity(image)
    assert (result[8:11, 8:11, 8:11] == result[result != 0].min()).all()
    assert (result[:2] == 0).all()


def test_training_sees_the_same_picture_as_the_estimator():
    grey, landmarks = in_sector(), np.full((16, 3), np.nan)
    expected = canonical_case("a", Volume(grey, np.eye(4)), landmarks, spacing=1.0).volume
    for name in ("linear decibel", "z-score", "16 bits"):
        mapped = Volume(KEEPING[name](grey), np.eye(4))
        np.testing.assert_array_equal(canonical_case("a", mapped, landmarks, spacing=1.0).volume, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", KEEPING)
def test_the_pose_does_not_change(name):
    volume, expected = _sample_and_pose()
    found = _estimator().estimate(Volume(KEEPING[name](volume.array), volume.ijk_to_ras))
    np.testing.assert_allclose(found.points, expected.points, atol=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSING)
def test_the_pose_hardly_changes_where_greys_are_lost(name):
    """In the mean: single landmarks for which the network sees two places may move, see docs/reading.md."""
    volume, expected = _sample_and_pose()
    found = _estimator().estimate(Volume(LOSING[name](volume.array), volume.ijk_to_ras))
    assert (np.isfinite(found.points) == np.isfinite(expected.points)).all()
    assert np.nanmean(np.linalg.norm(found.points - expected.points, axis=1)) < 0.2


@pytest.mark.parametrize("rounds", [1, pytest.param(SearchOptions().rounds, marks=pytest.mark.slow)])
def test_an_inverted_picture_is_named(rounds):
    volume, expected = _sample_and_pose()
    estimator = copy.copy(_estimator())
    estimator.detector = replace(estimator.detector, search=SearchOptions(rounds=rounds))
    found = estimator.estimate(Volume(255 - volume.array, volume.ijk_to_ras))
    assert "inverted" in found.warnings[0]
    assert not any("inverted" in warning for warning in expected.warnings)


@cache
def _estimator():
    from FetalPoseLib.estimator import Estimator

    return Estimator()


@cache
def _sample_and_pose():
    from FetalPoseLib import read_volume

    volume = read_volume(SAMPLE)
    return volume, _estimator().estimate(volume)


def _standard(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.mean()) / values.std()
