"""A case, a pool of it, and a folder of volumes as a user would have it."""

import numpy as np
import pytest
from training_cases import LANDMARKS, SIDE, SKELETON, anisotropic_left_handed, cube, lps_markups, lps_nrrd, paint

from FetalPoseLib.training.pool import Pool, PoolCase, save_case
from FetalPoseLib.volume.grid import Grid


@pytest.fixture(scope="module")
def case() -> PoolCase:
    size = round(SIDE / 2)
    affine = cube(2.0)
    return PoolCase("own-one", paint((size,) * 3, affine), Grid((size,) * 3, affine), LANDMARKS)


@pytest.fixture
def pool(case, tmp_path) -> Pool:
    folder = tmp_path / "pool"
    folder.mkdir()
    save_case(folder, case)
    return Pool(folder)


@pytest.fixture
def held_out(tmp_path):
    """A folder of one pair that is not of `data`."""
    folder = tmp_path / "held_out"
    folder.mkdir()
    lps_nrrd(folder / "c.nrrd", cube(2.5), (round(SIDE / 2.5),) * 3)
    lps_markups(folder / "c.mrk.json", LANDMARKS)
    return folder


@pytest.fixture
def data(tmp_path):
    """A folder of two pairs, isotropic and oblique; the oblique one does not see a wrist."""
    folder = tmp_path / "data"
    folder.mkdir()
    size = round(SIDE / 2)
    lps_nrrd(folder / "a.nrrd", cube(2.0), (size,) * 3)
    lps_markups(folder / "a.mrk.json", LANDMARKS)
    shape = tuple(int(1.5 * SIDE / step) for step in (1.3, 2.0, 1.5))
    lps_nrrd(folder / "b.old.nrrd", anisotropic_left_handed(shape), shape)
    points = LANDMARKS.copy()
    points[SKELETON.index("left_wrist")] = np.nan
    lps_markups(folder / "b.old.mrk.json", points, system="RAS")
    return folder
