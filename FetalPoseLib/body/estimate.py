"""What an estimate says while it runs and at its end: the values that estimator, worker, session and scene exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Progress:
    """What is known so far.

    Attributes
    ----------
    stage : "open", "locate", "search", "detect" or "refine"
    iteration, iterations : steps of refinement done, and steps in all
    points : (16, 3) RAS mm, NaN where a landmark is not visible; None before the first pose
    confidence : (16,) in 0..1; None before the first pose
    message : a sentence for the user
    holds_fetus : False if the confidence is as low as in volumes without a fetus
    """

    stage: str
    iteration: int
    iterations: int
    points: np.ndarray | None
    confidence: np.ndarray | None
    message: str
    holds_fetus: bool = True


@dataclass(frozen=True, eq=False)
class Estimate:
    """The result.

    Attributes
    ----------
    points, unrefined : (16, 3) RAS mm, NaN where a landmark is not visible
    confidence : (16,) in 0..1
    provenance : model, its SHA-256, spacing, iterations, refinement, software version, device, precision
    warnings : sentences for the user
    radius_mm : (16,), in 90 % of cases the truth lies within; NaN where not visible, 0 where a person placed the
        landmark; None where the model has no calibration for the refinement
    length_interval_mm : (15, 2), in 90 % of cases the true length lies within, NaN where an end is not visible; or None
    holds_fetus : False if the confidence is as low as in volumes without a fetus
    """

    points: np.ndarray
    confidence: np.ndarray
    unrefined: np.ndarray
    provenance: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    radius_mm: np.ndarray | None = None
    length_interval_mm: np.ndarray | None = None
    holds_fetus: bool = True


def rows_of_points(points) -> list[list[float] | None]:
    """Rows [x, y, z] of points (N, 3), None where one is not finite, because JSON has no NaN; also of (N, 2)."""
    return [row if np.isfinite(row).all() else None for row in np.asarray(points, dtype=np.float64).tolist()]


def points_of_rows(rows: Sequence) -> np.ndarray:
    """Points (N, 3) of rows [x, y, z], NaN where a row is None: the inverse of `rows_of_points`."""
    return np.array([[np.nan] * 3 if row is None else row for row in rows], dtype=np.float64)
