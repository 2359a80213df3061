"""The network's process seen from outside: ask, `poll`, cancel. What the module and the command line hold of it.

`WorkerClient` starts `python -m FetalPoseLib.worker` at the first request and keeps it warm for the next ones. No call
waits for the network: the owner's event loop calls `poll` (a Qt timer in the module, every 50 ms or so; a plain loop on
the command line) and handles the events that came. Whatever happens to the process is an event, never an exception.

>>> with WorkerClient() as client:
...     request = client.estimate(volume, iterations=6)
...     while client.running:
...         for event in client.poll():
...             if event.kind == "progress":
...                 show(event.points, event.data["seconds_left"])
...             elif event.kind == "done":
...                 result = event.result
...         time.sleep(0.02)

Events
------
Every request ends with exactly one of "done", "failed" or "cancelled"; a `warm_up` ends with "ready" instead of "done".
`Event.request` is the number that the request returned. Points are RAS mm; where others have NaN, `data` has None.

progress
    stage: "open", "locate", "detect" or "refine"; iteration, iterations; points: 16 rows, a row None where the landmark
    is unset, or None before the first pose; confidence: 16 numbers or None; seconds_left: None while unknown; message
ready
    model; device: "cpu" or "cuda"; device_name. The model is open. An estimate has it too, before its "locate"
done, of `estimate`
    points, confidence, unrefined, provenance (dict of str), warnings (list of str): take `Event.result`
done, of `devices`
    devices: best first, each a dict of device ("cuda", "cpu"), name, free_bytes, total_bytes (None if unknown)
failed
    message: for the user; user: True if it is something a user can mend, as a FetalPoseError is; stderr: otherwise the
    details, a traceback or the last lines of a process that died
cancelled
    nothing

Requests made while another is under way wait for their turn. Points that are fixed have confidence 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

PATIENCE = 0.25  # s from asking the process to end to killing it: Cancel answers within half a second
_ROOT = Path(__file__).resolve().parent.parent.parent  # where `-m FetalPoseLib.worker` is found, in any layout


@dataclass(frozen=True, eq=False)
class Result:
    """An estimate: points and unrefined (16, 3) RAS mm with NaN where unset, confidence (16,), provenance, warnings."""

    points: np.ndarray
    confidence: np.ndarray
    unrefined: np.ndarray
    provenance: dict[str, str]
    warnings: list[str]


@dataclass(frozen=True, eq=False)
class Event:
    """What the process said: see the top of this file."""

    kind: str
    request: int
    data: dict

    @property
    def points(self) -> np.ndarray | None:
        """(16, 3) RAS mm, NaN where unset; None if the event has no pose."""
        rows = self.data.get("points")
        return None if rows is None else points_of_rows(rows)

    @property
    def result(self) -> Result:
        """The estimate that a "done" event brings."""
        confidence = np.array(self.data["confidence"], dtype=np.float64)
        unrefined = points_of_rows(self.data["unrefined"])
        return Result(self.points, confidence, unrefined, self.data["provenance"], self.data["warnings"])


def points_of_rows(rows: Sequence) -> np.ndarray:
    """Points (N, 3) of rows [x, y, z], None for a point that is unset."""
    return np.array([[np.nan] * 3 if row is None else row for row in rows], dtype=np.float64)


def rows_of_points(points) -> list[list[float] | None]:
    """Rows [x, y, z] of points (N, 3), None where one is not finite: JSON knows no NaN."""
    return [row if np.isfinite(row).all() else None for row in np.asarray(points, dtype=np.float64).tolist()]


class WorkerClient:
    """The network's process, started when it is needed.

    Parameters
    ----------
    python : the Python that has torch; in Slicer, its PythonSlicer.
    environment : variables on top of this process's own.
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
        self._pending: dict[int, Path | None] = {}  # request: file with its voxels, None for what is no estimate
        self._events: list[Event] = []
        self._process: subprocess.Popen | None = None
        self._lines: queue.SimpleQueue = queue.SimpleQueue()
        self._stderr = None
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
        return self._process.pid if self._alive else None

    # requests

    def estimate(
        self,
        volume,
        *,
        model: str = "fetal-frame",
        weights: str | Path | None = None,
        device: str = "auto",
        iterations: int = 6,
        refinement: str = "consensus",
        k: int = 10,
        spacing: float | None = None,
        libraries: Sequence[str | Path] = (),
        fixed: Mapping[int, Sequence[float]] | None = None,
        start=None,
    ) -> int:
        """Ask for the pose in a volume; returns the request's number at once.

        Parameters
        ----------
        volume : anything with ``array`` (nz, ny, nx) and ``ijk_to_ras`` (4, 4), such as `geometry.Volume`
            The voxels go to the process in a temporary file, which is gone when the request ends.
        model : a name in the manifest.
        weights : a safetensors file to use instead.
        device : "auto", "cpu" or "cuda".
        iterations : steps of refinement; 0 for the bare detection.
        refinement : how, a name in `estimator.REFINEMENTS`.
        k : atlases in the support set, where the refinement has one.
        spacing : mm, one of those that the model allows; its own if None.
        libraries : .npz files of the user's own atlases, used beside the bundled ones.
        fixed : landmark index (0-based) to (3,) RAS mm: points a person has placed, which stay there.
        start : (16, 3) RAS mm, NaN where unset, or None
            The pose on screen, for *Refine from my corrections*: the fetus is looked for nowhere else.
        """
        if fixed and not np.isfinite([*fixed.values()]).all():
            raise ValueError(f"a fixed point must be finite: {dict(fixed)}")
        return self._ask(
            "estimate", array=volume.array, ijk_to_ras=np.asarray(volume.ijk_to_ras, dtype=np.float64).tolist(),
            model=_model(model, weights), device=device, iterations=int(iterations), refinement=refinement, k=int(k),
            spacing=spacing, libraries=[str(Path(library).absolute()) for library in libraries],
            fixed={int(landmark): [float(x) for x in point] for landmark, point in (fixed or {}).items()},
            start=None if start is None else rows_of_points(start),
        )  # fmt: skip

    def devices(self) -> int:
        """Ask which devices there are, with names and free memory; answered by "done"."""
        return self._ask("devices")

    def warm_up(self, model: str = "fetal-frame", device: str = "auto", *, weights: str | Path | None = None) -> int:
        """Start the process and open the model now, so that the first estimate need not wait; answered by "ready"."""
        return self._ask("warm_up", model=_model(model, weights), device=device)

    # events

    def poll(self) -> list[Event]:
        """What has come since the last call. Takes a millisecond, and never waits for the network."""
        if self._process is not None:
            time.sleep(0.001)  # the reading thread needs the GIL, which Slicer's event loop holds but for such moments
        self._listen()
        events, self._events = self._events, []
        return events

    def cancel(self) -> None:
        """End what is under way by ending its process, in `PATIENCE` at most. The event "cancelled" comes with `poll`.

        Without anything under way the process stays warm. The next request starts a fresh one; call `warm_up` to have
        it do so ahead of time.
        """
        if self._pending:
            self._stop()
            self._end_all("cancelled", {})

    def close(self) -> None:
        """End the process. The client may be used again."""
        self._stop()
        self._end_all("cancelled", {})

    # the process

    @property
    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _ask(self, do: str, array: np.ndarray | None = None, **message) -> int:
        """Send a request, with the voxels in a file of their own; what goes wrong is an event."""
        number, path = next(self._numbers), None
        try:
            self._make_ready()
            if array is not None:
                path = _hand_over(array)
                message["volume"] = str(path)
        except OSError as error:
            self._events.append(_failed(number, f"The network cannot be started: {error}. Check {self.command[0]}."))
            return number
        self._pending[number] = path
        line = json.dumps({"request": number, "do": do, **message}, allow_nan=False)
        with contextlib.suppress(OSError):  # it has just died: the end of its output tells
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        return number

    def _make_ready(self) -> None:
        """Have a process that lives; OSError if none can be started."""
        if self._alive:
            return
        self._listen()
        if self._process is not None:  # dead, and its end not yet heard
            self._lose(_cause_of_death(self._process.returncode))
        self._start()

    def _listen(self) -> None:
        while not self._lines.empty():
            self._hear(self._lines.get_nowait())

    def _start(self) -> None:
        self._stderr = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, cwd=_ROOT,
            env={**os.environ, **self.environment},
            start_new_session=True,  # a group of its own, to end it with its launcher; and Ctrl-C is the owner's affair
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()

    def _hear(self, line: bytes | None) -> None:
        """Turn a line into an event; None is the end of the process."""
        if line is None:
            self._lose(_cause_of_death(self._process.returncode))
            return
        try:
            data = json.loads(line)
            kind, number = data.pop("kind"), data.pop("request")
            if kind == "hello":
                return
            no_estimate = self._pending[number] is None
        except (ValueError, KeyError, TypeError, AttributeError):
            answer = line[:80].decode(errors="replace").strip()
            self._lose(f"The network's process gave an unreadable answer: {answer!r}")
            return
        self._warm |= kind == "ready"
        if kind in ("done", "failed") or (kind == "ready" and no_estimate):
            self._forget(number)
        self._events.append(Event(kind, number, data))

    def _lose(self, reason: str) -> None:
        """The process is of no more use: whatever was asked of it has failed."""
        self._stop()
        tail = self._last_words()
        message = "\n".join([reason, *tail.splitlines()[-3:]])
        self._end_all("failed", {"message": message, "user": False, "stderr": tail})

    def _stop(self) -> None:
        process, self._process = self._process, None
        self._warm, self._lines = False, queue.SimpleQueue()  # what the old process still says goes to the old queue
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        _signal(process, "SIGTERM")
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            _signal(process, "SIGKILL")

    def _last_words(self) -> str:
        """The tail of the ended process's standard error."""
        if self._stderr is None:
            return ""
        with self._stderr as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - 4000, 0))
            tail = stream.read().decode(errors="replace")
        self._stderr = None
        return tail.strip()

    def _end_all(self, kind: str, data: dict) -> None:
        for number in list(self._pending):
            self._forget(number)
            self._events.append(Event(kind, number, dict(data)))

    def _forget(self, number: int) -> None:
        path = self._pending.pop(number)
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _read(process: subprocess.Popen, lines: queue.SimpleQueue) -> None:
    """The reading thread: queue the process's lines, then None."""
    with process.stdout as stream:
        for line in stream:
            lines.put(line)
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:  # it closed its output and lives on
        _signal(process, "SIGKILL")
        process.wait()
    lines.put(None)


def _signal(process: subprocess.Popen, name: str) -> None:
    """Send a signal to the process's group. Windows has none: there children end because their stdin closes."""
    if process.poll() is not None:
        return
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, getattr(signal, name))
        else:
            process.kill()


def _cause_of_death(code: int | None) -> str:
    if code == -9:
        return "The network's process was killed, perhaps because memory ran out."
    how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    return f"The network's process ended unexpectedly, {how}."


def _failed(number: int, message: str) -> Event:
    return Event("failed", number, {"message": message, "user": False, "stderr": ""})


def _model(name: str, weights: str | Path | None) -> str:
    return name if weights is None else str(Path(weights).absolute())


def _hand_over(array: np.ndarray) -> Path:
    """A temporary file with the voxels, readable by this user only."""
    handle, name = tempfile.mkstemp(prefix="fetalpose-", suffix=".npy")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
