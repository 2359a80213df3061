"""Simulated sequences: a moving fetus, seen by a hand-held probe at 1 to 20 volumes a second.

The subjects are those of version 2 of the simulator, alone and wholly in the field (`datasets`). Ten sequences are the
fixed benchmark, ``sequences``; those of ``fresh-sequences`` are without end, for every choice. Per sequence all that a
still subject has is drawn once; what changes from volume to volume is the body (`movement`), the probe's place, the
speckle (`scatterers`) and the electronic noise. A machine does not know that its probe moves: every volume is stored
with the place of the first, and the truth is given there. A volume is taken in one moment. Breathing and limbs carry
their texture along (`carried`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.simulation.anatomy import skin_shapes
from FetalPoseLib.simulation.carried import TissueMotion
from FetalPoseLib.simulation.datasets import Subject, draw_subject
from FetalPoseLib.simulation.field import in_sector
from FetalPoseLib.simulation.kinematics import Body
from FetalPoseLib.simulation.medium import NoContact, Stage, bounds_of, build_medium
from FetalPoseLib.simulation.movement import Episode, Movement, Wander, draw_movement
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.scatterers import MovingScatterers, kept_of
from FetalPoseLib.simulation.ultrasound import Moment, acquire
from FetalPoseLib.volume.grid import Volume, transform_points

FRAMES = 24
SPACING_MM = 1.0
#: Name of a set of sequences: how many there are (None: without end).
SETS = {"sequences": 10, "fresh-sequences": None}


@dataclass(frozen=True)
class Program:
    """``rate``: volumes a second. ``kinds``: movements in turn. ``lost``: (first, last) frame without contact."""

    rate: float
    kinds: tuple[str, ...]
    lost: tuple[int, int] | None = None


#: Sequence i has program i modulo 10.
PROGRAMS = (
    Program(2.0, ("rest",)),
    Program(10.0, ("breathing",)),
    Program(4.0, ("hiccup",)),
    Program(8.0, ("kick",)),
    Program(20.0, ("startle",)),
    Program(5.0, ("general movement",)),
    Program(1.0, ("general movement", "kick")),
    Program(6.0, ("kick",), lost=(9, 13)),
    Program(12.0, ("startle",)),
    Program(3.0, ("rest", "general movement"), lost=(4, 6)),
)


@dataclass(frozen=True)
class MovingSubject:
    """A subject, how it moves, and how the probe is held over it. World RAS mm, seconds."""

    name: str
    subject: Subject
    program: Program
    movement: Movement
    times: np.ndarray
    hand_shift: Wander
    hand_turn: Wander
    seeds: tuple[int, int, int]

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """What the fetus does when."""
        return self.movement.episodes

    def lost(self, frame: int) -> bool:
        """Whether the probe has no contact."""
        return self.program.lost is not None and self.program.lost[0] <= frame <= self.program.lost[1]

    def probe_at(self, frame: int) -> Probe:
        """The probe as it is held; it turns about the middle of the field."""
        time, probe = self.times[frame], self.subject.probe
        middle = transform_points(probe.pose, [0.0, 0.0, probe.mid_depth])
        move = np.eye(4)
        move[:3, :3] = Rotation.from_rotvec(np.radians(self.hand_turn.at(time))).as_matrix()
        move[:3, 3] = middle - move[:3, :3] @ middle + self.hand_shift.at(time)
        return probe.held_at(move @ probe.pose)

    def body_at(self, frame: int) -> Body:
        """The body in the world."""
        return self.movement.at(self.times[frame])

    def landmarks_at(self, frame: int) -> np.ndarray:
        """Landmarks (16, 3) mm where the stored volume has them; NaN outside the sector or without contact."""
        probe, points = self.probe_at(frame), self.body_at(frame).landmarks
        seen = in_sector(probe, points) & (not self.lost(frame))
        stored = transform_points(self.subject.probe.pose @ np.linalg.inv(probe.pose), points)
        return np.where(seen[:, None], stored, np.nan)


@dataclass(frozen=True)
class Frame:
    """One volume, its time (s) and its true landmarks (16, 3) in RAS mm, NaN where not in the sector."""

    volume: Volume
    time: float
    landmarks: np.ndarray


def draw_sequence(which: str, index: int) -> MovingSubject:
    """Sequence ``index`` of a set (a key of `SETS`), before any image is formed.

    Raises
    ------
    ValueError
        for a set or an index that does not exist.
    """
    if which not in SETS:
        raise ValueError(f"There is no set of sequences {which!r}; choose one of {', '.join(SETS)}.")
    count = SETS[which] or 2**62
    if not 0 <= index < count:
        raise ValueError(f"The set {which!r} has sequences 0 to {count - 1}, not {index}.")
    subject, program = draw_subject(which, index), PROGRAMS[index % len(PROGRAMS)]
    rng = subject.rng
    times = np.arange(FRAMES) / program.rate
    posture = subject.scenario.posture
    movement = draw_movement(rng, subject.body, posture, program.kinds, FRAMES / program.rate, times)
    hand_shift = Wander.random(rng, rng.uniform(0.1, 0.6), (1.5, 6.0))
    hand_turn = Wander.random(rng, rng.uniform(0.1, 0.8), (1.5, 6.0))
    seeds = tuple(int(seed) for seed in rng.integers(2**62, size=3))
    return MovingSubject(f"{which}-{index:03d}", subject, program, movement, times, hand_shift, hand_turn, seeds)


def frames(moving: MovingSubject, *, spacing: float = SPACING_MM, count: int = FRAMES) -> Iterator[Frame]:
    """The first ``count`` volumes in turn, in cubic voxels of ``spacing`` mm.

    >>> for frame in frames(draw_sequence("fresh-sequences", 3)):
    ...     print(frame.time, frame.volume.array.shape)
    """
    subject, still = moving.subject, moving.subject.probe
    medium_seed, picture_seed, speckle_seed = moving.seeds
    bodies = [moving.body_at(number) for number in range(len(moving.times))]
    corners = [bounds_of(skin_shapes(body)) for body in bodies]
    bounds = np.min([c[0] for c in corners], axis=0), np.max([c[1] for c in corners], axis=0)
    scatterers = MovingScatterers(speckle_seed)
    settings = replace(subject.settings, clutter=replace(subject.settings.clutter, motion=0.0, missing=0.0))
    before: tuple[Body, Probe] | None = None
    for number in range(count):
        body, probe = bodies[number], moving.probe_at(number)
        kept = None if before is None else kept_of(_shift(body, probe, *before), probe)
        moment = Moment(scatterers.frame(kept), speckle_seed % 2**31 + number)
        if moving.lost(number):
            medium = NoContact()
        else:
            carried = TissueMotion(body, bodies[0]) if number else None
            rng = np.random.default_rng(medium_seed)
            stage = Stage(still, bounds, carried)
            medium = build_medium(body, subject.sac, probe, rng, subject.scenario, stage=stage)
        found = acquire(medium, probe, settings, spacing=spacing, seed=picture_seed, moment=moment)
        # the same box of the probe's own space each time, stored where the first volume lies
        stored = still.pose @ np.linalg.inv(probe.pose) @ found.ijk_to_ras
        yield Frame(Volume(found.array, stored), float(moving.times[number]), moving.landmarks_at(number))
        before = body, probe


def _shift(body: Body, probe: Probe, body_before: Body, probe_before: Probe):
    """How far (R, E, L, 3) mm, along the probe's axes, the tissue at each sample was from there a volume ago."""
    import torch

    points = probe.sample_points()
    was = points + TissueMotion(body, body_before).shift(points)
    now_in, before_in = (torch.as_tensor(np.linalg.inv(p.pose), dtype=torch.float32) for p in (probe, probe_before))
    return (was @ before_in[:3, :3].T + before_in[:3, 3]) - (points @ now_in[:3, :3].T + now_in[:3, 3])
