"""The process that runs the network: `python -m FetalPoseLib.worker`. `client` is its other end.

Requests come in on standard input and events go out on standard output, as `protocol` says. The process ends when its
input closes, so that it never outlives its owner. To cancel, end it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np

from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume
from FetalPoseLib.worker import machine
from FetalPoseLib.worker.protocol import (
    Devices,
    DevicesRequest,
    Done,
    EstimateRequest,
    Event,
    Failed,
    Hello,
    ProgressEvent,
    ProtocolError,
    Ready,
    WarmUpRequest,
    decode_request,
    encode_event,
)
from FetalPoseLib.worker.voxel_file import taken

if TYPE_CHECKING:
    from FetalPoseLib.estimator import Estimator  # which imports torch: seconds in which the process could not answer

Step = TypeVar("Step", Progress, Estimate)


def main() -> None:
    """Serve until standard input closes."""
    emit = EventWriter().emit
    lines: queue.SimpleQueue[tuple[bytes, BinaryIO | None]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, lines), daemon=True).start()
    emit(Hello(None, os.getpid()))
    server = Server(emit)
    while True:
        server.serve(*lines.get())


def _listen(stream, lines: queue.SimpleQueue) -> None:
    """Queue the lines that come in, each with its voxels, whose file loses its name here.

    At their end the owner has gone, and nobody waits for what is being computed.
    """
    for line in stream:
        lines.put((line, taken(line)))
    os._exit(0)


class EventWriter:
    """Standard output, for events alone: what libraries print goes to standard error from now on."""

    def __init__(self):
        sys.stdout.flush()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def emit(self, event: Event) -> None:
        """Write one event. Where nobody reads any more, `_listen` ends the process once it has seen all requests."""
        line = encode_event(event) + "\n"
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(line)
            self._stream.flush()


@dataclass(frozen=True)
class Attempt:
    """One way to answer an estimate's request; each takes less of the GPU's memory than the one before."""

    options: EstimateOptions
    checkpointing: bool = False  #: compute layers again in the backward pass instead of keeping them
    change: str = ""  #: what is done otherwise than was asked, for the user


class Server:
    """Answers requests one after the other; keeps the model open that was used last.

    Parameters
    ----------
    emit : called with each event.
    """

    def __init__(self, emit: Callable[[Event], None]):
        self.emit = emit
        self._key: tuple | None = None
        self._estimator: Estimator | None = None

    def serve(self, line: bytes, voxels: BinaryIO | None = None) -> None:
        """Answer one line, with its open ``voxels`` if it has any.

        An error is an answer, too, and leaves the process ready for the next.
        """
        number = None
        try:
            number, request = decode_request(line)
            if isinstance(request, EstimateRequest):
                self.estimate(number, request, voxels)
            elif isinstance(request, WarmUpRequest):
                self.open(number, request.options)
            elif isinstance(request, DevicesRequest):
                self.emit(Devices(number, machine.devices()))
        except Exception as error:
            message, user = describe_error(error)
            if isinstance(error, ProtocolError):
                number = error.request
            self.emit(Failed(number, message, user, "" if user else traceback.format_exc()))

    def open(self, number: int, options: EstimateOptions) -> Estimator:
        """The estimator, kept from the last request where that was for the same model; emits `Ready`."""
        model, device = options.model, options.device
        key = (model, device, os.stat(model).st_mtime_ns if os.path.isfile(model) else None)
        if self._estimator is None or self._key != key:
            self._key, self._estimator = None, None  # there may be no memory for two
            self._emit_opening(number, options, "Starting the network")
            from FetalPoseLib.estimator import Estimator

            self._key, self._estimator = key, Estimator(model, device)
        kind = self._estimator.device.type
        self.emit(Ready(number, model, kind, machine.device_name(kind)))
        return self._estimator

    def estimate(self, number: int, request: EstimateRequest, voxels: BinaryIO | None = None) -> None:
        """Answer with `Ready`, `ProgressEvent` per step and `Done`; where the GPU is full, with less of its memory."""
        with voxels or open(request.volume, "rb") as file:
            volume = _volume(np.load(file, allow_pickle=False), request)
        warnings = []
        for attempt in self._attempts(request.options):
            if attempt.change:
                warnings.append(f"The GPU's memory was not enough: continued {attempt.change}.")
                self._emit_opening(number, attempt.options, warnings[-1])
            try:
                return self._answer(number, request, attempt, volume, warnings)
            except Exception as error:
                if not machine.is_gpu_full(error):
                    raise
            machine.free_gpu()  # out here, where the error no longer holds what was being computed

    def _attempts(self, options: EstimateOptions) -> Iterator[Attempt]:
        """As asked; then with less and less of the GPU's memory; at last without the GPU."""
        yield Attempt(options)
        yield Attempt(options, True, "with gradient checkpointing, which takes longer")
        if self._estimator is not None:
            now_mm = options.spacing_mm or self._estimator.spacing_mm
            for spacing_mm in (spacing_mm for spacing_mm in self._estimator.spacings_mm if spacing_mm > now_mm):
                coarser = replace(options, spacing_mm=spacing_mm)
                yield Attempt(coarser, True, f"with coarser voxels, {spacing_mm:g} mm")
        yield Attempt(replace(options, device="cpu"), False, "on the CPU, which takes longer")

    def _answer(
        self, number: int, request: EstimateRequest, attempt: Attempt, volume: Volume | ProbeVolume, warnings: list[str]
    ) -> None:
        options = attempt.options
        name = Path(options.model).name  # for the provenance, which shall not tell the user's folders
        estimator = self.open(number, options).for_options(options, checkpointing=attempt.checkpointing, name=name)
        warnings = [*warnings, *estimator.library.left_out]
        placed, clock = request.placed, Clock()
        for step in estimator.run(volume, iterations=options.iterations, placed=placed, start=request.start):
            if isinstance(step, Estimate):
                estimate = replace(step, warnings=[*step.warnings, *warnings])
                self.emit(Done(number, _with_placed(estimate, placed)))
            else:
                self.emit(ProgressEvent(number, _with_placed(step, placed), clock.seconds_left(step)))

    def _emit_opening(self, number: int, options: EstimateOptions, message: str) -> None:
        self.emit(ProgressEvent(number, Progress("open", 0, options.iterations, None, None, message), None))


