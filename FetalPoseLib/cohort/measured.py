"""All that is measured on a pose beside the lengths of its segments: the one place where a measurement is added."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from FetalPoseLib.body.plausibility import crown_rump_length

#: Column of the study's table, with its unit, to the function of a pose (16, 3) in mm. NaN where not measurable.
MEASUREMENTS: dict[str, Callable[[np.ndarray], float]] = {
    "crown_rump_length_mm": crown_rump_length,  # from the spinal column
}


def measurements_of(points: np.ndarray) -> dict[str, float]:
    """Each of `MEASUREMENTS` of a pose (16, 3) in mm."""
    return {column: float(measure(points)) for column, measure in MEASUREMENTS.items()}
