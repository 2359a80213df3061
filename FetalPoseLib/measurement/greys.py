"""A volume read at points in the world, with greys that do not depend on how they were stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume

SAMPLE_VOXELS = 200_000  # whose greys stand for all
OUTSIDE_SHARE = 0.1  # of the voxels on the faces of the box at the lowest value: that is what lies outside the sector


@dataclass(frozen=True, eq=False)
class Greys:
    """The greys of a volume as ranks: 0 darker than all of the sector, 1 brighter; NaN outside the sector.

    An increasing function of the greys, as decibels or a gamma, leaves ranks as they are.

    Attributes
    ----------
    volume : Volume or ProbeVolume
    array : (nz, ny, nx) float32, finite
    outside : the value outside the sector; NaN where every voxel is inside
    levels : (N,) greys of the sector, sorted
    """

    volume: Volume | ProbeVolume
    array: np.ndarray
    outside: float
    levels: np.ndarray

    @classmethod
    def of(cls, volume: Volume | ProbeVolume) -> Greys:
        """The greys of a volume; voxels that are not finite count as outside."""
        array = np.asarray(volume.array, dtype=np.float32)
        finite = np.isfinite(array)
        lowest = float(array[finite].min()) if finite.any() else 0.0
        if not finite.all():
            array = np.where(finite, array, lowest)
        faces = np.concatenate([array[[0, -1]].ravel(), array[:, [0, -1]].ravel(), array[:, :, [0, -1]].ravel()])
        outside = lowest if (faces == lowest).mean() >= OUTSIDE_SHARE or not finite.all() else np.nan
        some = array.ravel()[:: max(array.size // SAMPLE_VOXELS, 1)]
        return cls(volume, array, outside, np.sort(some[some != outside]))

    def at(self, points) -> np.ndarray:
        """Ranks (...) in 0 to 1 at RAS points (..., 3) mm, trilinear; NaN outside the sector."""
        points = np.asarray(points, dtype=np.float64)
        if points.ndim == 1:
            return self.at(points[None])[0]
        voxels = np.moveaxis(self.volume.grid.to_voxel(points)[..., ::-1], -1, 0)
        values = map_coordinates(self.array, voxels, order=1, mode="nearest")
        size = np.array(self.array.shape).reshape(3, *[1] * (voxels.ndim - 1))
        within = ((voxels >= -0.5) & (voxels <= size - 0.5)).all(axis=0)
        if np.isfinite(self.outside):
            nearest = np.clip(np.round(voxels).astype(int), 0, size - 1)
            within &= self.array[tuple(nearest)] != self.outside
        ranks = np.searchsorted(self.levels, values) / max(len(self.levels), 1)
        return np.where(within, ranks, np.nan)
