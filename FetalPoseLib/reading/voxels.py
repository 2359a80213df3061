"""Voxels as a header says they are stored: in which files, from where on, how encoded, of which type."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import damaged
from FetalPoseLib.reading.streams import (
    blocks,
    check_bytes,
    drop_lines,
    inflated,
    open_file,
    open_part,
    take,
)

ENCODINGS = ("raw", "gzip", "zlib", "bzip2", "hex", "text")
MAX_PARTS = 100_000  # data files of one volume
_MAX_WORD = 64  # characters of one number in text


@dataclass(frozen=True)
class Storage:
    """Where and how the voxels are stored.

    Attributes
    ----------
    header : Path
        The file that was chosen. It holds the voxels unless there are ``parts``.
    count : int
        How many numbers there are.
    kind : np.dtype
        Type of a number, with its byte order.
    encoding : str
        One of `ENCODINGS`.
    start : int
        Bytes before the data, in the header's own file.
    line_skip, byte_skip : int
        Lines and then bytes to skip in every file, bytes of what is compressed after inflating it. -1 bytes count back
        from the end of the file.
    parts : tuple of str
        Data files that hold equal shares of the voxels, one after the other; names are relative to the header.
    whole_file_compressed : bool
        The file is compressed as a whole, header included (.nii.gz), so that ``start`` counts inflated bytes and what
        follows the voxels is not an error.
    """

    header: Path
    count: int
    kind: np.dtype
    encoding: str = "raw"
    start: int = 0
    line_skip: int = 0
    byte_skip: int = 0
    parts: tuple[str, ...] = ()
    whole_file_compressed: bool = False

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return self.count * self.kind.itemsize

    def check(self) -> None:
        """Raise FetalPoseError if the claim cannot be true; nothing is allocated."""
        check_bytes(self.size)
        if len(self.parts) > MAX_PARTS:
            raise FetalPoseError(f"It names {len(self.parts)} data files, more than any volume has ({MAX_PARTS}).")
        if self.parts and self.count % len(self.parts):
            raise FetalPoseError(
                f"It names {len(self.parts)} data files, which cannot hold equal parts of its {self.count} voxels. "
                "Correct the sizes or the list in the header."
            )

    def read(self) -> tuple[np.ndarray, int]:
        """The numbers (count,) in the machine's own byte order, and how many bytes of raw data follow them.

        Raises
        ------
        FetalPoseError
            A file is missing, or does not hold exactly what the header states. Raw data may be followed by others.
        """
        self.check()
        if not self.parts:
            with open_file(self.header) as file:
                file.seek(0 if self.whole_file_compressed else self.start)
                return self._numbers(file, self.count)
        share, surplus = self.count // len(self.parts), 0
        numbers: np.ndarray | None = None
        for index, name in enumerate(self.parts):
            with open_part(self.header.parent, name) as file:
                try:
                    part, extra = self._numbers(file, share)
                except FetalPoseError as error:
                    raise FetalPoseError(f"Its data file {shown(name)}: {error}") from error
            if numbers is None:
                numbers = part if len(self.parts) == 1 else np.empty(self.count, part.dtype)
            if len(self.parts) > 1:
                numbers[index * share : (index + 1) * share] = part
            surplus += extra
        assert numbers is not None
        return numbers, surplus

    @property
    def plain(self) -> bool:
        """Whether the numbers lie in one file as they are in memory."""
        return self.encoding == "raw" and len(self.parts) <= 1

    def mapped(self) -> np.ndarray:
        """The numbers (count,) of a `plain` file, in the file's byte order, read from the disk where they are used.

        FetalPoseError as for `read`.
        """
        opened = open_part(self.header.parent, self.parts[0]) if self.parts else open_file(self.header)
        with opened as file:
            file.seek(0 if self.parts else self.start)
            drop_lines(file, self.line_skip)
            start, _ = _raw_place(file, self.byte_skip, self.size)
            return np.memmap(file, self.kind, "r", start, (self.count,))

    def spooled(self, file: BinaryIO) -> np.ndarray:
        """The numbers (count,), written into an empty file and read from there where they are used.

        What is compressed is inflated block by block. FetalPoseError as for `read`.
        """
        if self.parts:
            share = self.count // len(self.parts)
            for name in self.parts:
                with open_part(self.header.parent, name) as part:
                    file.write(self._numbers(part, share)[0].tobytes())
        elif self.encoding in ("text", "hex"):
            file.write(self.read()[0].tobytes())
        else:
            with open_file(self.header) as source:
                source.seek(0 if self.whole_file_compressed else self.start)
                self._inflate(source, file)
        file.flush()
        native = self.parts or self.encoding in ("text", "hex")
        return np.memmap(file, self.kind.newbyteorder("=") if native else self.kind, "r", 0, (self.count,))

    def _inflate(self, source: BinaryIO, file: BinaryIO) -> None:
        drop_lines(source, self.line_skip)
        skip = self.start if self.whole_file_compressed else max(self.byte_skip, 0)
        skipped = written = 0
        for block in inflated(source, self.encoding):
            drop = min(skip - skipped, len(block))
            skipped += drop
            written += file.write(block[drop : drop + self.size - written])
            if written == self.size:
                return
        raise damaged(f"it holds {written} of the {self.size} bytes that its header states")

    def _numbers(self, file: BinaryIO, count: int) -> tuple[np.ndarray, int]:
        drop_lines(file, self.line_skip)
        data: bytes | bytearray
        size = count * self.kind.itemsize
        if self.encoding == "raw":
            data, surplus = _raw(file, self.byte_skip, size)
        elif self.encoding == "text":
            return _text(file, self.byte_skip, count, self.kind), 0
        elif self.encoding == "hex":
            data, surplus = take(_hex(file), self.byte_skip, size, 1)
        else:
            skip = self.start if self.whole_file_compressed else max(self.byte_skip, 0)
            data, surplus = take(inflated(file, self.encoding), skip, size, size if self.whole_file_compressed else 0)
        if surplus and self.encoding != "raw" and (surplus > size or not self.whole_file_compressed):
            raise damaged(f"it holds more than the {size} bytes of voxels that its header states")
        numbers = np.frombuffer(data, self.kind)
        return (numbers if self.kind.isnative else numbers.astype(self.kind.newbyteorder("="))), surplus


def _raw_place(file: BinaryIO, skip: int, size: int) -> tuple[int, int]:
    """Where so many bytes begin, ``skip`` after the file's position or at its end, and how many bytes follow them."""
    begin = file.tell()
    file.seek(0, 2)
    there = file.tell() - begin
    skip = there - size if skip < 0 else skip
    if skip < 0 or there - skip < size:
        raise damaged(f"it holds {max(there - max(skip, 0), 0)} of the {size} bytes that its header states")
    return begin + skip, there - skip - size


