"""What a network is shown and asked: the four tasks, each a way to turn a case into an input and its target points.

``locate`` sees the whole volume coarsely in any orientation and ``orient`` the fetus along its axis, in any
rotation about it (pass 1); ``detect`` sees the fetus in its own frame (pass 2); ``whole`` the whole volume finely, as
the paper does (models r4 and gcp).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.detection.locate import POINTS, axis_frame, locator_points
from FetalPoseLib.training.augmentation import disturbed
from FetalPoseLib.training.pool import PoolCase
from FetalPoseLib.volume.axis_turns import AxisTurn
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid, grid_in_frame
from FetalPoseLib.volume.intensity import normalise_intensity
from FetalPoseLib.volume.resampling import resample, sample


@dataclass(frozen=True)
class Sample:
    """``image`` (nz, ny, nx) on ``grid`` and the world points (C, 3) mm to be found, NaN where not visible."""

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
    #: Share of samples in a wrong frame, in which nothing is to be found: what tells a wrong frame from a right one.
    wrong_frames: float = 0.0
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
        "orient": Task("orient", len(POINTS), 1.0, 1.5, **any_twist, disturbance=(28.0, 0.25, 0.25), wrong_frames=0.06),
        "detect": Task("detect", 16, 1.0, 1.5, **whole_body, disturbance=(14.0, 0.07, 0.10), wrong_frames=0.06),
        "whole": Task("whole", 16, 1.25, 2.0, views=8),  # 100 volumes become 800, section 3
    }
    if name not in usual:
        raise ValueError(f"There is no task {name!r}; choose one of {', '.join(usual)}.")
    return usual[name] if spacing is None else replace(usual[name], spacing=spacing)


def draw(task: Task, case: PoolCase, rng: np.random.Generator | None, *, wrong_frames: bool = False) -> Sample:
    """One sample of a case: augmented at random, or with ``rng`` None as the estimator would see it.

    Augmentation (paper, section 3: flips, which swap sides, and rotations): ``locate`` and ``whole`` turn and mirror
    the volume's axes, ``orient`` and ``detect`` err in the frame and mirror the body; all but ``whole``, which keeps
    to the paper, are disturbed as `augmentation` says. With ``wrong_frames``, the task's share of samples lies in a
    wrong frame.
    """
    if rng is not None and task.views is None:
        case = disturbed(case, rng)
    image = normalise_intensity(torch.from_numpy(case.volume).float())
    if task.lower is not None:
        return _in_frame(task, case, image, rng, task.wrong_frames if wrong_frames else 0.0)
    grid, points = case.grid, _points(task, case)
    if not np.allclose(grid.spacing, task.spacing):
        volume = Volume(image.numpy(), grid.affine)
        grid = canonical_grid(volume, task.spacing)
        image = resample(volume, grid)
    if rng is not None:
        image, grid, points = _turn_axes(image, grid, points, _turn(task, case, rng))
    return Sample(image, grid, points)


def _points(task: Task, case: PoolCase) -> np.ndarray:
    """The points (C, 3) mm that the task asks for, NaN where not visible.

    The front, which is a construction, is visible where the spine is and the volume reaches.
    """
    if task.channels != len(POINTS):
        return case.landmarks
    points = locator_points(case.whole)
    spine = load_skeleton().index("spine")
    voxels = case.grid.to_voxel(points)
    with np.errstate(invalid="ignore"):
        inside = ((voxels >= 0) & (voxels <= np.array(case.grid.shape) - 1)).all(axis=1)
    landmarks = [*(load_skeleton().index(name) for name in POINTS[:4]), spine]
    visible = np.isfinite(case.landmarks[landmarks]).all(axis=1)
    visible[-1] &= inside[-1]
    return np.where(visible[:, None], points, np.nan)


def _in_frame(task: Task, case: PoolCase, image: torch.Tensor, rng, share_wrong: float) -> Sample:
    frame, right = _true_frame(task, case, rng), True
    if frame is None or (rng is not None and share_wrong and rng.random() < share_wrong):
        frame, right = wrong_frame(frame, case.grid, np.random.default_rng(0) if rng is None else rng), False
    elif rng is not None:
        degrees, shift, scale = task.disturbance
        frame = frame.disturbed(rng, rotation_deg=degrees, shift=shift, scale=scale)
    points = _points(task, case)
    grid = grid_in_frame(frame, task.lower, task.upper, task.voxels_per_size)
    image = sample(image, case.grid, grid)
    if rng is not None and rng.random() < 0.5:
        image, points = mirror_body(image, grid, points)
    return Sample(image, grid, points if right else np.full_like(points, np.nan))


def _true_frame(task: Task, case: PoolCase, rng) -> FetalFrame | None:
    """The frame of the body, of which parts may lie outside the field; None where there is no body."""
    whole = case.whole
    if not np.isfinite(whole).any():
        return None
    if task.name != "orient":
        return FetalFrame.from_landmarks(whole)
    head, sacrum = (whole[load_skeleton().index(name)] for name in ("head", "sacrum"))
    return axis_frame(head, sacrum, 0.0 if rng is None else rng.uniform(0, 2 * np.pi))


def wrong_frame(frame: FetalFrame | None, grid: Grid, rng: np.random.Generator) -> FetalFrame:
    """A frame in which no fetus lies as it should.

    Half of the wrong frames about a fetus turn it by 180 degrees about its right or its front, as a first pass that
    takes the head for the rump does; the others tip its long axis by more than 75 degrees. Without a fetus, any frame.
    """
    if frame is None:
        origin = grid.to_world(rng.uniform(0.2, 0.8, 3) * (np.array(grid.shape) - 1))
        return FetalFrame(Rotation.random(rng=rng).as_matrix(), origin, rng.uniform(9, 40))
    if rng.random() < 0.5:
        turn = np.diag([(1.0, -1.0, -1.0), (-1.0, 1.0, -1.0)][rng.integers(2)])
    else:
        turn = Rotation.random(rng=rng).as_matrix()
        while turn[2, 2] > np.cos(np.radians(75)):
            turn = Rotation.random(rng=rng).as_matrix()
    turned = FetalFrame(frame.rotation @ turn, frame.origin, frame.size)
    return turned.disturbed(rng, rotation_deg=15.0, shift=0.2, scale=0.2)


def mirror_body(image: torch.Tensor, grid: Grid, points: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """The mirrored body on the same grid: the x axis is flipped, and left landmarks become right ones."""
    voxels = grid.to_voxel(points)
    voxels[:, 0] = grid.shape[0] - 1 - voxels[:, 0]
    return image.flip(2), _swapped(grid.to_world(voxels))


def _swapped(points: np.ndarray) -> np.ndarray:
    """Points (C, 3) of a mirrored body: the pose's sides change places, the locator's points have none."""
    return points if len(points) == len(POINTS) else points[load_skeleton().mirror]


def _turn(task: Task, case: PoolCase, rng) -> AxisTurn:
    """Any of the 48 turns, or one of the `Task.views` different ones in which this case is shown."""
    if task.views is None:
        return AxisTurn.random(rng)
    shown = np.random.default_rng(zlib.crc32(case.name.encode())).permutation(48)[: task.views]
    return AxisTurn.all()[rng.choice(shown)]


def _turn_axes(image, grid: Grid, points, turn: AxisTurn) -> tuple[torch.Tensor, Grid, np.ndarray]:
    """The volume with its axes permuted and flipped; half of the turns mirror the body and so swap its sides."""
    shape = tuple(grid.shape[axis] for axis in turn.order)
    turned = Grid(shape, np.diag([*np.full(3, grid.spacing[0]), 1.0]))
    points = turned.to_world(turn.voxels(grid.to_voxel(points), grid.shape))
    return turn.apply(image), turned, _swapped(points) if turn.mirrors else points
