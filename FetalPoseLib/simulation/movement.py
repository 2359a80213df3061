"""How a fetus moves: joint angles, drift and build over time, for the kinds of movement seen at 10 to 14 weeks.

Kinds and durations follow de Vries, Visser and Prechtl (Early Hum Dev 1982;7:301-322): startles take less than a
second, general movements some seconds and go through the whole body, kicks are movements of one or both legs alone,
breathing and hiccups come from the diaphragm. Each course is a minimum-jerk movement (Flash and Hogan, J Neurosci
1985;5:1688-1703). Every joint stays within its limits, and no limb passes through the body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.simulation.kinematics import LIMITS, Body, Joints, free_of_itself, move_body, posed
from FetalPoseLib.simulation.posture import Posture

KINDS = ("rest", "breathing", "hiccup", "kick", "startle", "general movement")
TRIES = 60  # drawn movements, before they are made smaller
SMALLER = 0.7
STILL_END = 0.15  # of the duration, at either end, in which no movement begins


@dataclass(frozen=True)
class Course:
    """One angle's (or the body's) way to ``amplitude`` and, unless ``fall`` is None, back.

    part: "spine", a limb's name, "turn" or "shift" (of the body), "build"; name: of the angle, axis or proportion.
    start, rise, hold, fall: seconds. amplitude: degrees, mm, or logarithm of a factor.
    """

    part: str
    name: str
    amplitude: float
    start: float
    rise: float
    hold: float = 0.0
    fall: float | None = None

    def at(self, time: float) -> float:
        """Offset at a time (s)."""
        there = _minimum_jerk((time - self.start) / self.rise)
        back = 0.0 if self.fall is None else _minimum_jerk((time - self.start - self.rise - self.hold) / self.fall)
        return self.amplitude * (there - back)


@dataclass(frozen=True)
class Episode:
    """One movement: its ``kind``, and from when to when (s) it takes."""

    kind: str
    start: float
    stop: float


@dataclass(frozen=True)
class Wander:
    """A slow, smooth wandering along or about three axes, 0 at the start: sines of different periods (s)."""

    amplitude: np.ndarray
    period: np.ndarray
    phase: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, amplitude: float, periods: tuple[float, float]) -> Wander:
        """Two sines per axis, of standard deviation ``amplitude`` together."""
        return cls(rng.normal(0, amplitude, (2, 3)), rng.uniform(*periods, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3)))

    def at(self, time: float) -> np.ndarray:
        """Offset (3,) at a time (s)."""
        waves = np.sin(2 * np.pi * time / self.period + self.phase) - np.sin(self.phase)
        return (self.amplitude * waves).sum(axis=0)


@dataclass(frozen=True)
class Movement:
    """A body (in the world, at rest) and all that moves it."""

    body: Body
    episodes: tuple[Episode, ...]
    courses: tuple[Course, ...]
    drift: Wander
    turn: Wander

    def joints_at(self, time: float) -> Joints:
        """The joints at a time (s)."""
        joints = self.body.joints
        assert joints is not None, "a posed body has joints"
        spine, limbs = (
            dict(joints.spine),
            {name: (dict(angles), parts) for name, (angles, parts) in joints.limbs.items()},
        )
        build = {}
        for course in self.courses:
            offset = course.at(time)
            if course.part == "spine":
                spine[course.name] += offset
            elif course.part in limbs:
                limbs[course.part][0][course.name] += offset
            elif course.part == "build":
                build[course.name] = getattr(joints.biometry.build, course.name) * np.exp(offset)
        biometry = replace(joints.biometry, build=replace(joints.biometry.build, **build))
        return replace(joints, biometry=biometry, spine=spine, limbs=limbs)

    def at(self, time: float) -> Body:
        """The body in the world at a time (s). What moves is the limbs: the trunk's middle stays, but for its drift."""
        rest, moved = posed(self.body.joints), posed(self.joints_at(time))
        (centre, frame), (moved_centre, moved_frame) = _middle(rest), _middle(moved)
        align = frame @ moved_frame.T
        turn, shift = self.turn.at(time), self.drift.at(time)
        for course in self.courses:
            if course.part == "turn":
                turn["xyz".index(course.name)] += course.at(time)
            elif course.part == "shift":
                shift["xyz".index(course.name)] += course.at(time)
        world = Rotation.from_rotvec(np.radians(turn)).as_matrix() @ self.body.pelvis
        place = self.body.pelvis @ centre + self.body.landmarks[7] + shift
        return move_body(moved, world @ align, place - world @ align @ moved_centre)


