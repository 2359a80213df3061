"""An estimator under observation: what it says at every iteration, and where its seconds go."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.detection.detector import Detector
from FetalPoseLib.detection.view import View
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume


@dataclass
class Seen:
    """What the last volume showed: shared by the copies that `with_options` makes of an estimator."""

    volume: Volume | ProbeVolume | None = None
    view: View | None = None
    frames: list[FetalFrame] = field(default_factory=list)  #: of pass 1's first reading
    located_at: float | None = None  #: seconds of `time.perf_counter`


@dataclass(frozen=True, eq=False)
class ObservedDetector(Detector):
    """The detector, which also tells what pass 1 found and when, and looks only once at one and the same volume."""

    seen: Seen = field(default_factory=Seen)

    def look(self, volume: Volume | ProbeVolume, frame: FetalFrame | None = None):
        """As of `Detector`, but a volume that was looked at last is not looked at again."""
        seen = self.seen
        if volume is not seen.volume:  # many ways to refine one volume need one look at it
            seen.volume, seen.frames, seen.located_at = None, [], None
            seen.view = yield from super().look(volume, frame)
            seen.volume = volume
        return seen.view

    def first_frames(self, *args):
        """As of `Detector`; the frames and the time are kept."""
        self.seen.frames = super().first_frames(*args)
        self.seen.located_at = time.perf_counter()
        return self.seen.frames


class Observed(Estimator):
    """The estimator under observation."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        detector = self.detector
        self.detector = ObservedDetector(detector.networks, detector.device, detector.template, detector.search)

    @property
    def _seen(self) -> Seen:
        assert isinstance(self.detector, ObservedDetector)
        return self.detector.seen

    @property
    def frames(self) -> list[FetalFrame]:
        """What pass 1 first read, likeliest first."""
        return self._seen.frames

    @property
    def located_at(self) -> float | None:
        """When pass 1 had first read the volume, in seconds of `time.perf_counter`."""
        return self._seen.located_at


def trace(estimator, volume: Volume, *, iterations: int) -> dict:
    """Estimate a pose and write down all of it, as JSON holds it; a landmark that is not visible is None.

    Returns
    -------
    dict
        ``unrefined`` (16, 3) RAS mm; ``steps``, the poses of iterations 0 to `iterations`; ``evidence``, the mean
        confidence in each of them; ``confidence`` (16,), in the last;
        ``seconds``: ``locate`` and ``detect`` (None where there is no pass 1), ``first_pose``, their sum, ``refine``,
        one number per iteration from 0, and ``total``; ``warnings``; and ``failure``, the estimator's complaint if it
        gave up, with no landmark visible, else None.
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
    """`rows_of_points` to 0.01 mm."""
    return rows_of_points(np.round(points, 2))


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return None if value is None else round(value, 3)
