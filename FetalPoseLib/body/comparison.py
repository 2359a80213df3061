"""Two poses of one fetus at two dates: how its segments grew, and how its size and angles changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from FetalPoseLib.body.clinical import DIGITS, Measure
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton


def comparison_table(
    first, second, measures: tuple[Sequence[Measure], Sequence[Measure]], skeleton: Skeleton | None = None
) -> list[dict]:
    """One row per segment and clinical measure: both values, their difference, and for lengths the growth in percent.

    Parameters
    ----------
    first, second : (16, 3) mm, the earlier and the later pose, each in any position
    measures : of both, as `clinical.clinical_measures` gives them; bones' z-scores are left out of the percent
    """
    skeleton = skeleton or load_skeleton()
    lengths = (segment_lengths(pose, skeleton) for pose in (first, second))
    rows = [_row(segment.name, "mm", a, b, digits=2) for segment, a, b in zip(skeleton.segments, *lengths, strict=True)]
    later = {measure.name: measure for measure in measures[1]}
    for one in measures[0]:
        if one.name in later:
            rows.append(_row(one.name, one.unit, one.value, later[one.name].value, digits=DIGITS[one.unit]))
    return rows


def _row(name: str, unit: str, first: float, second: float, *, digits: int) -> dict:
    percent = 100 * (second / first - 1) if unit == "mm" and first > 0 else np.nan
    cells = {"first": (first, digits), "second": (second, digits), "change": (second - first, digits)}
    cells["change_percent"] = (percent, 1)
    texts = {key: f"{value:.{places}f}" if np.isfinite(value) else "" for key, (value, places) in cells.items()}
    return {"measure": name, "unit": unit, **texts}
