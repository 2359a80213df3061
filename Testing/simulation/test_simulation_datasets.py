"""Shapes, surroundings and the frozen data sets: which subject a name gives, and what it shows."""

import copy
from dataclasses import astuple, replace
from itertools import chain

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from simulated_bodies import BONE, FINGERPRINTED, FLUID, VERSION_1, _layer, _tensor, sphere

from FetalPoseLib.simulation import datasets
from FetalPoseLib.simulation.anatomy import (
    skin_shapes,
    trunk_place,
)
from FetalPoseLib.simulation.biometry import CHARTS, chart_mean_sd, crl_mean_sd
from FetalPoseLib.simulation.datasets import draw_subject, in_sector, simulate, simulate_subject
from FetalPoseLib.simulation.display import scan_convert, volume_to_world
from FetalPoseLib.simulation.fingerprint import SPACING
from FetalPoseLib.simulation.implicit import Canvas, Capsule, Ellipsoid
from FetalPoseLib.simulation.splits import SPLITS
from FetalPoseLib.simulation.tissue import TISSUES
from FetalPoseLib.volume.grid import transform_points

# shapes and surroundings


def test_a_painted_shape_has_its_volume():
    turn = Rotation.from_euler("xyz", (20, 40, 60), degrees=True).as_matrix()
    for shape, volume in (
        (Ellipsoid(np.array([1.0, 2, 3]), turn, np.array([4.0, 6, 8])), 4 / 3 * np.pi * 4 * 6 * 8),
        (Capsule(np.zeros(3), np.array([6.0, 8, 0]), 3.0), np.pi * 9 * 10 + 4 / 3 * np.pi * 27),
        (Capsule(np.zeros(3), np.array([0, 0, 10.0]), 3.0, 1.0), None),
    ):
        lower, upper = shape.bounds()
        canvas = Canvas(lower - 1, upper + 1, 0.5)
        canvas.paint(shape, TISSUES["bone"])
        if volume is None:  # by symmetry lies between the cylinders of its two radii
            assert np.pi * 10 < canvas.fields[0].sum() * 0.5**3 < np.pi * 90 + 4 / 3 * np.pi * 27
        else:
            assert canvas.fields[0].sum() * 0.5**3 == pytest.approx(volume, rel=0.02)
        assert canvas.fields[3].max() == pytest.approx(BONE)


def test_the_fetus_floats_in_fluid_and_the_probe_is_outside(media):
    for subject, medium in media:
        head = skin_shapes(subject.body)[0]
        about = _layer(medium, 2, head.centre + (sphere(200) * (head.radii + 2.5)) @ head.rotation.T)
        assert (np.abs(about - FLUID) < 0.02).mean() > 0.5  # the rest is face, neck, arms and cord
        probe = subject.probe.pose[:3, 3]
        contact = transform_points(subject.probe.pose, np.array([[0.0, 0, 4], [0, 0, 6], [5, 5, 6]]))
        assert _layer(medium, 1, contact).min() > 0.3  # dB/cm/MHz: the mother's abdominal wall, no fluid
        within, without = subject.sac.distance(_tensor([trunk_place(subject.body, 0.36).origin, probe]))
        assert within < 0 and without > 5


# data sets


def test_no_two_fixed_subjects_are_the_same(subjects):
    drawn = list(chain.from_iterable(subjects.values())) + [draw_subject("fresh", index) for index in range(100)]
    assert {split: len(found) for split, found in subjects.items()} == {
        "train": 100,
        "validation": 24,
        "test": 52,
        "shifted": 24,
    }
    assert len({subject.name for subject in drawn}) == len(drawn)
    assert len({astuple(subject.biometry) for subject in drawn}) == len(drawn)
    assert len({subject.body.landmarks.tobytes() for subject in drawn}) == len(drawn)
    assert len({subject.rng.integers(2**63) for subject in copy.deepcopy(drawn)}) == len(drawn)
    assert len({SPLITS[split].word for split in VERSION_1}) == len(VERSION_1)


def test_a_name_gives_the_same_subject_and_the_same_bytes(cases):
    split, index = FINGERPRINTED[1]
    first, again = draw_subject(split, index), draw_subject(split, index)
    assert first.body.landmarks.tobytes() == again.body.landmarks.tobytes()
    assert first.settings == again.settings and first.biometry == again.biometry
    case, repeated = cases[split, index], simulate(split, index, spacing=SPACING)
    assert case.name == repeated.name == "validation-000"
    assert case.volume.array.tobytes() == repeated.volume.array.tobytes()
    assert case.landmarks.tobytes() == repeated.landmarks.tobytes()
    np.testing.assert_array_equal(case.volume.ijk_to_ras, repeated.volume.ijk_to_ras)


