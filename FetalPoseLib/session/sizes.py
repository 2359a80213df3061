"""Size, age and posture in a panel: one row per clinical measure, and what the age by dates says of the size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from FetalPoseLib import scene
from FetalPoseLib.body.age import contradiction, parse_gestational_age, weeks_and_days
from FetalPoseLib.body.clinical import DIGITS, Measure, clinical_measures
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError

UNITS = {"mm": " mm", "deg": "°", "d": "", "1": " SD"}  # after a value, by its unit
HYPHENATED = ("crown-rump", "cranial-dorsal-hip", "head-trunk")  # in the labels


@dataclass(frozen=True)
class MeasureRow:
    """A clinical measure in the table of sizes."""

    name: str  #: of the measure, see `body.clinical`
    label: str  #: for people
    text: str  #: "55.2 mm", "12w3d", "128°"; "-" where it is not known; "" without a pose
    interval: str = ""  #: in 90 % of cases the truth lies within, "53.1 to 57.4"; "" where not known
    note: str = ""  #: where it comes from, what it means, or why it is not known


def measure_rows(pose, *, translate: Callable[[str], str] = str) -> tuple[MeasureRow, ...]:
    """The rows of the table of sizes; ``pose`` may be None, which gives the labels alone."""
    if pose is None:
        nothing = np.full((len(load_skeleton()), 3), np.nan)
        return tuple(MeasureRow(m.name, _label(m.name, translate), "") for m in clinical_measures(nothing))
    return tuple(
        MeasureRow(m.name, _label(m.name, translate), _text(m.value, m.unit), _interval(m, translate), m.note)
        for m in scene.measures_of(pose)
    )


def age_text(pose, by_dates: str, *, translate: Callable[[str], str] = str) -> str:
    """What is wrong with an age that a person typed, or where it and the size of the pose disagree; else ""."""
    if not by_dates.strip():
        return ""
    try:
        days = parse_gestational_age(by_dates)
    except FetalPoseError as error:
        return translate(str(error))
    return translate((contradiction(scene.points_of(pose), days) if pose is not None else None) or "")


def _label(name: str, translate: Callable[[str], str]) -> str:
    words = name.removesuffix("_z").replace("_", " ")
    for pair in HYPHENATED:
        words = words.replace(pair.replace("-", " "), pair)
    return translate(words.capitalize())


def _text(value: float, unit: str) -> str:
    if not np.isfinite(value):
        return "-"
    return weeks_and_days(value) if unit == "d" else f"{value:.{DIGITS[unit]}f}{UNITS[unit]}"


def _interval(measure: Measure, translate: Callable[[str], str]) -> str:
    if not np.isfinite([measure.low, measure.high]).all():
        return ""
    low, high = (_text(end, measure.unit).removesuffix(UNITS[measure.unit]) for end in (measure.low, measure.high))
    return translate("{low} to {high}").format(low=low, high=high)
