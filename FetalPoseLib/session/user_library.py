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
from FetalPoseLib.files import replacing
from FetalPoseLib.resources import resource_path


def add_pose(pose, path: Path | None, *, translate: Callable[[str], str] = str) -> int:
    """Put a pose into the library at ``path``, which is made if there is none; how many poses that holds now.

    Only the body's shape goes in: no name, no place in the room, nothing of the volume.

    Raises
    ------
    FetalPoseError
        ``path`` is None; a landmark is not visible; the library cannot be read or written.
    """
    if path is None:
        raise FetalPoseError(translate("Choose a folder for your library in the settings first."))
    points = scene.points_of(pose)
    unset = np.isnan(points).any(axis=1)
    if unset.any():
        names = ", ".join(name for name, gone in zip(load_skeleton().landmarks, unset, strict=True) if gone)
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
    if path.is_file():
        library = PoseLibrary.load(path)
        library = library.add(points, f"own-{len(library) + 1}")
    else:
        library = PoseLibrary(points[None], ["own-1"], {"made": date.today().isoformat()})
    with replacing(path) as temporary:
        library.save(temporary)
    return len(library)


class Atlases:
    """The bundled atlases with a person's own, read again only where the file changed."""

    def __init__(self) -> None:
        self._stamp: tuple | None = None
        self._library: PoseLibrary | None = None

    def with_own(self, path: Path | None) -> PoseLibrary | None:
        """All atlases; ``path`` need not exist. None if they cannot be read, which is logged."""
        changed_ns = path.stat().st_mtime_ns if path is not None and path.is_file() else None
        if self._stamp != (path, changed_ns):
            self._library = _read(path if changed_ns is not None else None)
            self._stamp = (path, changed_ns)
        return self._library


def _read(own: Path | None) -> PoseLibrary | None:
    try:
        bundled = PoseLibrary.load(resource_path("pose_library.npz"))
        if own is None:
            return bundled
        mine = PoseLibrary.load(own)
        return PoseLibrary(np.concatenate([bundled.poses, mine.poses]), (*bundled.names, *mine.names))
    except FetalPoseError as error:
        logging.warning(str(error))
        return None
