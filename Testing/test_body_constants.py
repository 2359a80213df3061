"""The constants of head, trunk, posture and crown-rump length are those that bodies like the training's give."""

import pytest

from FetalPoseLib.benchmark.body_constants import fit, training_bodies
from FetalPoseLib.body import crown_rump, parts, posture

#: How far a fit to few bodies may be off.
TOLERANCE = {"GAIN": 0.08, "DEG": 1.5, "TO": 0.03, "SLOPE": 0.04, "ERROR": 0.05, "MM": 1.2, "": 0.07}


@pytest.fixture(scope="module")
def fitted():
    return fit(training_bodies(40))


def test_the_constants_are_fitted_to_simulated_bodies(fitted):
    wrong = {}
    for name, value in fitted.items():
        own = next(getattr(module, name) for module in (parts, posture, crown_rump) if hasattr(module, name))
        allowed = next(limit for key, limit in TOLERANCE.items() if name.endswith(key) or f"_{key}_" in name)
        if abs(own - value) > allowed:
            wrong[name] = (own, value)
    assert not wrong
