"""The fuzzers notice what they are there to notice, and their files are right before they are bent."""

import json
import os
import signal
import sys
import time

import numpy as np
import pytest

from FetalPoseLib.errors import FetalPoseError

if not sys.platform.startswith("linux"):
    pytest.skip("the fuzzers fork, and need Linux", allow_module_level=True)

from Testing.fuzz import child, clicks, damage, files

FILES_ALONE = ("volume, header", "volume, voxels", "pose, .mrk.json", "pose, .fcsv", "skeleton, .json", "log, .jsonl")


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


@pytest.mark.parametrize("name", FILES_ALONE)
def test_a_file_that_is_not_bent_is_read(name, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "bent_bytes", lambda data, rng, **_: data)
    monkeypatch.setattr(files, "bent_json", lambda document, rng: json.dumps(document))
    kind, _ = files.KINDS[name]
    for seed in range(6):
        path = kind.bend(tmp_path, np.random.default_rng(seed))
        assert child.outcome(lambda path=path: kind.read(path)) == "read"


@pytest.mark.parametrize("name", files.KINDS)
def test_bent_files_are_read_or_refused(name, tmp_path):
    kind, _ = files.KINDS[name]
    for seed in range(12):
        path = kind.bend(tmp_path, np.random.default_rng([seed, 77]))
        found = child.outcome(lambda path=path: kind.read(path))
        assert found in ("read", "refused"), f"seed {seed}"


@pytest.mark.parametrize("seed", range(6))
def test_odd_clicks_leave_a_true_pose(seed):
    assert child.outcome(lambda: clicks.play(seed)) == "read"


def test_bending_depends_on_the_seed_alone():
    data, document = bytes(range(256)), {"a": [1, 2, {"b": "c"}]}
    for seed in range(20):
        once, again = (np.random.default_rng(seed) for _ in range(2))
        assert damage.bent_bytes(data, once) == damage.bent_bytes(data, again)
        assert damage.bent_json(document, once) == damage.bent_json(document, again)
