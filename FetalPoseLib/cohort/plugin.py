"""What runs in a Dask worker: a plug-in that owns volume processes, and the task that gives one of them a job."""

from __future__ import annotations

import queue
import signal
import threading
from contextlib import suppress

from distributed import WorkerPlugin, get_worker

from FetalPoseLib import __version__
from FetalPoseLib.cohort.jobs import EstimateJob, Job, Outcome
from FetalPoseLib.cohort.process import Limits, VolumeProcess


class VersionsDiffer(Exception):
    """A worker has another version of FetalPose than the program that asks it."""


class PluginMissing(Exception):
    """The worker knows nothing of this run: its scheduler was started anew."""


class VolumeProcesses(WorkerPlugin):
    """One volume process for each thread of a Dask worker, with the model open, from the worker's start to its end.

    Parameters
    ----------
    name : of this run; two runs on one cluster have two plug-ins.
    limits : of each job.
    first : a job whose model is opened ahead; None: nothing to open.
    """

    idempotent = True  # after the scheduler's restart it is registered again

    def __init__(self, name: str, limits: Limits, first: EstimateJob | None = None):
        self.name, self.limits, self.first, self.version = name, limits, first, __version__
        self._idle: queue.SimpleQueue[VolumeProcess] | None = None  # queues and processes do not travel
        self._all: list[VolumeProcess] = []

    def setup(self, worker) -> None:
        """Start the processes; called by Dask in the worker."""
        if self.version != __version__:
            raise VersionsDiffer(f"FetalPose {__version__} on the worker, {self.version} in the program")
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which closes its workers
        self._idle = queue.SimpleQueue()
        self._all = [VolumeProcess(self.limits) for _ in range(worker.state.nthreads)]
        for process in self._all:
            threading.Thread(target=self._ready, args=(process,), daemon=True).start()

    def teardown(self, worker) -> None:
        """End the processes; called by Dask in the worker."""
        for process in self._all:
            process.close()

    def do(self, job: Job) -> Outcome:
        """Have a free process do the job."""
        assert self._idle is not None, "set up in a worker"
        process = self._idle.get()
        try:
            return process.do(job)
        finally:
            self._idle.put(process)

    def memory_bytes(self) -> list[int]:
        """Of each process with those that it started."""
        return [process.memory_bytes() for process in self._all]

    def _ready(self, process: VolumeProcess) -> None:
        with suppress(OSError):
            process.warm_up(self.first)
        assert self._idle is not None
        self._idle.put(process)


def do_job(name: str, job: Job) -> Outcome:
    """The Dask task: have the plug-in of this run do a job. It raises nothing that the job could cause."""
    plugin = get_worker().plugins.get(name)
    if not isinstance(plugin, VolumeProcesses):
        raise PluginMissing(name)
    return plugin.do(job)