def _raw(file: BinaryIO, skip: int, size: int) -> tuple[bytes, int]:
    start, surplus = _raw_place(file, skip, size)
    file.seek(start)
    data = file.read(size)
    if len(data) < size:
        raise damaged(f"it holds {len(data)} of the {size} bytes that its header states")
    return data, surplus


def _hex(file: BinaryIO) -> Iterator[bytes]:
    rest = b""
    for block in blocks(file):
        digits = rest + b"".join(block.split())
        whole = len(digits) // 2 * 2
        rest = digits[whole:]
        try:
            yield bytes.fromhex(digits[:whole].decode("ascii"))
        except ValueError as error:
            raise damaged("its voxels are said to be hexadecimal and are not") from error


def _text(file: BinaryIO, skip: int, count: int, kind: np.dtype) -> np.ndarray:
    file.seek(max(skip, 0), 1)
    filled, rest, parts = 0, b"", []
    for block in blocks(file):
        text = rest + block.replace(b",", b" ")
        cut = max(text.rfind(b" "), text.rfind(b"\n"), text.rfind(b"\t")) + 1
        rest = text[cut:]
        parts.append(_parsed(text[:cut], kind))
        filled += len(parts[-1])
        if filled > count or len(rest) > _MAX_WORD:
            break
    numbers = np.concatenate([*parts, _parsed(rest[: _MAX_WORD + 1], kind)])
    if len(numbers) < count:
        raise damaged(f"it holds {len(numbers)} of the {count} numbers that its header states")
    if len(numbers) > count:
        raise damaged(f"it holds more than the {count} numbers that its header states")
    return numbers


def _parsed(text: bytes, kind: np.dtype) -> np.ndarray:
    words = text.split()
    try:
        numbers = np.array(words, dtype=np.float64) if words else np.empty(0)
    except ValueError as error:
        raise damaged("its voxels are said to be text and are no numbers") from error
    if kind.kind in "ui":
        limits = np.iinfo(kind)
        if not ((numbers >= limits.min) & (numbers <= limits.max)).all():
            raise damaged(f"its text holds numbers that are no {kind.name}")
    return numbers.astype(kind.newbyteorder("="))
