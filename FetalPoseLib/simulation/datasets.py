"""Simulated subjects, reproducible by name: a split and an index give the same volume and landmarks everywhere.

`splits` names the splits and says what each holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.simulation import DEFAULT_SPACING_MM
from FetalPoseLib.simulation.absent import EARLY_BPD, late_body
from FetalPoseLib.simulation.anatomy import cranium
from FetalPoseLib.simulation.biometry import Biometry, draw_biometry
from FetalPoseLib.simulation.families import draw_probe, hold
from FetalPoseLib.simulation.field import in_sector
from FetalPoseLib.simulation.implicit import Ellipsoid
from FetalPoseLib.simulation.kinematics import Body, move_body, pose_body, random_orientation
from FetalPoseLib.simulation.medium import Medium, build_medium
from FetalPoseLib.simulation.other_scanner import OTHER_BUILD, other_probe, other_settings
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.scenario import SMALLEST_CRL, Scenario
from FetalPoseLib.simulation.settings import Settings
from FetalPoseLib.simulation.splits import Split, find_split
from FetalPoseLib.simulation.ultrasound import acquire
from FetalPoseLib.simulation.uterus import sac_shape
from FetalPoseLib.volume.grid import Volume

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
#: Standard presentation: the head along the volume's x axis, the face towards the probe, which is at low z; columns are
#: the directions of the fetus's right, anterior and cranial. A mid-sagittal sweep gives this.
STANDARD_FRAME = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
ROOM_TO_MOVE = 1.35  # edge of the field of a sequence, relative to the fetus at rest, at least
STANDARD_RANGE = 70.0  # degrees, largest angle from `STANDARD_FRAME`; uniform up to it, about any axis


@dataclass(frozen=True)
class Subject:
    """A posed body, its sac and the probe over it, before any image is formed. World RAS mm."""

    name: str
    body: Body
    sac: Ellipsoid
    probe: Probe
    settings: Settings
    rng: np.random.Generator
    scenario: Scenario = Scenario()
    twin: Body | None = None
    #: Factor by which the volume is shrunk once it is scanned; not 1 for a head alone.
    shrink: float = 1.0

    @property
    def biometry(self) -> Biometry:
        """The body's measures."""
        return self.body.biometry

    @property
    def landmarks(self) -> np.ndarray:
        """Landmarks (16, 3); NaN where one lies outside the sector that was scanned, or where there is no fetus."""
        seen = in_sector(self.probe, self.body.landmarks)
        if self.scenario.kind != "fetus":
            seen[1 if self.scenario.kind == "head alone" else 0 :] = False
        return np.where(seen[:, None], self.body.landmarks, np.nan)

    def medium(self, *, device="cpu") -> Medium:
        """What is scanned. It draws from the subject's generator: call it once, or a second mother is painted."""
        rng = np.random.default_rng(self.rng.integers(2**63))
        return build_medium(self.body, self.sac, self.probe, rng, self.scenario, twin=self.twin, device=device)


@dataclass(frozen=True)
class Case:
    """A simulated volume with its truth, in world RAS mm.

    ``landmarks`` (16, 3) are NaN where not in the sector; ``body`` (16, 3) are all of them, also those outside, and NaN
    where there is no fetus.
    """

    name: str
    volume: Volume
    landmarks: np.ndarray
    biometry: Biometry
    body: np.ndarray
    scenario: Scenario


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


def draw_scenario(split: str, index: int) -> Scenario:
    """What is drawn for a subject before its body; cheap, so that subjects can be chosen by their factors.

    Raises
    ------
    ValueError
        for a split or an index that does not exist.
    """
    found = find_split(split, index)
    if found.version == 1:
        return Scenario()
    drawn = Scenario.random(_stream(found, index, 0), absent=found.absent, beyond_physics=found.beyond_physics)
    if found.whole:
        view, contents = replace(drawn.view, cut="none"), replace(drawn.contents, twin=False)
        if view.fill is not None:
            view = replace(view, fill=max(view.fill, ROOM_TO_MOVE))
        drawn = replace(drawn, view=view, contents=contents)
    return replace(drawn, build=OTHER_BUILD) if found.scanner else drawn


def _stream(split: Split, index: int, which: int) -> np.random.Generator:
    """Streams of a subject of version 2: 0 scenario, 1 body, 2 orientation, 3 probe and sac, 4 the picture."""
    return np.random.default_rng([split.word, index, which])


def draw_subject(split: str, index: int) -> Subject:
    """Subject ``index`` of ``split`` (a key of `splits.SPLITS`).

    Raises
    ------
    ValueError
        for a split or an index that does not exist.
    """
    found = find_split(split, index)
    if found.version == 2:
        return _draw_version_2(split, index)
    rng = np.random.default_rng([found.word, index])
    shifted = found.shifted
    biometry = draw_biometry(rng, size_z=float(rng.choice([-2.0, 2.0])) if shifted else None)
    body = move_body(pose_body(rng, biometry), random_orientation(rng), np.zeros(3))
    sac = sac_shape(body, rng)
    probe = Probe.transvaginal(rng) if shifted else Probe.random(rng)
    settings = Settings.shifted(rng) if shifted else Settings.random(rng)
    probe = _aim(probe, body, sac, rng)
    return Subject(f"{split}-{index:03d}", body, sac, probe, settings, rng)


