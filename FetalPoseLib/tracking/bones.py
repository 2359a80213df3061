"""Bones of constant length: the segments' lengths over a sequence, and poses brought to them."""

from __future__ import annotations

import numpy as np

from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton

ROUNDS = 4  # of Gauss and Newton


def usual_lengths(points: np.ndarray, skeleton: Skeleton | None = None) -> np.ndarray:
    """Median length (15,) in mm of each segment over a sequence (T, 16, 3); NaN where it was never whole."""
    lengths = segment_lengths(points, skeleton)
    known = np.isfinite(lengths).any(axis=0)
    result = np.full(lengths.shape[1], np.nan)
    result[known] = np.nanmedian(lengths[:, known], axis=0)
    return result


def held(
    points: np.ndarray,
    deviation: np.ndarray,
    lengths: np.ndarray,
    looseness_mm: float,
    skeleton: Skeleton | None = None,
) -> np.ndarray:
    """Poses (T, 16, 3) mm moved as little as their deviations allow, so that the segments have their lengths.

    Parameters
    ----------
    deviation : (T, 16) mm, along an axis
    lengths : (15,) mm, NaN for a segment that is free
    looseness_mm : by which a segment may differ from its length (standard deviation)
    """
    skeleton = skeleton or load_skeleton()
    result = points.copy()
    for t in range(len(points)):
        result[t] = _held_pose(points[t], deviation[t], lengths, looseness_mm, skeleton)
    return result


def _held_pose(pose, deviation, lengths, looseness, skeleton) -> np.ndarray:
    visible = np.isfinite(pose).all(axis=1)
    rows = {int(landmark): i for i, landmark in enumerate(np.flatnonzero(visible))}
    segments = [
        (rows[s.start], rows[s.end], length)
        for s, length in zip(skeleton.segments, lengths, strict=True)
        if s.start in rows and s.end in rows and np.isfinite(length)
    ]
    if not segments:
        return pose
    target = pose[visible]
    weight = np.repeat(1 / np.maximum(deviation[visible], 1e-3) ** 2, 3)
    found = target.copy()
    for _ in range(ROUNDS):
        normal, right = np.diag(weight), weight * (target - found).ravel()
        for start, end, length in segments:
            across = found[start] - found[end]
            now = np.linalg.norm(across)
            if now < 1e-6:
                continue
            gradient = np.zeros(found.size)
            gradient[3 * start : 3 * start + 3], gradient[3 * end : 3 * end + 3] = across / now, -across / now
            normal += np.outer(gradient, gradient) / looseness**2
            right += gradient * (length - now) / looseness**2
        found = found + np.linalg.solve(normal, right).reshape(-1, 3)
    result = pose.copy()
    result[visible] = found
    return result
