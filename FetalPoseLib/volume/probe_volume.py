"""Volumes in a probe's own coordinates: samples along beams, beams in a fan, fans in a sweep.

A `ProbeVolume` stands wherever a `Volume` does: its grid answers the same questions (``shape``, ``spacing``,
``to_world``, ``to_voxel``, ``corners``), and ``canonical_grid`` and ``resample`` take either. This file needs numpy
only.
"""

from dataclasses import dataclass, replace

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.grid import transform_points

SHELL = 129  # angles along each edge of a shell: its box is exact to a ten-thousandth of its size


@dataclass(frozen=True, eq=False)
class ProbeGrid:
    """The samples of a curved array that a motor sweeps about an axis: a toroidal lattice in the world.

    With r = ``radius + i * step`` and rho = r cos(theta[j]) - ``axis``, sample i of beam j in fan k lies, in the
    probe's own millimetres, at

        x = r sin(theta[j])        y = -rho sin(phi[k])        z = axis + rho cos(phi[k])

    so x is lateral, z depth from the point where the beams of the middle fan meet, and the sweep turns about the line
    y = 0, z = ``axis``, which lies behind every sample.

    Attributes
    ----------
    samples : int
        Number of samples along a beam, I.
    radius, step : float
        Distance in mm of a beam's first sample from the point where the beams meet, and between its samples.
    axis : float
        Where the sweep's axis lies on z, in mm; negative behind the point where the beams meet.
    theta : (J,) radians
        Angles of the beams in a fan, rising or falling, 0 straight ahead.
    phi : (K,) radians
        Angles of the fans, rising or falling, 0 in the middle of the sweep.
    probe_to_ras : (4, 4)
        From the probe's millimetres to world RAS millimetres: rigid, or rigid and mirrored.

    Raises
    ------
    FetalPoseError
        Samples would lie behind the sweep's axis, angles are not in order or no angles of a probe, or lengths are not
        above 0.
    """

    samples: int
    radius: float
    step: float
    axis: float
    theta: np.ndarray
    phi: np.ndarray
    probe_to_ras: np.ndarray

    def __post_init__(self):
        for name in ("theta", "phi", "probe_to_ras"):
            value = np.array(getattr(self, name), dtype=np.float64)
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        if self.samples < 2 or not np.isfinite([self.radius, self.step, self.axis]).all():
            raise FetalPoseError("A probe's volume needs two samples a beam or more, and finite distances.")
        if self.step <= 0 or self.radius < 0:
            raise FetalPoseError(
                f"The beams start at {self.radius:.4g} mm in steps of {self.step:.4g} mm; both must be positive."
            )
        _check_angles("beams", self.theta)
        _check_angles("fans", self.phi)
        nearest = self._radii([-0.5])[0] * np.cos(np.abs(_extended(self.theta)[1]).max()) - self.axis
        if nearest <= 0:
            raise FetalPoseError(
                f"The outermost beams start {-nearest:.4g} mm behind the axis of the sweep. The geometry is damaged."
            )
        if not np.allclose(self.probe_to_ras[:3, :3] @ self.probe_to_ras[:3, :3].T, np.eye(3), atol=1e-6):
            raise FetalPoseError("The matrix from the probe to the world stretches lengths. It must be rigid.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K): samples along a beam, beams in a fan, fans."""
        return self.samples, len(self.theta), len(self.phi)

    @property
    def array_shape(self) -> tuple[int, int, int]:
        """(K, J, I), the shape of an array on this grid."""
        return self.shape[::-1]

    @property
    def radii(self) -> np.ndarray:
        """Distances r of a beam's samples from the point where the beams meet, (I,) mm."""
        return self._radii(np.arange(self.samples))

    @property
    def sweep_radii(self) -> np.ndarray:
        """Distances rho of the samples from the axis of the sweep, (J, I) mm."""
        return np.cos(self.theta)[:, None] * self.radii - self.axis

    @property
    def spacing(self) -> np.ndarray:
        """Distance in mm between neighbours along i, j and k, (3,), halfway down the middle beam."""
        middle = self._radii([(self.samples - 1) / 2])[0]
        steps = [np.ptp(angles) / (len(angles) - 1) for angles in (self.theta, self.phi)]
        return np.array([self.step, steps[0] * middle, steps[1] * (middle - self.axis)])

    def to_world(self, points) -> np.ndarray:
        """Voxel points (..., 3) in RAS mm; NaN beyond the outermost half voxels of beams or fans."""
        i, j, k = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        theta, phi = (np.interp(v, *_extended(a), np.nan, np.nan) for v, a in ((j, self.theta), (k, self.phi)))
        return self._place(self._radii(i), theta, phi)

    def to_voxel(self, points) -> np.ndarray:
        """RAS points (..., 3) in voxels; outside the fan or the sweep, j or k is -1 or their number."""
        x, y, z = np.moveaxis(transform_points(np.linalg.inv(self.probe_to_ras), points), -1, 0)
        reach = np.hypot(y, z - self.axis) + self.axis
        phi, theta = np.arctan2(-y, z - self.axis), np.arctan2(x, reach)
        i = (np.hypot(x, reach) - self.radius) / self.step
        return np.stack([i, _index(theta, self.theta), _index(phi, self.phi)], axis=-1)

    def corners(self) -> np.ndarray:
        """The eight corners of the smallest box along the RAS axes that holds all voxels: (8, 3) RAS mm."""
        outer = self._radii([-0.5, self.samples - 0.5])
        # The box touches the outer or the inner shell, which are smooth, perhaps where a beam lies straight ahead.
        theta, phi = (
            np.append(np.linspace(a[0], a[-1], SHELL), np.clip(0, a.min(), a.max()))
            for _, a in map(_extended, (self.theta, self.phi))
        )
        points = self._place(outer[:, None, None], theta[:, None], phi).reshape(-1, 3)
        box = np.stack([points.min(axis=0), points.max(axis=0)])
        return np.array([[x, y, z] for x in box[:, 0] for y in box[:, 1] for z in box[:, 2]])

    def _radii(self, i) -> np.ndarray:
        return np.maximum(self.radius + self.step * np.asarray(i, dtype=np.float64), 0.0)

    def _place(self, r, theta, phi) -> np.ndarray:
        rho = r * np.cos(theta) - self.axis
        x, y, z = np.broadcast_arrays(r * np.sin(theta), -rho * np.sin(phi), self.axis + rho * np.cos(phi))
        return transform_points(self.probe_to_ras, np.stack([x, y, z], axis=-1))


@dataclass(frozen=True, eq=False)
class ProbeVolume:
    """Echo strengths on a probe's own samples, as the machine recorded them.

    Attributes
    ----------
    array : (K, J, I) integers
        One value per sample; all of them were scanned, whatever their value.
    grid : ProbeGrid

    Raises
    ------
    FetalPoseError
        The array does not fit the grid, or holds no integers.
    """

    array: np.ndarray
    grid: ProbeGrid

    def __post_init__(self):
        array = np.asarray(self.array)
        if array.shape != self.grid.array_shape or array.dtype.kind not in "ui":
            raise FetalPoseError(
                f"An array of shape {array.shape} ({array.dtype}) is not on a probe's grid of {self.grid.array_shape}."
            )
        object.__setattr__(self, "array", array)

    def moved(self, matrix: np.ndarray) -> "ProbeVolume":
        """The same samples, moved in the world by a ``matrix`` (4, 4); FetalPoseError if it changes lengths."""
        return ProbeVolume(self.array, replace(self.grid, probe_to_ras=matrix @ self.grid.probe_to_ras))


def _check_angles(name: str, angles: np.ndarray) -> None:
    if angles.ndim != 1 or len(angles) < 2 or not np.isfinite(angles).all():
        raise FetalPoseError(f"A probe's volume needs two {name} or more, with finite angles.")
    steps = np.diff(angles)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise FetalPoseError(f"The angles of the {name} neither rise nor fall throughout. The geometry is damaged.")
    if np.abs(_extended(angles)[1]).max() >= np.pi / 2:
        raise FetalPoseError(
            f"The angles of the {name} reach {np.degrees(np.abs(angles).max()):.4g} degrees to one side; "
            "less than 90 is possible. The geometry is damaged."
        )


def _extended(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices and angles, with those of the outer edges, half a step beyond the first and the last."""
    first, last = 1.5 * angles[0] - 0.5 * angles[1], 1.5 * angles[-1] - 0.5 * angles[-2]
    return np.r_[-0.5, np.arange(len(angles)), len(angles) - 0.5], np.r_[first, angles, last]


def _index(values: np.ndarray, angles: np.ndarray) -> np.ndarray:
    index, extended = _extended(angles)
    if extended[0] < extended[-1]:
        return np.interp(values, extended, index, -1, len(angles))
    return np.interp(values, extended[::-1], index[::-1], len(angles), -1)
