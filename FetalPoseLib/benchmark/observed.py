"""An estimator under observation: what it says at every iteration, and where its seconds go."""

from __future__ import annotations

import time

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.volume.grid import Volume


class Observed(Estimator):
    """The estimator, which also tells what pass 1 found and when, and looks only once at one and the same volume."""

    _volume = _seen_view = None
    frames: list[FetalFrame] = []
    located_at: float | None = None

    def _look(self, volume: Volume, frame: FetalFrame | None = None):
        if volume is not self._volume:  # many ways to refine one volume need one look at it
            self.frames, self.located_at = [], None
            self._volume, self._seen_view = volume, super()._look(volume, frame)
        return self._seen_view

    def _readings(self, *args):
        self.frames = super()._readings(*args)
        self.located_at = time.perf_counter()
        return self.frames


def trace(estimator, volume: Volume, *, iterations: int = 6) -> dict:
    """Estimate a pose and write down all of it, as JSON holds it; a landmark not seen is None.

    Returns
    -------
    dict
        ``unrefined`` (16, 3) RAS mm; ``steps``, the poses of iterations 0 to `iterations`; ``evidence``, the mean
        confidence in each of them; ``confidence`` (16,), in the last;
        ``seconds``: ``locate`` and ``detect`` (None where there is no pass 1), ``first_pose``, their sum, ``refine``,
        one number an iteration from 0, and ``total``; ``warnings``; and ``failure``, the estimator's complaint if it
        gave up, with every landmark missed, else None.
    """
    events, start = [], time.perf_counter()
    try:
        estimate = estimator.estimate(
            volume, iterations=iterations, progress=lambda event: events.append((event, time.perf_counter()))
        )
    except FetalPoseError as error:
        blank = as_rows(np.full((16, 3), np.nan))
        return {"unrefined": blank, "steps": [], "evidence": [], "confidence": [0.0] * 16, "seconds": {},
                "warnings": [], "failure": str(error)}  # fmt: skip
    total = time.perf_counter() - start
    steps = [event for event, _ in events if event.stage == "refine"]
    looked = next(at for event, at in events if event.stage == "detect")
    ticks = [looked, *(at for event, at in events if event.stage == "refine")]
    located = getattr(estimator, "located_at", None)
    passes = (None, None) if located is None or located < start else (located - start, looked - located)
    seconds = {"locate": passes[0], "detect": passes[1], "first_pose": looked - start,
               "refine": np.diff(ticks).tolist(), "total": total}  # fmt: skip
    return {
        "unrefined": as_rows(estimate.unrefined),
        "steps": [as_rows(event.points) for event in steps],
        "evidence": [round(float(np.mean(event.confidence)), 4) for event in steps],
        "confidence": np.round(estimate.confidence, 3).tolist(),
        "seconds": _rounded(seconds),
        "warnings": list(estimate.warnings),
        "failure": None,
    }


def frame_errors(estimator, body: np.ndarray) -> list[list[float]]:
    """Errors of pass 1, first reading first: degrees, shift of the origin in body units, log of the size's ratio."""
    truth = FetalFrame.from_landmarks(body)
    return [
        [
            round(frame.angle_to(truth), 2),
            round(float(np.linalg.norm(frame.origin - truth.origin)) / truth.size, 4),
            round(float(np.log(frame.size / truth.size)), 4),
        ]
        for frame in getattr(estimator, "frames", [])
    ]


def as_rows(points: np.ndarray) -> list:
    """Points (n, 3) mm to 0.01 mm for JSON, None for NaN rows."""
    return [np.round(point, 2).tolist() if np.isfinite(point).all() else None for point in points]


def as_points(rows: list) -> np.ndarray:
    """What `as_rows` wrote, (n, 3) mm."""
    return np.array([[np.nan] * 3 if row is None else row for row in rows], dtype=np.float64)


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return None if value is None else round(value, 3)
