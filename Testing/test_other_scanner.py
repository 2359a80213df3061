"""The scanner that adapting is measured on: no training draws it, and its subjects are reproducible."""

from dataclasses import fields

import numpy as np

from FetalPoseLib.simulation.build import Build
from FetalPoseLib.simulation.clutter import Clutter
from FetalPoseLib.simulation.datasets import draw_scenario, draw_subject, simulate
from FetalPoseLib.simulation.families import FAMILIES, draw_probe
from FetalPoseLib.simulation.other_scanner import OTHER_BUILD, other_probe, other_settings
from FetalPoseLib.simulation.settings import Settings


def beyond(value: float, drawn: list[float]) -> bool:
    return not min(drawn) <= value <= max(drawn)


def test_probe_preset_and_build_lie_outside_what_training_draws():
    rng = np.random.default_rng(0)
    probes = [draw_probe(family, rng) for family in FAMILIES for _ in range(100)]
    for name in ("frequency", "fractional_bandwidth", "lateral_aperture"):
        assert beyond(getattr(other_probe(rng), name), [getattr(probe, name) for probe in probes]), name
    presets = [Settings.varied(rng, Clutter()) for _ in range(300)]
    for name in ("dynamic_range", "gamma", "specular_gain"):
        assert beyond(getattr(other_settings(rng, Clutter()), name), [getattr(s, name) for s in presets]), name
    builds = [Build.random(rng, 0.22) for _ in range(300)]
    changed = [field.name for field in fields(Build) if getattr(OTHER_BUILD, field.name) != 1]
    assert len(changed) == 3
    for name in changed:
        assert beyond(getattr(OTHER_BUILD, name), [getattr(build, name) for build in builds]), name


def test_its_subjects_have_the_build_the_probe_and_nothing_of_other_splits():
    assert draw_scenario("scanner2", 3).build == OTHER_BUILD
    subject = draw_subject("scanner2", 3)
    assert subject.probe.frequency == 2.5 and subject.settings.dynamic_range == 32
    same, other = simulate("scanner2", 3, spacing=4.0), simulate("left-out2", 3, spacing=4.0)
    np.testing.assert_array_equal(same.volume.array, simulate("scanner2", 3, spacing=4.0).volume.array)
    assert not np.allclose(same.body, other.body)
