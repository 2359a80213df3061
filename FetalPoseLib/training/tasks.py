"""What a network is shown and asked: the four tasks, each a way to turn a case into an input and its target points.

``locate`` sees the whole volume coarsely in any orientation and ``orient`` the fetus along its axis, turned anyhow
about it (pass 1); ``detect`` sees the fetus in its own frame (pass 2); ``whole`` the whole volume finely, as the
paper does (models r4 and gcp).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.detection.locate import POINTS, axis_frame, locator_points
from FetalPoseLib.training.pool import PoolCase
from FetalPoseLib.volume.axis_turns import AxisTurn
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid, grid_in_frame
from FetalPoseLib.volume.resampling import normalise_intensity, resample, sample


@dataclass(frozen=True)
class Sample:
    """``image`` (nz, ny, nx) on ``grid`` and the world points (C, 3) mm to be found, NaN where unseen."""

    image: torch.Tensor
    grid: Grid
    points: np.ndarray


@dataclass(frozen=True)
class Task:
    """What a task is made of; kept in the weights' metadata, so that the estimator does the same.

    ``spacing`` mm of the canonical grid that is read; ``sigma`` of the Gaussian maps in heatmap voxels; for
    ``orient`` and ``detect`` the box in body units and how many voxels one body unit has.
    """

    name: str
    channels: int
    spacing: float
    sigma: float
    lower: tuple[float, float, float] | None = None
    upper: tuple[float, float, float] | None = None
    voxels_per_size: float | None = None
    #: SD of what the pass before gets wrong, as this one is trained on it: degrees, body units, log of size.
    disturbance: tuple[float, float, float] | None = None
    #: In how many turns and mirrorings a case is shown, the same ones every time; None: in any, and in other greys.
    views: int | None = None

    def metadata(self) -> dict:
        """What the estimator needs to know, as plain JSON values."""
        kept = {"task": self.name, "spacing_mm": self.spacing, "sigma": self.sigma}
        if self.lower is not None:
            kept |= {"lower": list(self.lower), "upper": list(self.upper), "voxels_per_size": self.voxels_per_size}
        return kept


def make_task(name: str, spacing: float | None = None) -> Task:
    """A task by name, with its usual spacing (mm) unless another is given; ValueError for an unknown name."""
    whole_body = {"lower": (-1.6, -0.65, -1.65), "upper": (1.6, 1.48, 1.55), "voxels_per_size": 30.0}
    any_twist = {"lower": (-1.6, -1.6, -1.75), "upper": (1.6, 1.6, 1.45), "voxels_per_size": 20.0}
    usual = {
        "locate": Task("locate", len(POINTS), 2.0, 1.25),
        "orient": Task("orient", len(POINTS), 1.0, 1.5, **any_twist, disturbance=(15.0, 0.12, 0.15)),
        "detect": Task("detect", 16, 1.0, 1.5, **whole_body, disturbance=(14.0, 0.07, 0.10)),
        "whole": Task("whole", 16, 1.25, 2.0, views=8),  # 100 volumes become 800, section 3
    }
    if name not in usual:
        raise ValueError(f"There is no task {name!r}; choose one of {', '.join(usual)}.")
    return usual[name] if spacing is None else replace(usual[name], spacing=spacing)


def draw(task: Task, case: PoolCase, rng: np.random.Generator | None) -> Sample:
    """One sample of a case: augmented at random, or with ``rng`` None as the estimator would see it.

    Augmentation (paper, section 3: flips, which swap sides, and rotations): ``locate`` and ``whole`` turn and mirror
    the volume's axes, ``orient`` and ``detect`` err in the frame and mirror the body; all but ``whole``, which keeps
    to the paper, vary gain and contrast.
    """
    image = torch.from_numpy(case.volume).float()
    if rng is not None and task.views is None:
        image = _regrade(image, rng)
    image = normalise_intensity(image)
    if task.lower is not None:
        return _in_frame(task, case, image, rng)
    grid, landmarks = case.grid, case.landmarks
    if not np.allclose(grid.spacing, task.spacing):
        volume = Volume(image.numpy(), grid.affine)
        grid = canonical_grid(volume, task.spacing)
        image = resample(volume, grid)
    if rng is not None:
        image, grid, landmarks = _turn_axes(image, grid, landmarks, _turn(task, case, rng))
    return Sample(image, grid, locator_points(landmarks) if task.channels == len(POINTS) else landmarks)


def _regrade(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another grey map: gamma, and a floor and ceiling moved by up to 12 %, as gain and dynamic range do."""
    low, high = rng.uniform(-0.12, 0.12), rng.uniform(0.88, 1.12)
    grey = ((image / 255 - low) / (high - low)).clamp(0.004, 1) ** float(np.exp(rng.uniform(-0.5, 0.5)))
    return torch.where(image > 0, grey, 0)


def _in_frame(task: Task, case: PoolCase, image: torch.Tensor, rng) -> Sample:
    landmarks = case.landmarks
    if task.name == "orient":
        head, sacrum = (landmarks[load_skeleton().index(name)] for name in ("head", "sacrum"))
        frame = axis_frame(head, sacrum, 0.0 if rng is None else rng.uniform(0, 2 * np.pi))
    else:
        frame = FetalFrame.from_landmarks(landmarks)
    if rng is not None:
        degrees, shift, scale = task.disturbance
        frame = frame.disturbed(rng, rotation_deg=degrees, shift=shift, scale=scale)
    grid = grid_in_frame(frame, task.lower, task.upper, task.voxels_per_size)
    image = sample(image, case.grid, grid)
    if rng is not None and rng.random() < 0.5:
        image, landmarks = mirror_body(image, grid, landmarks)
    return Sample(image, grid, locator_points(landmarks) if task.channels == len(POINTS) else landmarks)


def mirror_body(image: torch.Tensor, grid: Grid, landmarks: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """The mirrored body on the same grid: the x axis is flipped, and left landmarks become right ones."""
    voxels = grid.to_voxel(landmarks)
    voxels[:, 0] = grid.shape[0] - 1 - voxels[:, 0]
    return image.flip(2), grid.to_world(voxels)[load_skeleton().mirror]


def _turn(task: Task, case: PoolCase, rng) -> AxisTurn:
    """Any of the 48 turns, or one of the `Task.views` different ones in which this case is shown."""
    if task.views is None:
        return AxisTurn.random(rng)
    shown = np.random.default_rng(zlib.crc32(case.name.encode())).permutation(48)[: task.views]
    return AxisTurn.all()[rng.choice(shown)]


def _turn_axes(image, grid: Grid, landmarks, turn: AxisTurn) -> tuple[torch.Tensor, Grid, np.ndarray]:
    """The volume with its axes permuted and flipped; half of the turns mirror the body and so swap its sides."""
    shape = tuple(grid.shape[axis] for axis in turn.order)
    turned = Grid(shape, np.diag([*np.full(3, grid.spacing[0]), 1.0]))
    landmarks = turned.to_world(turn.voxels(grid.to_voxel(landmarks), grid.shape))
    return turn.apply(image), turned, landmarks[load_skeleton().mirror] if turn.mirrors else landmarks
