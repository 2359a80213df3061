"""A cohort on a real cluster, whatever its volumes do: hang, crash, take too much memory, fill the disk."""

import csv
import os
import subprocess

import pytest
from cohort_runs import Told, gone

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import locked


def failures(bench) -> dict[str, str]:
    with open(bench.study / "failures.csv") as file:
        return {row["name"]: row["kind"] for row in csv.DictReader(file)}


def names(bench) -> list[str]:
    with open(bench.study / "volumes.csv") as file:
        return [row["name"] for row in csv.DictReader(file)]


def test_a_second_run_does_only_what_is_new_whatever_its_files_are_called(bench):
    for i in range(3):
        bench.volume(f"{i}.nrrd", number=i)
    told = Told()
    first = bench.run(told)
    assert (first.done, first.skipped, first.failed) == (3, 0, 0) and told.begun[:2] == (3, 0)
    assert sorted(bench.worked_on) == ["0.nrrd", "1.nrrd", "2.nrrd"]
    again = bench.run()
    assert (again.done, again.skipped) == (0, 3) and len(bench.worked_on) == 3

    (bench.volumes / "1.nrrd").rename(bench.volumes / "renamed.nrrd")
    bench.volume("new.nrrd", number=9)
    told = Told()
    third = bench.run(told)
    assert (third.done, third.skipped, third.failed) == (1, 3, 0) and told.begun[:2] == (2, 2)
    assert bench.worked_on[3:] == ["new.nrrd"]
    assert len(names(bench)) == 4


def test_what_lost_its_pose_or_its_key_is_looked_at_again(bench):
    for i in range(2):
        bench.volume(f"{i}.nrrd", number=i)
    bench.run()
    next(iter((bench.study / "poses").iterdir())).unlink()
    assert bench.run().done == 1 and len(bench.worked_on) == 3
    bench.study.with_name("study-key.csv").unlink()
    assert bench.run().skipped == 2 and len(bench.worked_on) == 3, "read again, and known by its content"


def test_a_hanging_volume_is_ended_with_its_process_and_the_others_are_done(bench):
    bench.volume("hangs.nrrd", does="hang")
    for i in range(4):
        bench.volume(f"{i}.nrrd", number=i)
    summary = bench.run(time_limit_s=3.0)
    assert (summary.done, summary.failed) == (4, 1)
    (kind,) = failures(bench).values()
    assert kind == "time limit"
    assert gone(bench.pids[bench.worked_on.index("hangs.nrrd")])
    bench.volume("hangs.nrrd", does="")  # another content; and the former is tried no more, for its file has gone
    assert bench.run().done == 1


def test_crashes_and_hunger_are_failures_that_are_tried_again_in_the_next_run(bench):
    bench.volume("crashes.nrrd", does="crash", once=True)
    bench.volume("hungry.nrrd", does="eat", once=True)
    bench.volume("good.nrrd")
    summary = bench.run(memory_gb=0.3)
    assert (summary.done, summary.failed) == (1, 2)
    assert sorted(failures(bench).values()) == ["crash", "memory"]
    assert bench.run().done == 2
    assert not failures(bench) and len(names(bench)) == 3


def test_a_killed_worker_loses_nothing(bench, cluster):
    bench.volume("deadly.nrrd", does="kill", once=True)
    for i in range(6):
        bench.volume(f"{i}.nrrd", number=i, seconds=0.1)
    summary = bench.run()
    assert (summary.done + summary.skipped, summary.failed) == (7, 0)  # skipped: done by a worker that died with it
    assert bench.worked_on.count("deadly.nrrd") == 2 and len(names(bench)) == 7


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system of one's own needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_waited_for_and_loses_nothing(bench, small_disk):
    bench.study = small_disk / "study"
    for i in range(5):
        bench.volume(f"{i}.nrrd", number=i)
    (small_disk / "film").write_bytes(bytes(800_000))  # leaves room for a few poses

    def make_room(sentence):
        if "full" in sentence:
            (small_disk / "film").unlink()

    for i in range(5, 9):
        bench.volume(f"{i}.nrrd", number=i)
    told = Told(at_note=make_room)
    summary = bench.run(told)
    assert (summary.done, summary.failed) == (9, 0)
    assert any("is full" in sentence for sentence in told.notes)
    assert len(names(bench)) == 9 and not failures(bench)


def test_a_disk_that_stays_full_is_a_message_and_the_next_run_goes_on(bench, small_disk):
    bench.study = small_disk / "study"
    for i in range(3):
        bench.volume(f"{i}.nrrd", number=i)
    (small_disk / "film").write_bytes(bytes(1_000_000))
    with pytest.raises(FetalPoseError, match="stayed full.*same command again"):
        bench.run(patience_s=1.0)
    (small_disk / "film").unlink()
    assert bench.run().done == 3


def test_other_options_are_not_mixed_into_a_study(bench):
    bench.volume("0.nrrd")
    bench.run()
    options = bench.options()
    from dataclasses import replace

    from FetalPoseLib.cohort.run import run_cohort

    other = replace(options, estimate=replace(options.estimate, iterations=1))
    with pytest.raises(FetalPoseError, match="iterations 6, now 1.*choose another folder"):
        run_cohort(other)


def test_one_study_is_for_one_program_at_a_time(bench):
    bench.volume("0.nrrd")
    bench.study.mkdir()
    with locked(bench.study), pytest.raises(FetalPoseError, match="in use by another program"):
        bench.run()


def test_a_scheduler_that_does_not_answer_is_a_message(bench):
    bench.volume("0.nrrd")
    bench.scheduler = "tcp://127.0.0.1:9"
    told = Told()
    with pytest.raises(FetalPoseError, match="does not answer.*check its address"):
        bench.run(told, patience_s=0.5)
    assert told.notes and "Waiting for it" in told.notes[0]


def test_the_processes_of_a_run_end_with_it(bench):
    for i in range(2):
        bench.volume(f"{i}.nrrd", number=i, seconds=0.2)
    bench.run()
    assert all(gone(pid) for pid in bench.pids)
    assert os.stat(bench.study.with_name("study-key.csv")).st_mode & 0o077 == 0, "the key is for its owner"
