"""A probe's samples read straight on a grid in the world: the scan conversion, without a volume in between.

It needs numpy and scipy, not torch, so that Slicer's own process can show such a volume too.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates

from FetalPoseLib.volume.grid import FWHM, Grid, Volume, canonical_grid
from FetalPoseLib.volume.probe_volume import ProbeVolume

SLAB = 500_000  # target voxels placed at a time: 12 MB a set of coordinates
RADIUS_STEP = 0.03  # beams and fans are blurred by one matrix over radii that differ by 3 %, far below what shows


def resample_probe(volume: ProbeVolume, grid: Grid) -> np.ndarray:
    """The volume on a grid of the world, (nz, ny, nx) float32: anti-aliased, trilinear, 0 outside what was scanned.

    Samples lie closer near the probe than far from it. Each axis is blurred, depth by depth, by the Gaussian that takes
    a sample's full width at half maximum from its own size there to the target's (Cardoso et al., MICCAI 2015), and not
    where the samples are wider already. What was scanned is 1 or more everywhere, also where no echo came back: 0 is
    kept for what lies outside. For a target whose voxels are no cubes, their size along the middle beam's axes counts.

    Example
    -------
    >>> image = resample_probe(volume, canonical_grid(volume, 1.25))
    """
    array, shape = _blurred(volume, grid), np.array(volume.grid.shape)
    nx, ny, nz = grid.shape
    result = np.zeros(grid.array_shape, dtype=np.float32)
    y, x = np.mgrid[:ny, :nx]
    rows = max(1, SLAB // (nx * ny))
    for first in range(0, nz, rows):
        depth = np.arange(first, min(first + rows, nz))[:, None, None]
        centres = np.stack(np.broadcast_arrays(x, y, depth), axis=-1)
        voxels = volume.grid.to_voxel(grid.to_world(centres))
        inside = ((voxels >= -0.5 - 1e-6) & (voxels <= shape - 0.5 + 1e-6)).all(axis=-1)
        read = map_coordinates(array, voxels[inside].T[::-1], order=1, mode="nearest")
        result[first : first + rows][inside] = np.maximum(np.rint(read), 1)
    return result


def scan_converted(volume: ProbeVolume, spacing: float) -> Volume:
    """The volume in cubic voxels of ``spacing`` mm, for what can only show or take those.

    At the network's own spacing nothing is lost: its canonical grid is then the grid that it already has. Raises as
    `canonical_grid`.
    """
    grid = canonical_grid(volume, spacing)
    return Volume(resample_probe(volume, grid).astype(volume.array.dtype), grid.affine)


def _blurred(volume: ProbeVolume, grid: Grid) -> np.ndarray:
    """The samples (K, J, I), float32, without detail that the target's voxels cannot hold."""
    probe = volume.grid
    to_target = np.linalg.inv(grid.affine[:3, :3]) @ probe.probe_to_ras[:3, :3]
    lateral, elevational, axial = 1 / np.linalg.norm(to_target, axis=0)  # a target voxel's size in mm along these
    array = volume.array.astype(np.float32)
    if axial > probe.step * (1 + 1e-6):
        sigma = np.sqrt((axial / probe.step) ** 2 - 1) / FWHM
        array = gaussian_filter1d(array, sigma, axis=2, mode="nearest")
    for radius, where in _groups(probe.radii):
        matrix = _blur_matrix(probe.theta, radius, lateral)
        if matrix is not None:
            array[:, :, where] = matrix @ array[:, :, where]
    for radius, where in _groups(probe.sweep_radii):
        matrix = _blur_matrix(probe.phi, radius, elevational)
        if matrix is not None:
            array[:, where] = matrix @ array[:, where]
    return array


def _groups(radii: np.ndarray):
    """Masks of radii that are about equal, each with its middle radius."""
    logarithm = np.log(np.maximum(radii, radii.max() / 1000))
    number = np.floor((logarithm - logarithm.min()) / RADIUS_STEP).astype(int)
    for group in np.unique(number):
        yield np.exp(logarithm.min() + (group + 0.5) * RADIUS_STEP), number == group


def _blur_matrix(angles: np.ndarray, radius: float, size: float) -> np.ndarray | None:
    """Rows (N, N) that blur samples at these angles and this radius to voxels of ``size`` mm; None if none needs it."""
    place = radius * angles
    width = np.abs(np.gradient(place))
    sigma = np.sqrt(np.maximum(size**2 - width**2, 0)) / FWHM
    if (sigma < 1e-3 * width).all():
        return None
    distance = np.abs(place - place[:, None]) / np.maximum(sigma, 1e-3 * width)[:, None]
    weights = np.where(distance <= 4, np.exp(-0.5 * np.minimum(distance, 4) ** 2), 0) * width
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
