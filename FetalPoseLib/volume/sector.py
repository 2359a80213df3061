"""The sector that was scanned, where dark greys were lost and what lies in it can no longer be told from what does not.

A window, a gamma in 8 bits or a division makes the darkest greys the same as what lies outside. The sector of a probe
is convex but for the bay before a curved probe's face, so its hull tells which of them were scanned.
"""

import numpy as np
from scipy.spatial import ConvexHull, QhullError

LOST_SHARE = 0.06  # of the hull: the bay takes up to 0.037 of it in simulated volumes of all three kinds of probe
COARSE = 3  # voxels: whether anything was lost is seen on every third of them


def lost_in_sector(sector: np.ndarray) -> np.ndarray:
    """Voxels (nz, ny, nx) that were scanned but do not lie in the ``sector`` of voxels above 0; none if few were lost.

    Example
    -------
    >>> image[lost_in_sector(image > 0)] = image[image > 0].min()
    """
    nothing = np.zeros_like(sector)
    coarse = sector[::COARSE, ::COARSE, ::COARSE]
    if not _is_lost(coarse, _hull(coarse)):
        return nothing
    hull = _hull(sector)
    return hull & ~sector if _is_lost(sector, hull) else nothing


def _is_lost(sector: np.ndarray, hull: np.ndarray) -> bool:
    return bool((hull & ~sector).sum() > LOST_SHARE * hull.sum())


def _hull(mask: np.ndarray) -> np.ndarray:
    """The voxels whose centres lie in the convex hull of those of the mask; the mask itself where it has none."""
    z, y = np.nonzero(mask.any(axis=2))
    rows = mask[z, y]
    ends = rows.argmax(axis=1), mask.shape[2] - 1 - rows[:, ::-1].argmax(axis=1)
    points = np.concatenate([np.stack([z, y, x], axis=1) for x in ends])
    try:
        planes = ConvexHull(points).equations
    except (QhullError, ValueError):  # flat, or too few
        return mask
    low, high = np.zeros(mask.shape[:2]), np.full(mask.shape[:2], mask.shape[2] - 1.0)
    z, y = np.arange(mask.shape[0])[:, None], np.arange(mask.shape[1])
    for along_z, along_y, along_x, offset in planes:  # each row of voxels lies within between two places
        rest = along_z * z + along_y * y + offset
        if abs(along_x) < 1e-9:
            low[rest > 1e-6] = np.inf
        elif along_x > 0:
            np.minimum(high, -rest / along_x, out=high)
        else:
            np.maximum(low, -rest / along_x, out=low)
    x = np.arange(mask.shape[2])
    return (x >= low[..., None] - 1e-6) & (x <= high[..., None] + 1e-6)
