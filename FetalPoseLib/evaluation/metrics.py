"""How good poses are: the paper's two measures (section 3), and those a clinician asks for: sides and lengths."""

import numpy as np
from scipy.integrate import trapezoid

from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton


def landmark_errors(predicted, truth) -> np.ndarray:
    """Euclidean distances in mm between poses (N, 16, 3): (N, 16).

    NaN where the truth has no landmark, infinite where the truth has it and the prediction does not: wrong at every
    threshold, so that leaving a landmark out never improves a PCK.
    """
    predicted, truth = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if predicted.shape != truth.shape or truth.shape[-1] != 3:
        raise ValueError(f"poses of shapes {predicted.shape} and {truth.shape} cannot be compared")
    errors = np.linalg.norm(predicted - truth, axis=-1)
    not_found = np.isnan(errors) & np.isfinite(truth).all(axis=-1)
    return np.where(not_found, np.inf, errors)


def pck(errors, thresholds, *, axis: int | None = None) -> np.ndarray:
    """Fraction of landmarks within each threshold (mm), of those that are in the truth.

    Errors (N, 16) give (T,) over all landmarks, or with ``axis=0`` (T, 16), one column per landmark. NaN where there is
    no landmark to count.
    """
    errors = np.asarray(errors, dtype=np.float64)
    known = (~np.isnan(errors)).sum(axis=axis)
    within = errors[None] <= np.asarray(thresholds, dtype=np.float64).reshape(-1, *[1] * errors.ndim)
    correct = within.sum(axis=tuple(range(1, within.ndim)) if axis is None else axis % errors.ndim + 1)
    return np.where(known > 0, correct / np.maximum(known, 1), np.nan)


def auc(errors, *, max_mm: float = 10.0, thresholds: int = 101, axis: int | None = None) -> np.ndarray | float:
    """Area in % under the PCK curve from 0 to `max_mm` (trapezoid): one number, or (16,) with ``axis=0``."""
    at = np.linspace(0.0, max_mm, thresholds)
    area = 100 / max_mm * trapezoid(pck(errors, at, axis=axis), at, axis=0)
    return float(area) if axis is None else area


def wrong_side_limbs(predicted, truth, skeleton: Skeleton | None = None) -> np.ndarray:
    """Number of limbs of each body taken for the limb of the other side: poses (N, 16, 3) to (N,) int.

    A limb is wrong if its partner's points lie nearer to its truth, summed over the chain, than its own do.
    """
    skeleton = skeleton or load_skeleton()
    predicted, truth = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    own = np.linalg.norm(predicted - truth, axis=-1)
    exchanged = np.linalg.norm(predicted[:, skeleton.mirror] - truth, axis=-1)
    both = np.isfinite(own) & np.isfinite(exchanged)
    gain = np.where(both, own, 0) - np.where(both, exchanged, 0)
    return sum((gain[:, list(chain)].sum(axis=1) > 0).astype(int) for chain in skeleton.limbs.values())


def summary(predicted, truth, skeleton: Skeleton | None = None) -> dict:
    """The measures of a set of poses (N, 16, 3) as a dict that JSON can hold; None where there is nothing to measure.

    ``mean_mm`` and ``median_mm`` are over the landmarks that were found, ``missed`` counts those in the truth that were
    not.
    ``lengths`` holds the mean absolute error and the bias (predicted - true) of the segments, in mm.
    """
    skeleton = skeleton or load_skeleton()
    errors = landmark_errors(predicted, truth)
    detected = np.where(np.isfinite(errors), errors, np.nan)
    deviation = segment_lengths(predicted, skeleton) - segment_lengths(truth, skeleton)
    areas = np.asarray(auc(errors, axis=0))
    return {
        "volumes": len(errors),
        "mean_mm": _mean(detected),
        "median_mm": _number(np.median(detected[np.isfinite(detected)])) if np.isfinite(detected).any() else None,
        "auc": _number(auc(errors)),
        "missed": int(np.isinf(errors).sum()),
        "wrong_side_limbs": int(wrong_side_limbs(predicted, truth, skeleton).sum()),
        "limbs": len(errors) * len(skeleton.limbs),
        "lengths": {"mean_absolute_mm": _mean(np.abs(deviation)), "bias_mm": _mean(deviation)},
        "landmarks": {
            name: {"mean_mm": _mean(detected[:, i]), "auc": _number(areas[i])}
            for i, name in enumerate(skeleton.landmarks)
        },
        "segments": {
            segment.name: {"mean_absolute_mm": _mean(np.abs(deviation[:, i])), "bias_mm": _mean(deviation[:, i])}
            for i, segment in enumerate(skeleton.segments)
        },
    }


def _mean(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return _number(values.mean()) if values.size else None


def _number(value) -> float | None:
    return float(value) if np.isfinite(value) else None
