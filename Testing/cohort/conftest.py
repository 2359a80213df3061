"""A real Dask cluster of two processes, shared by the tests that leave it as it was, and a study on it."""

import logging

import pytest
from cohort_runs import Bench


@pytest.fixture(scope="session")
def cluster():
    distributed = pytest.importorskip("distributed")
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None, silence_logs=logging.ERROR
    ) as cluster:
        yield cluster


@pytest.fixture
def bench(cluster, tmp_path):
    return Bench(tmp_path, cluster.scheduler_address)
