"""The one folder that a session writes to: uploads, files to download, and the pose that is not exported yet.

A session's folder is locked while its server lives. What is found unlocked belongs to a server that has ended: its
uploads are deleted, its pose is offered again. Volumes never outlive their server.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import locked, replacing

PREFIX = "session-"
POSE, NOTE = "pose.mrk.json", "pose.json"


@dataclass(frozen=True)
class Kept:
    """A pose on the disk that nobody has exported or discarded."""

    path: Path  #: .mrk.json
    volume: str  #: name of the volume that it was found in
    when: str  #: "2026-11-28 14:05", when it was kept


class SessionFolder:
    """A folder of this server's own within ``root``, which is made if there is none. Only this user can read it.

    Raises
    ------
    FetalPoseError
        The folder cannot be made.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self.root))
        except OSError as error:
            raise FetalPoseError(
                f"The folder {self.root} cannot be used for sessions: {error.strerror or error}. Choose another one "
                "with --folder."
            ) from error
        self._lock = ExitStack()
        self._lock.enter_context(locked(self.path, wait_s=0))
        self._count = 0

    def new(self, name: str) -> Path:
        """A new empty folder within, such as for one upload."""
        self._count += 1
        path = self.path / f"{name}-{self._count}"
        path.mkdir()
        return path

    def remove(self, path: Path) -> None:
        """Delete a folder that `new` made."""
        shutil.rmtree(path, ignore_errors=True)

    # the pose that is not exported yet

    @property
    def pose(self) -> Path:
        """The path at which a pose is kept."""
        return self.path / POSE

    def keep(self, volume: str) -> None:
        """Note what the pose that was just written at `pose` belongs to."""
        with replacing(self.path / NOTE) as temporary:
            note = {"volume": volume, "when": time.strftime("%Y-%m-%d %H:%M")}
            temporary.write_text(json.dumps(note), encoding="utf-8")

    def discard(self) -> None:
        """Forget the kept pose."""
        for name in (POSE, NOTE):
            (self.path / name).unlink(missing_ok=True)

    def left_behind(self) -> list[Kept]:
        """Poses of servers that have ended, the newest first; the uploads of those are deleted."""
        found = []
        for folder in self.root.glob(f"{PREFIX}*"):
            if folder == self.path or not folder.is_dir():
                continue
            with suppress(OSError, FetalPoseError), locked(folder, wait_s=0):  # FetalPoseError: its server lives
                kept = _kept(folder)
                for other in folder.iterdir():
                    if other.is_dir():
                        shutil.rmtree(other, ignore_errors=True)
                if kept is None:
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    found.append(kept)
        return sorted(found, key=lambda kept: kept.path.stat().st_mtime, reverse=True)

    def drop(self, kept: Kept) -> None:
        """Delete what a server that has ended left behind."""
        if kept.path.parent.parent == self.root:
            shutil.rmtree(kept.path.parent, ignore_errors=True)

    def close(self, *, forget: bool) -> None:
        """Delete everything but the kept pose; that one, too, if ``forget``."""
        kept = None if forget else _kept(self.path)
        for entry in list(self.path.iterdir()):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
        self._lock.close()
        if kept is None:
            shutil.rmtree(self.path, ignore_errors=True)


def _kept(folder: Path) -> Kept | None:
    if not (folder / POSE).is_file():
        return None
    note: dict = {}
    with suppress(OSError, ValueError):
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(os.path.getmtime(folder / POSE)))
    return Kept(folder / POSE, str(note.get("volume", "")), str(note.get("when", when)))
