"""What the text headers of NRRD and MetaImage have in common: bounded lines, numbers, names of data files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import damaged
from FetalPoseLib.reading.voxels import MAX_PARTS

MAX_HEADER_BYTES = 1 << 20
MAX_FIELDS = 10_000
MAX_AXES = 6
_TRACKED = re.compile(r"Seq_Frame(\d+)_", re.I)
_ONE_NUMBER = re.compile(r"%0?\d{0,2}[di]")


def read_header_bytes(file: BinaryIO) -> bytes:
    """The start of the file, as far as a header may reach."""
    return file.read(MAX_HEADER_BYTES)


def check_field_count(count: int) -> None:
    """Raise FetalPoseError if a header has more fields than any program writes."""
    if count > MAX_FIELDS:
        raise damaged(f"its header has more than {MAX_FIELDS} fields")


def too_long() -> FetalPoseError:
    """The refusal of a header without an end."""
    return damaged(f"its header does not end within {MAX_HEADER_BYTES >> 20} MiB")


def integers(text: str, what: str, *, least: int) -> list[int]:
    """Whole numbers of a field; FetalPoseError if one is none, or less than ``least``."""
    words = text.replace(",", " ").split()
    if not words or not all(re.fullmatch(r"[-+]?\d{1,18}", word) for word in words):
        raise damaged(f"its {what} '{shown(text[:60])}' are no whole numbers")
    numbers = [int(word) for word in words]
    if min(numbers) < least:
        raise damaged(f"its {what} '{shown(text[:60])}' must be {least} or more")
    return numbers


def floats(text: str, what: str) -> list[float]:
    """Numbers of a field, NaN allowed; FetalPoseError if one is none."""
    try:
        return [float(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise damaged(f"its {what} '{shown(text[:60])}' are no numbers") from error


def tracked_frames(keys: Sequence[str]) -> int:
    """How many frames of a tracked probe the header lists (PLUS and SlicerIGT write ``Seq_Frame0000_...``)."""
    return len({match[1] for key in keys if (match := _TRACKED.match(key))})


def named_parts(folder: Path, text: str, *, default_last: int | None = None) -> tuple[str, ...]:
    """Data files of a field such as ``volume.raw`` or ``slice%03d.raw 0 99 1``.

    The number is put in here: what the header's author wrote never becomes a format string of another program.

    Raises
    ------
    FetalPoseError
        The pattern holds another than one number, or counts more files than a volume has.
    """
    if "%" not in text or (folder / text).is_file():
        return (text,)
    match = re.fullmatch(r"(.*?\S)((?:\s+[-+]?\d{1,9}){0,4})", text)
    pattern, tail = match.groups() if match else (text, "")
    numbers = [int(word) for word in tail.split()]
    if not numbers and default_last is None:
        return (text,)
    if pattern.count("%") != 1 or not _ONE_NUMBER.search(pattern):
        raise FetalPoseError(
            f"Its data file {shown(pattern)} must hold one number, such as slice%03d.raw. Correct the header."
        )
    first = numbers[0] if numbers else 1
    last = numbers[1] if len(numbers) > 1 else first + (default_last or 1) - 1
    step = numbers[2] if len(numbers) > 2 else 1
    if step == 0 or (last - first) * step < 0 or abs((last - first) // step) >= MAX_PARTS:
        raise FetalPoseError(f"It counts its data files from {first} to {last} by {step}. Correct the header.")
    before, after = _ONE_NUMBER.split(pattern)
    counted = range(first, last + (1 if step > 0 else -1), step)
    return tuple(f"{before}{_numbered(pattern, number)}{after}" for number in counted)


def _numbered(pattern: str, number: int) -> str:
    conversion = _ONE_NUMBER.search(pattern)
    assert conversion is not None
    width = conversion[0][1:-1]
    return f"{number:0{int(width)}d}" if width.startswith("0") and width != "0" else f"{number:{width or 0}d}"
