"""A volume with its landmarks as a person stores them, whatever the layout of the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.grid import Volume

CONVERSION = 2  # changes when the same files become other cases


class AnyPair(Protocol):
    """A volume and its landmarks, in whatever layout."""

    stem: str
    markups: Path

    def key(self, spacing: float) -> str:
        """What a case of ``spacing`` mm is made from: two pairs have the same key only if their files are the same.

        Empty for a volume whose voxels lie in another file, which is converted anew each time.
        """

    def read(self, warn: Callable[[str], object] = ...) -> tuple[Volume, np.ndarray]:
        """The volume and its landmarks (16, 3) RAS mm; NaN where one is not visible or outside the volume.

        ``warn`` is called with each sentence about what the volume's file leaves open.

        Raises
        ------
        FetalPoseError
            One of the files is not what it should be, or most of the landmarks lie outside the volume.
        """


def key_of(what: str, *paths: Path) -> str:
    """A digest of the files and of ``what`` is made from them."""
    digest = hashlib.sha256(f"{CONVERSION} {what}".encode())
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def points_inside(volume: Volume, points: np.ndarray, name: str, markups: Path) -> np.ndarray:
    """Points (16, 3) RAS mm, NaN where outside the volume; FetalPoseError if that are none or most of them."""
    placed = np.isfinite(points).all(axis=1)
    if not placed.any():
        raise FetalPoseError(f"No landmark of {markups} is placed. Place the visible ones, or take it out.")
    voxels = volume.grid.to_voxel(points)
    with np.errstate(invalid="ignore"):
        inside = ((voxels >= -0.5) & (voxels <= np.array(volume.grid.shape) - 0.5)).all(axis=1)
    if 2 * inside.sum() < placed.sum():
        raise FetalPoseError(
            f"{placed.sum() - inside.sum()} of the {placed.sum()} landmarks of {markups} lie outside "
            f"{name}. They may belong to another volume, or the volume was moved in Slicer: harden its "
            "transform and save it again."
        )
    return np.where(inside[:, None], points, np.nan)
