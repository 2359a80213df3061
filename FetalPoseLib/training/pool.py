"""A folder of training cases on one isotropic grid, simulated ahead of the network or converted from annotated volumes.

Simulating a volume costs more than a training step, so simulation runs in processes of its own that fill the folder
while training draws from what is there; every case is shown in several disturbed frames. A case is a compressed
``.npz``: ``volume`` uint8 (nz, ny, nx), ``affine`` (4, 4) voxel to RAS mm, ``landmarks`` (16, 3) RAS mm with NaN
where not visible, and ``body`` (16, 3), which also has those outside the field, where that is known.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.npz import arrays_or_reason, read_npz
from FetalPoseLib.volume.grid import Grid, Volume, canonical_grid
from FetalPoseLib.volume.intensity import picture_of
from FetalPoseLib.volume.resampling import resample


@dataclass(frozen=True)
class PoolCase:
    """``volume`` (nz, ny, nx) uint8 on ``grid`` with ``landmarks`` (16, 3) RAS mm, NaN where not visible.

    ``body`` (16, 3) has the landmarks outside the field as well, if they are known, so that a cut fetus has a frame; it
    is all NaN in a volume without a fetus.
    """

    name: str
    volume: np.ndarray
    grid: Grid
    landmarks: np.ndarray
    body: np.ndarray | None = None

    @property
    def whole(self) -> np.ndarray:
        """All landmarks (16, 3) that are known, visible or not."""
        return self.landmarks if self.body is None else self.body


def canonical_case(
    name: str, volume: Volume, landmarks: np.ndarray, *, spacing: float, body: np.ndarray | None = None
) -> PoolCase:
    """Bring a volume of any spacing and direction to the isotropic canonical grid, as the estimator does."""
    grid = canonical_grid(volume, spacing)
    image = resample(picture_of(volume), grid).numpy()
    return PoolCase(name, np.clip(np.round(image), 0, 255).astype(np.uint8), grid, np.asarray(landmarks, float), body)


def save_case(folder: Path, case: PoolCase, *, source: str = "") -> None:
    """Write a case so that a reader never sees half of it; ``source`` is a key of what it was made from."""
    path = Path(folder) / f"{case.name}.npz"
    arrays = {"volume": case.volume, "affine": case.grid.affine, "landmarks": case.landmarks, "body": case.whole}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays, source=np.array(source))


def load_case(path: Path) -> PoolCase:
    """Read a case; FetalPoseError if the file is not one."""
    try:
        arrays = read_npz(path, ("volume", "affine", "landmarks"), optional=("body",))  # once there was no body
        volume, affine, landmarks, body = (arrays.get(key) for key in ("volume", "affine", "landmarks", "body"))
        if volume.ndim != 3 or volume.dtype != np.uint8:
            raise ValueError(f"a volume of shape {volume.shape} ({volume.dtype})")
        points = [landmarks] if body is None else [landmarks, body]
        if any(p.dtype.kind != "f" or p.ndim != 2 or p.shape[1] != 3 or len(p) != len(landmarks) for p in points):
            raise ValueError("landmarks of another shape or type")
        return PoolCase(Path(path).stem, volume, Grid(volume.shape[::-1], affine), landmarks, body)
    except (FetalPoseError, ValueError, TypeError) as error:
        raise FetalPoseError(f"{path} is not a training case ({error}). Delete it and prepare it again.") from error


def source_of(path: Path) -> str | None:
    """The key of what a case was made from; None if there is no case, it is damaged, or it has no key."""
    arrays = arrays_or_reason(path, ("source",))
    return None if isinstance(arrays, str) else str(arrays["source"])


OWN = "own-"  # begins the names of a person's own cases, so that simulated ones in the same pool are told from them


class Pool:
    """The cases in ``folder``, kept in memory once read; `refresh` takes in those that have come since.

    Cases whose names stand in ``without`` are left alone, as those that validate.
    """

    def __init__(self, folder: Path, without: Collection[str] = ()):
        self.folder = Path(folder)
        self.cases: list[PoolCase] = []
        self._known: set[str] = {f"{name}.npz" for name in without}

    def refresh(self) -> int:
        """Read new cases; returns how many there are in all."""
        for path in sorted(self.folder.glob("*.npz")):
            if path.name not in self._known and not path.name.startswith("."):  # one that is being written
                self._known.add(path.name)
                self.cases.append(load_case(path))
        return len(self.cases)

    def pick(self, rng: np.random.Generator, own: float = 0.0) -> PoolCase:
        """A case at random; with ``own``, a person's own one with that chance, wherever there are both kinds."""
        cases = self.cases
        if own:
            wanted = rng.random() < own
            cases = [case for case in cases if case.name.startswith(OWN) == wanted] or cases
        return cases[rng.integers(len(cases))]


def simulate_into(
    folder: Path, split: str, indices, *, spacing: float, device: str = "cpu", progress=lambda done: None
) -> None:
    """Simulate subjects of a split into ``folder``; cases that are there already are left as they are."""
    from FetalPoseLib.simulation.datasets import simulate

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for done, index in enumerate(indices, start=1):
        name = f"{split}-{index:05d}"
        if not (folder / f"{name}.npz").exists():
            case = simulate(split, index, spacing=spacing, device=device)
            save_case(folder, canonical_case(name, case.volume, case.landmarks, spacing=spacing, body=case.body))
        progress(done)
