"""Simulated subjects, reproducible by name: a split and an index give the same volume and landmarks everywhere.

Sim-152 is the fixed benchmark, after the paper's 152 volumes (section 3): 100 ``train`` and 52 ``test`` subjects, with
24 ``validation`` subjects for every choice, and 24 ``shifted`` ones that no training ever sees: a transvaginal probe,
another gain, a dynamic range outside the training range, bodies two standard deviations off in size, which is where
training's sizes end. ``fresh`` subjects are without end and share no seed with the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch

from FetalPoseLib.simulation.biometry import Biometry, draw_biometry
from FetalPoseLib.simulation.implicit import Ellipsoid
from FetalPoseLib.simulation.kinematics import Body, move_body, pose_body, random_orientation
from FetalPoseLib.simulation.medium import Medium, build_medium
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.settings import Settings
from FetalPoseLib.simulation.ultrasound import acquire
from FetalPoseLib.simulation.uterus import sac_shape
from FetalPoseLib.volume.grid import Volume, transform_points

#: split: (first word of its seeds, number of subjects; None is without end)
SPLITS = {"train": (1, 100), "validation": (2, 24), "test": (3, 52), "shifted": (4, 24), "fresh": (5, None)}
#: The 24 ways in which a scanner may lay the probe's axes along the volume's, without mirroring.
AXIS_ROTATIONS = [
    m
    for m in (
        np.eye(3)[list(p)] * np.array(s)[:, None]
        for p in permutations(range(3))
        for s in product((1.0, -1.0), repeat=3)
    )
    if np.linalg.det(m) > 0
]


@dataclass(frozen=True)
class Subject:
    """A posed body, its sac and the probe over it, before any image is formed. World RAS mm."""

    name: str
    body: Body
    sac: Ellipsoid
    probe: Probe
    settings: Settings
    rng: np.random.Generator

    @property
    def biometry(self) -> Biometry:
        return self.body.biometry

    @property
    def landmarks(self) -> np.ndarray:
        """Landmarks (16, 3); NaN where one lies outside the sector that was scanned."""
        seen = in_sector(self.probe, self.body.landmarks)
        return np.where(seen[:, None], self.body.landmarks, np.nan)

    def medium(self, *, device="cpu") -> Medium:
        """What is scanned. It draws from the subject's generator: call it once, or a second mother is painted."""
        rng = np.random.default_rng(self.rng.integers(2**63))
        return build_medium(self.body, self.sac, self.probe, rng, device=device)


@dataclass(frozen=True)
class Case:
    """A simulated volume with its truth: landmarks (16, 3) world RAS mm, NaN where not in the sector."""

    name: str
    volume: Volume
    landmarks: np.ndarray
    biometry: Biometry


def in_sector(probe: Probe, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Whether world points (n, 3) lie inside the scanned sector and the stored box, ``margin`` mm from their edges."""
    local = transform_points(np.linalg.inv(probe.pose), points)
    depth, phi, theta = (axis.numpy() for axis in probe.to_beam(*torch.from_numpy(local).unbind(-1)))
    turn = margin / (probe.curvature + probe.mid_depth)
    lower, upper = probe.bounds()
    return (
        (abs(theta) <= np.radians(probe.lateral_view / 2) - turn)
        & (abs(phi) <= np.radians(probe.sweep / 2) - turn)
        & (depth >= probe.start_depth + margin)
        & (depth <= probe.depth - margin)
        & (local >= lower + margin).all(axis=1)
        & (local <= upper - margin).all(axis=1)
    )


def _aim(probe: Probe, body: Body, sac: Ellipsoid, rng: np.random.Generator) -> Probe:
    """Hold the probe as an examiner does: outside the uterus, with the whole fetus in the sector if that can be had."""
    turn = AXIS_ROTATIONS[rng.integers(len(AXIS_ROTATIONS))]
    best, seen = None, -1
    for attempt in range(30):
        wall = rng.uniform(14, 32) if probe.curvature > 20 else rng.uniform(8, 18)
        reach = 0.5 * sac.radii.mean() + 0.5 * sac.radii.max() + wall + 2.0 * (attempt // 6)
        aside = rng.normal(0, 4.0, 3) * [1, 1, 0]
        pose = np.eye(4)
        pose[:3, :3] = turn
        pose[:3, 3] = sac.centre - turn @ (aside + [0, 0, reach])
        held = probe.held_at(pose)
        inside = int(in_sector(held, body.landmarks, margin=2.0).sum())
        if inside > seen:
            best, seen = held, inside
        if inside == len(body.landmarks):
            break
    return best


def draw_subject(split: str, index: int) -> Subject:
    """Subject ``index`` of ``split`` (a key of `SPLITS`).

    Raises
    ------
    ValueError
        for a split or an index that does not exist.
    """
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    word, count = SPLITS[split]
    if not 0 <= index < (count or 2**62):
        raise ValueError(f"Split {split!r} has subjects 0 to {(count or 2**62) - 1}, not {index}.")
    rng = np.random.default_rng([word, index])
    shifted = split == "shifted"
    biometry = draw_biometry(rng, size_z=float(rng.choice([-2.0, 2.0])) if shifted else None)
    body = move_body(pose_body(rng, biometry), random_orientation(rng), np.zeros(3))
    sac = sac_shape(body, rng)
    probe = Probe.transvaginal(rng) if shifted else Probe.random(rng)
    settings = Settings.shifted(rng) if shifted else Settings.random(rng)
    probe = _aim(probe, body, sac, rng)
    return Subject(f"{split}-{index:03d}", body, sac, probe, settings, rng)


def simulate(split: str, index: int, *, spacing: float = 1.25, device="cpu") -> Case:
    """Scan a subject into a volume of cubic voxels of ``spacing`` mm.

    >>> case = simulate("validation", 0, spacing=1.25)
    >>> case.landmarks.shape
    (16, 3)
    """
    subject = draw_subject(split, index)
    medium = subject.medium(device=device)
    seed = int(subject.rng.integers(2**63))
    volume = acquire(medium, subject.probe, subject.settings, spacing=spacing, seed=seed, device=device)
    return Case(subject.name, volume, subject.landmarks, subject.biometry)


def simulate_subject(seed: int, spacing: float = 0.5, *, device="cpu") -> Case:
    """A fresh subject, as ``fetalpose simulate --seed`` makes it."""
    return simulate("fresh", seed, spacing=spacing, device=device)
