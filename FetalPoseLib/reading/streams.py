"""Bytes from files, bounded: what is no regular file is never opened, what is compressed is inflated and counted.

No amount is allocated that a header or a compressed stream only claims: the header's claim is checked against
`MAX_BYTES`, and the stream is inflated block by block and stopped where the volume is full.
"""

import bz2
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import damaged

MAX_BYTES = 2**31  # of voxels: 1290 x 1290 x 1290 of one byte
BLOCK = 1 << 20
GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"


def open_file(path: str | Path) -> BinaryIO:
    """A regular file that holds something, open for reading.

    Raises
    ------
    FetalPoseError
        There is none, it may not be read, it is empty, or it is a pipe, a device or a folder, which may never end.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise FetalPoseError("It is a folder. Choose a file.")
        if not stat.S_ISREG(status.st_mode):
            raise FetalPoseError("It is a pipe or a device, not a file. Save the volume to a file first.")
        if not status.st_size:
            raise FetalPoseError("It is empty (0 bytes). Copy or export it again.")
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise FetalPoseError(cannot_open(error)) from error


def cannot_open(error: OSError | ValueError) -> str:
    """What the system said about a file, and what to do."""
    if isinstance(error, PermissionError):
        return "You may not read it. Ask its owner for the right to read it and the folders above it."
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "It does not exist. Check its name."
    return f"The system says: {getattr(error, 'strerror', None) or error}. Check its name, and copy it elsewhere."


def open_part(folder: Path, name: str) -> BinaryIO:
    """The data file `name` that a header in `folder` refers to; FetalPoseError says which one is at fault."""
    path = folder / name
    if name.strip() in ("-", ""):
        raise FetalPoseError("It names no file that holds its voxels. Name it in the header.")
    if not os.path.lexists(path):
        raise FetalPoseError(f"Its data file {shown(name)} is missing. Put it where the header says, and try again.")
    try:
        return open_file(path)
    except FetalPoseError as error:
        raise FetalPoseError(f"Its data file {shown(name)} cannot be read. {error}") from error


def check_bytes(count: int) -> None:
    """Raise FetalPoseError if a header claims more bytes of voxels than any ultrasound volume has."""
    if count > MAX_BYTES:
        size = f"{count / 2**30:.3g} GiB" if count < 2**70 else "more than 2^70 bytes"
        raise FetalPoseError(
            f"It states {size} of voxels, more than any ultrasound volume ({MAX_BYTES / 2**30:g} GiB). The header is "
            "damaged, or the volume must be made smaller first."
        )


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of the file, block by block."""
    return iter(lambda: file.read(BLOCK), b"")


def inflated(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """The rest of the file, inflated, in blocks of `BLOCK` bytes at most; what follows the stream is left.

    ``encoding`` is "zlib" (which may be gzip as well), "gzip", "deflate" (without a head) or "bzip2".
    FetalPoseError if the stream is damaged or ends early; its checksum is compared at its end.
    """
    if encoding == "bzip2":
        return _inflated_bzip2(file)
    return _inflated_deflate(file, {"zlib": 47, "gzip": 31, "deflate": -15}[encoding])


def _inflated_deflate(file: BinaryIO, window: int) -> Iterator[bytes]:
    data = file.read(BLOCK)
    while True:
        inflater = zlib.decompressobj(window)
        while not inflater.eof:
            try:
                block = inflater.decompress(data, BLOCK)
            except zlib.error as error:
                raise damaged(f"its compressed voxels cannot be inflated ({error})") from error
            if block:
                yield block
            data = inflater.unconsumed_tail
            if not data and not inflater.eof and len(block) < BLOCK:  # a full block may have more behind it
                data = file.read(BLOCK)
                if not data:
                    raise damaged("its compressed voxels end early")
        data = inflater.unused_data
        data += file.read(BLOCK) if len(data) < len(GZIP) else b""
        if not data.startswith(GZIP):  # a gzip file may have several members; anything else is not the volume's
            return


def _inflated_bzip2(file: BinaryIO) -> Iterator[bytes]:
    data = file.read(BLOCK)
    while True:
        inflater = bz2.BZ2Decompressor()
        while not inflater.eof:
            try:
                block = inflater.decompress(data, BLOCK)
            except (OSError, ValueError) as error:
                raise damaged("its compressed voxels cannot be inflated") from error
            if block:
                yield block
            if inflater.eof:
                break
            data = b"" if not inflater.needs_input else file.read(BLOCK)
            if not data and inflater.needs_input:
                raise damaged("its compressed voxels end early")
        data = inflater.unused_data
        data += file.read(BLOCK) if len(data) < len(BZIP2) else b""
        if not data.startswith(BZIP2):  # programs that compress in parallel write several streams
            return


def take(stream: Iterator[bytes], skip: int, count: int, surplus: int) -> tuple[bytearray, int]:
    """``count`` bytes after the first ``skip``, and how many follow them, counted as far as ``surplus``.

    Raises
    ------
    FetalPoseError
        There are fewer.
    """
    taken, skipped, extra = bytearray(), 0, 0
    for block in stream:
        if skipped < skip:
            drop = min(skip - skipped, len(block))
            skipped += drop
            block = block[drop:]
        part = block[: count - len(taken)]
        taken += part
        extra += len(block) - len(part)
        if extra > surplus:
            break
    if len(taken) < count:
        raise damaged(f"it holds {len(taken)} of the {count} bytes that its header states")
    return taken, extra


def drop_lines(file: BinaryIO, count: int) -> None:
    """Step over so many lines of text."""
    for _ in range(count):
        if not file.readline(BLOCK).endswith(b"\n"):
            raise damaged("its data file has fewer lines than the header skips")


def read_head(file: BinaryIO, count: int) -> bytes:
    """The first bytes of a file, inflated if it is a gzip file."""
    head = file.read(2)
    file.seek(0)
    if head != GZIP:
        return file.read(count)
    return bytes(take_at_most(inflated(file, "gzip"), count))


def take_at_most(stream: Iterator[bytes], count: int) -> bytearray:
    """Up to ``count`` bytes of a stream."""
    taken = bytearray()
    for block in stream:
        taken += block[: count - len(taken)]
        if len(taken) >= count:
            break
    return taken
