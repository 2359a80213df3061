"""Sequences: volumes over time, in one file or in a folder of numbered files, read one at a time.

Only the volume that is asked for is in memory. What is stored plainly is read where it lies; what is compressed is
inflated once, block by block, into a file that ends with the sequence.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.dicom import DicomVolume
from FetalPoseLib.reading.dicom_files import is_dicom
from FetalPoseLib.reading.dicom_pixels import Decoder
from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.reading.image import Image
from FetalPoseLib.reading.kretz import count_frames, is_kretz, read_kretz
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.read import check_exists, look, named, read
from FetalPoseLib.reading.streams import open_file
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume

SUFFIXES = (
    ".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".vol", ".v00", ".4dv", ".dcm",
)  # fmt: skip
MAX_FRAMES = 100_000
MAX_FPS = 1000.0
SAME_RATE = 0.02  # relative difference of two statements of the volume rate
_NUMBER = re.compile(r"\d+")


@dataclass(eq=False)
class Sequence:
    """Volumes over time; close it, or use it in a ``with`` block.

    Attributes
    ----------
    name : of the file or folder, without its suffix
    count : how many volumes there are
    times : (T,) s from the first volume on, None where they are not known
    doubts : what the files leave open
    load : from the number of a volume, from 0, to it
    """

    name: str
    count: int
    times: np.ndarray | None
    doubts: tuple[Doubt, ...]
    load: Callable[[int], Volume | ProbeVolume]
    end: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return self.count

    def volume(self, frame: int) -> Volume | ProbeVolume:
        """The volume with this number, from 0. FetalPoseError if its voxels are damaged, or in colour."""
        if not 0 <= frame < self.count:
            raise IndexError(f"there are volumes 0 to {self.count - 1}, not {frame}")
        return self.load(frame)

    def close(self) -> None:
        """Let go of files."""
        self.end()

    def __enter__(self) -> Sequence:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_sequence(path: str | Path, *, fps: float | None = None, decode: Decoder | None = None) -> Sequence:
    """Open a NRRD (Slicer's .seq.nrrd), NIfTI or MetaImage (.seq.mha) file with a fourth axis, a DICOM file or folder
    with several volumes, a GE Kretz 4D file, or a folder of numbered volumes.

    Parameters
    ----------
    fps : float, optional
        Volumes a second; without it, the times are those that the file states with their unit, or not known.
    decode : callable, optional
        As for `read.read`.

    Raises
    ------
    FetalPoseError
        There is only one volume; the file or folder is missing, damaged or of another kind; ``fps`` is no volume rate.

    Example
    -------
    >>> with open_sequence("fetus.seq.nrrd", fps=4) as sequence:
    ...     first = sequence.volume(0)
    """
    path = Path(path)
    check_exists(path)
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise FetalPoseError(f"{fps:g} volumes a second is no volume rate. Give a number above 0, such as 4.")
    files = numbered_files(path) if path.is_dir() else []
    if len(files) == 1:
        return open_sequence(files[0], fps=fps, decode=decode)
    if files:
        sequence = _folder(path, files, decode)
    elif path.is_file() and is_kretz(path):
        sequence = _kretz(path)
    else:
        source = look(path)
        if isinstance(source, DicomVolume):
            sequence = _dicom(path, source, decode)
        elif isinstance(source, Image):
            sequence = named(path, lambda: _image(path, source))
        else:
            raise AssertionError(f"a source of another kind: {source}")
    if sequence.count < 2:
        sequence.close()
        raise FetalPoseError(
            f"{shown(path)} holds one volume, not a sequence. Give an output that ends in .mrk.json for its pose, or "
            "choose a file with several volumes, or a folder of numbered ones."
        )
    _set_rate(sequence, fps)
    return sequence


def numbered_files(folder: Path) -> list[Path]:
    """The volumes in a folder that are a sequence by their names, in the order of their numbers; else none.

    Files of one format, the names of which differ in numbers only; a folder of DICOM slices is none.

    Raises
    ------
    FetalPoseError
        Volumes of several sequences lie there, or two have one number.
    """
    files = [path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(SUFFIXES)]
    files = [path for path in files if not path.name.startswith(".")]
    if not files or _is_slice(files[0]):
        return []
    stems = {_NUMBER.sub("#", path.name.lower()) for path in files}
    if len(stems) > 1:
        names = ", ".join(sorted(shown(path.name) for path in files)[:3])
        raise FetalPoseError(
            f"{shown(folder)} holds volumes of several sequences ({names} ...): their names differ in more than their "
            "numbers. Put one sequence in a folder of its own."
        )
    numbers = {path: tuple(int(number) for number in _NUMBER.findall(path.name)) for path in files}
    if len(set(numbers.values())) < len(files):
        raise FetalPoseError(f"Two volumes in {shown(folder)} have the same number. Take one of them out.")
    return sorted(files, key=lambda path: numbers[path])


def _is_slice(path: Path) -> bool:
    """Whether a file belongs to a DICOM series of slices, which is read as a whole."""
    with named(path, lambda: open_file(path)) as file:
        if not is_dicom(file.read(540)):
            return False
    try:
        look(path)
    except FetalPoseError:
        return True
    return False


def _folder(path: Path, files: list[Path], decode: Decoder | None) -> Sequence:
    if len(files) > MAX_FRAMES:
        raise FetalPoseError(f"{shown(path)} holds {len(files)} volumes, more than any sequence ({MAX_FRAMES}).")

    def load(number: int) -> Volume | ProbeVolume:
        file = files[number]
        return read_kretz(file).volume if is_kretz(file) else read(file, decode=decode).volume

    first = files[0]
    doubts = read_kretz(first).doubts if is_kretz(first) else look(first).doubts
    doubts += _gaps(files)
    return Sequence(path.name, len(files), None, doubts, load)


def _gaps(files: list[Path]) -> tuple[Doubt, ...]:
    """A doubt if the last numbers of the names leave some out."""
    last = [int(_NUMBER.findall(path.name)[-1]) if _NUMBER.search(path.name) else 0 for path in files]
    steps = np.diff(last)
    if len(steps) and (steps != steps[0]).any():
        return (Doubt("numbers", f"{last[0]} to {last[-1]} in {len(files)} files"),)
    return ()


def _kretz(path: Path) -> Sequence:
    reading = read_kretz(path, frame=1)
    return Sequence(
        path.name.split(".")[0], count_frames(path), None, reading.doubts,
        lambda number: read_kretz(path, frame=number + 1).volume,
    )  # fmt: skip


def _image(path: Path, image: Image) -> Sequence:
    if image.storage.plain:
        numbers, end = image.storage.mapped(), lambda: None
    else:
        spool = tempfile.TemporaryFile(prefix="fetalpose-")  # noqa: SIM115 (closed with the sequence)
        try:
            numbers, end = image.storage.spooled(spool), spool.close
        except BaseException:
            spool.close()
            raise
    return Sequence(
        path.name.split(".")[0], image.frames, _array(image.times), image.doubts,
        lambda number: named(path, lambda: image.frame_of(numbers, number + 1)), end,
    )  # fmt: skip


def _dicom(path: Path, source: DicomVolume, decode: Decoder | None) -> Sequence:
    name, times = path.name.split(".")[0], _array(source.times)
    if len(source.files) > 1:
        return Sequence(
            name, source.frames, times, source.doubts,
            lambda number: named(path, lambda: source.load(number + 1, decode).volume),
        )  # fmt: skip
    spool = tempfile.TemporaryFile(prefix="fetalpose-")  # noqa: SIM115 (closed with the sequence)
    try:
        pixels = named(path, lambda: source.spooled(decode, spool))
    except BaseException:
        spool.close()
        raise
    return Sequence(
        name, source.frames, times, source.doubts,
        lambda number: named(path, lambda: source.frame_of(number + 1, pixels)), spool.close,
    )  # fmt: skip


def _array(times: tuple[float, ...] | None) -> np.ndarray | None:
    return None if times is None else np.array(times)


def _set_rate(sequence: Sequence, fps: float | None) -> None:
    """Take the person's volume rate; where the file states another, that is a doubt."""
    if fps is None:
        return
    if sequence.times is not None:
        stated = (sequence.count - 1) / sequence.times[-1]
        if not math.isclose(stated, fps, rel_tol=SAME_RATE):
            sequence.doubts += (Doubt("rate", f"{stated:.3g} volumes a second, and {fps:g} were given"),)
    sequence.times = np.arange(sequence.count) / fps
