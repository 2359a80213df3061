"""The pose library: atlases of known bodies, registered to a detected pose to say what a body may look like.

Eq. 1 of the paper (section 2.2): every atlas is brought to the pose by a rigid transform found from the robust
landmarks, the K with the lowest residual over all landmarks are the support set, and the mean of their Gaussian maps is
the label proxy that the detector then learns from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.body.fetal_frame import TRUNK, frame_obstacle
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.registration import register_points
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.npz import arrays_or_reason

MOST_BYTES = 2**26  # of one array: 170,000 poses
LENGTHS_MM = (0.3, 300.0)  # of a segment: what a person can place apart; far above any fetus
RESTORE = "Restore it from a copy, or choose another folder for the library."

SUPPORT_SET_SIZE = 10  # atlases that fit best and are used together: K of Eq. 1, the paper's value


@dataclass(frozen=True, eq=False)
class Registration:
    """All atlases brought to one pose.

    Attributes
    ----------
    aligned : (A, 16, 3) mm
    residual : (A,) mm^2
        Sum of squared distances over all visible landmarks of the pose (Eq. 1).
    """

    aligned: np.ndarray
    residual: np.ndarray


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

    Attributes
    ----------
    left_out : tuple of str
        After `load` and `joined`: a sentence for each pose that the files hold and that is no body.
    """

    def __init__(self, poses, names: Sequence[str] = (), meta: dict | None = None, *, skeleton: Skeleton | None = None):
        self.skeleton = skeleton or load_skeleton()
        self.poses = np.array(poses, dtype=np.float64)
        self.names = tuple(names) or tuple(f"atlas-{i + 1}" for i in range(len(self.poses)))
        self.meta = dict(meta or {})
        self.left_out: tuple[str, ...] = ()  # a sentence for each pose of the file that is no body
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
        """A library with one more atlas (16, 3) mm; this one stays as it is.

        Raises
        ------
        FetalPoseError
            The pose is incomplete or degenerate, with the reason.
        """
        obstacle = atlas_obstacle(pose, self.skeleton)
        if obstacle:
            raise FetalPoseError(f"This pose cannot go into a library. {obstacle}")
        poses = np.concatenate([self.poses, np.asarray(pose, dtype=np.float64)[None]])
        return PoseLibrary(poses, (*self.names, name), self.meta, skeleton=self.skeleton)

    def remove(self, name: str) -> PoseLibrary:
        """A library without the atlas of this name; this one stays as it is. FetalPoseError if there is none."""
        if name not in self.names:
            raise FetalPoseError(f"There is no pose '{name}' in the library. It has {listed(self.names) or 'none'}.")
        kept = [i for i, other in enumerate(self.names) if other != name]
        return PoseLibrary(self.poses[kept], [self.names[i] for i in kept], self.meta, skeleton=self.skeleton)

    def joined(self, others: Sequence[PoseLibrary]) -> PoseLibrary:
        """A library of all atlases of this one and the others, with all their `left_out`."""
        libraries = (self, *others)
        poses = np.concatenate([library.poses for library in libraries])
        names = [name for library in libraries for name in library.names]
        library = PoseLibrary(poses, names, self.meta, skeleton=self.skeleton)
        library.left_out = tuple(sentence for library in libraries for sentence in library.left_out)
        return library

    def save(self, path: str | Path) -> None:
        """Write an .npz file, which `load` reads; nothing in it is pickled."""
        names, landmarks = (np.array(words, dtype=str) for words in (self.names, self.skeleton.landmarks))
        meta = np.array(json.dumps(self.meta))
        with open(path, "wb") as file:
            np.savez_compressed(file, poses=self.poses, meta=meta, names=names, landmarks=landmarks)

    @classmethod
    def load(cls, path: str | Path, *, skeleton: Skeleton | None = None) -> PoseLibrary:
        """The library in an .npz file, without atlases that are no bodies; `left_out` names these.

        Raises
        ------
        FetalPoseError
            The file is damaged, no pose library, or made for other landmarks.
        """
        library = cls.load_or_reason(path, skeleton=skeleton)
        if isinstance(library, str):
            raise FetalPoseError(library)
        return library

    @classmethod
    def load_or_reason(cls, path: str | Path, *, skeleton: Skeleton | None = None) -> PoseLibrary | str:
        """As `load`, but where that raises, the sentence that says why."""
        skeleton = skeleton or load_skeleton()
        arrays = arrays_or_reason(path, ("poses", "names", "meta", "landmarks"), most_bytes=MOST_BYTES)
        if isinstance(arrays, str):
            return arrays
        poses, names, landmarks = arrays["poses"], arrays["names"], arrays["landmarks"]
        if landmarks.dtype.kind != "U" or landmarks.ndim != 1 or names.dtype.kind != "U" or names.ndim != 1:
            return f"{path} is no pose library: its names are no texts. {RESTORE}"
        if tuple(landmarks.tolist()) != skeleton.landmarks:
            return f"The pose library {path} has other landmarks than {skeleton.name}: {listed(landmarks.tolist())}."
        if poses.dtype.kind not in "iuf" or poses.shape != (len(names), len(skeleton), 3):
            return (
                f"{path} is no pose library: {len(names)} names and poses of the shape {poses.shape} ({poses.dtype}), "
                f"which should be ({len(names)}, {len(skeleton)}, 3). {RESTORE}"
            )
        try:
            meta = json.loads(str(arrays["meta"]))
        except (ValueError, RecursionError):
            meta = None
        if not isinstance(meta, dict):
            return f"{path} is no pose library: its meta is no JSON object. {RESTORE}"
        obstacles = [atlas_obstacle(pose, skeleton) for pose in poses]
        kept = [i for i, obstacle in enumerate(obstacles) if not obstacle]
        library = cls(poses[kept], names[kept].tolist(), meta, skeleton=skeleton)
        library.left_out = tuple(
            f"The pose '{name}' of the library {Path(path).name} is left out. {obstacle}"
            for name, obstacle in zip(names.tolist(), obstacles, strict=True)
            if obstacle
        )
        return library

    def register(self, pose, *, similarity: bool = False, weights=None) -> Registration:
        """Bring every atlas to the pose by the least-squares rigid transform, reflections excluded.

        Parameters
        ----------
        pose : (16, 3) mm
            NaN rows are landmarks that are not visible: they neither steer the transform nor count in the residual.
        similarity : bool
            Fit one scale per atlas too.
        weights : (16,), optional
            Non-negative weight of each landmark in the transform. Only the registration subset is used in any case.

        Raises
        ------
        FetalPoseError
            Fewer than three landmarks of the subset are visible, or they lie on a line.
        """
        pose = np.asarray(pose, dtype=np.float64)
        visible = np.isfinite(pose).all(axis=1)
        weights = self._weights(pose, visible, weights)
        target = np.where(visible[:, None], pose, 0.0)
        aligned = register_points(self.poses, target, weights, similarity=similarity).apply(self.poses)
        squares = (aligned - target) ** 2
        residual = squares.reshape(len(self), -1) @ np.repeat(visible, 3).astype(np.float64)
        return Registration(aligned, residual)

    def can_register(self, pose) -> bool:
        """Whether the pose (16, 3) has three landmarks of the subset that do not lie on a line, as `register` needs."""
        subset = np.asarray(pose, dtype=np.float64)[list(self.skeleton.registration_subset)]
        return not _obstacle(subset[np.isfinite(subset).all(axis=1)])

    def support_set(
        self, pose, k: int = SUPPORT_SET_SIZE, *, similarity: bool = False, weights=None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The `k` atlases that fit best (Eq. 1), best first; all if there are fewer.

        Returns
        -------
        aligned : (k, 16, 3) mm
        residual : (k,) mm^2
        """
        result = self.register(pose, similarity=similarity, weights=weights)
        best = np.argsort(result.residual, kind="stable")[:k]
        return result.aligned[best], result.residual[best]

    def likelier_sides(self, pose, k: int = SUPPORT_SET_SIZE, *, similarity: bool = False) -> np.ndarray:
        """The pose (16, 3) with arms or legs exchanged, or both, if the `k` best atlases fit it better so.

        A limb is exchanged as a whole. Where residuals are equal, the pose stays as it is. Raises as `register` does.
        """
        pose, readings = np.asarray(pose, dtype=np.float64), self.skeleton.exchanged_limbs()
        residuals = [self.support_set(pose[r], k, similarity=similarity)[1].sum() for r in readings]
        return pose[readings[int(np.argmin(residuals))]]

    def _weights(self, pose: np.ndarray, visible: np.ndarray, weights) -> np.ndarray:
        """Weights (16,) that sum to 1, zero outside the subset and for landmarks that are not visible."""
        if pose.shape != (len(self.skeleton), 3):
            raise ValueError(f"a pose has shape ({len(self.skeleton)}, 3), got {pose.shape}")
        if not len(self):
            raise FetalPoseError("The pose library is empty: add at least one atlas.")
        subset = np.zeros(len(self.skeleton))
        subset[list(self.skeleton.registration_subset)] = 1.0
        weights = subset * visible * (1.0 if weights is None else np.asarray(weights, dtype=np.float64))
        if not (weights >= 0).all():
            raise ValueError(f"weights must not be negative, got {weights}")
        obstacle = _obstacle(pose[weights > 0])
        if obstacle:
            raise FetalPoseError(obstacle)
        return weights / weights.sum()


def atlas_obstacle(pose, skeleton: Skeleton) -> str:
    """Why a pose (16, 3) mm cannot be an atlas, as a sentence; empty if it can."""
    pose = np.asarray(pose, dtype=np.float64)
    if pose.shape != (len(skeleton), 3):
        return f"It has the shape {pose.shape}, not ({len(skeleton)}, 3)."
    missing = [name for name, point in zip(skeleton.landmarks, pose, strict=True) if not np.isfinite(point).all()]
    if missing:
        return f"An atlas must be complete; not visible: {listed(missing)}."
    with np.errstate(over="ignore"):
        lengths = segment_lengths(pose, skeleton)
    for segment, length in zip(skeleton.segments, lengths, strict=True):
        if not LENGTHS_MM[0] <= length <= LENGTHS_MM[1]:
            name = segment.name.replace("_", " ")
            return f"Its {name} measures {length:.3g} mm; {LENGTHS_MM[0]:g} to {LENGTHS_MM[1]:g} mm is possible."
    if set(TRUNK) <= set(skeleton.landmarks):
        reason = frame_obstacle(pose, skeleton)
        if reason:
            return reason
    return _obstacle(pose[list(skeleton.registration_subset)])


def _obstacle(used: np.ndarray) -> str:
    if len(used) < 3:
        return f"Registration needs 3 landmarks of its subset, got {len(used)}. Place more of them."
    extent = np.linalg.svd(used - used.mean(axis=0), compute_uv=False)
    if not extent[1] > 1e-3 * extent[0]:
        return "The visible landmarks lie on a line, so the rotation is unknown. Place more of them."
    return ""