def draw_movement(
    rng: np.random.Generator, body: Body, posture: Posture, kinds: tuple[str, ...], duration: float, times: np.ndarray
) -> Movement:
    """Movements of these ``kinds``, one after the other, in ``duration`` seconds, free of collisions at all ``times``.

    Raises
    ------
    ValueError
        for a kind that is none of `KINDS`.
    """
    if not set(kinds) <= set(KINDS):
        raise ValueError(f"there is no movement {set(kinds) - set(KINDS)}; there are {KINDS}")
    drift = Wander.random(rng, rng.uniform(0.3, 1.2), (5.0, 20.0))
    turn = Wander.random(rng, rng.uniform(0.5, 2.0), (5.0, 20.0))
    size, tries = 1.0, 0
    while True:
        episodes, courses = _draw(rng, body, posture, kinds, duration, size)
        movement = Movement(body, tuple(episodes), tuple(courses), drift, turn)
        if all(free_of_itself(movement.joints_at(t), exact_head=posture.exact_head) for t in times):
            return movement
        tries += 1
        if tries % TRIES == 0:
            size *= SMALLER


def _draw(rng, body, posture, kinds, duration, size):
    episodes: list[Episode] = []
    courses: list[Course] = []
    slot = (1 - 2 * STILL_END) * duration / max(len(kinds), 1)
    for number, kind in enumerate(kinds):
        begin = STILL_END * duration + number * slot
        draw = {
            "breathing": _breathing, "hiccup": _hiccup, "kick": _kick, "startle": _startle,
            "general movement": _general,
        }.get(kind)  # fmt: skip
        if draw is None:  # rest
            continue
        found = draw(rng, _Ranges(body.joints, posture, size), begin, slot)
        courses += found
        stops = [c.start + c.rise + c.hold + (c.fall or 0.0) for c in found]
        episodes.append(Episode(kind, min(c.start for c in found), max(stops)))
    return episodes, courses


class _Ranges:
    """Where the angles of a body may go from its pose at rest; ``size`` makes all ways shorter."""

    def __init__(self, joints: Joints, posture: Posture, size: float):
        self.joints, self.posture, self.size = joints, posture, size

    def angle(self, part: str, name: str) -> float:
        """The angle at rest, degrees."""
        return self.joints.spine[name] if part == "spine" else self.joints.limbs[part][0][name]

    def way(self, part: str, name: str, target: float) -> float:
        """Degrees from rest to a target, which is brought within the limits first."""
        own, usual = self.posture.limits(LIMITS, part)[name], LIMITS[name]
        low, high = min(own[0], usual[0]), max(own[1], usual[1])
        rest = self.angle(part, name)
        return self.size * (float(np.clip(target, low, high)) - rest)


def _kick(rng, ranges: _Ranges, begin: float, slot: float) -> list[Course]:
    """One leg, or both in one of four kicks, stretches at hip and knee and comes back."""
    legs = ["left_leg", "right_leg"] if rng.random() < 0.25 else [str(rng.choice(["left_leg", "right_leg"]))]
    rise, hold, fall = min(rng.uniform(0.25, 0.45), 0.3 * slot), 0.1, min(rng.uniform(0.4, 0.9), 0.4 * slot)
    start = begin + rng.uniform(0, 0.2) * slot
    found = []
    for leg in legs:
        for name, change in (("hip_flexion", rng.uniform(-55, -25)), ("knee_flexion", rng.uniform(-80, -40))):
            rest = ranges.angle(leg, name)
            change = change if rest + change > 0 else -change * 0.7  # a straight leg is drawn up
            found.append(Course(leg, name, ranges.way(leg, name, rest + change), start, rise, hold, fall))
    return found


