"""What a volume's speckle measures: the statistics by which simulated volumes are held against real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

PATCH = 9.0  # mm: edge of the cubes in which speckle is measured
EVEN = 0.3  # the share of cubes, the evenest, whose median is the volume's local contrast


@dataclass(frozen=True)
class Speckle:
    """``contrast``: standard deviation over mean grey in even tissue. ``half_widths`` (3,) mm along x, y, z: lag at
    which the autocovariance falls to a half. ``percentiles``: 5, 25, 50, 75 and 95 % of the greys in the sector."""

    contrast: float
    half_widths: np.ndarray
    percentiles: np.ndarray


def measure(array: np.ndarray, spacing: np.ndarray) -> Speckle:
    """Statistics of a volume (nz, ny, nx), 0 outside the sector, with voxels of ``spacing`` (3,) mm along x, y, z.

    Tissue is what is at least as bright as the sector's median; speckle is what varies about the mean over 2.5 mm.
    """
    spacing = np.broadcast_to(np.asarray(spacing, float), 3)[::-1]
    grey, inside = array.astype(np.float32), array > 0
    detail = grey - gaussian_filter(grey, 2.5 / spacing)
    size = np.maximum(np.round(PATCH / spacing).astype(int), 6)
    median = np.median(grey[inside])
    contrasts, curves = [], []
    for start in np.ndindex(*(np.array(array.shape) // size)):
        cube = tuple(slice(k * n, (k + 1) * n) for k, n in zip(start, size, strict=True))
        if inside[cube].all() and grey[cube].mean() >= median and grey[cube].max() < 255:
            contrasts.append(grey[cube].std() / grey[cube].mean())
            curves.append([_autocovariance(detail[cube], axis) for axis in range(3)])
    if not contrasts:
        return Speckle(np.nan, np.full(3, np.nan), np.percentile(grey[inside], (5, 25, 50, 75, 95)))
    keep = np.argsort(contrasts)[: max(1, int(EVEN * len(contrasts)))]
    widths = [_half(np.mean([curves[k][axis] for k in keep], axis=0)) * spacing[axis] for axis in range(3)]
    return Speckle(float(np.median(np.array(contrasts)[keep])), np.array(widths[::-1]),
                   np.percentile(grey[inside], (5, 25, 50, 75, 95)))  # fmt: skip


def _autocovariance(cube: np.ndarray, axis: int) -> np.ndarray:
    lines = np.moveaxis(cube, axis, 0)
    lines = lines - lines.mean()
    count = len(lines) // 2
    return np.array([(lines[: len(lines) - k] * lines[k:]).mean() for k in range(count)]) / (lines**2).mean()


def _half(curve: np.ndarray) -> float:
    """The lag (samples) at which a curve from 1 falls below a half."""
    below = np.flatnonzero(curve < 0.5)
    if not len(below):
        return float(len(curve))
    k = below[0]
    return float(k - 1 + (curve[k - 1] - 0.5) / (curve[k - 1] - curve[k]))
