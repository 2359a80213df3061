"""What a clinician gets from a pose besides its lengths, as rows of one table: size, age, posture, bones.

Front ends show the rows, and translate by `Measure.name`. Research use only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.crown_rump import CrownRump, crown_rump_of_pose
from FetalPoseLib.body.dating import FORMULA, FORMULAS, GestationalAge, NotDated, gestational_age
from FetalPoseLib.body.long_bones import BoneNorms, BoneScore, bundled_norms
from FetalPoseLib.body.measurements import Z90
from FetalPoseLib.body.posture import CDH_SD_DEG, posture_of

DIGITS = {"mm": 1, "deg": 0, "d": 0, "1": 1}  # of a value in a table, by its unit


@dataclass(frozen=True)
class Measure:
    """One number.

    Attributes
    ----------
    name : such as "crown_rump_length"
    value : NaN where it is not known
    unit : "mm", "deg", "d" (days) or "1"
    low, high : in 90 % of cases the truth lies within; NaN where that is not known
    note : where it comes from or what it means, in a few words; "" if there is nothing to say
    """

    name: str
    value: float
    unit: str
    low: float = np.nan
    high: float = np.nan
    note: str = ""


def clinical_measures(
    points,
    *,
    crown_rump: CrownRump | None = None,
    formula: str = FORMULA,
    norms: BoneNorms | None = None,
) -> list[Measure]:
    """All measures of a pose (16, 3) in RAS mm; those that it does not give have no value and the reason as a note.

    Parameters
    ----------
    crown_rump : as `measurement.crown_rump_length` found it in the volume; without it, what the landmarks give
    formula : for the gestational age, a key of `dating.FORMULAS`
    norms : to compare the long bones with; those of the bundled library if None
    """
    crown_rump = crown_rump or crown_rump_of_pose(points)
    posture = posture_of(points)
    error, angle = Z90 * CDH_SD_DEG, posture.cranial_dorsal_hip_deg
    found = [
        _crown_rump(crown_rump),
        _age(gestational_age(crown_rump, posture.state, formula)),
        Measure("cranial_dorsal_hip_angle", angle, "deg", angle - error, angle + error, posture.state),
        Measure("head_trunk_flexion", posture.head_trunk_deg, "deg"),
        *(Measure(f"{joint}_flexion", degrees, "deg") for joint, degrees in posture.flexion_deg.items()),
    ]
    return found + [_bone(score) for score in (norms or bundled_norms()).scores(points)]


def _crown_rump(found: CrownRump | None) -> Measure:
    if found is None:
        return Measure("crown_rump_length", np.nan, "mm", note="the trunk is not fully visible")
    return Measure("crown_rump_length", found.length_mm, "mm", *found.interval_mm, f"from {found.source}")


def _age(found: GestationalAge | NotDated) -> Measure:
    if isinstance(found, NotDated):
        return Measure("gestational_age", np.nan, "d", note=found.reason)
    note = f"{found.text}, {FORMULAS[found.formula].title}"
    return Measure("gestational_age", found.days, "d", *found.interval_days, note)


def _bone(score: BoneScore) -> Measure:
    low, high = score.usual_mm
    note = f"{score.length_mm:.1f} mm; {low:.1f} to {high:.1f} mm in 90 % of simulated bodies of this size"
    return Measure(f"{score.segment}_z", score.z, "1", note=note if np.isfinite(score.z) else "")


def measure_table(measures: list[Measure]) -> list[dict]:
    """One row per measure: name, value, unit, low and high of the interval, note; "" where a number is not known."""
    return [
        {
            "measure": measure.name,
            "value": _cell(measure.value, measure.unit),
            "unit": measure.unit,
            "low": _cell(measure.low, measure.unit),
            "high": _cell(measure.high, measure.unit),
            "note": measure.note,
        }
        for measure in measures
    ]


def _cell(value: float, unit: str) -> str:
    return f"{value:.{DIGITS[unit]}f}" if np.isfinite(value) else ""
