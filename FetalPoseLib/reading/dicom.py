"""DICOM volumes: a folder with the slices of one series, or a file with many frames."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.dicom_files import DicomFile, images_in, is_image, pydicom_quiet, read_dicom_file
from FetalPoseLib.reading.dicom_frames import is_timed, pixel_spacing, places_of_frames
from FetalPoseLib.reading.dicom_pixels import Decoder, read_pixels, stated_bytes
from FetalPoseLib.reading.dicom_places import check_orientation, stacks, turned, volume_matrix
from FetalPoseLib.reading.dicom_times import times_of_files, times_of_frames
from FetalPoseLib.reading.doubts import Doubt, Reading
from FetalPoseLib.reading.image import check_count, choose_frame
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import NotStatedError, damaged, moving_frames, no_spacing
from FetalPoseLib.reading.streams import check_bytes
from FetalPoseLib.volume.grid import Volume

_NAMED = 3  # files named in a message
_SAME_SPACING = 0.01

#: An image: number of the file, and of the frame in it.
Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class DicomVolume:
    """Headers that were read and checked; the voxels are not read yet.

    Attributes
    ----------
    files : tuple of DicomFile
    volumes : tuple of tuples of Place
        The images of each volume over time, ordered along the slices.
    ijk_to_ras : (4, 4)
    doubts : tuple of Doubt
    times : tuple of float, optional
        Seconds of each volume, where the files state them.
    """

    files: tuple[DicomFile, ...]
    volumes: tuple[tuple[Place, ...], ...]
    ijk_to_ras: np.ndarray
    doubts: tuple[Doubt, ...] = ()
    times: tuple[float, ...] | None = None

    def __post_init__(self):
        check_count(math.prod(self.sizes))

    @property
    def frames(self) -> int:
        """How many volumes over time there are."""
        return len(self.volumes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Voxels along the axes, (nx, ny, nz)."""
        data = self.files[0].data
        return int(data.Columns), int(data.Rows), len(self.volumes[0])

    def load(self, frame: int | None = None, decode: Decoder | None = None) -> Reading:
        """Read the voxels of one volume, which counts from 1 and may be left out if there is one only.

        ``decode`` reads files whose compression pydicom does not know. FetalPoseError as for `read_pixels`.
        """
        with pydicom_quiet():
            return Reading(Volume(self._voxels(frame, decode), self.ijk_to_ras), self.doubts, self.frames)

    def spooled(self, decode: Decoder | None, file: BinaryIO) -> np.ndarray:
        """The images (frames, rows, columns) of a single file, written into an empty file and read from there."""
        with pydicom_quiet():
            pixels = read_pixels(self.files[0], decode)
        file.write(np.ascontiguousarray(pixels).tobytes())
        file.flush()
        return np.memmap(file, pixels.dtype, "r", 0, pixels.shape)

    def frame_of(self, frame: int, pixels: np.ndarray) -> Volume:
        """One volume, from 1, out of the images of a single file."""
        return Volume(self._voxels(frame, None, lambda file: pixels), self.ijk_to_ras)

    def _voxels(
        self, frame: int | None, decode: Decoder | None, read: Callable[[int], np.ndarray] | None = None
    ) -> np.ndarray:
        images = self.volumes[choose_frame(frame, self.frames) - 1]
        array: np.ndarray | None = None
        pixels, at = np.empty(0), -1
        for index, (file, number) in enumerate(images):
            if at != file:
                pixels, at = read_pixels(self.files[file], decode) if read is None else read(file), file
            if array is None:
                array = np.empty((len(images), *pixels.shape[1:]), pixels.dtype)
            if not 0 <= number < len(pixels):
                raise damaged(f"its voxels hold {len(pixels)} frames, fewer than it states")
            array = array.astype(np.result_type(array, pixels), copy=False)
            array[index] = pixels[number]
        assert array is not None
        return array


