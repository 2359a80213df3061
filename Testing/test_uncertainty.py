"""Radii and intervals: their coverage on made-up and on recorded errors, their shape, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from uncertainty_cases import BENCHMARKS, BODIES, SKELETON, covered, made_up, recorded

from FetalPoseLib.benchmark.records import read_records
from FetalPoseLib.benchmark.tables import Run
from FetalPoseLib.benchmark.uncertainty import Bounds, Poses
from FetalPoseLib.body.conformal import conformal_quantile, not_increasing, pinball_loss
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.uncertainty import LEAST_SUBJECTS, Uncertainty, landmark_groups, segment_groups
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.weights import load_manifest
from FetalPoseLib.resources import resource_path


@pytest.fixture(scope="module")
def calibrated() -> Uncertainty:
    return made_up(150, 1).fit()


# the arithmetic


def test_the_quantile_holds_for_one_value_more():
    assert conformal_quantile(np.arange(1.0, 20.0), 0.9) == 18  # the 18th of 19: (19 + 1) * 0.9
    assert conformal_quantile(np.arange(1.0, 9.0), 0.9) == np.inf  # of eight values none is so sure
    rng = np.random.default_rng(0)
    values = rng.exponential(size=(4000, 31))
    held = np.mean([new <= conformal_quantile(known, 0.9) for new, *known in values])
    assert held == pytest.approx(28 / 31, abs=0.015)  # the 28th of 30 known: the new value has 28 of 31 places


@given(arrays(float, st.integers(1, 30), elements=st.floats(0, 50)))
def test_the_monotone_fit_does_not_increase_and_keeps_the_mean(values):
    x, weight = np.arange(len(values), dtype=float), np.ones(len(values))
    knots, fitted = not_increasing(x, values, weight)
    assert (np.diff(knots) > 0).all() and (np.diff(fitted) < 0).all()
    everywhere = np.interp(x, knots, fitted)
    assert everywhere.min() >= values.min() - 1e-9 and everywhere.max() <= values.max() + 1e-9


def test_the_monotone_fit_leaves_what_is_monotone_and_pools_the_rest():
    knots, fitted = not_increasing(np.arange(4.0), np.array([5.0, 1.0, 3.0, 0.5]), np.array([1.0, 1.0, 3.0, 1.0]))
    np.testing.assert_allclose(fitted, [5, 2.5, 0.5])
    np.testing.assert_allclose(knots, [0, 1.75, 3])


def test_the_loss_is_least_at_the_quantile():
    values = np.random.default_rng(0).exponential(size=5000)
    bounds = np.linspace(0, 6, 121)
    losses = [pinball_loss(values, np.full_like(values, bound), 0.9) for bound in bounds]
    assert bounds[np.argmin(losses)] == pytest.approx(np.quantile(values, 0.9), abs=0.06)


# coverage


def test_exchangeable_subjects_are_covered_in_every_group(calibrated):
    landmarks, lengths = covered(calibrated, made_up(1500, 2))
    assert landmarks.mean() == pytest.approx(0.9, abs=0.02) and lengths.mean() == pytest.approx(0.9, abs=0.02)
    for group in range(4):
        assert landmarks[:, landmark_groups() == group].mean() == pytest.approx(0.9, abs=0.03)
        assert lengths[:, segment_groups() == group].mean() == pytest.approx(0.9, abs=0.03)


def test_sure_and_unsure_landmarks_are_covered_alike(calibrated):
    poses = made_up(1500, 3)
    landmarks, _ = covered(calibrated, poses)
    for low, high in ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        within = (poses.confidence >= low) & (poses.confidence < high)
        assert landmarks[within].mean() == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_another_coverage_can_be_asked_for(coverage):
    landmarks, _ = covered(made_up(150, 4).fit(coverage), made_up(800, 5))
    assert landmarks.mean() == pytest.approx(coverage, abs=0.03)


@pytest.mark.parametrize("growth", [0.0, 1.0])
def test_radii_grow_with_the_fetus_where_errors_do(growth):
    fitted = made_up(300, 6, growth=growth).fit()
    small, large = (fitted.radius_mm(scale * BODIES[0], np.full(16, 0.6)) for scale in (0.8, 1.6))
    assert (large > 1.3 * small).all() if growth else np.array_equal(large, small)


def test_recorded_subjects_are_covered():
    validation = recorded("validation")
    cross_validated = Bounds.cross_validated(validation)
    assert np.mean(validation.errors_mm <= cross_validated.radius) == pytest.approx(0.9, abs=0.04)
    fitted = validation.fit()
    for split, least in (("test", 0.85), ("shifted", 0.8)):
        poses = recorded(split)
        shown = np.isfinite(poses.errors_mm)
        landmarks, lengths = covered(fitted, poses)
        assert least <= landmarks[shown].mean() <= 0.95
        assert least <= lengths[np.isfinite(poses.length_errors_mm)].mean() <= 0.95


@pytest.mark.parametrize("name", list(load_manifest()))
def test_a_bundled_calibration_is_of_the_bundled_weights_and_covers_their_records(name):
    entry = load_manifest()[name]
    if "uncertainty" not in entry:
        pytest.skip(f"{name} has no calibration")
    values = json.loads(resource_path("models", entry["uncertainty"]).read_text(encoding="utf-8"))
    again = f"calibrate again: fetalpose benchmark uncertainty --model {name}"
    assert values["model_sha256"] == entry["sha256"], again
    known = Uncertainty.of_model(entry)
    # the calibration is of subjects of both versions of the simulator, and so is what it promises
    for splits, least, most in ((("test", "test2"), 0.87, 0.93), (("shifted",), 0.8, 1.0), (("shifted2",), 0.8, 1.0)):
        inside: list[bool] = []
        for split in splits:
            [path] = BENCHMARKS.glob(f"accuracy_{name}_{known.refinement.split(',')[0]}_{split}.jsonl")
            header, rows = read_records(path)
            assert header["model_sha256"] == entry["sha256"], "measure the accuracy again"
            poses = Poses.of([Run(header, rows)])
            landmarks, _ = covered(known, poses)
            inside += landmarks[np.isfinite(poses.errors_mm)].tolist()
        assert least <= np.mean(inside) <= most, f"{splits}: {np.mean(inside):.3f}; {again}"


# radii and intervals


@given(confidence=arrays(float, 16, elements=st.floats(0, 1)), landmark=st.integers(0, 15), less=st.floats(0, 1))
def test_less_confidence_never_makes_a_radius_smaller(calibrated, confidence, landmark, less):
    lower = confidence.copy()
    lower[landmark] *= less
    before, after = (calibrated.radius_mm(BODIES[0], values) for values in (confidence, lower))
    assert (after >= before - 1e-9).all()


def test_a_confidence_lower_than_any_calibrated_makes_the_radius_larger_still():
    sure = made_up(200, 9)
    sure = sure[sure.confidence.min(axis=1) > 0.5]
    known = sure.fit()
    radii = [known.radius_mm(BODIES[0], np.full(16, confidence)) for confidence in (0.5, 0.3, 0.1)]
    assert (radii[1] > 1.3 * radii[0]).all() and (radii[2] > 1.3 * radii[1]).all()
    landmarks, _ = covered(known, made_up(1000, 10))  # the made-up errors do go on so
    assert 0.85 < landmarks.mean() < 0.95


def test_a_landmark_not_visible_has_no_radius_and_a_placed_one_the_radius_0(calibrated):
    points, confidence = BODIES[0].copy(), np.full(16, 0.6)
    elbow, wrist, knee = (SKELETON.index(name) for name in ("left_elbow", "left_wrist", "right_knee"))
    points[knee] = np.nan
    radius = calibrated.radius_mm(points, confidence, placed=[elbow, wrist])
    assert np.flatnonzero(np.isnan(radius)).tolist() == [knee]
    assert np.flatnonzero(radius == 0).tolist() == [elbow, wrist] and (radius[np.isfinite(radius)] >= 0).all()
    intervals, lengths = (
        calibrated.length_interval_mm(points, confidence, placed=[elbow, wrist]),
        segment_lengths(points),
    )
    for i, segment in enumerate(SKELETON.segments):
        ends = {segment.start, segment.end}
        if knee in ends:
            assert np.isnan(intervals[i]).all()
        elif ends == {elbow, wrist}:
            np.testing.assert_allclose(intervals[i], lengths[i])
        else:
            assert 0 <= intervals[i, 0] < lengths[i] < intervals[i, 1]


def test_that_a_person_is_sure_of_a_landmark_makes_the_others_no_surer(calibrated):
    confidence = np.full(16, 0.5)
    confidence[4] = 1.0
    others = np.delete(calibrated.radius_mm(BODIES[0], confidence, placed=[4]), 4)
    np.testing.assert_allclose(others, np.delete(calibrated.radius_mm(BODIES[0], np.full(16, 0.5)), 4))


def test_a_pose_without_a_trunk_has_radii_of_a_usual_size(calibrated):
    points = BODIES[0].copy()
    points[SKELETON.index("sacrum")] = np.nan
    assert np.isfinite(calibrated.radius_mm(points, np.full(16, 0.6))).sum() == 15


# what is stored


def test_a_calibration_survives_json(calibrated):
    assert Uncertainty.from_dict(json.loads(json.dumps(calibrated.to_dict() | {"model_sha256": "ab"}))) == calibrated


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("coverage", 1.5), ("scores", []), ("scores", "none"), ("difficulties", [1.0]), ("reference_mm", 0),
        ("landmark_quantiles", [1, 2, 3]), ("segment_quantiles", [1, 2, 3, float("nan")]), ("subjects", None),
    ],
)  # fmt: skip
def test_a_damaged_calibration_is_a_clear_error(calibrated, key, value):
    with pytest.raises(FetalPoseError, match="uncertainty is not usable.*Calibrate"):
        Uncertainty.from_dict(calibrated.to_dict() | {key: value})
    values = calibrated.to_dict()
    del values[key]
    with pytest.raises(FetalPoseError, match=key):
        Uncertainty.from_dict(values)


def test_difficulties_that_grow_with_confidence_are_refused(calibrated):
    values = calibrated.to_dict()
    with pytest.raises(FetalPoseError, match="do not increase"):
        Uncertainty.from_dict(values | {"difficulties": values["difficulties"][::-1]})


def test_a_model_may_have_no_calibration_or_name_a_file_of_the_bundle(calibrated, tmp_path, monkeypatch):
    assert Uncertainty.of_model({}) is None
    assert Uncertainty.of_model({"uncertainty": calibrated.to_dict()}) == calibrated
    (tmp_path / "calibration.json").write_text(json.dumps(calibrated.to_dict()))
    monkeypatch.setattr("FetalPoseLib.body.uncertainty.resource_path", lambda *parts: tmp_path / parts[-1])
    assert Uncertainty.of_model({"uncertainty": "../calibration.json"}) == calibrated
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(FetalPoseError, match="Cannot read the model's uncertainty.*calibration.json"):
        Uncertainty.of_model({"uncertainty": "calibration.json"})


def test_too_few_subjects_are_refused():
    with pytest.raises(FetalPoseError, match=f"needs {LEAST_SUBJECTS} subjects, not {LEAST_SUBJECTS - 1}"):
        made_up(LEAST_SUBJECTS - 1, 7).fit()


def test_a_group_that_is_never_seen_is_named():
    poses = made_up(30, 8)
    poses.found[:, landmark_groups() == 3] = np.nan
    with pytest.raises(FetalPoseError, match="wrists and ankles"):
        poses.fit()
