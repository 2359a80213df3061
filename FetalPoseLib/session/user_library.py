"""A person's own atlases: adding a corrected pose, and reading them together with the bundled ones."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np

from FetalPoseLib import scene
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import locked, replacing
from FetalPoseLib.resources import resource_path

OWN = "own-"  # begins the names of poses that a person added


def add_pose(pose, path: Path | None, *, translate: Callable[[str], str] = str) -> int:
    """Put a pose into the library at ``path``, which is made if there is none; how many poses that holds now.

    Only the body's shape goes in: no name, no place in the room, nothing of the volume.

    Raises
    ------
    FetalPoseError
        ``path`` is None; a landmark is not visible; the pose is degenerate; the library cannot be read or written.
    """
    if path is None:
        raise FetalPoseError(translate("Choose a folder for your library in the settings first."))
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
        library = known.add(points, f"{OWN}{max(numbers, default=0) + 1}")
        with replacing(path) as temporary:
            library.save(temporary)
    return len(library)


def pose_names(path: Path | None) -> tuple[str, ...]:
    """The names of the poses in the library at ``path``, the oldest first; none where there is no library.

    Raises
    ------
    FetalPoseError
        The library cannot be read.
    """
    library = None if path is None else _stored(path)
    return () if library is None else library.names


def remove_pose(path: Path, name: str) -> int:
    """Take the pose of this name out of the library at ``path``; how many poses that holds now.

    Raises
    ------
    FetalPoseError
        There is no such pose, or the library cannot be read or written.
    """
    with locked(path):
        library = _stored(path)
        if library is None:
            raise FetalPoseError(f"There is no library {path}. Choose another folder in the settings.")
        library = library.remove(name)
        with replacing(path) as temporary:
            library.save(temporary)
    return len(library)


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
