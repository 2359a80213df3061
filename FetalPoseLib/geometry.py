"""Volumes and sampling grids in the world: RAS millimetres outside, voxels (x, y, z) inside, arrays indexed [z, y, x].

Whatever axis order, handedness, spacing and direction a volume was saved with, `canonical_grid` and `resample` bring
it to isotropic voxels along the world's axes. A left-handed volume is thereby mirrored back, which is what keeps the
fetus's left and right apart.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch.nn import functional

from FetalPoseLib.errors import FetalPoseError

FWHM = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian, in standard deviations
MAX_VOXELS = 2**29  # 2 GiB of float32: far beyond any ultrasound volume, within reach of a spacing given in metres


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of voxels in the world.

    Attributes
    ----------
    shape : (nx, ny, nz)
    affine : (4, 4) float64
        Voxel (x, y, z) to RAS mm; a voxel's centre lies at integers.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self):
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"a grid needs three positive sizes, got {self.shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
            raise ValueError(f"a grid needs an invertible (4, 4) affine, got {affine.tolist()}")
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> np.ndarray:
        """Distance in mm between neighbours along x, y and z, (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def array_shape(self) -> tuple[int, int, int]:
        """(nz, ny, nx), the shape of an array on this grid."""
        return self.shape[::-1]

    def to_world(self, points) -> np.ndarray:
        """Voxel points (..., 3) in RAS mm."""
        return transform_points(self.affine, points)

    def to_voxel(self, points) -> np.ndarray:
        """RAS points (..., 3) in voxels."""
        return transform_points(np.linalg.inv(self.affine), points)

    def corners(self) -> np.ndarray:
        """The eight outer corners of the box of voxels, half a voxel beyond the outermost centres: (8, 3) RAS mm."""
        return self.to_world(np.array(list(product(*((-0.5, n - 0.5) for n in self.shape)))))

    def coarsened(self, stride: int) -> "Grid":
        """The grid of an output `stride` times coarser, whose voxel v covers the voxels stride*v ... stride*v+stride-1.

        A last, partly covered voxel is kept: sizes round up.
        """
        if stride < 1:
            raise ValueError(f"stride must be 1 or more, got {stride}")
        affine = self.affine.copy()
        affine[:3, :3] *= stride
        affine[:3, 3] = self.to_world(np.full(3, (stride - 1) / 2))
        return Grid(tuple(-(-n // stride) for n in self.shape), affine)


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar image with its place in the world, as it came from a file or a scene.

    Attributes
    ----------
    array : (nz, ny, nx) real numbers
    ijk_to_ras : (4, 4)
        Voxel (i, j, k) to RAS mm, parent transforms included; any spacing, direction and handedness.

    Raises
    ------
    FetalPoseError
        The array is not one 3D scalar image, or the matrix does not place it in space.
    """

    array: np.ndarray
    ijk_to_ras: np.ndarray

    def __post_init__(self):
        array, matrix = np.asarray(self.array), np.array(self.ijk_to_ras, dtype=np.float64)
        if array.ndim != 3 or min(array.shape) < 2 or array.dtype.kind not in "buif":
            raise FetalPoseError(
                f"Expected one 3D scalar volume, got an array of shape {array.shape} ({array.dtype}). "
                "Choose a single frame and a single channel."
            )
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            raise FetalPoseError(
                f"The volume's IJK-to-RAS matrix {np.round(matrix, 6).tolist()} is not invertible. "
                "Correct its spacing and directions."
            )
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "ijk_to_ras", matrix)

    @property
    def grid(self) -> Grid:
        """The volume's own voxels as a grid."""
        return Grid(self.array.shape[::-1], self.ijk_to_ras)


def transform_points(matrix, points) -> np.ndarray:
    """Points (..., 3) moved by the affine `matrix` (4, 4), in float64; NaN rows stay NaN."""
    matrix, points = np.asarray(matrix, dtype=np.float64), np.asarray(points, dtype=np.float64)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def canonical_grid(volume: Volume, spacing: float) -> Grid:
    """The isotropic, right-handed grid along the RAS axes that covers the volume's bounding box in the world.

    It depends on the anatomy's place only: all 48 axis orders and flips of one volume have the same grid.

    Raises
    ------
    FetalPoseError
        The extent is absurd for this spacing (mm), as when a header's spacing is in metres or micrometres.
    """
    if not spacing > 0:
        raise ValueError(f"spacing must be positive, got {spacing} mm")
    corners = volume.grid.corners()
    lower, extent = corners.min(axis=0), np.ptp(corners, axis=0)
    shape = np.maximum(np.ceil(extent / spacing - 1e-6), 1)  # rounding of the corners must not add a voxel
    if np.prod(shape) > MAX_VOXELS:
        size = " x ".join(f"{e:.4g}" for e in extent)
        raise FetalPoseError(
            f"The volume measures {size} mm, too large for voxels of {spacing:g} mm. "
            f"Correct its spacing, now {np.round(volume.grid.spacing, 6).tolist()} mm."
        )
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = lower + extent / 2 - (shape - 1) / 2 * spacing
    return Grid(tuple(shape.astype(int)), affine)


def resample(volume: Volume, grid: Grid, *, device: str | torch.device = "cpu") -> torch.Tensor:
    """The volume on another grid, (nz, ny, nx) float32: anti-aliased, trilinear, zero outside the volume's voxels.

    Before it is sampled more coarsely, the volume is blurred along each of its own axes by the Gaussian that takes a
    voxel's full width at half maximum from the source's size to the target's (Cardoso et al., MICCAI 2015); it is not
    blurred where the target is finer. NaN and infinite voxels count as 0, "no echo".

    Example
    -------
    >>> image = resample(volume, canonical_grid(volume, 1.25))
    """
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
    where = _lattice(matrix, target.array_shape).to(batch)[None]
    result = functional.grid_sample(batch, where, mode="bilinear", padding_mode="border", align_corners=False)
    result *= (where.abs().amax(dim=-1) <= 1 + 1e-5).to(batch)  # tolerance: target centres on the source's very edge
    return result.reshape(*tensor.shape[:-3], *target.array_shape)


def normalise_intensity(tensor: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit standard deviation over the voxels above 0 (the sector); exactly 0 everywhere else.

    Raises
    ------
    FetalPoseError
        There is no picture in the volume: no voxel above 0, or all of them equal.
    """
    sector = tensor > 0
    values = tensor[sector].double()
    if values.numel() < 2 or not values.std() > 1e-5 * values.mean():
        value = f"all {values[0].item():g}" if values.numel() else "none above 0"
        raise FetalPoseError(f"The volume holds no picture: its values are {value}. Choose an ultrasound volume.")
    normalised = (tensor - values.mean()) / values.std()
    return torch.where(sector, normalised, 0).to(torch.float32)


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
