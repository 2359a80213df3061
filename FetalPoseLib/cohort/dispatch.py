"""Jobs onto a Dask cluster and outcomes back, whatever happens to workers, scheduler and disk.

So many jobs are under way as keep all workers busy, not all: a scheduler that is lost then takes little with it. What
was under way with it is asked for again, and a volume that was done meanwhile is known by its record.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path

from distributed import Client, Future, KilledWorker

from FetalPoseLib.cohort.cluster import CONNECT_S
from FetalPoseLib.cohort.jobs import EstimateJob, Job, Outcome
from FetalPoseLib.cohort.options import ClusterOptions
from FetalPoseLib.cohort.plugin import PluginMissing, VolumeProcesses, do_job
from FetalPoseLib.cohort.process import Limits
from FetalPoseLib.cohort.study import has_room
from FetalPoseLib.errors import FetalPoseError

POLL_S = 0.02
LOOK_S = 2.0  # between two looks at how many workers there are, and at a full disk
AHEAD = 2  # jobs under way for each thread, so that none waits for the next
LONELY_S = 30.0  # without any worker, until the person is told


class Dispatcher:
    """Does jobs on the cluster of a scheduler.

    Parameters
    ----------
    address : of the scheduler.
    options : how long is waited for it, and how often a volume is tried.
    limits : of each job.
    folder : of the results.
    note : called with a sentence when something is waited for.
    """

    def __init__(
        self, address: str, options: ClusterOptions, limits: Limits, folder: Path, note: Callable[[str], object]
    ):
        self._address, self._options, self._limits, self._folder = address, options, limits, folder
        self._note = note
        self._name = f"fetalpose-{uuid.uuid4()}"
        self._client: Client | None = None
        self._first: EstimateJob | None = None

    def run(
        self, jobs: Sequence[Job], started: Callable[[str], object] = lambda link: None
    ) -> Generator[Outcome, None, None]:
        """Yield an outcome for each job, in the order in which they end.

        Parameters
        ----------
        jobs : what is done
        started : called with the address of the dashboard, once the scheduler has answered

        Raises
        ------
        FetalPoseError
            The scheduler does not answer, its workers cannot do the jobs, or the disk stays full.
        """
        self._first = next((job for job in jobs if isinstance(job, EstimateJob)), None)
        try:
            self._connect()
            assert self._client is not None
            started(self._client.dashboard_link)
            yield from self._run(deque(jobs))
        finally:
            self._close()

    def _run(self, waiting: deque[Job]) -> Generator[Outcome, None, None]:
        under_way: dict[Future, Job] = {}
        deaths: Counter[int] = Counter()
        room, looked, lonely = 1, 0.0, time.monotonic()
        while waiting or under_way:
            now = time.monotonic()
            if now - looked > LOOK_S:
                looked, threads = now, self._threads()
                room = AHEAD * threads
                if threads or under_way:
                    lonely = now
                elif now - lonely > LONELY_S:
                    self._note("There are no workers yet. The volumes wait for them.")
                    lonely = now
            try:
                while waiting and len(under_way) < max(room, 1):
                    future = self._submit(waiting[0])
                    under_way[future] = waiting.popleft()
            except Exception:  # whatever a client without its scheduler raises
                self._connect()
            lost = full = False
            for future in [future for future in under_way if future.status != "pending"]:
                job = under_way.pop(future)
                outcome = self._outcome(future, job, deaths)
                if outcome is None:
                    waiting.appendleft(job)
                    lost |= future.status in ("cancelled", "lost", "error") or self._client_is_gone()
                elif outcome.kind == "disk":
                    waiting.appendleft(job)
                    full = True
                else:
                    yield outcome
            if lost or self._client_is_gone():
                self._connect()
            if full:
                self._wait_for_room()
            time.sleep(POLL_S)

    def _submit(self, job: Job) -> Future:
        assert self._client is not None
        return self._client.submit(do_job, self._name, job, key=f"volume-{job.number}-{uuid.uuid4()}", pure=False)

    def _outcome(self, future: Future, job: Job, deaths: Counter[int]) -> Outcome | None:
        """What came of a job; None if it must be asked for again."""
        try:
            outcome = future.result(timeout=CONNECT_S)
            return None if outcome.kind == "worker" else outcome  # that worker was closed under it
        except KilledWorker:
            deaths[job.number] += 1
        except PluginMissing:
            return None
        except Exception as error:  # the scheduler is lost, or the worker with the result
            if future.status in ("cancelled", "lost") or self._client_is_gone() or isinstance(error, TimeoutError):
                return None
            deaths[job.number] += 1
        if deaths[job.number] < self._options.attempts:
            return None
        return Outcome(job.number, kind="worker", reason=f"The Dask workers died {deaths[job.number]} times with it.")

    # the scheduler

    def _client_is_gone(self) -> bool:
        return self._client is None or self._client.status != "running"

    def _connect(self) -> None:
        """Have a client whose scheduler answers and whose workers have the plug-in."""
        until, told = time.monotonic() + self._options.patience_s, False
        while True:
            try:
                if self._client_is_gone():
                    self._forget_client()
                    self._client = Client(
                        self._address, timeout=min(CONNECT_S, self._options.patience_s), set_as_default=False
                    )
                assert self._client is not None
                self._client.register_plugin(VolumeProcesses(self._name, self._limits, self._first))
                return
            except (OSError, TimeoutError, ValueError) as caught:
                error, last = caught, f"{type(caught).__name__}: {caught}"
                self._forget_client()
            except Exception as caught:  # a worker's, in its plug-in
                raise FetalPoseError(
                    f"The workers cannot do the volumes ({type(caught).__name__}: {caught}). Install the same version "
                    "of FetalPose for them."
                ) from caught
            if not told:
                self._note(f"The scheduler {self._address} does not answer. Waiting for it.")
                told = True
            if time.monotonic() > until or isinstance(error, ValueError):  # what is no address never answers
                raise FetalPoseError(
                    f"The scheduler {self._address} does not answer ({last}). Start it, or check its address. Volumes "
                    "that are done stay done: give the same command again."
                ) from error
            time.sleep(0.2)

    def _threads(self) -> int:
        try:
            return sum(self._client.nthreads().values()) if self._client is not None else 0
        except Exception:  # the next connection tells
            return 0

    def _forget_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close(timeout=1)

    def _close(self) -> None:
        """Have the workers end their volume processes, and with them what is under way."""
        if not self._client_is_gone():
            assert self._client is not None
            with suppress(Exception):
                self._client.unregister_worker_plugin(self._name)
        self._forget_client()

    # the disk

    def _wait_for_room(self) -> None:
        """Wait until the results' disk takes some again."""
        until, told = time.monotonic() + self._options.patience_s, False
        while not has_room(self._folder):
            if not told:
                self._note(f"The disk of {self._folder} is full. Make room: the volumes wait, and go on by themselves.")
                told = True
            if time.monotonic() > until:
                raise FetalPoseError(
                    f"The disk of {self._folder} stayed full. Volumes that are done stay done: make room, and give the "
                    "same command again."
                )
            time.sleep(min(LOOK_S, self._options.patience_s / 10))
