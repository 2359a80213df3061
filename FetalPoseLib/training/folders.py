"""Your own volumes as training cases: a folder of NRRD, NIfTI or MetaImage files, each with its ``.mrk.json``.

The scene's readers do the work, so that a volume may have any spacing and direction, and markups may be in LPS or RAS.
A folder in the layout of FPOSE is read by `fpose`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.body.fetal_frame import frame_obstacle
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.training.fpose import find_fpose_pairs, is_fpose
from FetalPoseLib.training.pairs import AnyPair, key_of, points_inside
from FetalPoseLib.training.pool import OWN, canonical_case, save_case, source_of
from FetalPoseLib.volume.grid import Volume

DETACHED = (".nhdr", ".mhd")  # headers whose voxels lie in a file of their own
VOLUMES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd")
MARKUPS = ".mrk.json"


@dataclass(frozen=True)
class Pair:
    """A volume and the ``.mrk.json`` beside it, see `AnyPair`."""

    stem: str
    volume: Path
    markups: Path

    def key(self, spacing: float) -> str:
        """See `AnyPair`."""
        if self.volume.suffix.lower() in DETACHED:
            return ""
        return key_of(f"{spacing!r} {self.volume.suffix}", self.volume, self.markups)

    def read(self, warn: Callable[[str], object] = lambda sentence: None) -> tuple[Volume, np.ndarray]:
        """See `AnyPair`."""
        from FetalPoseLib import scene as mrml

        mrml.silence_log()
        scene = mrml.new_scene()
        node = mrml.read_volume(scene, self.volume)
        for doubt in mrml.doubts_of(node):
            warn(f"{self.volume}: {doubt.sentence}")
        volume = mrml.volume_from_node(node)
        points = mrml.points_of(mrml.load_pose(scene, self.markups, complete=True))
        scene.Clear(0)
        return volume, points_inside(volume, points, self.volume.name, self.markups)


def find_pairs(folder: str | Path, *, mirrored: bool = False) -> Sequence[AnyPair]:
    """The volumes of ``folder`` with their landmarks, by stem.

    Parameters
    ----------
    mirrored : of volumes in the layout of FPOSE, whose files do not say it

    Raises
    ------
    FetalPoseError
        There is no such folder or nothing in it, a volume lacks markups or markups a volume, or a stem stands twice;
        ``mirrored``, and the files say themselves how they lie.
    """
    if is_fpose(folder):
        return find_fpose_pairs(folder, mirrored=mirrored)
    if mirrored:
        raise FetalPoseError(
            f"The volumes of {folder} state themselves how they lie. Leave --mirrored out; it is for FPOSE's layout."
        )
    return _find_slicer_pairs(folder)


def _find_slicer_pairs(folder: str | Path) -> list[Pair]:
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


def convert(
    folder: str | Path,
    pool: str | Path,
    *,
    spacing: float,
    frame: bool,
    mirrored: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], object] = lambda sentence: None,
) -> list[Path]:
    """Write the pairs of ``folder`` as cases of ``spacing`` mm into ``pool``; those that are there and up to date stay.

    Parameters
    ----------
    mirrored : see `find_pairs`
    frame : whether head, neck, spine, sacrum, shoulders and hips must be visible, as fetal-frame needs them.
    warn : called with each sentence about what a volume's file leaves open, where it is read.

    Returns
    -------
    The cases' files. Cases of volumes that are no longer in ``folder`` are deleted.

    Raises
    ------
    FetalPoseError
        See `find_pairs` and `AnyPair`; or ``frame`` and a landmark of the trunk is not visible.
    """
    pairs, pool = find_pairs(folder, mirrored=mirrored), Path(pool)
    pool.mkdir(parents=True, exist_ok=True)
    cases = [pool / f"{OWN}{pair.stem}.npz" for pair in pairs]
    for done, (pair, path) in enumerate(zip(pairs, cases, strict=True), start=1):
        key = _key(pair, spacing)
        if not key or source_of(path) != key:
            volume, landmarks = pair.read(warn)
            if frame:
                _check_frame(landmarks, pair)
            save_case(pool, canonical_case(path.stem, volume, landmarks, spacing=spacing), source=key)
        progress(done, len(pairs))
    for old in set(pool.glob(f"{OWN}*.npz")) - set(cases):
        old.unlink()
    return cases


def _key(pair: AnyPair, spacing: float) -> str:
    try:
        return pair.key(spacing)
    except OSError as error:
        raise FetalPoseError(f"Cannot read {error.filename}: {error.strerror}. Check your rights.") from error


def count_not_visible(landmarks: np.ndarray) -> dict[str, int]:
    """How often each landmark is NaN in poses (N, 16, 3); only those that ever are."""
    counts = np.isnan(landmarks).any(axis=2).sum(axis=0)
    return {name: int(n) for name, n in zip(load_skeleton().landmarks, counts, strict=True) if n}


def _check_frame(landmarks: np.ndarray, pair: AnyPair) -> None:
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
