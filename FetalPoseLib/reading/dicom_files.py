"""DICOM files: which ones are in a folder, and what a file states. Voxels are read later, by `dicom_pixels`."""

import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import damaged
from FetalPoseLib.reading.streams import MAX_BYTES, cannot_open, inflated, open_file, take_at_most

MAX_FILES = 100_000  # of a folder with its subfolders
_SNIFF = 132
_DEFER_BYTES = 1 << 16  # larger values stay in the file until they are asked for
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_VRS = {b"UL", b"UI", b"OB", b"SH", b"CS", b"LO", b"DA", b"TM", b"US"}
#: SOP classes, or the start of them, of objects that accompany images: directories, reports, presentation states,
#: waveforms, encapsulated documents, plans and raw data.
_NO_IMAGES = (
    "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.9.",
    "1.2.840.10008.5.1.4.1.1.104.", "1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.481.",
)  # fmt: skip
_VOLUMES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".vol", ".v00", ".4dv")
_NO_IMAGE_MODALITIES = {"SR", "PR", "KO", "DOC", "PLAN", "REG", "SEG", "RTSTRUCT", "AU", "ECG"}


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One image file.

    Attributes
    ----------
    path : Path
    data : pydicom.Dataset
        Without its voxels.
    """

    path: Path
    data: Any

    def numbers(self, keyword: str, count: int) -> list[float] | None:
        """So many finite numbers of an element, or None if it is absent or has others."""
        return numbers_in(self.data, keyword, count)

    @property
    def frames(self) -> int:
        """How many images the file holds."""
        return max(int(self.data.get("NumberOfFrames", 1) or 1), 1)


@contextmanager
def pydicom_quiet() -> Iterator[None]:
    """Turn what pydicom raises at the first look at a damaged value into FetalPoseError, and drop its warnings.

    Both may quote the patient's data.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (FetalPoseError, OSError, MemoryError):
        raise
    except Exception:  # a damaged file ends in any of a dozen of pydicom's and Python's
        raise FetalPoseError("It is damaged: a DICOM element cannot be read. Export it again.") from None


def is_dicom(head: bytes) -> bool:
    """Whether a file that starts like this is a DICOM file; older ones have no preamble."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8 or head[:2] not in (b"\x08\x00", b"\x02\x00"):
        return False
    length = struct.unpack_from("<I", head, 4)[0]
    return head[4:6] in _VRS or 0 < length <= 64


def read_dicom_file(path: Path, *, voxels: bool = False) -> DicomFile:
    """What a DICOM file states; with its ``voxels`` as they are stored, if wanted.

    Raises
    ------
    FetalPoseError
        It may not be read, or is damaged.
    """
    from pydicom import dcmread  # here, because other formats do not need it

    with open_file(path) as file:
        head = file.read(2048)
        source: Any = path
        if _DEFLATED in head and head[128:132] == b"DICM":
            file.seek(144 + struct.unpack_from("<I", head, 140)[0])
            source = BytesIO(take_at_most(inflated(file, "deflate"), MAX_BYTES))
    options: dict[str, Any] = {} if voxels else {"stop_before_pixels": True}
    if not voxels and not isinstance(source, BytesIO):
        options["defer_size"] = _DEFER_BYTES
    with pydicom_quiet():
        return DicomFile(path, dcmread(source, force=True, **options))


def images_in(folder: Path) -> list[DicomFile]:
    """The DICOM images of a folder and its subfolders, by name. Directories, reports and other files are passed over.

    Raises
    ------
    FetalPoseError
        A folder or file may not be read, or there are no images.
    """
    images, others = [], 0
    for path in files_in(folder):
        with open_file_named(path) as file:
            if not is_dicom(file.read(_SNIFF)):
                continue
        image = read_dicom_file(path)
        if is_image(image):
            images.append(image)
        else:
            others += 1
    if not images:
        volumes = [path.name for path in files_in(folder) if path.name.lower().endswith(_VOLUMES)]
        if volumes:
            raise FetalPoseError(f"It holds no DICOM images but volume files ({listed(volumes)}). Choose one of them.")
        also = f" ({others} DICOM objects without images)" if others else ""
        raise FetalPoseError(f"It holds no DICOM images{also}. Choose a folder with one DICOM series.")
    return images


def open_file_named(path: Path):
    """As `open_file`, with the file's name in the message."""
    try:
        return open_file(path)
    except FetalPoseError as error:
        raise FetalPoseError(f"Of its file {shown(path.name)}: {error}") from error


def is_image(file: DicomFile) -> bool:
    """Whether a DICOM object is an image."""
    kind = str(
        file.data.get("SOPClassUID", "") or getattr(file.data, "file_meta", {}).get("MediaStorageSOPClassUID", "")
    )
    if kind.startswith(_NO_IMAGES) or str(file.data.get("Modality", "")) in _NO_IMAGE_MODALITIES:
        return False
    return "Rows" in file.data and "Columns" in file.data


def numbers_in(data: Any, keyword: str, count: int) -> list[float] | None:
    """So many finite numbers of an element of a data set, or None if it is absent or has others."""
    try:
        value = data.get(keyword)
        values = [float(part) for part in (value if count > 1 else [value])]
    except (TypeError, ValueError, OverflowError):
        return None
    except Exception:  # pydicom reads values late, and damaged ones end in its own exceptions
        raise damaged(f"its DICOM element {keyword} cannot be read") from None
    return values if len(values) == count and all(abs(number) < 1e9 for number in values) else None


def first_number(data: Any, keyword: str) -> float | None:
    """The one finite number of an element of a data set, or None."""
    numbers = numbers_in(data, keyword, 1)
    return numbers[0] if numbers else None


def files_in(folder: Path) -> list[Path]:
    """Regular files that are not empty; hidden ones, which systems leave, are passed over."""

    def refused(error: OSError):
        raise FetalPoseError(cannot_open(error).replace("It does", "A folder in it does")) from error

    found = []
    for root, folders, names in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if name.startswith(".") or not _is_regular(path):
                continue
            found.append(path)
            if len(found) > MAX_FILES:
                raise FetalPoseError(f"It holds more than {MAX_FILES} files. Choose the folder of one DICOM series.")
    return found


def _is_regular(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:  # a link to nowhere
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0
