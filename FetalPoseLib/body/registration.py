"""Point registration: the least-squares rigid or similarity transform between corresponding points, many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Similarity:
    """Transforms ``scale * rotation @ x + translation``, one for each leading index.

    Attributes
    ----------
    rotation : (..., 3, 3), proper rotations
    translation : (..., 3) mm
    scale : (...), all 1 for rigid transforms
    """

    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (..., N, 3) moved."""
        transposed = np.ascontiguousarray(np.swapaxes(self.scale[..., None, None] * self.rotation, -1, -2))
        return points @ transposed + self.translation[..., None, :]


def register_points(source, target, weights, *, similarity: bool = False) -> Similarity:
    """Bring ``source`` to ``target`` by weighted least squares, reflections excluded (Umeyama, PAMI 13, 1991).

    Parameters
    ----------
    source, target : (..., N, 3)
        Corresponding points, finite; leading dimensions broadcast.
    weights : (..., N)
        Non-negative weight of each point; they need not sum to 1.
    similarity : bool
        Fit one scale, too. It is NaN where all weight lies on one source point.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    weights = (weights / weights.sum(axis=-1, keepdims=True))[..., None]
    source_centre, target_centre = (weights * source).sum(axis=-2), (weights * target).sum(axis=-2)
    centred = source - source_centre[..., None, :]
    covariance = np.swapaxes(centred, -1, -2) @ (weights * (target - target_centre[..., None, :]))
    shape = covariance.shape[:-2]
    rotation = best_rotation(covariance.reshape(-1, 3, 3)).reshape(*shape, 3, 3)
    scale = np.ones(shape)
    if similarity:
        variance = (weights[..., 0] * (centred**2).sum(axis=-1)).sum(axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.einsum("...ij,...ji->...", rotation, covariance) / variance
    moved = np.einsum("...ij,...j->...i", rotation, source_centre)
    return Similarity(rotation, target_centre - scale[..., None] * moved, scale)


def best_rotation(covariance: np.ndarray) -> np.ndarray:
    """The proper rotations R (A, 3, 3) that maximise trace(R C) for each C = sum of x y^T, so that R x fits y best.

    Horn's quaternion (J. Opt. Soc. Am. A 4, 1987): the dominant eigenvector of a 4x4 matrix, here by squaring that
    matrix until it has rank one. It is Kabsch's SVD solution with reflections excluded, at a third of the time of a
    batched SVD: thousands of 4x4 products are one fast call.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.moveaxis(covariance, 0, -1)
    upper = np.array([
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ])  # fmt: skip
    matrix = np.ascontiguousarray(np.moveaxis(upper, -1, 0))
    norm = np.sqrt(np.einsum("aij,aij->a", matrix, matrix))[:, None, None]
    matrix = matrix / np.maximum(norm, np.finfo(float).tiny) + np.eye(4)  # positive definite: largest = most positive
    matrix /= 4  # its trace: Horn's matrix has none
    for _ in range(40):
        matrix = matrix @ matrix
        purity = np.einsum("aii->a", matrix)
        matrix /= purity[:, None, None]
        if purity.min() > 1 - 1e-8:  # of the matrix before squaring; what is left of the others is now 1e-16
            break
    column = np.argmax(np.diagonal(matrix, axis1=1, axis2=2), axis=1)
    quaternion = matrix[np.arange(len(matrix)), :, column]
    w, x, y, z = (quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)).T
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    return np.ascontiguousarray(np.moveaxis(rotation, -1, 0))
