"""The fuzzers notice what they are there to notice, and their files are right before they are bent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from FetalPoseLib.errors import FetalPoseError

if not sys.platform.startswith("linux"):
    pytest.skip("the fuzzers fork, and need Linux", allow_module_level=True)

from Testing.fuzz import child, damage

FILES_ALONE = ("volume, header", "volume, voxels", "pose, .mrk.json", "pose, .fcsv", "skeleton, .json", "log, .jsonl")
UNBENT = """
import json, sys
from Testing.fuzz import files
from Testing.fuzz.__main__ import main
files.bent_bytes = lambda data, rng, **_: data
files.bent_json = lambda document, rng: json.dumps(document)
program, *names = sys.argv
for name in names:
    sys.argv = [program, "--only", name, "--count", "6"]
    print("exit status", main())
"""


def run(*arguments):
    root = Path(__file__).resolve().parent.parent
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False)


def refuse():
    raise FetalPoseError("It is damaged. Restore it.")


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        (lambda: None, "read"),
        (refuse, "refused"),
        (lambda: "two heads", "nonsense: two heads"),
        (lambda: 1 / 0, "exception: ZeroDivisionError"),
        (lambda: np.zeros(10**11), "exception: "),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "crash: SIGSEGV"),
        (lambda: os._exit(3), "crash: exit status 3"),
        (lambda: time.sleep(60), "hang"),
    ],
)
def test_an_outcome_is_told(trial, expected, monkeypatch):
    monkeypatch.setattr(child, "SECONDS", 2.0)
    assert child.outcome(trial).startswith(expected)


def test_a_file_that_is_not_bent_is_read():
    done = run("-c", UNBENT, *FILES_ALONE)  # a process of its own: this one may have threads
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("exit status 0") == len(FILES_ALONE), done.stdout
    for name in FILES_ALONE:
        [counts] = [line.removeprefix(name).split() for line in lines if line.startswith(name)]
        assert counts == ["6", "0", "0", "0", "0", "0"], name


def test_bent_files_and_odd_clicks_are_read_or_refused():
    done = run("-m", "Testing.fuzz", "--count", "150", "--seed", "77")
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.splitlines()[-2].split()[1]) > 30  # read in spite of the damage


def test_bending_depends_on_the_seed_alone():
    data, document = bytes(range(256)), {"a": [1, 2, {"b": "c"}]}
    for seed in range(20):
        once, again = (np.random.default_rng(seed) for _ in range(2))
        assert damage.bent_bytes(data, once) == damage.bent_bytes(data, again)
        assert damage.bent_json(document, once) == damage.bent_json(document, again)
