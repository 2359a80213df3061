"""Your own volumes as training cases: a folder of NRRD, NIfTI or MetaImage files, each with its ``.mrk.json``.

The scene's readers do the work, so that a volume may have any spacing and direction, and markups may be in LPS or RAS.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.body.fetal_frame import frame_obstacle
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.training.pool import canonical_case, save_case, source_of
from FetalPoseLib.volume.grid import Volume

CONVERSION = 2  # changes when the same files become other cases
DETACHED = (".nhdr", ".mhd")  # headers whose voxels lie in a file of their own
VOLUMES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")
MARKUPS = ".mrk.json"
PREFIX = "own-"  # of the cases made here, so that simulated ones in the same pool are left alone


@dataclass(frozen=True)
class Pair:
    """A volume and its landmarks."""

    stem: str
    volume: Path
    markups: Path

    def key(self, spacing: float) -> str:
        """What a case of ``spacing`` mm is made from: two pairs have the same key only if their files are the same.

        Empty for a volume whose voxels lie in another file, which is converted anew each time.
        """
        if self.volume.suffix.lower() in DETACHED:
            return ""
        digest = hashlib.sha256(f"{CONVERSION} {spacing!r} {self.volume.suffix}".encode())
        for path in (self.volume, self.markups):
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def find_pairs(folder: str | Path) -> list[Pair]:
    """The volumes of ``folder`` with their markups, by stem.

    Raises
    ------
    FetalPoseError
        There is no such folder or nothing in it, a volume lacks markups or markups a volume, or a stem stands twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FetalPoseError(f"The folder {folder} does not exist. Give the one that holds your volumes.")
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise FetalPoseError(f"Cannot read the folder {folder}: {error.strerror}. Check your rights.") from error
    volumes = [(_stem(path, VOLUMES), path) for path in files if _stem(path, VOLUMES)]
    markups = {_stem(path, (MARKUPS,)): path for path in files if _stem(path, (MARKUPS,))}
    if not volumes or not markups:
        raise FetalPoseError(
            f"The folder {folder} holds {len(volumes)} volumes and {len(markups)} {MARKUPS} files, and needs both: "
            f"such as case1.nrrd with case1{MARKUPS} beside it. Volumes may be {', '.join(VOLUMES)}."
        )
    stems = [stem for stem, _ in volumes]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    _refuse(twice, "stand for several volumes", folder, "Keep one volume of each.")
    _refuse(
        [s for s in stems if s not in markups],
        "are volumes without landmarks",
        folder,
        f"Place them in Slicer and save them beside the volume as STEM{MARKUPS}, or take the volume out.",
    )
    _refuse(
        [s for s in markups if s not in stems],
        "are landmarks without a volume",
        folder,
        "Give the volume the same name, or take the landmarks out.",
    )
    return [Pair(stem, path, markups[stem]) for stem, path in volumes]


def read_pair(pair: Pair) -> tuple[Volume, np.ndarray]:
    """A volume and its landmarks (16, 3) RAS mm; NaN where one is not visible or outside the volume.

    Raises
    ------
    FetalPoseError
        One of the files is not what it should be, or most of the landmarks lie outside the volume.
    """
    from FetalPoseLib import scene as mrml

    mrml.silence_log()
    scene = mrml.new_scene()
    volume = mrml.volume_from_node(mrml.read_volume(scene, pair.volume))
    points = mrml.points_of(mrml.load_pose(scene, pair.markups, complete=True))
    scene.Clear(0)
    placed = np.isfinite(points).all(axis=1)
    if not placed.any():
        raise FetalPoseError(f"No landmark of {pair.markups} is placed. Place the visible ones, or take it out.")
    voxels = volume.grid.to_voxel(points)
    with np.errstate(invalid="ignore"):
        inside = ((voxels >= -0.5) & (voxels <= np.array(volume.grid.shape) - 0.5)).all(axis=1)
    if 2 * inside.sum() < placed.sum():
        raise FetalPoseError(
            f"{placed.sum() - inside.sum()} of the {placed.sum()} landmarks of {pair.markups} lie outside "
            f"{pair.volume.name}. They may belong to another volume, or the volume was moved in Slicer: harden its "
            "transform and save it again."
        )
    return volume, np.where(inside[:, None], points, np.nan)


def convert(
    folder: str | Path,
    pool: str | Path,
    *,
    spacing: float,
    frame: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write the pairs of ``folder`` as cases of ``spacing`` mm into ``pool``; those that are there and up to date stay.

    Parameters
    ----------
    frame : whether head, neck, spine, sacrum, shoulders and hips must be visible, as fetal-frame needs them.

    Returns
    -------
    The cases' files. Cases of volumes that are no longer in ``folder`` are deleted.

    Raises
    ------
    FetalPoseError
        See `find_pairs` and `read_pair`; or ``frame`` and a landmark of the trunk is not visible.
    """
    pairs, pool = find_pairs(folder), Path(pool)
    pool.mkdir(parents=True, exist_ok=True)
    cases = [pool / f"{PREFIX}{pair.stem}.npz" for pair in pairs]
    for done, (pair, path) in enumerate(zip(pairs, cases, strict=True), start=1):
        key = _key(pair, spacing)
        if not key or source_of(path) != key:
            volume, landmarks = read_pair(pair)
            if frame:
                _check_frame(landmarks, pair)
            save_case(pool, canonical_case(path.stem, volume, landmarks, spacing=spacing), source=key)
        progress(done, len(pairs))
    for old in set(pool.glob(f"{PREFIX}*.npz")) - set(cases):
        old.unlink()
    return cases


def _key(pair: Pair, spacing: float) -> str:
    try:
        return pair.key(spacing)
    except OSError as error:
        raise FetalPoseError(f"Cannot read {error.filename}: {error.strerror}. Check your rights.") from error


def count_not_visible(landmarks: np.ndarray) -> dict[str, int]:
    """How often each landmark is NaN in poses (N, 16, 3); only those that ever are."""
    counts = np.isnan(landmarks).any(axis=2).sum(axis=0)
    return {name: int(n) for name, n in zip(load_skeleton().landmarks, counts, strict=True) if n}


def _check_frame(landmarks: np.ndarray, pair: Pair) -> None:
    obstacle = frame_obstacle(landmarks)
    if not obstacle and np.isnan(landmarks[load_skeleton().index("head")]).any():
        obstacle = "The head is not visible. Place it."
    if obstacle:
        raise FetalPoseError(f"{pair.markups}: {obstacle} Without it, the pair cannot train fetal-frame.")


def _stem(path: Path, suffixes: tuple[str, ...]) -> str:
    """The file's name without its suffix; empty if it has none of the ``suffixes``."""
    found = [suffix for suffix in suffixes if path.name.lower().endswith(suffix)]
    return path.name[: -len(max(found, key=len))] if found and not path.name.startswith(".") else ""


def _refuse(stems: list[str], what: str, folder: Path, advice: str) -> None:
    if stems:
        listed = ", ".join(stems[:5]) + (", ..." if len(stems) > 5 else "")
        raise FetalPoseError(f"{len(stems)} files of {folder} {what}: {listed}. {advice}")
