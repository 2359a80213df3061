"""Crown-rump length, gestational age, long bones and the table of them, of simulated bodies."""

import csv

import numpy as np
import pytest

from FetalPoseLib.body.clinical import clinical_measures, measure_table
from FetalPoseLib.body.crown_rump import CrownRump, crown_rump_of_pose
from FetalPoseLib.body.dating import FORMULAS, GestationalAge, NotDated, formula_named, gestational_age
from FetalPoseLib.body.long_bones import bundled_norms
from FetalPoseLib.body.measurements import write_csv
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.simulation.biometry import draw_biometry
from FetalPoseLib.simulation.kinematics import pose_body
from FetalPoseLib.simulation.true_posture import crown_rump_mm

SKELETON = load_skeleton()


@pytest.fixture(scope="module")
def bodies():
    """Bodies that no constant was fitted to."""
    return [pose_body(rng, draw_biometry(rng)) for rng in (np.random.default_rng([31, k]) for k in range(60))]


@pytest.fixture
def pose(bodies):
    return bodies[0].landmarks


def without(points, *names):
    points = points.copy()
    points[[SKELETON.index(name) for name in names]] = np.nan
    return points


def of(measures, name):
    return next(measure for measure in measures if measure.name == name)


# crown-rump length


def test_the_length_of_a_pose_is_that_of_calipers(bodies):
    found = [crown_rump_of_pose(body.landmarks) for body in bodies]
    truth = np.array([crown_rump_mm(body) for body in bodies])
    errors = np.array([length.length_mm for length in found]) - truth
    assert np.median(np.abs(errors)) < 1.0 and {length.source for length in found} == {"head and trunk"}
    held = [length.interval_mm[0] <= true <= length.interval_mm[1] for length, true in zip(found, truth, strict=True)]
    assert np.mean(held) >= 0.85


def test_without_the_head_the_trunk_gives_a_wider_interval(bodies):
    found = [crown_rump_of_pose(without(body.landmarks, "head")) for body in bodies]
    truth = [crown_rump_mm(body) for body in bodies]
    held = [length.interval_mm[0] <= true <= length.interval_mm[1] for length, true in zip(found, truth, strict=True)]
    assert {length.source for length in found} == {"trunk"} and np.mean(held) >= 0.85


@pytest.mark.parametrize("missing", ["neck", "spine", "sacrum"])
def test_without_the_trunk_there_is_no_length(pose, missing):
    assert crown_rump_of_pose(without(pose, missing)) is None
    measure = of(clinical_measures(without(pose, missing)), "crown_rump_length")
    assert np.isnan(measure.value) and "not fully visible" in measure.note


def test_landmarks_that_coincide_give_no_length():
    assert crown_rump_of_pose(np.zeros((16, 3))) is None


@pytest.mark.parametrize(
    "values", [(np.nan, (1.0, 2.0), "volume"), (-1.0, (1.0, 2.0), "volume"), (9.0, (1.0, 2.0), "?")]
)
def test_what_is_no_length_is_refused(values):
    with pytest.raises(ValueError, match="not a crown-rump length"):
        CrownRump(*values)


# gestational age


@pytest.mark.parametrize(  # weeks and days as the articles' tables and calculators have them
    ("formula", "crl", "days"),
    [("intergrowth", 45, 78.2), ("intergrowth", 65, 89.5), ("intergrowth", 84, 99.7),
     ("robinson", 45, 78.7), ("robinson", 65, 89.8), ("robinson", 84, 98.9)],
)  # fmt: skip
def test_formulas_give_the_published_ages(formula, crl, days):
    age = gestational_age(CrownRump(crl, (crl, crl), "volume"), "neutral", formula)
    assert isinstance(age, GestationalAge) and age.days == pytest.approx(days, abs=0.15)
    sd = {"intergrowth": 2.39102 + 0.0193474 * crl, "robinson": 2.35}[formula]
    assert np.ptp(age.interval_days) == pytest.approx(2 * 1.645 * sd) and age.text.startswith(f"{int(age.days) // 7}w")


