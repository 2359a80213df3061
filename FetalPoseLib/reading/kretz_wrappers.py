"""Where a Kretz file lies: by itself (.vol, .v00), in a private element of a DICOM file, or in a zip (.4dv).

Names of zip members and values of DICOM elements may tell who the patient is: none is read or shown that is not needed.
"""

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.foreign import how_to_export
from FetalPoseLib.reading.kretz_items import SIGNATURE

MAX_BYTES = 2**32  # of a file or a zip's member: 4D volumes of some minutes
MAX_MEMBERS = 1000
_DICOM_SNIFF = 132
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # the transfer syntax whose whole data set is compressed
_PRIVATE_GROUP = 0x7FE1
_CREATOR_BYTES = 64
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
_KRETZ, _MOVIE = "KRETZ_US", "GEMS_Ultrasound_MovieGroup_001"


@dataclass(frozen=True, eq=False)
class Payload:
    """A Kretz file's bytes: from ``start`` to ``end`` of a seekable stream."""

    stream: BinaryIO
    start: int
    end: int


def is_kretz(path: str | Path) -> bool:
    """Whether the file is a Kretz file or wraps one. Never raises: what cannot be read is none."""
    with ExitStack() as stack:
        try:
            return isinstance(_found(Path(path), stack), Payload)
        except OSError:
            return False


@contextmanager
def open_payload(path: str | Path) -> Iterator[Payload]:
    """The Kretz file in ``path``, open until the block ends.

    Raises
    ------
    FetalPoseError
        There is none, or several, or the file around it is damaged.
    """
    with ExitStack() as stack:
        found = _found(Path(path), stack)
        if isinstance(found, str):
            raise FetalPoseError(found)
        yield found


def _found(path: Path, stack: ExitStack) -> Payload | str:
    """The Kretz file in ``path``, open as long as ``stack``; or a sentence that says why there is none."""
    if not path.is_file():  # neither a folder nor a pipe, which would never end
        return "It is no file. Choose a .vol, .v00 or .4dv file, or a DICOM file."
    size = path.stat().st_size
    if size > MAX_BYTES:
        return f"It has {size / 2**30:.1f} GiB, more than any volume. Choose another file."
    stream: BinaryIO = stack.enter_context(open(path, "rb"))
    head = _head(stream)
    if not head.startswith(b"PK\x03\x04"):
        return _payload(stream, head, size)
    member = _member(stream, stack)
    return member if isinstance(member, str) else _payload(member[0], _head(member[0]), member[1])


def _head(stream: BinaryIO) -> bytes:
    stream.seek(0)
    head = stream.read(_DICOM_SNIFF)
    stream.seek(0)
    return head


def _may_hold_kretz(head: bytes) -> bool:
    return head.startswith(b"KRETZFILE") or head[128:] == b"DICM"


def _payload(stream: BinaryIO, head: bytes, size: int) -> Payload | str:
    if head.startswith(SIGNATURE):
        return Payload(stream, 0, size)
    if head.startswith(b"KRETZFILE"):
        return f"It is a Kretz file of another version than 1.0. {how_to_export()}"
    if head[128:] == b"DICM":
        return _in_dicom(stream, size)
    return "It is no Kretz file, and no DICOM or zip file that could hold one."


def _in_dicom(stream: BinaryIO, size: int) -> Payload | str:
    """The element of private creator KRETZ_US in group 7FE1; nothing else of the data set is kept."""
    if _DEFLATED in stream.read(2048):
        return "It is a deflated DICOM file. Export it uncompressed."
    stream.seek(0)
    from pydicom.filereader import read_partial  # here, because a file by itself does not need it

    creators, found = {}, []

    def reached(tag, _, length) -> bool:
        """Called before each element's value: the one that is looked for ends the reading, unread."""
        if tag.group == _PRIVATE_GROUP and 0x10 <= tag.element <= 0xFF and length <= _CREATOR_BYTES:
            place = stream.tell()
            creators[tag.element] = stream.read(length).decode("ascii", "replace").strip(" \0")
            stream.seek(place)
        if tag.group == _PRIVATE_GROUP and tag.element & 0xFF == 1 and creators.get(tag.element >> 8) == _KRETZ:
            found.append((stream.tell(), length))
        return bool(found) or tag.group > _PRIVATE_GROUP

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            read_partial(stream, reached, specific_tags=[_PRIVATE_GROUP << 16 | 0x10])  # all others are stepped over
    except Exception:  # a damaged file ends in any of a dozen of pydicom's and Python's; they may quote values
        return "It is a damaged DICOM file. Export it again."
    if not found:
        if _MOVIE in creators.values():
            return f"It is a GE movie group, which only GE's own loader reads. {how_to_export()}"
        return "It is a DICOM file without a GE Kretz volume in it."
    start, length = found[0]
    if not 0 < length <= size - start:
        return f"It is cut short: its volume takes {length} bytes and {size - start} are left."
    return Payload(stream, start, start + length)


def _member(stream: BinaryIO, stack: ExitStack) -> tuple[BinaryIO, int] | str:
    """The one member of a zip that is or wraps a Kretz file, and its size in bytes; or why there is none."""
    try:
        return _checked_member(stack.enter_context(zipfile.ZipFile(stream)), stack)
    except _DAMAGED:  # they name members
        return "It is a damaged or encrypted zip. Copy it again, or unpack it."


def _checked_member(archive: zipfile.ZipFile, stack: ExitStack) -> tuple[BinaryIO, int] | str:
    """As `_member`; the member is inflated block by block and counted before its size is relied on."""
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) > MAX_MEMBERS:
        return f"It is a zip of {len(members)} files. Unpack it and choose one."
    found = [info for info in members if _readable(info) and _may_hold_kretz(_start(archive, info))]
    if not found:
        return "It is a zip without a GE Kretz volume in it."
    if len(found) > 1:
        return f"It is a zip of {len(found)} volumes. Unpack it and choose one."
    inner = stack.enter_context(archive.open(found[0]))
    inflated = sum(len(block) for block in iter(lambda: inner.read(1 << 20), b""))
    if inflated != found[0].file_size:
        return "It is a damaged zip. Copy it again."
    return cast(BinaryIO, inner), inflated


def _readable(info: zipfile.ZipInfo) -> bool:
    return info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and info.file_size <= MAX_BYTES


def _start(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as inner:
        return inner.read(_DICOM_SNIFF)
