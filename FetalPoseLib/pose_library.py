"""The pose library: atlases of known bodies, registered to a detected pose to say what a body may look like.

Eq. 1 of the paper (section 2.2): every atlas is brought to the pose by a rigid transform found from the robust
landmarks, the K with the lowest residual over all landmarks are the support set, and the mean of their Gaussian maps is
the label proxy that the detector then learns from.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.skeleton import Skeleton, load_skeleton

if TYPE_CHECKING:  # registering poses takes no torch: Slicer's own process does it, too
    import torch

    from FetalPoseLib.geometry import Grid


@dataclass(frozen=True, eq=False)
class Registration:
    """All atlases brought to one pose: ``aligned[a] = scale[a] * rotation[a] @ atlas[a] + translation[a]``.

    Attributes
    ----------
    aligned : (A, 16, 3) mm
    residual : (A,) mm^2
        Sum of squared distances over all landmarks seen in the pose (Eq. 1).
    rotation : (A, 3, 3), proper rotations
    translation : (A, 3) mm
    scale : (A,), all 1 unless a similarity was asked for
    """

    aligned: np.ndarray
    residual: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    scale: np.ndarray


class PoseLibrary:
    """Atlases in millimetres, each in any position and orientation.

    Parameters
    ----------
    poses : (A, 16, 3) mm
        Complete poses; FetalPoseError if a coordinate is not finite.
    names : sequence of str, optional
        Where each atlas comes from, such as a subject.
    meta : dict, optional
        Anything JSON can hold, kept with the file.
    """

    def __init__(self, poses, names: Sequence[str] = (), meta: dict | None = None, *, skeleton: Skeleton | None = None):
        self.skeleton = skeleton or load_skeleton()
        self.poses = np.array(poses, dtype=np.float64)
        self.names = tuple(names) or tuple(f"atlas-{i + 1}" for i in range(len(self.poses)))
        self.meta = dict(meta or {})
        if self.poses.shape[1:] != (len(self.skeleton), 3):
            raise FetalPoseError(f"Poses of shape {self.poses.shape[1:]} are not {len(self.skeleton)} points in space.")
        if len(self.names) != len(self.poses):
            raise ValueError(f"{len(self.names)} names for {len(self.poses)} poses")
        if not np.isfinite(self.poses).all():
            atlas, landmark = np.argwhere(~np.isfinite(self.poses))[0, :2]
            raise FetalPoseError(
                f"The pose '{self.names[atlas]}' lacks its {self.skeleton.landmarks[landmark]}. "
                "An atlas must be complete: leave this pose out of the library."
            )

    def __len__(self) -> int:
        return len(self.poses)

    def add(self, pose, name: str) -> PoseLibrary:
        """A library with one more atlas (16, 3) mm; this one stays as it is."""
        poses = np.concatenate([self.poses, np.asarray(pose, dtype=np.float64)[None]])
        return PoseLibrary(poses, (*self.names, name), self.meta, skeleton=self.skeleton)

    def save(self, path: str | Path) -> None:
        """Write an .npz file, which `load` reads; nothing in it is pickled."""
        text = {"names": np.array(self.names, dtype=str), "landmarks": np.array(self.skeleton.landmarks, dtype=str)}
        with open(path, "wb") as file:
            np.savez_compressed(file, poses=self.poses, meta=np.array(json.dumps(self.meta)), **text)

    @classmethod
    def load(cls, path: str | Path, *, skeleton: Skeleton | None = None) -> PoseLibrary:
        """The library in an .npz file; FetalPoseError if it is not one or was made for other landmarks."""
        skeleton = skeleton or load_skeleton()
        try:
            with np.load(path, allow_pickle=False) as data:
                poses, names, meta = data["poses"], data["names"].tolist(), json.loads(str(data["meta"]))
                landmarks = tuple(data["landmarks"].tolist())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
            raise FetalPoseError(f"Cannot read a pose library from {path}: {error}.") from error
        if landmarks != skeleton.landmarks:
            raise FetalPoseError(f"The pose library {path} has other landmarks than {skeleton.name}: {landmarks}.")
        return cls(poses, names, meta, skeleton=skeleton)

    def register(self, pose, *, similarity: bool = False, weights=None) -> Registration:
        """Bring every atlas to the pose by the least-squares rigid transform, reflections excluded.

        Parameters
        ----------
        pose : (16, 3) mm
            NaN rows are landmarks not seen: they neither steer the transform nor count in the residual.
        similarity : bool
            Fit one scale per atlas too.
        weights : (16,), optional
            Non-negative say of each landmark in the transform. Only the registration subset is used, with or without.

        Raises
        ------
        FetalPoseError
            Fewer than three landmarks of the subset are seen, or they lie on a line.
        """
        pose = np.asarray(pose, dtype=np.float64)
        seen = np.isfinite(pose).all(axis=1)
        weights = self._weights(pose, seen, weights)
        target = np.where(seen[:, None], pose, 0.0)
        centre, atlas_centre = weights @ target, weights @ self.poses
        covariance = self.poses.transpose(0, 2, 1) @ (weights[:, None] * (target - centre))
        rotation = best_rotation(covariance)
        scale = np.ones(len(self))
        if similarity:
            variance = weights @ ((self.poses - atlas_centre[:, None]) ** 2).sum(axis=2).T
            scale = np.einsum("aij,aji->a", rotation, covariance) / variance
        transposed = np.ascontiguousarray((scale[:, None, None] * rotation).transpose(0, 2, 1))
        translation = centre - (atlas_centre[:, None] @ transposed)[:, 0]
        aligned = self.poses @ transposed
        aligned += translation[:, None]
        squares = (aligned - target) ** 2
        residual = squares.reshape(len(self), -1) @ np.repeat(seen, 3).astype(np.float64)
        return Registration(aligned, residual, rotation, translation, scale)

    def support_set(
        self, pose, k: int = 10, *, similarity: bool = False, weights=None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `k` atlases that fit best (Eq. 1; the paper has K = 10), best first; all if there are fewer.

        Returns
        -------
        aligned : (k, 16, 3) mm
        residual : (k,) mm^2
        """
        result = self.register(pose, similarity=similarity, weights=weights)
        best = np.argsort(result.residual, kind="stable")[:k]
        return result.aligned[best], result.residual[best]

    def likelier_sides(self, pose, k: int = 10, *, similarity: bool = False) -> np.ndarray:
        """The pose (16, 3) with arms or legs exchanged, or both, if the `k` best atlases fit it better so.

        Exchanged are limbs as a whole; of equal residuals the pose as it is. FetalPoseError as for `register`.
        """
        pose, readings = np.asarray(pose, dtype=np.float64), self.skeleton.exchanged_limbs()
        residuals = [self.support_set(pose[r], k, similarity=similarity)[1].sum() for r in readings]
        return pose[readings[int(np.argmin(residuals))]]

    def _weights(self, pose: np.ndarray, seen: np.ndarray, weights) -> np.ndarray:
        """Weights (16,) that sum to 1, zero off the subset and where nothing was seen."""
        if pose.shape != (len(self.skeleton), 3):
            raise ValueError(f"a pose has shape ({len(self.skeleton)}, 3), got {pose.shape}")
        if not len(self):
            raise FetalPoseError("The pose library is empty: add at least one atlas.")
        subset = np.zeros(len(self.skeleton))
        subset[list(self.skeleton.registration_subset)] = 1.0
        weights = subset * seen * (1.0 if weights is None else np.asarray(weights, dtype=np.float64))
        if not (weights >= 0).all():
            raise ValueError(f"weights must not be negative, got {weights}")
        used = pose[weights > 0]
        if len(used) < 3:
            raise FetalPoseError(f"Registration needs 3 landmarks of its subset, got {len(used)}. Place more of them.")
        extent = np.linalg.svd(used - used.mean(axis=0), compute_uv=False)
        if not extent[1] > 1e-3 * extent[0]:
            raise FetalPoseError("The landmarks seen lie on a line: the rotation stays open. Place more of them.")
        return weights / weights.sum()


def label_proxy(aligned, grid: Grid, sigma: float, device="cpu") -> torch.Tensor:
    """The label proxy (16, nz, ny, nx) on `grid`: mean Gaussian maps of the aligned atlases (k, 16, 3) RAS mm."""
    from FetalPoseLib.heatmap import render_mean

    return render_mean(grid.to_voxel(aligned), grid.array_shape, sigma, device)


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
