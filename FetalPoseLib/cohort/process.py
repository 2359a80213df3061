"""A volume process seen from its Dask worker: give it a job, wait for the outcome, end it when it takes too much."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, replace

from FetalPoseLib.cohort.jobs import EstimateJob, Job, Named, Outcome, answer_in, job_line
from FetalPoseLib.worker.process import LineProcess

POLL_S = 0.005
LOOK_AT_MEMORY_S = 1.0  # adding up the memory of all processes takes milliseconds
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Limits:
    """What one job may take."""

    time_s: float  #: until its process is ended
    memory_bytes: int | None  #: of the volume process and the network's process together; None: not bounded
    threads: int  #: that the network computes with
    command: tuple[str, ...] = ()  #: command line of the process; (): `python -m FetalPoseLib.cohort`


class VolumeProcess:
    """A volume process, started when it is needed. It does one job at a time.

    Parameters
    ----------
    limits : of each job.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self._process: LineProcess | None = None
        self._closed = threading.Event()

    @property
    def pid(self) -> int | None:
        """Of the process, None where there is none."""
        return self._process.popen.pid if self._process is not None and self._process.alive else None

    def memory_bytes(self) -> int:
        """Resident memory of the process and of those that it started."""
        import psutil

        if self.pid is None:
            return 0
        total = 0
        try:
            own = psutil.Process(self.pid)
            for process in (own, *own.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.Error:  # one has just ended
            pass
        return total

    def do(self, job: Job) -> Outcome:
        """Do a job, starting a process if there is none; whatever happens to the process is an outcome."""
        start, looked = time.monotonic(), time.monotonic()
        named = Named("", "")
        process = self._started()
        process.send(job_line(job))

        def failed(kind: str, reason: str) -> Outcome:
            self.stop()
            if self._closed.is_set():  # whatever it looks like, the volume did not do it
                kind, reason = "worker", "The worker was closed."
            took = round(time.monotonic() - start, 3)
            return Outcome(job.number, named.name, named.content, kind, reason, seconds=took)

        while True:
            for line in process.lines():
                if line is None:
                    return failed("crash", _how_it_ended(process))
                try:
                    answer = answer_in(line)
                except (ValueError, KeyError, TypeError):
                    return failed("crash", "The volume's process gave an unreadable answer.")
                if isinstance(answer, Outcome):
                    return answer
                named = answer
            now = time.monotonic()
            if self._closed.is_set():
                return failed("worker", "")
            if now - start > self.limits.time_s:
                return failed("time limit", f"It took longer than the limit of {self.limits.time_s:g} seconds.")
            if self.limits.memory_bytes is not None and now - looked > LOOK_AT_MEMORY_S:
                looked, used = now, self.memory_bytes()
                if used > self.limits.memory_bytes:
                    allowed = f"{self.limits.memory_bytes / 1e9:.1f} GB"
                    return failed("memory", f"It took {used / 1e9:.1f} GB of memory, and {allowed} are allowed.")
            time.sleep(POLL_S)

    def warm_up(self, job: EstimateJob | None) -> None:
        """Start the process, and have it open the model of this job, without waiting."""
        process = self._started()
        if job is not None:
            process.send(job_line(replace(job, source="")))
            self._swallow(process)

    def stop(self) -> None:
        """End the process; the next job starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    def close(self) -> None:
        """End the process and the job that it does, from any thread."""
        self._closed.set()
        self.stop()

    def _started(self) -> LineProcess:
        if self._process is None or not self._process.alive:
            self.stop()
            environment = dict.fromkeys(THREAD_VARIABLES, str(self.limits.threads))
            command = self.limits.command or (sys.executable, "-m", "FetalPoseLib.cohort")
            self._process = LineProcess(command, environment)
        return self._process

    def _swallow(self, process: LineProcess) -> None:
        """Wait for the answer to a warming up; what went wrong goes wrong again with the first job."""
        end = time.monotonic() + self.limits.time_s
        while time.monotonic() < end and not self._closed.is_set():
            if process.lines():
                return
            time.sleep(POLL_S)


def _how_it_ended(process: LineProcess) -> str:
    code = process.popen.returncode
    if code == -9:
        return "Its process was killed, perhaps because memory ran out."
    how = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
    return f"Its process ended unexpectedly, {how}."
