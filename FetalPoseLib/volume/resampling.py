"""Volumes read on other grids, with torch: anti-aliased, trilinear."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from FetalPoseLib.volume.grid import FWHM, Grid, Volume
from FetalPoseLib.volume.probe_resampling import resample_probe
from FetalPoseLib.volume.probe_volume import ProbeVolume

SLAB_VOXELS = 2**23  # sampled at a time, whose lattice takes 100 MB


def resample(volume: Volume | ProbeVolume, grid: Grid, *, device: str | torch.device = "cpu") -> torch.Tensor:
    """The volume on another grid, (nz, ny, nx) float32: anti-aliased, trilinear, zero outside the volume's voxels.

    Before it is sampled more coarsely, the volume is blurred along each of its own axes by the Gaussian that takes a
    voxel's full width at half maximum from the source's size to the target's (Cardoso et al., MICCAI 2015); it is not
    blurred where the target is finer. NaN and infinite voxels count as 0, "no echo". A volume in a probe's coordinates
    is read by `resample_probe`.

    Example
    -------
    >>> image = resample(volume, canonical_grid(volume, 1.25))
    """
    if isinstance(volume, ProbeVolume):
        return torch.from_numpy(resample_probe(volume, grid)).to(device)
    array = torch.from_numpy(np.array(volume.array, dtype=np.float32, order="C")).to(device)
    if volume.array.dtype.kind == "f":
        array = torch.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
    # The length of each source voxel's edge, measured in target voxels, whatever the angle between the two grids.
    step = np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]) @ volume.ijk_to_ras[:3, :3], axis=0)
    for axis, ratio in enumerate(1 / step):
        if ratio > 1 + 1e-6:
            array = _blur(array, 2 - axis, np.sqrt(ratio**2 - 1) / FWHM)
    result = sample(array, volume.grid, grid)
    # An integer picture stays one: interpolation must not fringe the sector with values between 0 (outside) and 1.
    return result.round_() if volume.array.dtype.kind in "bui" else result


def sample(tensor: torch.Tensor, source: Grid, target: Grid) -> torch.Tensor:
    """A tensor (nz, ny, nx) or (C, nz, ny, nx) on the grid `source`, read on `target`: trilinear, no filter.

    Within the source's outermost half voxels the nearest value holds; beyond them the result is 0.
    """
    if tuple(tensor.shape[-3:]) != source.array_shape or tensor.ndim not in (3, 4):
        raise ValueError(f"a tensor of shape {tuple(tensor.shape)} is not on a grid of {source.array_shape}")
    batch = tensor.reshape(1, -1, *source.array_shape)
    matrix = _unit_cube(source) @ np.linalg.inv(source.affine) @ target.affine
    nz, ny, nx = target.array_shape
    thick = max(SLAB_VOXELS // (nx * ny), 1)
    slabs = []
    for first in range(0, nz, thick):  # a lattice takes three times the memory of the picture
        shift = np.eye(4)
        shift[2, 3] = first
        where = _lattice(matrix @ shift, (min(thick, nz - first), ny, nx)).to(batch)[None]
        slab = functional.grid_sample(batch, where, mode="bilinear", padding_mode="border", align_corners=False)
        slab *= (where.abs().amax(dim=-1) <= 1 + 1e-5).to(batch)  # tolerance: target centres on the source's very edge
        slabs.append(slab)
    result = slabs[0] if len(slabs) == 1 else torch.cat(slabs, dim=2)
    return result.reshape(*tensor.shape[:-3], *target.array_shape)


def sample_each(tensor: torch.Tensor, source: Grid, targets: Sequence[Grid]) -> torch.Tensor:
    """A tensor (nz, ny, nx) on ``source``, read on N grids of one shape: (N, mz, my, mx), each as `sample` reads it.

    torch samples one picture on one thread and several on several.
    """
    step = _unit_cube(source) @ np.linalg.inv(source.affine)
    where = torch.stack([_lattice(step @ target.affine, target.array_shape) for target in targets]).to(tensor)
    batch = tensor.expand(len(targets), 1, *tensor.shape)
    found = functional.grid_sample(batch, where, mode="bilinear", padding_mode="border", align_corners=False)
    return found[:, 0] * (where.abs().amax(dim=-1) <= 1 + 1e-5).to(batch)


def _lattice(matrix: np.ndarray, array_shape: tuple[int, int, int]) -> torch.Tensor:
    """All voxels of an array moved by the affine ``matrix`` (4, 4): (nz, ny, nx, 3) float32.

    The three axes are added up, which takes a quarter of the time of torch's ``affine_grid`` on a CPU.
    """
    affine = torch.from_numpy(matrix[:3])
    steps = [torch.arange(n, dtype=torch.float64)[:, None] * affine[:, 2 - i] for i, n in enumerate(array_shape)]
    rows = steps[1][:, None] + (steps[2] + affine[:, 3])
    return steps[0].float()[:, None, None] + rows.float()


def _unit_cube(grid: Grid) -> np.ndarray:
    """Matrix (4, 4) from voxels to torch's sampling coordinates: -1 and 1 at the outer faces of the voxel box."""
    size = np.array(grid.shape, dtype=np.float64)
    matrix = np.diag([*(2 / size), 1.0])
    matrix[:3, 3] = 1 / size - 1
    return matrix


def _blur(array: torch.Tensor, dim: int, sigma: float) -> torch.Tensor:
    """Gaussian filter along one dimension, edges repeated; `sigma` in voxels.

    One product with a banded matrix: on one core several times faster than torch's 1D convolution of a 3D array.
    """
    n, radius = array.shape[dim], int(np.ceil(4 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    rows = np.repeat(np.arange(n), taps.size)
    columns = np.clip(rows.reshape(n, -1) + np.arange(-radius, radius + 1), 0, n - 1).ravel()
    weights = np.zeros((n, n))
    np.add.at(weights, (rows, columns), np.tile(taps / taps.sum(), n))
    band = torch.from_numpy(weights).to(array)
    if dim == 2:
        return array @ band.T
    return band @ array if dim == 1 else (band @ array.reshape(n, -1)).reshape(array.shape)
