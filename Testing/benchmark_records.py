"""What the tests of the benchmark share: made-up records."""

import copy
from types import SimpleNamespace

import numpy as np

from FetalPoseLib.benchmark.observed import as_rows
from FetalPoseLib.benchmark.report import origin
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import REFINEMENTS

MM = np.array([1.0, 0.0, 0.0])
HEADER = {**origin("accuracy --split test"), "model": "made-up", "model_sha256": "0" * 64, "split": "test"}
HEADER |= {"spacing_mm": 0.5, "iterations": 2}


def body(seed=0):
    return np.random.default_rng(seed).uniform(0, 60, (16, 3))


def record(name, truth, *steps, unseen=(), failure=None):
    """A subject whose poses are off by `steps` mm along x; the first is unrefined."""
    seen = [int(i not in unseen) for i in range(16)]
    poses = [as_rows(truth + step * MM) for step in steps]
    return {"name": name, "body": as_rows(truth), "seen": seen, "unrefined": poses[0] if poses else [None] * 16,
            "steps": poses, "evidence": [0.5] * len(poses), "frames": [[70.0, 0.1, 0.02], [10.0, 0.2, 0.0]],
            "confidence": [0.6] * 16, "seconds": {"locate": 0.1}, "failure": failure}  # fmt: skip


class FakeEstimator:
    """Stands for `Observed`: 4 mm off along x, and halving it with every iteration."""

    parent = None
    spacing_mm = own_spacing_mm = 1.0
    device, library = "cpu", PoseLibrary(np.random.default_rng(9).uniform(0, 60, (12, 16, 3)))

    def __init__(self, truth=None, *, model="fake", device="cpu", refinement="paper", fail=(), off=4):
        self.truth, self.fail, self.calls, self.off, self.sizes = truth, set(fail), 0, off, []
        self.metadata, self.refinement = {"sha256": "ab" * 32}, REFINEMENTS.get(refinement)

    def with_options(self, *, refinement, library):
        other = copy.copy(self)
        other.refinement, other.library, other.parent = refinement, library, self
        return other

    def estimate(self, volume, *, iterations, progress):
        if self.parent is not None:
            self.parent.calls += 1
        self.calls += 1
        if self.calls in self.fail:
            raise FetalPoseError("No fetus found")
        self.sizes.append(len(self.library))
        off = [self.truth + getattr(self.refinement, "k", self.off) / 2**i * MM for i in range(iterations + 1)]
        progress(SimpleNamespace(stage="locate", iteration=0, points=None))
        progress(SimpleNamespace(stage="detect", iteration=0, points=off[0]))
        for i in range(iterations + 1):
            sure = np.full(16, 0.9 - 0.1 * abs(i - 1))  # most in the first iteration
            progress(SimpleNamespace(stage="refine", iteration=i, points=off[i], confidence=sure))
        return SimpleNamespace(points=off[-1], unrefined=off[0], confidence=np.ones(16), warnings=[])