def _draw_version_2(split: str, index: int) -> Subject:
    found, scenario = find_split(split, index), draw_scenario(split, index)
    body = _draw_body(_stream(found, index, 1), scenario, shifted=found.shifted)
    orientation, turn = _orientation(_stream(found, index, 2), found.presentation)
    body = move_body(body, orientation, np.zeros(3))
    rng = _stream(found, index, 3)
    sac = sac_shape(body, rng, scenario.contents.sac)
    drawn = other_probe(rng) if found.scanner else draw_probe(scenario.view.family, rng)
    probe = hold(drawn, scenario.view, body, sac, turn, rng)
    settings = Settings.varied(rng, scenario.clutter)
    if found.scanner:
        settings = other_settings(rng, scenario.clutter)
    if found.shifted:
        beyond = Settings.shifted(rng)
        settings = replace(settings, dynamic_range=beyond.dynamic_range, gain=beyond.gain)
    twin = _draw_twin(body, probe, rng) if scenario.contents.twin and not found.absent else None
    shrink = 1.0
    if scenario.kind in ("late head", "head alone"):
        body = late_body(body, rng)
        shrink = 1.0 if scenario.kind == "late head" else rng.uniform(*EARLY_BPD) / body.biometry.bpd
        skull = cranium(body)
        sac = Ellipsoid(skull.centre, skull.rotation, skull.radii * rng.uniform(1.05, 1.4, 3))
    return Subject(f"{split}-{index:03d}", body, sac, probe, settings, _stream(found, index, 4), scenario, twin, shrink)


def _draw_body(rng: np.random.Generator, scenario: Scenario, *, shifted: bool) -> Body:
    """A body of at least `SMALLEST_CRL`; a build with which no pose is free of itself is drawn nearer to the usual."""
    size = float(rng.choice([-2.0, 2.0])) if shifted else None
    biometry = draw_biometry(rng, weeks=scenario.weeks, size_z=size)
    while biometry.crl < SMALLEST_CRL:
        biometry = draw_biometry(rng, weeks=scenario.weeks, size_z=2.0)
    return pose_body(rng, replace(biometry, build=scenario.build), scenario.posture)


def _orientation(rng: np.random.Generator, presentation: str) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (3, 3) of the body and of the probe's axes in the world."""
    if presentation == "any":
        return random_orientation(rng), AXIS_ROTATIONS[rng.integers(len(AXIS_ROTATIONS))]
    axis = rng.normal(size=3)
    angle = np.radians(rng.uniform(0, STANDARD_RANGE))
    return Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix() @ STANDARD_FRAME, np.eye(3)


def _draw_twin(body: Body, probe: Probe, rng: np.random.Generator) -> Body | None:
    """A second fetus beside the first, of which less than half lies in the field; None where there is no place."""
    reach = 0.6 * body.biometry.crl
    for _ in range(12):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        other = move_body(pose_body(rng, body.biometry), random_orientation(rng), np.zeros(3))
        shift = body.landmarks.mean(axis=0) - other.landmarks.mean(axis=0)
        other = move_body(other, np.eye(3), shift + direction * (2 * reach + rng.uniform(0, 0.4 * reach)))
        gaps = np.linalg.norm(other.landmarks[:, None] - body.landmarks, axis=2)
        if gaps.min() > 0.2 * body.biometry.crl and in_sector(probe, other.landmarks).sum() < 8:
            return other
    return None


def simulate(split: str, index: int, *, spacing: float | None = 1.25, device="cpu") -> Case:
    """Scan a subject into a volume of cubic voxels of ``spacing`` mm, or of those in which it is stored if None.

    Stored voxels measure 0.5 mm in version 1, and 0.19 to 1.0 mm in version 2, a third of them not cubic.

    >>> case = simulate("validation", 0, spacing=1.25)
    >>> case.landmarks.shape
    (16, 3)
    """
    subject = draw_subject(split, index)
    medium = subject.medium(device=device)
    seed = int(subject.rng.integers(2**63))
    shrink = subject.shrink
    spacing = np.array(subject.scenario.view.voxel if spacing is None else spacing) / shrink
    volume = acquire(medium, subject.probe, subject.settings, spacing=spacing, seed=seed, device=device)
    if shrink != 1:
        volume = Volume(volume.array, np.diag([shrink, shrink, shrink, 1]) @ volume.ijk_to_ras)
    body = subject.body.landmarks if subject.scenario.kind in ("fetus", "head alone") else np.full((16, 3), np.nan)
    return Case(subject.name, volume, shrink * subject.landmarks, subject.biometry, shrink * body, subject.scenario)


def simulate_subject(seed: int, spacing: float = DEFAULT_SPACING_MM, *, device="cpu") -> Case:
    """A fresh subject, as ``fetalpose simulate --seed`` makes it."""
    return simulate("fresh", seed, spacing=spacing, device=device)
