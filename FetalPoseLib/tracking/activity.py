"""What moved when: speeds, the quantity of movement, periods of rest, and movements as events.

Speeds are those of the track's smoothed landmarks. A limb's is measured against the trunk, whose own speed is measured
in the volumes' coordinates: the movement of a hand-held probe counts as the trunk's. The names of movements follow de
Vries, Visser and Prechtl (Early Hum Dev 1982;7:301-322) as far as landmarks can tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.tracking.joining import Track

LIMBS = ("left_arm", "right_arm", "left_leg", "right_leg")
PARTS = ("head", "trunk", *LIMBS)
TRUNK = ("neck", "spine", "sacrum", "right_shoulder", "left_shoulder", "right_hip", "left_hip")


@dataclass(frozen=True)
class ActivityOptions:
    """From when on something moves."""

    moving_mm_s: float = 9.0  #: speed of a part from which it moves
    resting_mm_s: float = 4.0  #: quantity of movement below which the fetus rests, if no part moves
    shortest_rest_s: float = 1.0  #: a period of rest lasts at least
    join_s: float = 0.4  #: movements with a shorter pause between them are one
    startle_s: float = 1.2  #: a movement of three limbs or more that is over sooner is a startle


@dataclass(frozen=True)
class Event:
    """A movement.

    Attributes
    ----------
    kind : "startle", "general movement", "leg movement", "arm movement", "head movement" or "other movement"
    start_s, stop_s : seconds
    parts : of `PARTS`, that moved
    peak_mm_s : the fastest part's highest speed
    """

    kind: str
    start_s: float
    stop_s: float
    parts: tuple[str, ...]
    peak_mm_s: float


@dataclass(frozen=True, eq=False)
class Activity:
    """Speeds and what follows from them.

    Attributes
    ----------
    speed_mm_s : (T, 6) of `PARTS`, NaN where a part is not known
    quantity_mm_s : (T,) mean speed of all landmarks, NaN in volumes without the fetus
    resting : (T,) whether the fetus rests
    rests : (start, stop) seconds of the periods of rest
    events : movements in turn
    """

    speed_mm_s: np.ndarray
    quantity_mm_s: np.ndarray
    resting: np.ndarray
    rests: tuple[tuple[float, float], ...]
    events: tuple[Event, ...]


def activity_of(track: Track, options: ActivityOptions | None = None) -> Activity | None:
    """What moved when; None where the times are not known, because then nothing has a speed."""
    options = options or ActivityOptions()
    if track.velocity is None or track.times is None:
        return None
    speed, quantity = part_speeds(track.velocity), _mean(np.linalg.norm(track.velocity, axis=2), axis=1)
    moving = np.nan_to_num(speed) >= options.moving_mm_s
    resting = (quantity < options.resting_mm_s) & ~moving.any(axis=1)
    rests = tuple(
        (start, stop) for start, stop, _ in _periods(resting, track.times, 0.0)
        if stop - start >= options.shortest_rest_s
    )  # fmt: skip
    kept = np.zeros(len(track), dtype=bool)
    for start, stop in rests:
        kept |= resting & (track.times >= start) & (track.times <= stop)
    events = tuple(
        _event(speed[frames], moving[frames], start, stop, options)
        for start, stop, frames in _periods(moving.any(axis=1), track.times, options.join_s)
    )
    return Activity(speed, quantity, kept, rests, events)


def part_speeds(velocity: np.ndarray) -> np.ndarray:
    """Speed (T, 6) in mm/s of `PARTS` from the landmarks' velocities (T, 16, 3); NaN where a part is not known."""
    skeleton = load_skeleton()
    trunk = _mean(velocity[:, [skeleton.index(name) for name in TRUNK]], axis=1)
    relative = np.linalg.norm(velocity - trunk[:, None], axis=2)
    rows = {"head": [skeleton.index("head")], **{limb: list(skeleton.limbs[limb][1:]) for limb in LIMBS}}
    own = {name: _mean(relative[:, landmarks], axis=1) for name, landmarks in rows.items()}
    return np.stack([np.linalg.norm(trunk, axis=1) if part == "trunk" else own[part] for part in PARTS], axis=1)


def _event(speed, moving, start, stop, options: ActivityOptions) -> Event:
    parts = tuple(part for part, moved in zip(PARTS, moving.any(axis=0), strict=True) if moved)
    return Event(_kind(parts, stop - start, options), start, stop, parts, float(np.nanmax(speed)))


def _kind(parts: tuple[str, ...], lasting: float, options: ActivityOptions) -> str:
    limbs = [part for part in parts if part in LIMBS]
    if len(limbs) >= 3:
        return "startle" if lasting <= options.startle_s else "general movement"
    if len(limbs) == 2 and {"head", "trunk"} & set(parts):
        return "general movement"
    for word in ("leg", "arm"):
        if limbs and all(limb.endswith(word) for limb in limbs):
            return f"{word} movement"
    return "head movement" if parts == ("head",) else "other movement"


def _periods(which: np.ndarray, times: np.ndarray, join_s: float) -> list[tuple[float, float, slice]]:
    """(start, stop, frames) of the periods in which ``which`` (T,) holds; shorter pauses than ``join_s`` are bridged.

    A period reaches halfway to the volumes before and after it.
    """
    middles = np.concatenate([times[:1], (times[1:] + times[:-1]) / 2, times[-1:]])
    found: list[tuple[float, float, slice]] = []
    for frame in np.flatnonzero(which):
        start, stop = float(middles[frame]), float(middles[frame + 1])
        if found and (found[-1][2].stop == frame or start - found[-1][1] < join_s):
            first = found[-1][2].start
            found[-1] = (found[-1][0], stop, slice(first, int(frame) + 1))
        else:
            found.append((start, stop, slice(int(frame), int(frame) + 1)))
    return found


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=axis) / np.maximum(count, 1), np.nan)
