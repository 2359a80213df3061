"""What the tests of radii and intervals share: made-up errors, recorded ones, and what is covered."""

from pathlib import Path

import numpy as np

from FetalPoseLib.benchmark.records import read_records
from FetalPoseLib.benchmark.tables import Run
from FetalPoseLib.benchmark.uncertainty import Bounds, Poses
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.body.uncertainty import landmark_groups
from FetalPoseLib.resources import resource_path

SKELETON = load_skeleton()
BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
BODIES = PoseLibrary.load(resource_path("pose_library.npz")).poses


def made_up(count, seed, *, growth=0.0) -> Poses:
    """Bodies of several sizes with errors that a low confidence, an outer landmark and, by `growth`, size increase."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.6, 1.6, count)
    truth = BODIES[rng.integers(len(BODIES), size=count)] * size[:, None, None]
    confidence = np.clip(rng.uniform(0.3, 0.95, count)[:, None] + rng.normal(0, 0.1, (count, 16)), 0, 1)
    spread = np.exp(2 - 3 * confidence) * (1 + landmark_groups()) * size[:, None] ** growth
    return Poses(truth + rng.normal(0, 0.3, truth.shape) * spread[..., None], truth, confidence)


def recorded(split) -> Poses:
    return Poses.of([Run(*read_records(BENCHMARKS / f"accuracy_fetal-frame_consensus_{split}.jsonl"))])


def covered(known, poses) -> tuple[np.ndarray, np.ndarray]:
    """Whether the truth is within, (N, 16) and (N, 15)."""
    bounds = Bounds.of(known, poses)
    return poses.errors_mm <= bounds.radius, np.abs(poses.length_errors_mm) <= bounds.half + 1e-9
