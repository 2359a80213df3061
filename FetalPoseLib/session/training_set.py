"""Corrected poses as a training set: a folder of volumes and their poses, from which `fetalpose train --data` learns.

A pair is ``case0001.nrrd`` with ``case0001.mrk.json``. The names are numbers, and the files are written from the voxels
and the points alone, so that nothing of the patient's name or of the volume's own header goes in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.files import locked, replacing
from FetalPoseLib.scene.volumes import right_handed
from FetalPoseLib.volume.grid import Volume, mirror_matrix, transform_points

STEM = "case"
VOLUME, MARKUPS = ".nrrd", ".mrk.json"


@dataclass(frozen=True)
class Added:
    """What went into the training set.

    stem: of the two files. count: pairs in the folder now. unchecked: landmarks that are as the estimator, or the file,
    had them, since nobody placed them or marked them as not visible. doubts: what the volume's file leaves open.
    """

    stem: str
    count: int
    unchecked: tuple[str, ...]
    doubts: tuple[str, ...]

    def message(self, translate: Callable[[str], str] = str) -> str:
        """For the person: what was written, and what of it should be looked at."""
        said = [translate("Wrote {stem}; the training set holds {count}.").format(stem=self.stem, count=self.count)]
        if self.unchecked:
            said.append(
                translate("Nobody has placed {names}: look at each before you train.").format(
                    names=listed([name.replace("_", " ") for name in self.unchecked])
                )
            )
        return " ".join([*said, *self.doubts])


def add_to_training_set(
    pose, volume, folder: str | Path, *, mirrored: bool = False, translate: Callable[[str], str] = str
) -> Added:
    """Write a volume and its pose into ``folder``, which is made if there is none; nothing there is overwritten.

    Parameters
    ----------
    pose, volume : vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode
        Of one scene. Linear transforms of both are applied.
    mirrored : bool
        The volume's file mirrors it, as the settings say: it is written as it should be.

    Raises
    ------
    FetalPoseError
        There is no volume; no landmark is placed; most of them lie outside the volume; the same volume is in the folder
        already; the folder cannot be written.
    """
    if volume is None:
        raise FetalPoseError(translate("Choose the volume that the pose belongs to first."))
    image, points = mrml.volume_from_node(volume), mrml.points_of(pose)
    placed = np.isfinite(points).all(axis=1)
    with np.errstate(invalid="ignore"):
        voxels = image.grid.to_voxel(points)
        inside = ((voxels >= -0.5) & (voxels <= np.array(image.grid.shape) - 0.5)).all(axis=1)
    if 2 * inside.sum() < max(placed.sum(), 1):
        raise FetalPoseError(
            translate(
                "Most landmarks lie outside the volume '{name}'. Choose the volume that the pose belongs to."
            ).format(name=volume.GetName())
        )
    if mirrored:
        mirror = mirror_matrix(image)
        image, points = Volume(image.array, mirror @ image.ijk_to_ras), transform_points(mirror, points)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalPoseError(
            translate("The folder {folder} cannot be made: {reason}. Choose another one.").format(
                folder=folder, reason=error.strerror or str(error)
            )
        ) from error
    with locked(folder):
        stem = f"{STEM}{_last_number(folder) + 1:04d}"
        _write(folder, stem, image, points, translate)
        count = sum((folder / f"{path.name.removesuffix(VOLUME)}{MARKUPS}").exists() for path in _volumes(folder))
    moved = mrml.placed_landmarks(pose)
    unchecked = tuple(
        name for name, there in zip(load_skeleton().landmarks, placed, strict=True) if there and name not in moved
    )
    return Added(stem, count, unchecked, tuple(doubt.sentence for doubt in mrml.doubts_of(volume)))


def _write(folder: Path, stem: str, image: Volume, points: np.ndarray, translate: Callable[[str], str]) -> None:
    """Both files or none: if the volume cannot be stored, its pose, which comes first, goes again."""
    scene = mrml.new_scene()
    markups = folder / f"{stem}{MARKUPS}"
    pose = mrml.create_pose(scene, stem)
    mrml.set_estimate(pose, points)
    try:
        with replacing(folder / f"{stem}{VOLUME}") as temporary:
            mrml.write_volume(mrml.add_volume(scene, right_handed(image), stem), temporary)
            _check_new(folder, temporary, translate)
            mrml.save_pose(pose, markups)
    except BaseException:
        markups.unlink(missing_ok=True)
        raise
    finally:
        scene.Clear(0)


def _check_new(folder: Path, written: Path, translate: Callable[[str], str]) -> None:
    """FetalPoseError if a volume of the folder is the same as the one that was written: it would count twice."""
    size, digest = written.stat().st_size, _digest(written)
    for path in _volumes(folder):
        if path.stat().st_size == size and _digest(path) == digest:
            raise FetalPoseError(
                translate(
                    "This volume is in the training set already, as {name}. Delete that pair to put it in anew."
                ).format(name=path.name)
            )


def _digest(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _volumes(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"*{VOLUME}") if not path.name.startswith(".")]


def _last_number(folder: Path) -> int:
    """The highest number that a file of ours has, whether its volume or its pose."""
    found = (re.match(rf"{STEM}([0-9]+)\.", path.name) for path in folder.iterdir())
    return max((int(match[1]) for match in found if match), default=0)
