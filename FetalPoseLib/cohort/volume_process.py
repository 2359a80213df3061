"""The process that does jobs one after the other, `python -m FetalPoseLib.cohort`. `process` is its other end.

Jobs come in on standard input as lines, and what it says goes out on standard output, as `jobs` has it. It ends when
its input closes, so that it never outlives its Dask worker; the network's process, which it keeps open, ends with it.
It is a process because only a process can be ended whatever it is doing: a file that hangs, a library that crashes.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from dataclasses import replace
from typing import TextIO

from FetalPoseLib.cohort.jobs import EstimateJob, Job, Named, Outcome, answer_line, job_in
from FetalPoseLib.worker.client import WorkerClient


def main() -> None:
    """Do jobs until standard input closes."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    jobs = Jobs(answers)
    while True:
        jobs.do(job_in(lines.get()))


def _listen(lines: queue.SimpleQueue) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)  # the worker has gone; so does the network's process, whose input closes with this process


class Jobs:
    """Does jobs, and keeps the network's process open between them.

    Parameters
    ----------
    answers : stream to which `Named` and `Outcome` are written, a line each.
    """

    def __init__(self, answers: TextIO):
        self._answers = answers
        self._client: WorkerClient | None = None
        self._command: tuple[str, ...] = ()

    def do(self, job: Job) -> None:
        """Do one job."""
        start = time.monotonic()
        outcome = self._estimate(job) if isinstance(job, EstimateJob) else _simulate(job)
        self._say(replace(outcome, seconds=round(time.monotonic() - start, 3)))

    def _estimate(self, job: EstimateJob) -> Outcome:
        from FetalPoseLib import scene as mrml
        from FetalPoseLib.cohort.estimate_job import estimate_volume

        mrml.silence_log()
        if self._client is None or self._command != job.network:
            if self._client is not None:
                self._client.close()
            self._client, self._command = WorkerClient(command=job.network or None), job.network
        if not job.source:  # only to open the model
            self._client.warm_up(job.options)
            return Outcome(job.number, skipped=True)
        return estimate_volume(job, self._client, self._say)

    def _say(self, answer: Outcome | Named) -> None:
        self._answers.write(answer_line(answer) + "\n")
        self._answers.flush()


def _simulate(job) -> Outcome:
    from FetalPoseLib.cohort.simulate_job import simulate_volume

    return simulate_volume(job)
