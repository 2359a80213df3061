"""The clinical measures of a pose as columns of a study's table; `body.clinical` says which there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from FetalPoseLib.body.clinical import clinical_measures
from FetalPoseLib.body.skeleton import load_skeleton

_ENDING = {"mm": "_mm", "deg": "_deg", "d": "_days", "1": ""}  # of a column, by the measure's unit


def measure_columns() -> tuple[str, ...]:
    """The columns, in the order of `clinical_measures`, such as "crown_rump_length_mm"."""
    nothing = clinical_measures(np.full((len(load_skeleton()), 3), np.nan))
    return tuple(measure.name + _ENDING[measure.unit] for measure in nothing)


def values_of_rows(rows: Sequence[Mapping[str, str]]) -> dict[str, float | None]:
    """The value of each column in the rows of `clinical.measure_table`; None where it is not known."""
    return {row["measure"] + _ENDING[row["unit"]]: float(row["value"]) if row["value"] else None for row in rows}
