"""From what was seen in each volume to one track: sides, smoothing, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from FetalPoseLib.tracking.bones import held, usual_lengths
from FetalPoseLib.tracking.observation import Observation
from FetalPoseLib.tracking.options import JoinOptions, SmoothOptions
from FetalPoseLib.tracking.sides import sides_over_time
from FetalPoseLib.tracking.smoother import measured_deviation, smooth


@dataclass(frozen=True, eq=False)
class Track:
    """A fetus over time.

    Attributes
    ----------
    points : (T, 16, 3) RAS mm; NaN where a landmark is not known, in volumes without the fetus all of them
    confidence : (T, 16) in 0..1, of the reading; 0 where a landmark was bridged
    times : (T,) s, None where they are not known
    found : (T,) whether the volume shows the fetus
    bridged : (T, 16) whether a landmark was not read there, and its place follows from before and after
    exchanged : (T,) whether limbs were read on other sides than those of the whole sequence
    velocity : (T, 16, 3) mm/s, NaN where a landmark is not known; None where the times are not known
    deviation : (T, 16) mm, along an axis; NaN where a landmark is not known
    """

    points: np.ndarray
    confidence: np.ndarray
    times: np.ndarray | None
    found: np.ndarray
    bridged: np.ndarray
    exchanged: np.ndarray
    velocity: np.ndarray | None
    deviation: np.ndarray

    def __len__(self) -> int:
        return len(self.points)


def join(observations: Sequence[Observation], times: np.ndarray | None, options: JoinOptions | None = None) -> Track:
    """One track of what was seen.

    Parameters
    ----------
    observations : T of them
    times : (T,) s, increasing; None where they are not known

    Raises
    ------
    ValueError
        There is no observation, or the times do not increase.
    """
    options = options or JoinOptions()
    if not observations:
        raise ValueError("a track needs at least one volume")
    found = np.array([one.found for one in observations])
    points = np.array([one.points for one in observations])
    confidence = np.array([one.confidence for one in observations])
    points[~found] = np.nan
    exchanged = np.zeros(len(found), dtype=bool)
    if options.sides:
        sides = sides_over_time(points, confidence, options)
        exchanged = found & (sides != np.arange(sides.shape[1])).any(axis=1)
        points, confidence = (np.take_along_axis(a, s, axis=1) for a, s in
                              ((points, sides[:, :, None]), (confidence, sides)))  # fmt: skip
    read = np.isfinite(points).all(axis=2)
    confidence = np.where(read, confidence, 0.0)
    usual = options.smooth or SmoothOptions()
    deviation = np.where(read, measured_deviation(confidence, usual), np.nan)
    velocity = None
    if options.smooth is not None:
        clock = np.arange(len(found)) / usual.still_rate if times is None else np.asarray(times, dtype=np.float64)
        smoothed = smooth(points, confidence, clock, usual)
        known = found[:, None] & (read | (smoothed.deviation <= usual.bridge_mm)) & read.any(axis=0)
        points = np.where(known[:, :, None], smoothed.points, np.nan)
        deviation = np.where(known, smoothed.deviation, np.nan)
        velocity = None if times is None else np.where(known[:, :, None], smoothed.velocity, np.nan)
    if options.bones is not None:
        points = held(points, deviation, usual_lengths(points), options.bones)
    bridged = np.isfinite(points).all(axis=2) & ~read
    return Track(points, confidence, times, found, bridged, exchanged, velocity, deviation)
