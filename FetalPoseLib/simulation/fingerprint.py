"""Sim-152 frozen: what every volume of the benchmark must measure, so that every change of the simulator is noticed.

A fingerprint holds a volume's shape, grey-level statistics and landmarks at 1.25 mm. Voxels may differ between machines
in the last bits of a float, and then in a grey level here and there; the tolerances let that pass and nothing more.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.resources import resource_path
from FetalPoseLib.simulation.datasets import Case, simulate
from FetalPoseLib.simulation.splits import SPLITS

SPACING = 1.25  # mm
PERCENTILES = (5, 25, 50, 75, 95)
LANDMARK_TOLERANCE = 0.01  # mm
GREY_TOLERANCE = 0.05  # grey levels of 255; processors differ by 0.001, one decibel less of bone by 0.08
PERCENTILE_TOLERANCE = 1.0  # a percentile of integers jumps by one
#: The fixed subjects, by split.
FROZEN = {name: split.count for name, split in SPLITS.items() if split.count is not None}


def fingerprint(case: Case) -> dict:
    """Shape, mean, standard deviation and percentiles of the voxels in the sector, octant means, landmarks (mm)."""
    array = case.volume.array
    sector = array[array > 0]  # never empty: a sector holds at least 1
    halves = [np.array_split(np.arange(n), 2) for n in array.shape]
    octants = [array[np.ix_(z, y, x)].mean() for z in halves[0] for y in halves[1] for x in halves[2]]
    return {
        "shape": list(array.shape),
        "mean": round(float(sector.mean()), 3),
        "std": round(float(sector.std()), 3),
        "percentiles": np.percentile(sector, PERCENTILES).round(1).tolist(),
        "octants": np.round(octants, 3).tolist(),
        "landmarks": rows_of_points(case.landmarks.round(3)),
    }


def differences(expected: dict, found: dict) -> list[str]:
    """What differs by more than the tolerances, one phrase each; empty where nothing does."""
    wrong = []
    if expected["shape"] != found["shape"]:
        wrong.append(f"shape {found['shape']} instead of {expected['shape']}")
    for key in ("mean", "std", "octants"):
        gap = np.abs(np.subtract(expected[key], found[key])).max()
        if gap > GREY_TOLERANCE:
            wrong.append(f"{key} off by {gap:.2f} grey levels")
    gap = np.abs(np.subtract(expected["percentiles"], found["percentiles"])).max()
    if gap > PERCENTILE_TOLERANCE:
        wrong.append(f"percentiles off by {gap:.2f} grey levels")
    for index, (a, b) in enumerate(zip(expected["landmarks"], found["landmarks"], strict=True), start=1):
        if (a is None) != (b is None) or (a is not None and np.abs(np.subtract(a, b)).max() > LANDMARK_TOLERANCE):
            wrong.append(f"landmark {index} at {b} instead of {a}")
    return wrong


def load_fingerprints() -> dict[str, list[dict]]:
    """The committed fingerprints by split, one per subject."""
    return json.loads(resource_path("sim152.json").read_text(encoding="utf-8"))


def freeze(path: Path, splits: Iterable[str] = FROZEN, progress=lambda: None) -> None:
    """Write the fingerprints of the subjects of ``splits`` into the file ``path``, beside those of other splits in it.

    Done once, before any network is trained: ``python -m FetalPoseLib.simulation.fingerprint test2 shifted2``.
    """
    path = Path(path)
    frozen = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for split in splits:
        frozen[split] = []
        for index in range(FROZEN[split]):
            frozen[split].append(fingerprint(simulate(split, index, spacing=SPACING)))
            progress()
    lines = (f'"{split}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for split, rows in frozen.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    freeze(resource_path("sim152.json"), sys.argv[1:] or FROZEN)
