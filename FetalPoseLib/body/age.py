"""Gestational age: written as in a report, and the crown-rump length that goes with it.

The chart is that of INTERGROWTH-21st (Papageorghiou et al., Ultrasound Obstet Gynecol 2014;44:641-648): crown-rump
length against gestational age, mean and standard deviation, for 9 to 14 weeks.
"""

from __future__ import annotations

import re

import numpy as np

from FetalPoseLib.body.plausibility import crown_rump_length
from FetalPoseLib.errors import FetalPoseError

CHART_DAYS = (63, 98)  #: 9 to 14 weeks, the chart's range
POSE_CRL_SD = 0.09  #: standard deviation of the pose's crown-rump length over the true one, of 300 simulated bodies
MOST_SD = 2.0  #: standard deviations from which a pose and an age contradict each other


def parse_gestational_age(text: str) -> int:
    """Days of gestation, of text like "12w3d", "12+3", "12w" or "87d".

    Raises
    ------
    FetalPoseError
        The text is none of these, or the age lies outside 9 to 14 weeks.
    """
    found = re.fullmatch(r"\s*(\d{1,2})\s*(?:w|\+)\s*(?:([0-6])\s*d?)?\s*|\s*(\d{2,3})\s*d\s*", text, re.IGNORECASE)
    if found is None or not text.isascii():
        raise FetalPoseError(f"'{text[:40]}' is not a gestational age. Write weeks and days like 12w3d.")
    weeks, days, only_days = found.groups()
    total = int(only_days) if only_days else 7 * int(weeks) + int(days or 0)
    if not CHART_DAYS[0] <= total <= CHART_DAYS[1]:
        raise FetalPoseError(f"{weeks_and_days(total)} lies outside 9w0d to 14w0d, the ages that can be compared.")
    return total


def weeks_and_days(days: float) -> str:
    """87 days as "12w3d"."""
    return f"{int(round(days)) // 7}w{int(round(days)) % 7}d"


def crl_mean_sd(days: float) -> tuple[float, float]:
    """Crown-rump length (mm) at ``days`` of gestation: mean and standard deviation (Papageorghiou 2014)."""
    return -50.6562 + 0.815118 * days + 0.00535302 * days**2, -2.21626 + 0.0984894 * days


def contradiction(points, days: float) -> str | None:
    """What to check where the size of a pose (16, 3) mm and the gestational age contradict each other, else None.

    The tolerance is `MOST_SD` standard deviations, of the chart and of the crown-rump length that a pose gives. A pose
    without its trunk is not judged.
    """
    crl = crown_rump_length(points)
    mean, sd = crl_mean_sd(days)
    tolerance = MOST_SD * float(np.hypot(sd, POSE_CRL_SD * mean))
    if not np.isfinite(crl) or abs(crl - mean) <= tolerance:
        return None
    usual = f"{mean - tolerance:.0f} to {mean + tolerance:.0f} mm"
    return (
        f"At {weeks_and_days(days)} a crown-rump length of {usual} is usual, and this pose has about {crl:.0f} mm. "
        "Check the volume's spacing and the gestational age."
    )
