"""Which volume a file or folder holds: the SHA-256 of its bytes, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.read import look
from FetalPoseLib.reading.streams import BLOCK, open_file

HEADERS = (".nhdr", ".mhd", ".hdr", ".img")  # whose voxels lie in other files


def content_of(source: Path) -> str:
    """The digest of a volume's bytes: of the file, of the header with its data files, or of all files of a folder.

    Raises
    ------
    FetalPoseError
        A file is not there, is no file, or cannot be opened.
    OSError
        It cannot be read to its end.
    """
    digest = hashlib.sha256()
    for path in sorted(files_of(source), key=lambda path: path.name):
        with open_file(path) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def files_of(source: Path) -> list[Path]:
    """The files that a volume consists of."""
    if source.is_dir():
        return [Path(root, name) for root, _, names in os.walk(source) for name in names if Path(root, name).is_file()]
    if source.suffix.lower() not in HEADERS:
        return [source]
    if source.suffix.lower() in (".hdr", ".img"):
        return [path for path in (source.with_suffix(".hdr"), source.with_suffix(".img")) if path.exists()] or [source]
    try:
        parts = getattr(getattr(look(source), "storage", None), "parts", ())
    except FetalPoseError:  # which reading it says again
        parts = ()
    return [source, *(source.parent / part for part in parts if (source.parent / part).is_file())]


def stamp_of(source: Path) -> tuple[int, int]:
    """Bytes, and the time in ns of the last change, of all files of a volume: (0, 0) if it is not there."""
    try:
        states = [path.stat() for path in files_of(source)]
    except OSError:
        return 0, 0
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)
