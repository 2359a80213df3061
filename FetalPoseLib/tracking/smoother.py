"""Each landmark over time: a constant-velocity Kalman filter and Rauch-Tung-Striebel smoother with heavy tails.

A landmark's acceleration is white noise, so its velocity changes by chance, and its readings are noisy by their
confidence. Both noises follow Student's t distribution: most readings are good and some are wrong by much; a fetus
rests most of the time and moves suddenly. The t distribution is a normal one with a random scale, and the scales are
estimated by reweighting: smooth, compare each reading and each acceleration with what its scale lets expect, adapt the
scales, and smooth again (Agamennoni, Nieto and Nebot, IEEE Trans. Signal Process. 60:5024-5037, 2012, for the
readings; the accelerations likewise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.tracking.options import SmoothOptions

START_SPEED = 20.0  # mm/s, standard deviation before anything is known
AT_FIRST = 100.0  # scale of the accelerations before they are estimated: movement is followed until it is refuted
FAR = 1e4  # mm, the same of a place
AXES = 3


@dataclass(frozen=True, eq=False)
class Smoothed:
    """Landmarks over time.

    Attributes
    ----------
    points : (T, N, 3) mm
    speed : (T, N, 3) mm/s
    deviation : (T, N) mm, standard deviation along an axis
    weight : (T, N) of the readings, about 1 for usual ones, near 0 for outliers; NaN where nothing was read
    """

    points: np.ndarray
    velocity: np.ndarray
    deviation: np.ndarray
    weight: np.ndarray


def measured_deviation(confidence: np.ndarray, options: SmoothOptions) -> np.ndarray:
    """Standard deviation in mm, along an axis, of readings with these confidences."""
    return options.measured_mm / np.clip(confidence, 0.05, 1.0) ** options.unsure_power


def smooth(points: np.ndarray, confidence: np.ndarray, times: np.ndarray, options: SmoothOptions) -> Smoothed:
    """Join readings over time.

    Parameters
    ----------
    points : (T, N, 3) mm, NaN where a landmark was not read
    confidence : (T, N) in 0..1
    times : (T,) s, increasing

    Raises
    ------
    ValueError
        The times do not increase.
    """
    steps = np.diff(times)
    if not (steps > 0).all():
        raise ValueError(f"times must increase: {times}")
    read = np.isfinite(points).all(axis=2) & (confidence >= options.least_confidence)
    variance = measured_deviation(confidence, options) ** 2
    density = options.jerk**2
    alone = _apart_from_neighbours(np.where(read[:, :, None], points, np.nan))
    reading_scale = (options.measured_freedom + alone**2 / variance) / (options.measured_freedom + AXES)
    change_scale = np.full((max(len(times) - 1, 0), points.shape[1]), AT_FIRST)
    result = _pass(points, read, variance * reading_scale, steps, density * change_scale)
    for _ in range(options.rounds - 1):
        state, covariance, lagged = result
        missed = ((points - state[:, :, 0]) ** 2).sum(axis=2) + AXES * covariance[:, :, 0, 0]
        freedom = options.measured_freedom
        reading_scale = np.where(read, (freedom + np.nan_to_num(missed) / variance) / (freedom + AXES), 1.0)
        freedom, expected = options.movement_freedom, _changes(state, covariance, lagged, steps)
        change_scale = (freedom + expected / density) / (freedom + 2 * AXES)
        result = _pass(points, read, variance * reading_scale, steps, density * change_scale)
    state, covariance, _ = result
    weight = np.where(read, 1 / reading_scale, np.nan)
    return Smoothed(state[:, :, 0], state[:, :, 1], np.sqrt(covariance[:, :, 0, 0]), weight)


def _apart_from_neighbours(points: np.ndarray) -> np.ndarray:
    """Distance (T, N) in mm of each reading from the nearer of those before and after it; 0 where there is neither."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=2)
    far = np.full((1, points.shape[1]), np.inf)
    steps = np.where(np.isfinite(steps), steps, np.inf)
    nearer = np.minimum(np.concatenate([far, steps]), np.concatenate([steps, far]))
    return np.where(np.isfinite(nearer), nearer, 0.0)


def _pass(points, read, variance, steps, density):
    """Filter forwards and smooth backwards.

    State (T, N, 2, 3): place and velocity. Covariance (T, N, 2, 2), the same for the three axes. Lagged (T - 1, N, 2,
    2): covariance of the state with that of the next time.
    """
    count, landmarks = read.shape
    state, covariance = np.zeros((count, landmarks, 2, AXES)), np.zeros((count, landmarks, 2, 2))
    ahead_state, ahead_covariance = np.zeros_like(state), np.zeros_like(covariance)
    for t in range(count):
        if t == 0:
            ahead_state[0] = 0.0
            ahead_covariance[0] = np.diag([FAR**2, START_SPEED**2])
        else:
            move, noise = _move(steps[t - 1]), _noise(steps[t - 1])
            ahead_state[t] = move @ state[t - 1]
            ahead_covariance[t] = move @ covariance[t - 1] @ move.T + density[t - 1][:, None, None] * noise
        gain = ahead_covariance[t][:, :, 0] / (ahead_covariance[t][:, 0, 0] + variance[t])[:, None]
        gain = np.where(read[t][:, None], gain, 0.0)
        missed = np.where(read[t][:, None], points[t] - ahead_state[t][:, 0], 0.0)
        state[t] = ahead_state[t] + gain[:, :, None] * missed[:, None]
        covariance[t] = ahead_covariance[t] - gain[:, :, None] * ahead_covariance[t][:, None, 0, :]
    lagged = np.zeros((max(count - 1, 0), landmarks, 2, 2))
    for t in reversed(range(count - 1)):
        back = covariance[t] @ _move(steps[t]).T @ np.linalg.inv(ahead_covariance[t + 1])
        lagged[t] = back @ covariance[t + 1]
        state[t] = state[t] + back @ (state[t + 1] - ahead_state[t + 1])
        covariance[t] = covariance[t] + back @ (covariance[t + 1] - ahead_covariance[t + 1]) @ back.swapaxes(1, 2)
    return state, covariance, lagged


def _changes(state, covariance, lagged, steps) -> np.ndarray:
    """Expected size (T - 1, N) of the changes of velocity and place, over the noise of unit density, squared."""
    total = np.zeros(lagged.shape[:2])
    for t, step in enumerate(steps):
        move, inverse = _move(step), np.linalg.inv(_noise(step))
        change = state[t + 1] - move @ state[t]
        across = move @ lagged[t]  # covariance of the moved state with the next one
        spread = covariance[t + 1] + move @ covariance[t] @ move.T - across - across.swapaxes(1, 2)
        total[t] = np.einsum("nia,ij,nja->n", change, inverse, change) + AXES * np.einsum("ij,nji->n", inverse, spread)
    return total.clip(min=0)


def _move(step: float) -> np.ndarray:
    return np.array([[1.0, step], [0.0, 1.0]])


def _noise(step: float) -> np.ndarray:
    """Covariance of place and velocity after white acceleration of unit density for a time."""
    return np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