def open_dicom(path: Path) -> DicomVolume:
    """The headers of a DICOM file, or of the series in a folder; the voxels are not read.

    Raises
    ------
    FetalPoseError
        There is no image, or several series; slices are missing; or the spacing is not stated.
    """
    with pydicom_quiet():
        return _opened(path)


def _opened(path: Path) -> DicomVolume:
    files = images_in(path) if path.is_dir() else [read_dicom_file(path)]
    if not is_image(files[0]):
        raise FetalPoseError(
            "It is a DICOM file without an image (a directory or a report). Choose the folder of the series."
        )
    files = _of_one_series(files)
    check_bytes(sum(map(stated_bytes, files)))
    many = [file for file in files if file.frames > 1 or _is_philips(file)]
    if many:
        if len(many) > 1:
            raise FetalPoseError(
                f"It holds {len(many)} files with many frames each ({_names(many)}). Choose one of them."
            )
        places = places_of_frames(many[0])
        volumes = tuple(tuple((0, i) for i in volume) for volume in places.volumes)
        times = times_of_frames(many[0], [volume[0][1] for volume in volumes], philips=_is_philips(many[0]))
        return DicomVolume((_stacked(many[0]),), volumes, places.ijk_to_ras, places.doubts, times)
    if len(files) == 1:
        raise FetalPoseError(
            "It is 2D: one image, or one slice of a series. Choose the folder that holds the whole series."
        )
    return _slices(_without_copies(files))


def _slices(files: list[DicomFile]) -> DicomVolume:
    sizes = Counter((file.data.Rows, file.data.Columns) for file in files)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        odd = [file for file in files if (file.data.Rows, file.data.Columns) != usual]
        raise FetalPoseError(
            f"{len(odd)} of its {len(files)} images have another size ({_names(odd)}: {odd[0].data.Rows} rows x "
            f"{odd[0].data.Columns} columns, the others {usual[0]} x {usual[1]}). Take out what is not of the volume."
        )
    spacing = _common_spacing(files)
    positions = [file.numbers("ImagePositionPatient", 3) for file in files]
    orientations = [file.numbers("ImageOrientationPatient", 6) for file in files]
    if all(position is None for position in positions):
        return _slices_in_order(files, spacing)
    if any(place is None for place in (*positions, *orientations)):
        odd = [f for f, p, o in zip(files, positions, orientations, strict=True) if p is None or o is None]
        raise NotStatedError(
            f"{len(odd)} of its {len(files)} images do not state their position and orientation ({_names(odd)}). Take "
            "out what is not of the volume, or export it again."
        )
    directions = np.array([check_orientation(orientation) for orientation in orientations if orientation])
    odd = [file for file, is_odd in zip(files, turned(directions), strict=True) if is_odd]
    if odd:
        raise FetalPoseError(
            f"{len(odd)} of its {len(files)} images have another orientation than the others ({_names(odd)}), such as "
            "a localizer. Take them out of the folder."
        )
    order = sorted(range(len(files)), key=lambda i: (_number(files[i], "TemporalPositionIdentifier"),
                                                     _number(files[i], "InstanceNumber"), i))  # fmt: skip
    points = np.array([positions[i] for i in order])
    volumes = [[order[i] for i in volume] for volume in stacks(points, directions[0].tolist())]
    points = np.array([positions[i] for i in volumes[0]])
    matrix, doubts = volume_matrix(points, directions[0].tolist(), spacing)
    places = tuple(tuple((i, 0) for i in volume) for volume in volumes)
    times = times_of_files([files[volume[0]] for volume in volumes])
    return DicomVolume(tuple(files), places, matrix, doubts + _incomplete(files, len(volumes)), times)


