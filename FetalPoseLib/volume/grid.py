"""Volumes and sampling grids in the world: RAS millimetres outside, voxels (x, y, z) inside, arrays indexed [z, y, x].

Whatever axis order, handedness, spacing and direction a volume was saved with, `canonical_grid` gives it isotropic
voxels along the world's axes. A left-handed volume is thereby mirrored back, which keeps the fetus's left and right
apart. This file needs numpy only, so that Slicer's own process can use it without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.errors import FetalPoseError

if TYPE_CHECKING:
    from FetalPoseLib.volume.probe_volume import ProbeVolume

FWHM = 2 * np.sqrt(2 * np.log(2))  # full width at half maximum of a Gaussian, in standard deviations
MAX_VOXELS = 10**8  # 400 MB of float32: 460 mm on every side at 1 mm, within reach of a spacing given in metres


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

    def coarsened(self, stride: int) -> Grid:
        """The grid of an output `stride` times coarser, whose voxel v covers the voxels stride*v ... stride*v+stride-1.

        A last, partly covered voxel is kept: sizes round up.
        """
        if stride < 1:
            raise ValueError(f"stride must be 1 or more, got {stride}")
        affine = self.affine.copy()
        affine[:3, :3] *= stride
        affine[:3, 3] = self.to_world(np.full(3, (stride - 1) / 2))
        nx, ny, nz = (-(-n // stride) for n in self.shape)
        return Grid((nx, ny, nz), affine)


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
        nz, ny, nx = self.array.shape
        return Grid((nx, ny, nz), self.ijk_to_ras)

    def moved(self, matrix: np.ndarray) -> Volume:
        """The same voxels, moved in the world by an affine ``matrix`` (4, 4)."""
        return Volume(self.array, matrix @ self.ijk_to_ras)


def mirror_matrix(volume: Volume) -> np.ndarray:
    """The reflection (4, 4) of the world that leaves the volume's box in place, along the volume's first axis.

    For a volume whose file mirrors it. The reflection is its own inverse.
    """
    across = volume.ijk_to_ras[:3, 0] / np.linalg.norm(volume.ijk_to_ras[:3, 0])
    middle = (np.array(volume.array.shape[::-1]) - 1) / 2
    centre = volume.ijk_to_ras[:3, :3] @ middle + volume.ijk_to_ras[:3, 3]
    mirror = np.eye(4)
    mirror[:3, :3] -= 2 * np.outer(across, across)
    mirror[:3, 3] = 2 * across * (across @ centre)
    return mirror


def transform_points(matrix, points) -> np.ndarray:
    """Points (..., 3) moved by the affine `matrix` (4, 4), in float64; NaN rows stay NaN."""
    matrix, points = np.asarray(matrix, dtype=np.float64), np.asarray(points, dtype=np.float64)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def canonical_grid(volume: Volume | ProbeVolume, spacing: float) -> Grid:
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


def grid_in_frame(frame: FetalFrame, lower, upper, voxels_per_size: float, *, multiple: int = 32) -> Grid:
    """Grid along a fetus's axes, centred on a box that it covers.

    Parameters
    ----------
    lower, upper : (3,) body units
        Corners of the box in the fetus's frame; ValueError unless each upper value lies above its lower one.
    voxels_per_size : float
        Voxels per body unit: a voxel measures ``frame.size / voxels_per_size`` mm.
    multiple : int
        Sizes are rounded up to a multiple of it, as the network's pooling needs.
    """
    lower, upper = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    if not (upper > lower).all():
        raise ValueError(f"the box's upper corner {upper} must lie above its lower corner {lower}")
    shape = multiple * np.ceil((upper - lower) * voxels_per_size / multiple - 1e-6).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = frame.rotation * (frame.size / voxels_per_size)
    affine[:3, 3] = frame.to_world((lower + upper) / 2 - (shape - 1) / (2 * voxels_per_size))
    return Grid(tuple(shape), affine)
