"""One trial in a process of its own: an end of the interpreter, a hang or a lack of memory is an outcome, too."""

import faulthandler
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from FetalPoseLib.errors import MESSAGE_LENGTH, FetalPoseError, printable

SECONDS = 60.0  # a trial takes less than one
MEMORY_BYTES = 6 * 2**30  # beyond what the parent has


def outcome(trial: Callable[[], str | None]) -> str:
    """How a trial ended.

    "read" or "refused" is right. "exception", "crash", "hang" and "nonsense", with what it was, are not.

    Parameters
    ----------
    trial : callable
        Returns None, or what is wrong with what it read; raises FetalPoseError where it refuses.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        os.setsid()  # a group of its own, to end it with all that it started
        _run(trial, writing)
    os.close(writing)
    try:
        return _heard(reading, pid)
    finally:
        os.close(reading)


def _run(trial: Callable[[], str | None], writing: int) -> None:
    try:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_BYTES, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        faulthandler.disable()
        try:
            wrong = trial()
            text = f"nonsense: {wrong}" if wrong else "read"
        except FetalPoseError as error:
            message = str(error)
            clean = message == printable(message) and 0 < len(message) <= MESSAGE_LENGTH
            text = "refused" if clean else f"nonsense: the message {message[:100]!r}"
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = (
                f"exception: {type(error).__name__}: {str(error)[:100]!r} in {Path(where.filename).name}:{where.lineno}"
            )
        os.write(writing, text.encode(errors="replace"))
    finally:
        os._exit(0)


def _heard(reading: int, pid: int) -> str:
    until = time.monotonic() + SECONDS
    ready, _, _ = select.select([reading], [], [], max(0.0, until - time.monotonic()))
    if not ready:
        _kill(pid)
        os.waitpid(pid, 0)
        return f"hang: {SECONDS:g} s"
    text = os.read(reading, 4000).decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    _kill(pid)
    if os.WIFSIGNALED(status):
        return f"crash: {signal.Signals(os.WTERMSIG(status)).name}"
    return text or f"crash: exit status {os.WEXITSTATUS(status)}"


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
