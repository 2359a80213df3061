"""Which format a file has, by its contents, and what it holds. GE Kretz files are read by `kretz`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.dicom import DicomVolume, open_dicom
from FetalPoseLib.reading.dicom_files import is_dicom, read_dicom_file
from FetalPoseLib.reading.dicom_frames import pixel_spacing
from FetalPoseLib.reading.dicom_pixels import Decoder
from FetalPoseLib.reading.doubts import Doubt, Reading
from FetalPoseLib.reading.foreign import check_not_foreign, how_to_export
from FetalPoseLib.reading.kretz_wrappers import is_kretz
from FetalPoseLib.reading.metaimage import is_metaimage, open_metaimage
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.nifti import is_nifti, open_nifti
from FetalPoseLib.reading.nrrd import is_nrrd, open_nrrd
from FetalPoseLib.reading.refusals import NotStatedError, no_spacing
from FetalPoseLib.reading.streams import GZIP, cannot_open, open_file, read_head

_SNIFF = 540  # bytes, the longest header that is recognized by its size
_NO_SPACING = "a picture format, which states no voxel spacing in mm"
#: How files of other formats start, and what they are.
_OTHERS = (
    (re.compile(rb"version https://git-lfs"), "a placeholder of Git LFS, not the volume. Run 'git lfs pull'"),
    (
        re.compile(rb"\s*<(!doctype|html)", re.I),
        "a web page, not the volume. Download it again, after signing in if needed",
    ),
    (re.compile(rb"PK\x03\x04"), "a zip. Unpack it, and choose the file or folder in it"),
    (re.compile(rb"(II\*\0|MM\0\*|II\+\0|MM\0\+)"), f"a TIFF, {_NO_SPACING}"),
    (re.compile(rb"(\x89PNG|\xff\xd8\xff|BM|GIF8)"), f"{_NO_SPACING}"),
    (re.compile(rb"(....ftyp|RIFF|\x1aE\xdf\xa3)", re.S), "a film, not a volume"),
    (re.compile(rb"\x93NUMPY"), "a NumPy array, which states no voxel spacing"),
    (re.compile(rb"# vtk DataFile"), "a VTK file. Load it in Slicer, check its spacing, and save it as NRRD"),
    (re.compile(rb"\{"), "a JSON file, such as markups. Choose the volume"),
)

_Result = TypeVar("_Result")


class Source(Protocol):
    """Headers that were read and checked; the voxels are not read yet."""

    @property
    def ijk_to_ras(self) -> np.ndarray: ...

    @property
    def doubts(self) -> tuple[Doubt, ...]: ...

    @property
    def sizes(self) -> tuple[int, ...]: ...

    @property
    def frames(self) -> int: ...


def look(path: str | Path) -> Source:
    """What the headers of a NRRD, NIfTI, MetaImage or DICOM file, or of a folder with one DICOM series, state.

    Raises
    ------
    FetalPoseError
        It is none, may not be read, is damaged, or does not state what every length and side depends on
        (`NotStatedError`). The message starts with the file's name.
    """
    path = Path(path)
    return named(path, lambda: _opener(path)(path))


def read(path: str | Path, *, frame: int | None = None, decode: Decoder | None = None) -> Reading:
    """The volume in a file or folder, see `look`.

    Parameters
    ----------
    frame : int, optional
        Which of the volumes over time, from 1. It may be left out if there is one only.
    decode : callable, optional
        Decodes the images of a DICOM file whose compression pydicom does not know.

    Raises
    ------
    FetalPoseError
        As for `look`; the voxels are damaged or in colour; or there are several frames and none was chosen.

    Example
    -------
    >>> reading = read("volume.nrrd")
    >>> reading.volume.grid.spacing  # (3,) mm
    """
    path, source = Path(path), look(path)
    if isinstance(source, DicomVolume):
        return named(path, lambda: source.load(frame, decode))
    return named(path, lambda: source.load(frame))  # type: ignore[attr-defined]


def named(path: Path, act: Callable[[], _Result]) -> _Result:
    """What ``act`` returns; its FetalPoseError, and the system's complaints, get the file's name."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused
            return act()
    except FetalPoseError as error:
        raise type(error)(f"{shown(path)} cannot be read as a volume. {error}") from error
    except (OSError, EOFError, ValueError) as error:
        raise FetalPoseError(f"{shown(path)} cannot be read as a volume. {cannot_open(error)}") from error  # type: ignore


