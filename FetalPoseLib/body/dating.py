"""Gestational age from a crown-rump length, by a published formula: in its range only, and of a neutral posture only.

References
----------
A. T. Papageorghiou et al., "International standards for early fetal size and pregnancy dating based on ultrasound
measurement of crown-rump length in the first trimester of pregnancy", Ultrasound Obstet Gynecol 2014;44:641-648.
H. P. Robinson, J. E. E. Fleming, "A critical evaluation of sonar 'crown-rump length' measurements", Br J Obstet
Gynaecol 1975;82:702-710.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from FetalPoseLib.body.age import weeks_and_days
from FetalPoseLib.body.crown_rump import CrownRump
from FetalPoseLib.body.measurements import Z90
from FetalPoseLib.errors import FetalPoseError


@dataclass(frozen=True)
class Formula:
    """A formula for gestational age: ``days`` and ``sd_days`` of a crown-rump length in mm, within ``range_mm``."""

    title: str
    range_mm: tuple[float, float]
    days: Callable[[float], float]
    sd_days: Callable[[float], float]


FORMULAS = {
    "intergrowth": Formula(
        "INTERGROWTH-21st (Papageorghiou 2014)",
        (15.0, 95.0),
        lambda crl: 40.9041 + 3.21585 * math.sqrt(crl) + 0.348956 * crl,
        lambda crl: 2.39102 + 0.0193474 * crl,
    ),
    "robinson": Formula(  # "4.7 days" are two standard deviations of one measurement; their curve ends at 14 weeks
        "Robinson and Fleming 1975",
        (7.0, 84.0),
        lambda crl: 8.052 * math.sqrt(1.037 * crl) + 23.73,
        lambda crl: 4.7 / 2,
    ),
}
FORMULA = "intergrowth"  # where none is chosen


@dataclass(frozen=True)
class GestationalAge:
    """An age in days, with the interval that holds the true one in 90 % of cases, by the ``formula`` of that name."""

    days: float
    interval_days: tuple[float, float]
    formula: str

    @property
    def text(self) -> str:
        """As "12w3d"."""
        return weeks_and_days(self.days)


@dataclass(frozen=True)
class NotDated:
    """Why there is no age: ``code`` is "no length", "posture" or "range"; ``reason`` a sentence for the user."""

    code: str
    reason: str


def formula_named(name: str) -> Formula:
    """A formula of `FORMULAS`; FetalPoseError if there is none of that name."""
    if name not in FORMULAS:
        raise FetalPoseError(f"There is no formula '{name[:40]}'. Choose one of {', '.join(FORMULAS)}.")
    return FORMULAS[name]


def gestational_age(crown_rump: CrownRump | None, state: str, formula: str = FORMULA) -> GestationalAge | NotDated:
    """The age that goes with a crown-rump length, or why there is none.

    Parameters
    ----------
    crown_rump : of the fetus as it lies; None where it is not known
    state : of its posture, see `posture.Posture.state`: only a neutral one can be dated
    formula : a key of `FORMULAS`

    Notes
    -----
    The interval joins the formula's standard deviation and the error of the length.
    """
    chosen = formula_named(formula)
    if crown_rump is None:
        return NotDated("no length", "No gestational age: the trunk is not fully visible.")
    if state != "neutral":
        what = "cannot be told" if state == "unknown" else f"is {state}"
        return NotDated("posture", f"No gestational age: the posture {what}, and formulas hold for a neutral one.")
    crl, (low, high) = crown_rump.length_mm, chosen.range_mm
    if not low <= crl <= high:
        reason = f"No gestational age: {crl:.0f} mm lies outside the {low:.0f} to {high:.0f} mm of {chosen.title}."
        return NotDated("range", reason)
    least, most = (chosen.days(max(end, 0.0)) for end in crown_rump.interval_mm)
    half = math.hypot(Z90 * chosen.sd_days(crl), 0.5 * (most - least))
    days = chosen.days(crl)
    return GestationalAge(days, (days - half, days + half), formula)
