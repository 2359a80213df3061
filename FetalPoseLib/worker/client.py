"""The network's process seen from outside: ask, `poll`, cancel. Slicer's module and the command line hold it.

`WorkerClient` starts `python -m FetalPoseLib.worker` at the first request and keeps it for the next ones. No call waits
for the network: the owner's event loop calls `poll` (a timer in a graphical program, a plain loop on the command line)
and handles the events that came, which are those of `protocol`. Whatever happens to the process is an event, never an
exception.

>>> with WorkerClient() as client:
...     request = client.estimate(volume, EstimateOptions(iterations=1))
...     while client.running:
...         for event in client.poll():
...             if isinstance(event, ProgressEvent):
...                 show(event.progress.points, event.seconds_left)
...             elif isinstance(event, Done):
...                 estimate = event.estimate
...         time.sleep(0.02)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume
from FetalPoseLib.worker.process import LineProcess
from FetalPoseLib.worker.protocol import (
    Cancelled,
    Devices,
    DevicesRequest,
    Done,
    EstimateRequest,
    Event,
    Failed,
    Hello,
    Ready,
    Request,
    Unreadable,
    WarmUpRequest,
    encode_request,
    event_in,
)
from FetalPoseLib.worker.voxel_file import VoxelFile


class WorkerClient:
    """The network's process, started when it is needed. Requests made while another is under way wait in its queue.

    Parameters
    ----------
    python : the Python that has torch; in Slicer, its PythonSlicer.
    environment : variables added to this process's own.
    command : the whole command line, instead of ``[python, "-m", "FetalPoseLib.worker"]``.
    """

    def __init__(
        self,
        python: str | Path = sys.executable,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ):
        self.command = list(command or [str(python), "-m", "FetalPoseLib.worker"])
        self.environment = dict(environment or {})
        self._numbers = count(1)
        self._pending: dict[int, Path | None] = {}  # request to the path of its voxels, None if it is no estimate
        self._voxels: dict[int, VoxelFile] = {}
        self._events: list[Event] = []
        self._process: LineProcess | None = None
        self._warm = False

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """An estimate is under way: from `estimate` to the `poll` that returns its last event."""
        return bool(self._events) or any(path is not None for path in self._pending.values())

    @property
    def warm(self) -> bool:
        """The process lives and has opened a model: an estimate starts at once."""
        return self._warm and self._alive

    @property
    def pid(self) -> int | None:
        """Of the process, None where there is none."""
        return self._process.popen.pid if self._process is not None and self._alive else None

    # requests

    def estimate(
        self,
        volume: Volume | ProbeVolume,
        options: EstimateOptions,
        *,
        placed: Mapping[int, Sequence[float] | np.ndarray] | None = None,
        start: np.ndarray | None = None,
    ) -> int:
        """Ask for the pose in a volume; the answer is a `Done`.

        Parameters
        ----------
        volume : on voxels or in a probe's own coordinates
            The values go to the process in a temporary file, which ends with the request and with this process.
        options : the model, the device, the refinement and the rest.
        placed : landmark (0-based) to (3,) RAS mm
            Points that a person has placed. They stay there.
        start : (16, 3) RAS mm, NaN where a landmark is not visible
            The pose on screen: the fetus is searched for nowhere else.

        Returns
        -------
        int
            The request's number, which its events carry.

        Raises
        ------
        FetalPoseError
            A placed point, the pose on screen or the volume's place has a coordinate that is not finite.
        """
        points = {int(landmark): np.asarray(point, dtype=np.float64) for landmark, point in (placed or {}).items()}
        for landmark, point in points.items():
            if point.shape != (3,) or not np.isfinite(point).all():
                raise FetalPoseError(
                    f"The placed landmark {landmark} is at {point.tolist()}, which is not three finite coordinates "
                    "in mm. Place it again."
                )
        probe = volume.grid if isinstance(volume, ProbeVolume) else None
        ijk_to_ras = None if isinstance(volume, ProbeVolume) else np.asarray(volume.ijk_to_ras, dtype=np.float64)
        if ijk_to_ras is not None and not np.isfinite(ijk_to_ras).all():
            raise FetalPoseError(
                f"The volume's IJK-to-RAS matrix {ijk_to_ras.tolist()} is not finite. Correct its origin and spacing."
            )
        number = next(self._numbers)
        try:
            process = self._ready_process()
            voxels = VoxelFile(volume.array)
        except OSError as error:
            return self._not_started(number, error)
        try:
            request = EstimateRequest(
                _absolute(options), str(voxels.path), ijk_to_ras, points, probe=probe, start=start
            )
            return self._send(process, number, request, voxels)
        except BaseException:
            voxels.close()
            raise

    def warm_up(self, options: EstimateOptions) -> int:
        """Start the process and open the model, so that the first estimate need not wait; the answer is a `Ready`."""
        return self._ask(WarmUpRequest(_absolute(options)))

    def devices(self) -> int:
        """Ask which devices there are; the answer is a `Devices`."""
        return self._ask(DevicesRequest())

    # events

    def poll(self) -> list[Event]:
        """The events since the last call. Takes a millisecond, and never waits for the network."""
        self._listen()
        events, self._events = self._events, []
        return events

    def cancel(self) -> None:
        """End what is under way by ending its process, within half a second. `poll` then returns the `Cancelled`.

        Without anything under way the process stays. The next request starts a fresh one; `warm_up` does so ahead of
        time.
        """
        if self._pending:
            self.close()

    def close(self) -> None:
        """End the process. The client may be used again."""
        self._stop()
        for number in list(self._pending):
            self._end(number, Cancelled(number))

    # the process

    @property
    def _alive(self) -> bool:
        return self._process is not None and self._process.alive

    def _ask(self, request: Request) -> int:
        number = next(self._numbers)
        try:
            process = self._ready_process()
        except OSError as error:
            return self._not_started(number, error)
        return self._send(process, number, request)

    def _send(self, process: LineProcess, number: int, request: Request, voxels: VoxelFile | None = None) -> int:
        try:
            line = encode_request(number, request)
        except (ValueError, TypeError) as error:  # a number that JSON cannot hold: nothing is pending then
            raise FetalPoseError(f"The request cannot be handed to the network: {error}. Correct the pose.") from error
        self._pending[number] = None if voxels is None else voxels.path
        if voxels is not None:
            self._voxels[number] = voxels
        process.send(line)
        return number

    def _not_started(self, number: int, error: OSError) -> int:
        message = f"The network cannot be started: {error}. Check {self.command[0]}."
        self._events.append(Failed(number, message, user=False))
        return number

    def _ready_process(self) -> LineProcess:
        """A process that lives; OSError if none can be started."""
        if self._process is not None and self._process.alive:
            return self._process
        self._listen()
        if self._process is not None:  # it has died, and the end of its output has not come yet
            self._lose(self._process, self._process.cause_of_death())
        self._process = LineProcess(self.command, self.environment)
        return self._process

    def _listen(self) -> None:
        process = self._process
        if process is None:
            return
        for line in process.lines():
            if self._process is not process:  # lost because of the line before
                return
            if line is None:
                self._lose(process, process.cause_of_death())
            else:
                self._hear(process, line)

    def _hear(self, process: LineProcess, line: bytes) -> None:
        event = event_in(line)
        if isinstance(event, Hello):
            return
        if isinstance(event, Unreadable) or event.request is None or event.request not in self._pending:
            answer = line[:80].decode(errors="replace").strip()
            self._lose(process, f"The network's process gave an unreadable answer: {answer!r}")
            return
        is_estimate = self._pending[event.request] is not None
        self._warm |= isinstance(event, Ready)
        if isinstance(event, Done | Devices | Failed | Cancelled) or (isinstance(event, Ready) and not is_estimate):
            self._end(event.request, event)
        else:
            self._events.append(event)

    def _lose(self, process: LineProcess, reason: str) -> None:
        """End the process; every request to it ends with the reason."""
        self._stop()
        details = process.last_words()
        message = "\n".join([reason, *details.splitlines()[-3:]])
        for number in list(self._pending):
            self._end(number, Failed(number, message, user=False, details=details))

    def _stop(self) -> None:
        process, self._process, self._warm = self._process, None, False
        if process is not None:
            process.stop()

    def _end(self, number: int, event: Event) -> None:
        """Add the last event of a request."""
        del self._pending[number]
        voxels = self._voxels.pop(number, None)
        if voxels is not None:
            voxels.close()
        self._events.append(event)


def _absolute(options: EstimateOptions) -> EstimateOptions:
    """The options with paths that the process finds from its own folder, too."""
    model = str(Path(options.model).absolute()) if Path(options.model).is_file() else options.model
    return replace(options, model=model, libraries=tuple(str(Path(path).absolute()) for path in options.libraries))