@dataclass(frozen=True)
class Stated:
    """What is known of a file that another program has read.

    Attributes
    ----------
    doubts : tuple of Doubt
        What it leaves open; empty where `reading` does not read it.
    refusal : str, optional
        Why the other program's spacing or sides must not be used: the file does not state them. None where it does,
        or where `reading` does not read it.
    """

    doubts: tuple[Doubt, ...] = ()
    refusal: str | None = None


def look_all(paths: Sequence[Path]) -> Stated:
    """What the file or the DICOM series that another program has read states, without its voxels.

    Of a series, only its spacing is looked at. A file of a format that `reading` does not know, or one that was damaged
    or taken away since, states nothing.
    """
    try:
        return Stated(_doubts(paths))
    except NotStatedError as error:
        return Stated(refusal=str(error))
    except FetalPoseError:
        return Stated()


def _doubts(paths: Sequence[Path]) -> tuple[Doubt, ...]:
    if len(paths) == 1:
        return () if is_kretz(paths[0]) else look(paths[0]).doubts
    for index in {0, len(paths) // 2, len(paths) - 1} if paths else ():
        named(paths[index], partial(_check_pixel_spacing, paths[index]))
    return ()


def _check_pixel_spacing(path: Path) -> None:
    """Raise NotStatedError if the file is a DICOM image that does not state how large its pixels are."""
    with open_file(path) as file:
        if not is_dicom(file.read(_SNIFF)):
            return
    if pixel_spacing(read_dicom_file(path).data) is None:
        raise no_spacing("spacing of its pixels (PixelSpacing)")


def check_exists(path: Path) -> None:
    """Raise FetalPoseError if there is nothing of this name, it may not be looked at, or its name is no text."""
    try:
        path.name.encode("utf-8")
    except UnicodeEncodeError:
        raise FetalPoseError(f"The name {shown(path)} holds bytes that are no UTF-8. Rename it.") from None
    try:
        path.stat()
    except FileNotFoundError:
        raise FetalPoseError(f"The volume {shown(path)} does not exist. Check its name.") from None
    except (OSError, ValueError) as error:
        raise FetalPoseError(f"{shown(path)} cannot be read as a volume. {cannot_open(error)}") from error


def _opener(path: Path) -> Callable[[Path], Source]:
    check_not_foreign(path)
    if path.is_dir():
        return open_dicom
    with open_file(path) as file:
        head = file.read(_SNIFF)
        file.seek(0)
        inner = read_head(file, _SNIFF) if head.startswith(GZIP) else head
    name = path.name.lower()
    if is_nrrd(head):
        return open_nrrd
    if is_nifti(inner) or name.endswith((".img", ".img.gz")):
        return open_nifti
    if is_dicom(head):
        return open_dicom
    if is_metaimage(head):
        return open_metaimage
    if inner is not head and (is_nrrd(inner) or is_metaimage(inner) or is_dicom(inner)):
        raise FetalPoseError("It is compressed as a whole. Unpack it (gunzip), and choose what was in it.")
    raise FetalPoseError(_what_it_is(head, name))


def _what_it_is(head: bytes, name: str) -> str:
    for pattern, what in _OTHERS:
        if pattern.match(head):
            return f"It is {what}. FetalPose reads NRRD, NIfTI, MetaImage, GE Kretz and DICOM. {how_to_export()}"
    if name.endswith((".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".dcm", ".hdr")):
        return f"It is damaged: it does not start as {Path(name).suffix[1:]} files do. Copy or export it again."
    return f"It is of another format. FetalPose reads NRRD, NIfTI, MetaImage, GE Kretz and DICOM. {how_to_export()}"
