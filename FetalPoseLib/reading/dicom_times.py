"""When the volumes of a DICOM series were taken.

The standard has several places for it. The first that gives every volume a later time than the one before is taken:
the offset of the temporal position, the distance of temporal positions, the trigger time, the time of acquisition, and
the time of the image's content. Philips counts volumes as frames, and states the time between frames.
"""

import re
from collections.abc import Callable
from typing import Any

from FetalPoseLib.reading.dicom_files import DicomFile, numbers_in
from FetalPoseLib.reading.times import increasing

_CLOCK = re.compile(r"(\d{2})(\d{2})(\d{2}(?:\.\d+)?)")


def times_of_files(files: list[DicomFile]) -> tuple[float, ...] | None:
    """Seconds of volumes, from one file of each; None if they are not stated."""
    ways: tuple[Callable[[Any], float], ...] = (
        lambda data: _number(data, "TemporalPositionTimeOffset"),
        lambda data: (_number(data, "TemporalPositionIdentifier") - 1) * _number(data, "TemporalResolution") / 1e3,
        lambda data: _number(data, "TriggerTime") / 1e3,
        lambda data: _clock(data, "AcquisitionTime"),
        lambda data: _clock(data, "ContentTime"),
    )
    return _first([[way(file.data) for file in files] for way in ways])


def times_of_frames(file: DicomFile, first_frames: list[int], *, philips: bool) -> tuple[float, ...] | None:
    """Seconds of the volumes in one file, from the number of the first frame of each; None if they are not stated."""
    data, groups = file.data, file.data.get("PerFrameFunctionalGroupsSequence")
    if philips:
        step = _number(data, "FrameTime") / 1e3
        return increasing([step * i for i in range(len(first_frames))], len(first_frames))
    if not groups:
        return None
    own = [groups[frame] for frame in first_frames]
    offsets = [_number(_item(group, "TemporalPositionSequence"), "TemporalPositionTimeOffset") for group in own]
    clocks = [_date_clock(_item(group, "FrameContentSequence"), "FrameAcquisitionDateTime") for group in own]
    return _first([offsets, clocks])


def _first(ways: list[list[float]]) -> tuple[float, ...] | None:
    return next((found for times in ways if (found := increasing(times, len(times))) and len(times) > 1), None)


def _item(group: Any, sequence: str) -> Any:
    items = group.get(sequence) or [{}]
    return items[0]


def _number(data: Any, keyword: str) -> float:
    return (numbers_in(data, keyword, 1) or [float("nan")])[0]


def _clock(data: Any, keyword: str) -> float:
    """Seconds of the day of a time such as 101503.25; NaN if there is none."""
    match = _CLOCK.match(str(data.get(keyword, "")))
    return float("nan") if match is None else 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])


def _date_clock(data: Any, keyword: str) -> float:
    """Seconds of the day of a date and time such as 20240101101503.25; NaN if there is none."""
    match = _CLOCK.match(str(data.get(keyword, ""))[8:])
    return float("nan") if match is None else 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