def _startle(rng, ranges: _Ranges, begin: float, slot: float) -> list[Course]:
    """All limbs and the trunk at once, within less than a second, and back."""
    rise, fall = min(rng.uniform(0.12, 0.22), 0.25 * slot), min(rng.uniform(0.4, 0.6), 0.6 * slot)
    start = begin + rng.uniform(0, 0.15) * slot
    found = []
    for limb, names in (
        ("arm", (("shoulder_abduction", 35), ("shoulder_flexion", 25), ("elbow_flexion", -35))),
        ("leg", (("hip_flexion", -25), ("hip_abduction", 12), ("knee_flexion", -30))),
    ):
        for side in ("left", "right"):
            part = f"{side}_{limb}"
            for name, change in names:
                target = ranges.angle(part, name) + change * rng.uniform(0.6, 1.3)
                found.append(Course(part, name, ranges.way(part, name, target), start, rise, 0.02, fall))
    for name, change in (("cervical_flexion", -18), ("thoracic_flexion", -10)):
        target = ranges.angle("spine", name) + change * rng.uniform(0.6, 1.2)
        found.append(Course("spine", name, ranges.way("spine", name, target), start, rise, 0.02, fall))
    found += [Course("shift", axis, rng.normal(0, 1.0), start, rise, 0.02, fall) for axis in "xyz"]
    return found


def _general(rng, ranges: _Ranges, begin: float, slot: float) -> list[Course]:
    """Arms, legs, neck and trunk, one after another and overlapping, slowly; the body turns and stays turned."""
    lasting = float(min(rng.uniform(0.7, 0.95) * slot, rng.uniform(4, 8)))
    found = []

    def add(part: str, name: str, target: float) -> None:
        start = begin + rng.uniform(0, 0.4) * lasting
        rise, fall = (rng.uniform(0.25, 0.45) * lasting for _ in range(2))
        back = fall if rng.random() < 0.6 else None
        found.append(Course(part, name, ranges.way(part, name, target), start, rise, 0.05 * lasting, back))

    for limb in ranges.joints.limbs:
        for name in ranges.joints.limbs[limb][0]:
            if rng.random() < 0.75 and not name.startswith(("wrist", "ankle")):
                add(limb, name, ranges.angle(limb, name) + rng.normal(0, 1.4) * 0.5 * LIMITS[name][3] * 1.6)
    for name in ranges.joints.spine:
        add("spine", name, ranges.angle("spine", name) + rng.normal(0, 0.8) * LIMITS[name][3])
    for axis in "xyz":
        found.append(Course("turn", axis, rng.normal(0, 10.0) * ranges.size, begin, 0.8 * lasting))
        found.append(Course("shift", axis, rng.normal(0, 2.0) * ranges.size, begin, 0.8 * lasting))
    return found


def _breathing(rng, ranges: _Ranges, begin: float, slot: float) -> list[Course]:
    """Paradoxical: with each breath the belly comes forward while the chest goes in."""
    period, depth = rng.uniform(0.8, 1.3), rng.uniform(0.6, 1.2) * ranges.size
    found = []
    for number in range(max(int(slot / period), 1)):
        start = begin + number * period
        half = 0.45 * period
        found.append(Course("build", "belly", 0.07 * depth, start, half, 0.0, half))
        found.append(Course("build", "chest", -0.05 * depth, start, half, 0.0, half))
        found.append(Course("spine", "thoracic_flexion", 1.8 * depth, start, half, 0.0, half))
    return found


def _hiccup(rng, ranges: _Ranges, begin: float, slot: float) -> list[Course]:
    """Jerks of the diaphragm every two seconds: the trunk is thrown and comes to rest again."""
    found, start = [], begin + 0.05 * slot
    while start < begin + 0.85 * slot:
        for part, name, size in (("spine", "thoracic_flexion", -6.0), ("spine", "cervical_flexion", -7.0)):
            way = ranges.way(part, name, ranges.angle(part, name) + size * rng.uniform(0.7, 1.3))
            found.append(Course(part, name, way, start, 0.12, 0.03, 0.35))
        found += [Course("shift", axis, rng.normal(0, 0.8) * ranges.size, start, 0.12, 0.03, 0.35) for axis in "xyz"]
        found.append(Course("build", "belly", 0.06 * ranges.size, start, 0.12, 0.03, 0.35))
        start += rng.uniform(1.5, 2.5)
    return found


def _middle(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Where the trunk and head are on average (3,), and how pelvis and thorax are turned on average (3, 3)."""
    points = [place for place, _ in body.vertebrae] + 4 * [body.landmarks[0]]
    both = Rotation.from_matrix(np.array([body.pelvis, body.thorax]))
    return np.mean(points, axis=0), both.mean().as_matrix()


def _minimum_jerk(share: float) -> float:
    """0 before 0, 1 after 1, and between them without a jerk at either end."""
    s = min(max(share, 0.0), 1.0)
    return s**3 * (10 - 15 * s + 6 * s**2)
