"""The cluster that the jobs run on: one of this machine's own, or any whose scheduler has an address."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from FetalPoseLib.cohort.options import ClusterOptions
from FetalPoseLib.cohort.process import Limits
from FetalPoseLib.errors import FetalPoseError

WORKER_GB = 2.0  # that a worker is given at least, for its three processes
CONNECT_S = 10  # for one attempt to reach a scheduler


def check_packages() -> None:
    """Raise FetalPoseError unless the packages of the extra are there."""
    missing = [name for name in ("distributed", "pyarrow", "PIL") if find_spec(name) is None]
    if missing:
        raise FetalPoseError(
            f"Many volumes need the packages {', '.join(missing)}. Install them: pip install 'FetalPose[cohort]'."
        )


@contextmanager
def opened(options: ClusterOptions) -> Iterator[str]:
    """The address of the scheduler: that of the options, or of a local cluster that ends with the block.

    Raises
    ------
    FetalPoseError
        The packages are missing, or the local cluster cannot be started.
    """
    check_packages()
    if options.scheduler is not None:
        yield options.scheduler
        return
    from distributed import LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)
    count, _ = local_shares(options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the dashboard's port is taken: its address is printed
            cluster = LocalCluster(
                n_workers=count, threads_per_worker=1, processes=True, dashboard_address=options.dashboard,
                memory_limit=None, silence_logs=logging.ERROR,
            )  # fmt: skip
    except (OSError, TimeoutError, RuntimeError) as error:
        raise FetalPoseError(f"The local cluster cannot be started: {error}. Try again with fewer workers.") from error
    try:
        yield cluster.scheduler_address
    finally:
        cluster.close(timeout=10)


def limits_of(options: ClusterOptions) -> Limits:
    """What one job may take on this cluster."""
    count, gb = local_shares(options)
    if options.scheduler is not None:  # machines that are not known here
        memory, threads = None if options.memory_gb is None else int(options.memory_gb * 1e9), options.threads or 1
    else:
        memory, threads = int(gb * 1e9), options.threads or max(1, _cores() // count)
    return Limits(options.time_limit_s, memory, threads, tuple(options.process))


def local_shares(options: ClusterOptions) -> tuple[int, float]:
    """How many workers this machine takes, and the memory of each in GB."""
    room = 0.8 * _memory_gb()
    count = options.workers or max(1, min(_cores(), int(room // WORKER_GB)))
    return count, options.memory_gb or room / count


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gb() -> float:
    """Of this machine, or of the container or batch job that this process is in, where that is less."""
    from distributed.system import MEMORY_LIMIT

    return MEMORY_LIMIT / 1e9