def _slices_in_order(files: list[DicomFile], spacing: list[float]) -> DicomVolume:
    """Images without positions: in the order of their numbers, at the stated distance."""
    numbers = [_number(file, "InstanceNumber") for file in files]
    between = [file.numbers("SpacingBetweenSlices", 1) for file in files]
    if any(value is None for value in between):
        if any(is_timed(file.data) for file in files):
            raise moving_frames(len(files))
        raise no_spacing("position of its images (ImagePositionPatient), nor the distance between them")
    if len(set(numbers)) < len(files) or max(numbers) - min(numbers) != len(files) - 1:
        raise NotStatedError(
            "Its images state neither their positions nor numbers without gaps, so their order is not known. Export "
            "the whole series again."
        )
    order = sorted(range(len(files)), key=lambda i: numbers[i])
    step = between[0][0] if between[0] else 0.0
    points = np.outer(np.arange(len(files)), [0, 0, 1.0]) * step
    if step <= 0:
        raise no_spacing("distance between its images")
    matrix, doubts = volume_matrix(points, [1, 0, 0, 0, 1, 0], spacing)
    doubts += (Doubt("orientation", "left, posterior and, in the order of the images' numbers, superior"),)
    return DicomVolume(tuple(files), (tuple((i, 0) for i in order),), matrix, doubts)


def _common_spacing(files: list[DicomFile]) -> list[float]:
    spacings = [pixel_spacing(file.data) for file in files]
    missing = [file for file, spacing in zip(files, spacings, strict=True) if spacing is None]
    if missing:
        raise no_spacing(f"spacing of the pixels (PixelSpacing) of {len(missing)} of its {len(files)} images")
    stated = np.array(spacings)
    if np.ptp(stated, axis=0).max() > _SAME_SPACING * abs(stated).max():
        raise NotStatedError("Its images state pixels of several sizes, so they are not the slices of one volume.")
    return stated[0].tolist()


def _of_one_series(files: list[DicomFile]) -> list[DicomFile]:
    series = Counter(str(file.data.get("SeriesInstanceUID", "")) for file in files)
    if len(series) > 1:
        counts = ", ".join(str(count) for _, count in series.most_common(_NAMED))
        examples = [
            next(f for f in files if str(f.data.get("SeriesInstanceUID", "")) == uid) for uid, _ in series.most_common()
        ]
        raise FetalPoseError(
            f"It holds {len(series)} DICOM series (of {counts} images; {_names(examples)} belong to different ones). "
            "Put the one to read in a folder of its own."
        )
    return files


def _without_copies(files: list[DicomFile]) -> list[DicomFile]:
    """Without the few files that are copies of others. Where all are, they may be frames in which nothing moved."""
    kept: dict[str, DicomFile] = {}
    out = []
    for file in files:
        uid = str(file.data.get("SOPInstanceUID", ""))
        other = kept.setdefault(uid, file)
        if other is file or not uid or not _same_image(other, file):
            out.append(file)
    return out if 2 * len(out) > len(files) + 1 else files


def _same_image(one: DicomFile, other: DicomFile) -> bool:
    pixels = [read_dicom_file(file.path, voxels=True).data.get("PixelData") for file in (one, other)]
    return pixels[0] == pixels[1] and one.data.get("ImagePositionPatient") == other.data.get("ImagePositionPatient")


def _stacked(file: DicomFile) -> DicomFile:
    """QLAB counts volumes as frames; here every slice is one."""
    if not _is_philips(file) or (0x3001, 0x1001) not in file.data:
        return file
    file.data.NumberOfFrames = file.frames * int(file.data[0x3001, 0x1001].value)
    stated_bytes(file)
    return file


def _is_philips(file: DicomFile) -> bool:
    return (0x3001, 0x1003) in file.data


def _incomplete(files: list[DicomFile], volumes: int) -> tuple[Doubt, ...]:
    stated = files[0].numbers("ImagesInAcquisition", 1)
    if stated is not None and volumes == 1 and stated[0] > len(files):
        return (Doubt("incomplete", f"{int(stated[0])} images and holds {len(files)}"),)
    return ()


def _number(file: DicomFile, keyword: str) -> float:
    return (file.numbers(keyword, 1) or [0.0])[0]


def _names(files: list[DicomFile]) -> str:
    names = ", ".join(shown(file.path.name) for file in files[:_NAMED])
    return names + (" and others" if len(files) > _NAMED else "")
