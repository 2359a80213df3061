"""Gestational ages as people write them, the chart, and a size that contradicts an age."""

import numpy as np
import pytest

from FetalPoseLib.body.age import contradiction, crl_mean_sd, parse_gestational_age, weeks_and_days
from FetalPoseLib.body.plausibility import crown_rump_length
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.simulation.datasets import draw_subject


@pytest.fixture(scope="module")
def landmarks():
    return draw_subject("fresh", 1).body.landmarks


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("12w3d", 87),
        ("12W3D", 87),
        (" 12w 3d ", 87),
        ("12+3", 87),
        ("12w3", 87),
        ("12w", 84),
        ("9w0d", 63),
        ("87d", 87),
    ],
)
def test_ages_as_people_write_them(text, days):
    assert parse_gestational_age(text) == days


@pytest.mark.parametrize("text", ["12", "12w7d", "twelve", "", "-12w", "12w3d2", "1²w3d", "12.5w"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(FetalPoseError, match="not a gestational age. Write weeks and days like 12w3d"):
        parse_gestational_age(text)


@pytest.mark.parametrize("text", ["8w6d", "14w1d", "20w0d"])
def test_ages_outside_the_chart_are_refused(text):
    with pytest.raises(FetalPoseError, match="lies outside 9w0d to 14w0d"):
        parse_gestational_age(text)


def test_days_are_written_as_weeks_and_days():
    assert [weeks_and_days(days) for days in (63, 87, 98)] == ["9w0d", "12w3d", "14w0d"]


@pytest.mark.parametrize(("days", "mean"), [(63, 21.9), (84, 55.6), (98, 80.6)])
def test_the_chart_has_the_published_values(days, mean):
    found, sd = crl_mean_sd(days)
    assert found == pytest.approx(mean, abs=0.1) and 3.9 < sd < 7.5


def test_a_size_that_goes_with_the_age_is_not_named(landmarks):
    days = np.arange(63, 99)
    own = days[np.argmin([abs(crl_mean_sd(day)[0] - crown_rump_length(landmarks)) for day in days])]
    assert contradiction(landmarks, own) is None


@pytest.mark.parametrize("factor", [0.65, 1.35])
def test_a_spacing_that_is_wrong_by_a_third_is_named(landmarks, factor):
    days = np.arange(63, 99)
    own = days[np.argmin([abs(crl_mean_sd(day)[0] - crown_rump_length(landmarks)) for day in days])]
    message = contradiction(landmarks * factor, own)
    assert "is usual" in message and f"{crown_rump_length(landmarks) * factor:.0f} mm" in message
    assert "Check the volume's spacing" in message


def test_a_pose_without_its_trunk_is_not_judged(landmarks):
    points = landmarks.copy()
    points[7] = np.nan  # sacrum
    assert contradiction(points, 80) is None
