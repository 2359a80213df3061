"""Bodies, subjects, media, scans and cases of the simulator, each made once per process."""

from functools import partial

import numpy as np
import pytest
from simulated_bodies import FINGERPRINTED, VERSION_1, _layer

from FetalPoseLib.simulation import kinematics
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.datasets import draw_subject, simulate
from FetalPoseLib.simulation.fingerprint import SPACING
from FetalPoseLib.simulation.kinematics import pose_body


@pytest.fixture(scope="session")
def bodies():
    """A hundred bodies, pelvis upright at the origin."""
    return [pose_body(rng, draw_biometry(rng)) for rng in (np.random.default_rng([17, k]) for k in range(100))]


@pytest.fixture(scope="session")
def subjects():
    """All 200 of the fixed subjects, by split."""
    return {split: [draw_subject(split, index) for index in range(count)] for split, count in VERSION_1.items()}


@pytest.fixture(scope="session")
def media():
    """A subject of each split with the medium that is scanned: [(subject, medium)]."""
    drawn = [draw_subject(split, 0) for split in VERSION_1]
    return [(subject, subject.medium()) for subject in drawn]


@pytest.fixture(scope="session")
def scans(media):
    """The same subjects with the impedance (MRayl) at points: [(subject, impedance(points))]."""
    return [(subject, partial(_layer, medium, 2)) for subject, medium in media]


@pytest.fixture(scope="session")
def cases():
    """Volumes of a few fixed subjects."""
    return {(split, index): simulate(split, index, spacing=SPACING) for split, index in FINGERPRINTED}


@pytest.fixture
def posed(monkeypatch):
    """posed(biometry, **angles): a body whose joints have these angles, in degrees, and whose others are drawn."""

    def make(biometry, seed=1, **angles):
        for joint, angle in angles.items():
            monkeypatch.setitem(kinematics.LIMITS, joint, (angle - 0.01, angle + 0.01, angle, 1e-5))
        return pose_body(np.random.default_rng(seed), biometry)

    return make
