"""A child process that talks in lines: start it, send lines, fetch what it wrote, end it with all that it started."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE_S = 0.25  # from asking the process to end to killing it, so that a cancel answers within half a second
TAIL_BYTES = 4000  # of standard error that are kept for a message
_ROOT = Path(__file__).resolve().parent.parent.parent  # where `-m FetalPoseLib.worker` is found, in any layout


def slicer_python(home: str | Path) -> str:
    """Slicer's own Python, PythonSlicer in the folder of programs below ``home``; this process's where there is none.

    It is looked for nowhere else: a program of that name in the current folder may be anyone's.
    """
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    own = Path(home, "bin", name) if home else None
    return str(own.resolve()) if own is not None and own.is_file() else sys.executable


class LineProcess:
    """A running process. A thread reads its lines, so that no call here waits for it.

    Parameters
    ----------
    command : the command line.
    environment : variables added to this process's own.

    Raises
    ------
    OSError
        The command cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `last_words`)
        self.popen = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, cwd=_ROOT,
            env={**os.environ, **environment},
            start_new_session=True,  # a group of its own, to end it with its launcher; the owner handles Ctrl-C
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
        assert self.popen.stdin is not None and self.popen.stdout is not None  # because both are pipes
        self._stdin, self._stdout = self.popen.stdin, self.popen.stdout
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def alive(self) -> bool:
        """The process has not ended."""
        return self.popen.poll() is None

    def send(self, line: str) -> None:
        """Write a line to its standard input. A process that has just died is told by `lines`, not here."""
        with contextlib.suppress(OSError):
            self._stdin.write(line.encode() + b"\n")
            self._stdin.flush()

    def lines(self) -> list[bytes | None]:
        """The lines since the last call; a None at the end says that the process has ended. Takes a millisecond."""
        time.sleep(0.001)  # the reading thread needs the GIL, which Slicer's event loop rarely gives up otherwise
        return [self._lines.get_nowait() for _ in range(self._lines.qsize())]

    def stop(self) -> None:
        """End the process and its group, in `PATIENCE_S` at most."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._signal("SIGTERM")
        try:
            self.popen.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._signal("SIGKILL")

    def last_words(self) -> str:
        """The end of its standard error. To be called once, after it has ended."""
        with self._stderr as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - TAIL_BYTES, 0))
            return stream.read().decode(errors="replace").strip()

    def cause_of_death(self) -> str:
        """A sentence for the user about a process that ended by itself."""
        code = self.popen.returncode
        if code == -9:
            return "The network's process was killed, perhaps because memory ran out."
        how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
        return f"The network's process ended unexpectedly, {how}."

    def _read(self) -> None:
        """The reading thread: queue the lines, then None."""
        with self._stdout as stream:
            for line in stream:
                self._lines.put(line)
        try:
            self.popen.wait(1)
        except subprocess.TimeoutExpired:  # it closed its output and lives on
            self._signal("SIGKILL")
            self.popen.wait()
        self._lines.put(None)

    def _signal(self, name: str) -> None:
        """Send a signal to the group. Windows has no groups: there, children end because their input closes."""
        if not self.alive:
            return
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.popen.pid, getattr(signal, name))
            else:
                self.popen.kill()