@pytest.mark.parametrize("split, index", [("training", 0), ("train", 100), ("test", -1), ("shifted", 24)])
def test_an_unknown_subject_is_an_error(split, index):
    with pytest.raises(ValueError, match="training" if split == "training" else str(index)):
        draw_subject(split, index)
    with pytest.raises(ValueError):
        simulate(split, index)


def test_a_seed_is_a_fresh_subject(monkeypatch):
    asked = []
    monkeypatch.setattr(datasets, "simulate", lambda *names, **options: asked.append((names, options)))
    simulate_subject(7, 1.25)
    assert asked == [(("fresh", 7), {"spacing": 1.25, "device": "cpu"})]


def test_landmarks_lie_in_the_sector_that_was_scanned(cases):
    for (split, index), case in ((name, case) for name, case in cases.items() if name[0] in VERSION_1):
        seen = ~np.isnan(case.landmarks).any(axis=1)
        body = draw_subject(split, index).body
        np.testing.assert_array_equal(case.landmarks[seen], body.landmarks[seen])
        voxels = transform_points(np.linalg.inv(case.volume.ijk_to_ras), case.landmarks[seen]).round().astype(int)
        assert (case.volume.array[tuple(voxels.T[::-1])] > 0).all()
        assert seen.sum() >= 14


def test_landmarks_outside_the_sector_are_nan():
    subject = draw_subject("validation", 0)
    pose = subject.probe.pose.copy()
    pose[:3, 3] += 55 * pose[:3, 0]
    aside = replace(subject, probe=subject.probe.held_at(pose))
    unseen = np.isnan(aside.landmarks)
    assert 0 < unseen.any(axis=1).sum() < 16
    assert (unseen.all(axis=1) == unseen.any(axis=1)).all()
    assert (unseen[:, 0] == ~in_sector(aside.probe, aside.body.landmarks)).all()
    np.testing.assert_array_equal(aside.landmarks[~unseen], aside.body.landmarks[~unseen])


@pytest.mark.parametrize("split", ["validation", "shifted"])
def test_the_sector_is_where_a_volume_has_voxels(split):
    probe = draw_subject(split, 0).probe
    grey = torch.full((len(probe.depths()), len(probe.phis()), len(probe.thetas())), 0.5)
    array = scan_convert(grey, probe, 0.5)
    voxels = np.random.default_rng(2).integers(0, array.shape[::-1], (50000, 3))
    points = transform_points(volume_to_world(probe, 0.5), voxels.astype(float))
    shown = array[tuple(voxels.T[::-1])] > 0
    assert 0.1 < shown.mean() < 0.95
    assert (shown != in_sector(probe, points)).sum() <= 5  # by rounding, on the very edge
    assert shown[in_sector(probe, points, margin=2.0)].all()


def test_shifted_subjects_lie_outside_the_ranges_of_training(subjects):
    train = subjects["train"] + [draw_subject("fresh", index) for index in range(100)]
    shifted = subjects["shifted"]
    for field in ("curvature", "pivot", "lateral_view", "sweep", "depth", "frequency", "lateral_aperture"):
        known, new = ([getattr(s.probe, field) for s in group] for group in (train, shifted))
        assert max(known) < min(new) or max(new) < min(known), field
    for field, low, high in (("dynamic_range", 45, 70), ("gain", -5, 5)):
        known, new = (np.array([getattr(s.settings, field) for s in group]) for group in (train, shifted))
        assert low <= known.min() and known.max() <= high
        assert ((new < low - 0.9) | (new > high + 0.9)).all() and (new < low).any() and (new > high).any()
    usual, extreme = (np.array([_size(s.biometry) for s in group]) for group in (train, shifted))
    assert np.abs(usual).mean() < 0.9 and np.abs(extreme).mean() > 1.6
    assert np.abs(extreme).min() > 1.2 and (extreme > 0).any() and (extreme < 0).any()


def _size(biometry):
    """Mean z-score of a body's charted measures."""
    charts = {"crl": crl_mean_sd(7 * biometry.weeks)} | {name: chart_mean_sd(name, biometry.weeks) for name in CHARTS}
    return np.mean([(getattr(biometry, name) - mean) / sd for name, (mean, sd) in charts.items()])
