"""Ctrl-C, and a scheduler that dies and comes back: real programs, ended for real."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_volumes
import pytest
from cohort_runs import Bench, Told, gone

from FetalPoseLib.cohort.jobs import EstimateJob
from FetalPoseLib.cohort.process import Limits, VolumeProcess

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from cohort_runs import Bench
from FetalPoseLib.cli import cohort
from FetalPoseLib.cohort.run import run_cohort
if __name__ == "__main__":
    bench = Bench.__new__(Bench)
    bench.volumes, bench.study, bench.log, bench.scheduler = *map(Path, {folders!r}), None
    try:
        cohort.shown(run_cohort, bench.options(workers=2, dashboard="127.0.0.1:0"))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def wait_until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    import psutil

    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def test_control_c_ends_all_processes_and_keeps_what_is_done(tmp_path):
    bench = Bench(tmp_path, None)
    for i in range(3):
        bench.volume(f"{i}.nrrd", number=i)
    for i in range(2):
        bench.volume(f"slow{i}.nrrd", number=i, seconds=600)
    program = tmp_path / "program.py"
    folders = [str(path) for path in (bench.volumes, bench.study, bench.log)]
    program.write_text(PROGRAM.format(paths=[str(ROOT), str(Path(__file__).parent)], folders=folders))
    listen = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "start_new_session": True}
    with subprocess.Popen([sys.executable, str(program)], stderr=subprocess.PIPE, text=True, **listen) as running:
        try:
            wait_until(lambda: {"slow0.nrrd", "slow1.nrrd"} <= set(bench.worked_on))
            others = descendants(running.pid)
            assert set(bench.pids[-2:]) <= set(others)
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the program and its workers
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
    assert running.returncode == 130, said
    assert "The same command goes on from there" in said and "Traceback" not in said
    assert "Dashboard: http://127.0.0.1" in said
    assert all(gone(pid) for pid in others)
    done = (bench.study / "volumes.csv").read_text().count("\n") - 1
    assert done == len(list((bench.study / "records").iterdir())) == 3


def test_a_process_that_is_closed_under_a_volume_does_not_blame_it(tmp_path):
    volume, log = tmp_path / "v.nrrd", tmp_path / "log.txt"
    volume.write_text(json.dumps({"does": "hang"}))
    (tmp_path / "study").mkdir()
    process = VolumeProcess(Limits(600, None, 1, fake_volumes.command(log)))
    outcomes = []
    job = EstimateJob(1, str(tmp_path / "study"), "key", str(volume))
    doing = threading.Thread(target=lambda: outcomes.append(process.do(job)))
    doing.start()
    wait_until(log.exists)
    pid = process.pid
    process.close()
    doing.join(30)
    assert [outcome.kind for outcome in outcomes] == ["worker"] and gone(pid)


@pytest.mark.slow  # starts a scheduler and its workers twice
def test_a_scheduler_that_is_started_anew_loses_nothing(tmp_path):
    pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    bench = Bench(tmp_path, address)
    for i in range(12):
        bench.volume(f"{i:02}.nrrd", number=i, seconds=0.3)
    running: list[subprocess.Popen] = []

    def dask(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **quiet))
        return running[-1]

    def cluster() -> subprocess.Popen:
        scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        dask(
            "worker",
            address,
            "--nworkers",
            "2",
            "--nthreads",
            "1",
            "--no-dashboard",
            "--local-directory",
            str(tmp_path),
        )
        return scheduler

    scheduler = cluster()
    killed = []

    def kill_once(outcome):
        if not killed:
            killed.append(outcome)
            scheduler.kill()
            scheduler.wait()
            cluster()

    try:
        told = Told(at_end=kill_once)
        summary = bench.run(told, patience_s=120.0)
        assert (summary.done + summary.skipped, summary.failed) == (12, 0)
        assert (bench.study / "volumes.csv").read_text().count("\n") == 13
        assert len(bench.worked_on) < 24, "what was done is not done again"
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)
