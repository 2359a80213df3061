"""Simulated sequences, simulated once and kept in a folder that may be deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.benchmark.cases import CASES
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.npz import read_npz
from FetalPoseLib.simulation.movement import Episode
from FetalPoseLib.simulation.sequences import SPACING_MM, MovingSubject, draw_sequence, frames
from FetalPoseLib.volume.grid import Volume

_ARRAYS = ("volumes", "affine", "landmarks", "times")


@dataclass(frozen=True, eq=False)
class SequenceCase:
    """Volumes over time with the truth.

    Attributes
    ----------
    volumes : (T, nz, ny, nx) uint8, all at the same place
    affine : (4, 4) voxel to RAS mm
    landmarks : (T, 16, 3) RAS mm, NaN where not in the sector
    times : (T,) s
    kinds : of movement, in turn
    episodes : what the fetus does when
    """

    name: str
    volumes: np.ndarray
    affine: np.ndarray
    landmarks: np.ndarray
    times: np.ndarray
    kinds: tuple[str, ...]
    episodes: tuple[Episode, ...]

    def volume(self, frame: int) -> Volume:
        """The volume of a frame, counted from 0."""
        return Volume(self.volumes[frame], self.affine)


def open_sequence_case(which: str, index: int, *, folder: Path = CASES) -> SequenceCase:
    """Sequence ``index`` of a set, from ``folder`` if it was simulated before and the simulator moves it as it did."""
    moving = draw_sequence(which, index)
    path = Path(folder) / f"{moving.name}-{SPACING_MM:g}mm.npz"
    truth = np.array([moving.landmarks_at(frame) for frame in range(len(moving.times))])
    data = _kept(path, truth)
    if data is None:
        _simulate_into(path, moving)
        data = read_npz(path, _ARRAYS)
    return SequenceCase(
        moving.name, data["volumes"], data["affine"], data["landmarks"], data["times"], moving.program.kinds,
        moving.episodes,
    )  # fmt: skip


def _kept(path: Path, truth: np.ndarray) -> dict[str, np.ndarray] | None:
    try:
        data = read_npz(path, _ARRAYS)
    except FetalPoseError:
        return None
    kept = data["landmarks"]
    return data if kept.shape == truth.shape and np.allclose(kept, truth, atol=1e-3, equal_nan=True) else None


def _simulate_into(path: Path, moving: MovingSubject) -> None:
    found = list(frames(moving))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:  # a killed run leaves no half of a sequence
        np.savez_compressed(
            temporary,
            volumes=np.array([frame.volume.array for frame in found]),
            affine=found[0].volume.ijk_to_ras,
            landmarks=np.array([frame.landmarks for frame in found]),
            times=np.array([frame.time for frame in found]),
        )
