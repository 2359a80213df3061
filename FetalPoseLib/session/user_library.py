"""A person's own atlases: adding a corrected pose, listing and removing, and reading them with the bundled ones."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from FetalPoseLib import scene
from FetalPoseLib.body.plausibility import crown_rump_length
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import locked, replacing
from FetalPoseLib.resources import resource_path

OWN = "own-"  # begins the names of poses that a person added
NO_FOLDER = "Choose a folder for your library in the settings first."
_ADDED = "added"  # in the library's meta: the day on which each pose was added, by its name


@dataclass(frozen=True)
class OwnPose:
    """A pose in a person's own library."""

    name: str  #: as in the file, unique
    added: str  #: the day, as 2026-11-28; "" where the file does not tell
    crl_mm: float  #: crown-rump length, by which a person may know it again


@dataclass(frozen=True)
class OwnLibrary:
    """What a person's own library holds."""

    poses: tuple[OwnPose, ...] = ()  #: the oldest first
    left_out: tuple[str, ...] = ()  #: a sentence per pose that the file holds and that is no body


def add_pose(pose, path: Path | None, *, translate: Callable[[str], str] = str) -> int:
    """Put a pose into the library at ``path``, which is made if there is none; how many poses that holds now.

    Only the body's shape goes in: no name, no place in the room, nothing of the volume.

    Raises
    ------
    FetalPoseError
        ``path`` is None; a landmark is not visible; the pose is degenerate; the library cannot be read or written.
    """
    if path is None:
        raise FetalPoseError(translate(NO_FOLDER))
    points = scene.points_of(pose)
    not_visible = np.isnan(points).any(axis=1)
    if not_visible.any():
        names = ", ".join(name for name, gone in zip(load_skeleton().landmarks, not_visible, strict=True) if gone)
        raise FetalPoseError(
            translate("A pose in the library must be complete. Place {names} first.").format(names=names)
        )
    points = points - points[load_skeleton().index("neck")]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FetalPoseError(
            translate("The folder {folder} cannot be made: {reason}. Choose another one in the settings.").format(
                folder=path.parent, reason=reason
            )
        ) from error
    with locked(path):
        known = _stored(path) or PoseLibrary(np.empty((0, *points.shape)), meta={"made": date.today().isoformat()})
        numbers = [
            int(name[len(OWN) :]) for name in known.names if name[: len(OWN)] == OWN and name[len(OWN) :].isdecimal()
        ]
        name = f"{OWN}{max(numbers, default=0) + 1}"
        library = known.add(points, name)
        library.meta[_ADDED] = _days(known) | {name: date.today().isoformat()}
        with replacing(path) as temporary:
            library.save(temporary)
    return len(library)


def own_library(path: Path | None) -> OwnLibrary:
    """What the library at ``path`` holds; nothing where there is no library.

    Raises
    ------
    FetalPoseError
        The library cannot be read.
    """
    library = None if path is None else _stored(path)
    if library is None:
        return OwnLibrary()
    added = _days(library)
    poses = tuple(
        OwnPose(name, added.get(name, ""), crown_rump_length(points))
        for name, points in zip(library.names, library.poses, strict=True)
    )
    return OwnLibrary(poses, library.left_out)


def remove_pose(path: Path | None, name: str, *, translate: Callable[[str], str] = str) -> int:
    """Take the pose of this name out of the library at ``path``; how many poses that holds now.

    Raises
    ------
    FetalPoseError
        ``path`` is None; there is no such pose, or the library cannot be read or written.
    """
    if path is None:
        raise FetalPoseError(translate(NO_FOLDER))
    if not path.is_file():
        text = translate("There is no library {path}. Choose another folder in the settings.")
        raise FetalPoseError(text.format(path=path))
    with locked(path):
        library = PoseLibrary.load(path)
        library = library.remove(name)
        library.meta[_ADDED] = {kept: day for kept, day in _days(library).items() if kept in library.names}
        with replacing(path) as temporary:
            library.save(temporary)
    return len(library)


def _days(library: PoseLibrary) -> dict[str, str]:
    """The days on which poses were added, by their names, as far as the file tells."""
    days = library.meta.get(_ADDED)
    return {name: day for name, day in days.items() if isinstance(day, str)} if isinstance(days, dict) else {}


def _stored(path: Path) -> PoseLibrary | None:
    """The library at ``path``, None where there is none."""
    return PoseLibrary.load(path) if path.is_file() else None


class Atlases:
    """The bundled atlases with a person's own, read again only where the file changed."""

    def __init__(self) -> None:
        self._stamp: tuple | None = None
        self._library: PoseLibrary | None = None

    def with_own(self, path: Path | None) -> PoseLibrary:
        """All atlases; ``path`` need not exist. The bundled ones alone where it cannot be read; the log says why."""
        changed_ns = path.stat().st_mtime_ns if path is not None and path.is_file() else None
        if self._library is None or self._stamp != (path, changed_ns):
            bundled = PoseLibrary.load(resource_path("pose_library.npz"))
            self._library = bundled if path is None or changed_ns is None else _joined(bundled, path)
            self._stamp = (path, changed_ns)
        return self._library


def _joined(bundled: PoseLibrary, path: Path) -> PoseLibrary:
    own = PoseLibrary.load_or_reason(path)
    for sentence in [own] if isinstance(own, str) else own.left_out:
        logging.warning(sentence)
    return bundled if isinstance(own, str) else bundled.joined([own])
