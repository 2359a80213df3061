"""Files from a browser: streamed to the disk up to a limit, under names of our own that keep nothing but the suffix.

A name from a browser may climb (`../x`), hold a drive or a control character, or be one of ours. It is shown in
messages, never used as a path. Headers that name a file of voxels beside them (`.mhd`, `.nhdr`) get its new name.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.names import shown
from FetalPoseLib.scene.markups_file import SUFFIXES as POSE_SUFFIXES

COMPOUND = (".nii.gz", ".raw.gz", *POSE_SUFFIXES)  # suffixes of two parts
HEADERS = {".mhd": rb"(?im)^(\s*ElementDataFile\s*=\s*)(.*?)(\s*)$", ".nhdr": rb"(?im)^(\s*data ?file:\s*)(.*?)(\s*)$"}
MAX_FILES = 5000  # of one upload: a DICOM series has some hundreds
HEADER_BYTES = 2**20


class TooLargeError(FetalPoseError):
    """An upload is over the limit."""


@dataclass
class Upload:
    """The files that a person chose together: one volume, one pose, or a folder of DICOM slices."""

    folder: Path  #: they are stored in
    limit_bytes: int  #: of all of them together
    names: list[str] = field(default_factory=list)  #: as the person knows them, in the order of `paths`
    paths: list[Path] = field(default_factory=list)  #: where they are
    size: int = 0  #: bytes so far

    async def receive(self, name: str, chunks: AsyncIterator[bytes], expected: int | None = None) -> Path:
        """Store one file as it comes.

        Parameters
        ----------
        name : the browser's name of it, which may hold the folders that it was chosen from.
        chunks : its bytes.
        expected : how many they will be, where that is known.

        Raises
        ------
        TooLargeError
            All files together would be larger than the limit; this one is deleted.
        FetalPoseError
            There are too many files, or the disk is full.
        """
        if len(self.paths) >= MAX_FILES:
            raise FetalPoseError(f"More than {MAX_FILES} files at once. Choose the folder of one series.")
        if expected is not None:
            self._check(self.size + expected)
        path = self.folder / f"{len(self.paths):05d}{suffix_of(name)}"
        try:
            with open(path, "xb") as file:
                async for chunk in chunks:
                    self.size += len(chunk)
                    self._check(self.size)
                    await asyncio.to_thread(file.write, chunk)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise FetalPoseError(f"{shown(base_name(name))} could not be stored: {error.strerror}.") from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self.names.append(base_name(name))
        self.paths.append(path)
        return path

    def settle(self) -> tuple[Path, str]:
        """What is to be read, and the person's name of it: a file, or the folder where there are several slices.

        Raises
        ------
        FetalPoseError
            There is no file, or a header names a file of voxels that did not come along.
        """
        if not self.paths:
            raise FetalPoseError("No file came. Choose a volume, or a folder of DICOM slices.")
        headers = [i for i, path in enumerate(self.paths) if path.suffix in HEADERS]
        if len(headers) == 1:
            self._name_voxels(headers[0])
            return self.paths[headers[0]], self.names[headers[0]]
        if len(self.paths) == 1:
            return self.paths[0], self.names[0]
        return self.folder, f"the {len(self.paths)} files"

    def _check(self, size: int) -> None:
        if size > self.limit_bytes:
            raise TooLargeError(
                f"More than {self.limit_bytes / 2**20:.0f} MiB, which is this server's limit. Crop the volume, or "
                "start the server with a larger --limit."
            )

    def _name_voxels(self, header: int) -> None:
        """Make a header name its file of voxels as it is stored here."""
        path = self.paths[header]
        with open(path, "rb") as file:
            head, rest = file.read(HEADER_BYTES), file.read()
        found = re.search(HEADERS[path.suffix], head)
        wanted = base_name(found[2].decode("utf-8", "replace")) if found else ""
        if not found or wanted.upper() == "LOCAL" or wanted.upper().startswith("LIST"):
            return
        if wanted not in self.names:
            raise FetalPoseError(
                f"{shown(self.names[header])} is a header; its voxels are in {shown(wanted)}. Choose both files."
            )
        stored = self.paths[self.names.index(wanted)].name.encode()
        path.write_bytes(head[: found.start(2)] + stored + head[found.end(2) :] + rest)


def base_name(name: str) -> str:
    """The last part of a browser's name, without folders of either kind of system."""
    return PurePosixPath(name.replace("\\", "/")).name or "file"


def suffix_of(name: str) -> str:
    """The suffix of a name, of letters and digits only, ".nii.gz"; "" where there is none."""
    lower = base_name(name).lower()
    for suffix in COMPOUND:
        if lower.endswith(suffix):
            return suffix
    found = re.search(r"\.[a-z0-9]{1,8}$", lower)
    return found[0] if found else ""


def in_their_words(message: str, upload: Upload) -> str:
    """A message about the stored files, with the names that the person knows."""
    for path, name in zip(upload.paths, upload.names, strict=True):
        message = message.replace(str(path), shown(name)).replace(path.name, shown(name))
    return message.replace(str(upload.folder), "the folder that you chose")