@dataclass
class Clock:
    """How long the iterations take."""

    now: Callable[[], float] = time.monotonic  #: seconds
    _start: float | None = field(default=None, init=False)

    def seconds_left(self, step: Progress) -> float | None:
        """After a step: until the end, None before the first iteration has been timed."""
        if step.stage != "refine":
            return None
        if self._start is None or not step.iteration:
            self._start = self.now()
            return None
        return (self.now() - self._start) / step.iteration * (step.iterations - step.iteration)


def _volume(array: np.ndarray, request: EstimateRequest) -> Volume | ProbeVolume:
    if request.probe is not None:
        return ProbeVolume(array, request.probe)
    if request.ijk_to_ras is None:
        raise ProtocolError("A volume has no place: neither a matrix nor a probe.")
    return Volume(array, request.ijk_to_ras)


def describe_error(error: Exception) -> tuple[str, bool]:
    """A message about an error, and whether a user can mend it."""
    if isinstance(error, FetalPoseError):
        return str(error), True
    if isinstance(error, ImportError) and error.name:
        return f"The network needs the package {error.name}, which {sys.executable} lacks. Install it there.", True
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return "Not enough memory. Close other programs, or use a smaller volume.", True
    return f"The network failed: {type(error).__name__}: {error}", False


def _with_placed(step: Step, placed: Mapping[int, np.ndarray]) -> Step:
    """The step with the points that a person has placed where they were placed, with confidence 1."""
    if step.points is None or step.confidence is None:
        return step
    points, confidence = step.points.copy(), step.confidence.copy()
    for landmark, point in placed.items():
        points[landmark], confidence[landmark] = point, 1.0
    return replace(step, points=points, confidence=confidence)
