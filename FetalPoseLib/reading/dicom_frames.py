"""Where the frames of one multi-frame DICOM file lie: Enhanced objects, ultrasound, Philips' own.

A spacing comes from where the standard puts it: functional groups, PixelSpacing, SpacingBetweenSlices, or the
ultrasound region if it covers the whole image. None is guessed. Frames that the header calls frames over time are no
slices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.dicom_files import DicomFile, first_number, numbers_in
from FetalPoseLib.reading.dicom_places import check_orientation, stacks, turned, volume_matrix
from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.reading.image import LPS_TO_RAS, check_spacing, matrix_of
from FetalPoseLib.reading.refusals import NotStatedError, damaged, moving_frames, no_spacing

_PHILIPS_QLAB = "1.2.840.113543.6.6.1.3.10002"  # private SOP class of QLAB's Cartesian export
_QLAB_SLICES, _QLAB_STEP_CM = (0x3001, 0x1001), (0x3001, 0x1003)
_AFFINITI = (0x200D, "Philips US Imaging DD 036", 0x03)  # group, creator, element: three spacings in mm
_CENTIMETRES = 3  # PhysicalUnits
_TIME = {(0x0018, 0x1063), (0x0018, 0x1065), (0x0018, 0x1242), (0x0018, 0x106A), (0x0018, 0x1060), (0x0008, 0x002A)}
_TIMED = ("FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate", "ActualFrameDuration")
_BORDER = 2  # pixels that a region may leave out
_REMEDY = "Export the volume as Enhanced US Volume, or as NRRD from the maker's program."
_TISSUE = "TISSUE_INTENSITY"


@dataclass(frozen=True, eq=False)
class Places:
    """Where frames lie.

    Attributes
    ----------
    volumes : list of lists
        Numbers of the frames (from 0) of each volume over time, ordered along the slices.
    ijk_to_ras : (4, 4)
    doubts : tuple of Doubt
    """

    volumes: list[list[int]]
    ijk_to_ras: np.ndarray
    doubts: tuple[Doubt, ...]


def places_of_frames(file: DicomFile) -> Places:
    """Where the frames of a multi-frame file lie.

    Raises
    ------
    FetalPoseError
        The file does not state it, or its frames are no slices.
    """
    if file.data.get("PerFrameFunctionalGroupsSequence"):
        return _enhanced(file)
    return _philips(file) or _plain(file)


def pixel_spacing(data: Any) -> list[float] | None:
    """(between columns, between rows) mm of an image; None if it states neither PixelSpacing nor a region of it all."""
    stated = numbers_in(data, "PixelSpacing", 2)
    if stated is not None:
        return [stated[1], stated[0]]
    regions = data.get("SequenceOfUltrasoundRegions") or []
    for region in regions:
        corners = [numbers_in(region, f"RegionLocation{name}", 1) for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        units = [region.get(f"PhysicalUnits{axis}Direction") for axis in "XY"]
        deltas = [numbers_in(region, f"PhysicalDelta{axis}", 1) for axis in "XY"]
        if None in corners or None in deltas or units != [_CENTIMETRES] * 2:
            continue
        left, top, right, bottom = (corner[0] for corner in corners if corner)
        whole = max(left, top, data.Columns - 1 - right, data.Rows - 1 - bottom) <= _BORDER
        if whole and len(regions) == 1:
            return [abs(delta[0]) * 10 for delta in deltas if delta]
    return None


def is_timed(data: Any) -> bool:
    """Whether the header says how fast its frames follow each other."""
    return any(data.get(name) not in (None, "", 0) for name in _TIMED)


def _plain(file: DicomFile) -> Places:
    data = file.data
    pointer = data.get("FrameIncrementPointer")
    pointers = [pointer] if isinstance(pointer, int) else list(pointer or [])
    between = numbers_in(data, "SpacingBetweenSlices", 1)
    over_time = any((int(tag) >> 16, int(tag) & 0xFFFF) in _TIME for tag in pointers)
    if over_time or (between is None and is_timed(data)):
        raise moving_frames(file.frames)
    spacing = pixel_spacing(data)
    if spacing is None:
        raise no_spacing("spacing of its pixels (PixelSpacing)", _REMEDY)
    if between is None:
        raise no_spacing("distance between its frames (SpacingBetweenSlices)", _REMEDY)
    orientation, origin = file.numbers("ImageOrientationPatient", 6), file.numbers("ImagePositionPatient", 3)
    doubts: tuple[Doubt, ...] = ()
    if orientation is None or origin is None:
        doubts = (Doubt("orientation", "left, posterior and superior, as Slicer takes them"),)
    directions = check_orientation(orientation or [1, 0, 0, 0, 1, 0])
    normal = np.cross(directions[:3], directions[3:])
    positions = np.array(origin or [0, 0, 0]) + np.outer(np.arange(file.frames), normal * between[0])
    if between[0] <= 0:
        check_spacing([*spacing, between[0]])
    matrix, more = volume_matrix(positions, directions.tolist(), spacing)
    return Places([list(range(file.frames))], matrix, more + doubts)


def _philips(file: DicomFile) -> Places | None:
    """QLAB's and the Affiniti's volumes, whose spacing stands in private elements, as SlicerHeart reads them."""
    data = file.data
    doubt = Doubt("orientation", "left, posterior and superior, as SlicerHeart takes them")
    if data.get("SOPClassUID") == _PHILIPS_QLAB or _QLAB_STEP_CM in data:
        try:
            slices, step = int(data[_QLAB_SLICES].value), float(data[_QLAB_STEP_CM].value) * 10
            spacing = [float(data.PhysicalDeltaX) * 10, float(data.PhysicalDeltaY) * 10, step]
        except Exception:  # absent, or no number
            raise no_spacing("spacing in Philips' private elements", _REMEDY) from None
        if not 1 < slices < 2**16:
            raise damaged(f"it states {slices} slices")
        volumes = [list(range(i * slices, (i + 1) * slices)) for i in range(file.frames)]
    else:
        stated = _private(data, *_AFFINITI)
        if stated is None:
            return None
        spacing = [float(value) for value in stated]
        volumes = [list(range(file.frames))]
    if len(spacing) != 3:
        raise no_spacing("spacing in Philips' private elements", _REMEDY)
    doubts = check_spacing(spacing)
    return Places(volumes, matrix_of(LPS_TO_RAS * np.array(spacing), np.zeros(3)), (*doubts, doubt))


def _private(data: Any, group: int, creator: str, element: int) -> Sequence | None:
    """The values of a private element; None if its creator has not reserved it."""
    for block in range(0x10, 0x100):
        owner = data.get((group, block))
        if owner is not None and str(owner.value).strip(" \0") == creator:
            value = data.get((group, block << 8 | element))
            if value is None:
                return None
            text = value.value
            text = text.decode("ascii", "replace").strip(" \0").split("\\") if isinstance(text, bytes) else text
            try:
                return [float(part) for part in text]
            except (TypeError, ValueError):
                return None
    return None


def _enhanced(file: DicomFile) -> Places:
    data = file.data
    frames = list(data.PerFrameFunctionalGroupsSequence)
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    if len(frames) != file.frames:
        raise damaged(f"it describes {len(frames)} of its {file.frames} frames")
    groups = [_Group(frame, shared) for frame in frames]
    kept = [i for i, group in enumerate(groups) if group.data_type in (None, _TISSUE)]
    if not kept:
        raise FetalPoseError("It holds no tissue intensities (Doppler or elastography). Export the B-mode volume.")
    groups = [groups[i] for i in kept]
    found = [group.place() for group in groups]
    spacings, orientations, positions = ([place[i] for place in found] for i in range(3))
    outer = pixel_spacing(data)
    stated = [spacing or outer for spacing in spacings]
    spacing = stated[0]
    if spacing is None or None in stated:
        raise no_spacing("spacing of its pixels (PixelSpacing in its functional groups)", _REMEDY)
    if np.abs(np.array(stated, dtype=np.float64) - spacing).max() > 0.01 * max(spacing):
        raise NotStatedError("Its frames have pixels of several sizes, so they are not the slices of one volume.")
    if all(position is None for position in positions):
        return _even_groups(file, groups, spacing, kept)
    doubts: tuple[Doubt, ...] = ()
    turns = [orientation for orientation in orientations if orientation is not None]
    if not turns:
        turns = [[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]] * len(groups)
        doubts = (Doubt("orientation", "left, posterior and superior, as Slicer takes them"),)
    if None in positions or len(turns) < len(groups):
        raise no_spacing("position and orientation of every frame", _REMEDY)
    directions = np.array([check_orientation(turn) for turn in turns])
    if turned(directions).any():
        raise moving_frames(len(groups))
    points = np.array(positions)
    times = [group.time for group in groups]
    order = sorted(range(len(groups)), key=lambda i: (times[i], i))
    volumes = [[order[i] for i in volume] for volume in stacks(points[order], directions[0].tolist())]
    matrix, more = volume_matrix(points[volumes[0]], directions[0].tolist(), spacing)
    return Places([[kept[i] for i in volume] for volume in volumes], matrix, more + doubts)


def _even_groups(file: DicomFile, groups: list["_Group"], spacing: list[float], kept: list[int]) -> Places:
    """Frames without positions: they follow each other at the stated distance."""
    between = groups[0].between or first_number(file.data, "SpacingBetweenSlices")
    if len({group.time for group in groups}) > 1 or (between is None and is_timed(file.data)):
        raise moving_frames(len(groups))
    if between is None:
        raise no_spacing("distance between its frames (SpacingBetweenSlices)", _REMEDY)
    doubts = check_spacing([*spacing, between])
    matrix = matrix_of(LPS_TO_RAS * np.array([*spacing, between]), np.zeros(3))
    return Places([kept], matrix, (*doubts, Doubt("orientation", "left, posterior and superior, as Slicer takes them")))


class _Group:
    """The functional groups of one frame: its own, and those that all frames share."""

    def __init__(self, own: Any, shared: Any):
        self.own, self.shared = own, shared

    def item(self, name: str) -> Any:
        for source in (self.own, self.shared):
            items = source.get(name) if source is not None else None
            if items:
                return items[0]
        return None

    def values(self, sequence: str, keyword: str, count: int) -> list[float] | None:
        item = self.item(sequence)
        return None if item is None else numbers_in(item, keyword, count)

    def place(self) -> tuple[list[float] | None, list[float] | None, list[float] | None]:
        """Spacing (between columns, between rows), orientation (6,), position (3,), in LPS mm; None where absent."""
        spacing = self.values("PixelMeasuresSequence", "PixelSpacing", 2)
        position = self.values("PlanePositionVolumeSequence", "ImagePositionVolume", 3)
        orientation = self.values("PlaneOrientationVolumeSequence", "ImageOrientationVolume", 6)
        if position is None:
            position = self.values("PlanePositionSequence", "ImagePositionPatient", 3)
            orientation = self.values("PlaneOrientationSequence", "ImageOrientationPatient", 6)
        return spacing and spacing[::-1], orientation, position

    @property
    def between(self) -> float | None:
        measures = self.item("PixelMeasuresSequence")
        return None if measures is None else first_number(measures, "SpacingBetweenSlices")

    @property
    def time(self) -> float:
        for sequence, keyword in (
            ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
            ("FrameContentSequence", "TemporalPositionIndex"),
        ):
            value = self.values(sequence, keyword, 1)
            if value is not None:
                return value[0]
        return 0.0

    @property
    def data_type(self) -> str | None:
        item = self.item("ImageDataTypeSequence")
        return None if item is None else str(item.get("DataType", _TISSUE))