def test_an_unsure_length_widens_the_interval():
    narrow, wide = (gestational_age(CrownRump(60, (60 - e, 60 + e), "volume"), "neutral") for e in (0.5, 8.0))
    assert np.ptp(wide.interval_days) > np.ptp(narrow.interval_days) + 1


@pytest.mark.parametrize(
    ("length", "state", "code", "words"),
    [
        (None, "neutral", "no length", "trunk is not fully visible"),
        (60.0, "flexed", "posture", "is flexed"),
        (60.0, "extended", "posture", "is extended"),
        (60.0, "unknown", "posture", "cannot be told"),
        (97.0, "neutral", "range", "15 to 95 mm"),
        (9.0, "neutral", "range", "15 to 95 mm"),
    ],
)
def test_there_is_no_age_outside_what_the_formula_is_for(length, state, code, words):
    crown_rump = None if length is None else CrownRump(length, (length, length), "volume")
    found = gestational_age(crown_rump, state)
    assert isinstance(found, NotDated) and found.code == code and words in found.reason


def test_an_unknown_formula_is_named():
    with pytest.raises(FetalPoseError, match="no formula 'hadlock'. Choose one of intergrowth, robinson"):
        formula_named("hadlock")


@pytest.mark.parametrize("formula", FORMULAS)
def test_simulated_bodies_get_their_own_age(bodies, formula):
    """INTERGROWTH's chart is the simulator's own, so this says that nothing is exchanged, not how ages scatter."""
    drawn = [(body.biometry.weeks * 7, clinical_measures(body.landmarks, formula=formula)) for body in bodies]
    ages = [(days, of(measures, "gestational_age")) for days, measures in drawn]
    dated = [(days, age) for days, age in ages if np.isfinite(age.value)]
    assert len(dated) > 30
    assert abs(np.mean([age.value - days for days, age in dated])) < 3.0
    assert np.mean([age.low <= days <= age.high for days, age in dated]) > 0.65


# long bones


def test_usual_bodies_have_usual_bones(bodies):
    scores = [score.z for body in bodies for score in bundled_norms().scores(body.landmarks)]
    assert abs(np.mean(scores)) < 0.3 and 0.7 < np.std(scores) < 1.3


def test_a_bone_that_is_too_long_stands_out(pose):
    points = pose.copy()
    hip, knee = SKELETON.index("left_hip"), SKELETON.index("left_knee")
    points[knee] = points[hip] + 1.5 * (points[knee] - points[hip])
    score = next(score for score in bundled_norms().scores(points) if score.segment == "left_thigh")
    assert score.z > 4 and score.length_mm > score.usual_mm[1] > score.expected_mm > score.usual_mm[0]


def test_a_bone_that_is_not_visible_has_no_score(pose):
    scores = {score.segment: score for score in bundled_norms().scores(without(pose, "left_ankle"))}
    assert np.isnan(scores["left_lower_leg"].z) and np.isfinite(scores["left_thigh"].z) and len(scores) == 8
    assert np.isnan([score.z for score in bundled_norms().scores(without(pose, "neck"))]).all()


# the table


def test_a_length_from_the_volume_replaces_that_of_the_pose(pose):
    measures = clinical_measures(pose, crown_rump=CrownRump(61.0, (60.0, 62.0), "volume"))
    crown_rump = of(measures, "crown_rump_length")
    assert (crown_rump.value, crown_rump.low, crown_rump.high, crown_rump.note) == (61.0, 60.0, 62.0, "from volume")


def test_the_table_has_the_same_rows_for_every_pose(pose, tmp_path):
    whole, blank = (measure_table(clinical_measures(p)) for p in (pose, np.full((16, 3), np.nan)))
    assert [row["measure"] for row in whole] == [row["measure"] for row in blank]
    assert all(row["value"] for row in whole if row["measure"] != "gestational_age")
    assert not any(row["value"] for row in blank)
    write_csv(tmp_path / "measures.csv", whole)
    read = list(csv.DictReader((tmp_path / "measures.csv").open()))
    assert read == whole and {row["unit"] for row in read} == {"mm", "d", "deg", "1"}
