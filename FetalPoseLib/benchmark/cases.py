"""The subjects of Sim-152 as a user's files would be, simulated once and kept in a folder that may be deleted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.files import replacing
from FetalPoseLib.npz import arrays_or_reason, read_npz
from FetalPoseLib.simulation import DEFAULT_SPACING_MM
from FetalPoseLib.simulation.datasets import simulate
from FetalPoseLib.simulation.fingerprint import FROZEN, load_fingerprints
from FetalPoseLib.volume.grid import Volume

CASES = Path("build/benchmark/cases")


@dataclass(frozen=True, eq=False)
class BenchmarkCase:
    """A volume with the whole truth: `body` (16, 3) RAS mm, and `seen` (16,), which lie in the scanned sector."""

    name: str
    volume: Volume
    body: np.ndarray
    seen: np.ndarray


def open_case(split: str, index: int, *, spacing: float = DEFAULT_SPACING_MM, folder: Path = CASES) -> BenchmarkCase:
    """Subject `index` of `split` at `spacing` mm, from `folder` if it was simulated before and Sim-152 is the same."""
    path = Path(folder) / f"{split}-{index:03d}-{spacing:g}mm.npz"
    frozen = json.dumps(load_fingerprints()[split][index]) if split in FROZEN else ""
    if not _is_current(path, frozen):
        _simulate_into(path, split, index, spacing, frozen)
    data = read_npz(path, ("volume", "affine", "body", "seen"))
    return BenchmarkCase(f"{split}-{index:03d}", Volume(data["volume"], data["affine"]), data["body"], data["seen"])


def _is_current(path: Path, frozen: str) -> bool:
    arrays = arrays_or_reason(path, ("frozen", "volume", "affine", "body", "seen"))
    return not isinstance(arrays, str) and str(arrays["frozen"]) == frozen


def _simulate_into(path: Path, split: str, index: int, spacing: float, frozen: str) -> None:
    case = simulate(split, index, spacing=spacing)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:  # a killed run leaves no half of a case
        np.savez_compressed(
            temporary,
            volume=case.volume.array,
            affine=case.volume.ijk_to_ras,
            body=case.body,
            seen=np.isfinite(case.landmarks).all(axis=1),
            frozen=np.array(frozen),
        )
