"""Markups files read in Python, so that MRML's own reader gets nothing but what was checked.

Its reader ends the process for some files. `read_landmarks` takes what a pose needs out of a `.mrk.json` or `.fcsv`
file of anyone: one list with the landmarks' names, in whatever writing, units and order. `plain_markups` is the same
as the `.mrk.json` text that MRML then reads.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError, listed, printable

SUFFIXES = (".mrk.json", ".json", ".fcsv")
MOST_BYTES = 32 * 2**20  # a pose has 20 kB
MOST_POINTS = 1000  # in a list that is looked at; a pose has 16
FARTHEST_MM = 1e5  # from the origin
MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3}
SYSTEMS = {"LPS": "LPS", "RAS": "RAS", "1": "LPS", "0": "RAS"}  # the numbers are those of .fcsv
STATUSES = {"defined": "defined", "missing": "missing", "undefined": "undefined", "preview": "undefined"}
FCSV_STATUSES = {"0": "undefined", "1": "preview", "2": "defined", "3": "missing"}
DESCRIPTION = re.compile(  # what FetalPose writes beside a point; "not seen" stands in earlier files
    r"confidence [01](\.\d{1,6})?(, within \d{1,4}(\.\d{1,6})? mm)?|not visible|not seen", re.ASCII
)
LIST_TYPES = ("Fiducial", "PointList")
PROVENANCE = "provenance"  # name of the measurement that carries the node's attributes
PREFIX = "FetalPose."  # of these attributes
ATTRIBUTE_LENGTH = 20_000  # characters


@dataclass(frozen=True)
class Point:
    """One control point: ``position`` (x, y, z) mm in the file's system, None where it has none."""

    label: str
    position: tuple[float, float, float] | None
    status: str = "defined"
    description: str = ""


@dataclass(frozen=True)
class Landmarks:
    """A point list that holds the landmarks, with the attributes that FetalPose stored in it."""

    system: str
    points: tuple[Point, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()  #: names that the file does not hold; their points have no position


def landmark_name(label: str) -> str:
    """The label as the skeleton writes names: "Left shoulder " is "left_shoulder"."""
    return re.sub(r"[\s_-]+", "_", label.strip().lower()).strip("_")


def problems_of(labels: Sequence[str]) -> str:
    """What keeps these labels from being a pose, as words; empty if nothing does."""
    names, known = [landmark_name(label) for label in labels], load_skeleton().landmarks
    found = {
        "missing": [name for name in known if name not in names],
        "twice": [name for name, count in Counter(names).items() if count > 1],
        "not a landmark": [label for label, name in zip(labels, names, strict=True) if name not in known],
    }
    return "; ".join(f"{what}: {listed(names)}" for what, names in found.items() if names)


def read_landmarks(path: Path, *, complete: bool = False) -> Landmarks:
    """The landmarks in a `.mrk.json` or `.fcsv` file.

    Up to half of the landmarks may be absent, as those that are not visible, unless the list must be ``complete``.
    Another list in the file does not matter, unless it holds landmarks, too.

    Raises
    ------
    FetalPoseError
        The file is too large, cannot be read, or is no markups file; none of its lists or several of them hold the
        landmarks; a name is unknown or stands twice; a position, its units or its system cannot be understood.
    """
    text = _text(path)
    if path.name.lower().endswith(".fcsv"):
        lists = [_list_of_fcsv(text)]
    else:
        lists = _lists_of_json(text, path)
    return _the_pose(lists, path, complete)


def plain_markups(landmarks: Landmarks) -> str:
    """The landmarks as a `.mrk.json` file of nothing but names, positions in mm, and what FetalPose says of each."""
    points = [
        {
            "id": str(number),
            "label": point.label,
            "description": point.description,
            "position": list(point.position or (0.0, 0.0, 0.0)),
            "positionStatus": point.status,
        }
        for number, point in enumerate(landmarks.points, start=1)
    ]
    markups = {
        "type": "Fiducial", "coordinateSystem": landmarks.system, "coordinateUnits": "mm", "controlPoints": points,
    }  # fmt: skip
    return json.dumps({"markups": [markups]}, allow_nan=False)


def provenance_in(text: object) -> dict[str, str]:
    """FetalPose's attributes in the description of the measurement that carries them; none if they cannot be read."""
    try:
        stored = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):  # edited by hand: the points are still good
        stored = {}
    return {
        name: printable(value)
        for name, value in (stored.items() if isinstance(stored, dict) else ())
        if name.startswith(PREFIX) and isinstance(value, str) and len(name) + len(value) < ATTRIBUTE_LENGTH
    }


# the file's text


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise FetalPoseError(f"The pose {path} does not exist. Check its name.")
        if path.stat().st_size > MOST_BYTES:
            raise FetalPoseError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB, too much for a pose. Choose another."
            )
        data = path.read_bytes()
    except OSError as error:
        raise FetalPoseError(f"Cannot read {path}: {error.strerror}. Check its name and your rights.") from error
    except ValueError as error:  # a name with a null character
        raise FetalPoseError(f"There is no file of the name {path!s}.") from error
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise FetalPoseError(f"{path} is no text in UTF-8. Save the pose again in Slicer.") from error


# .mrk.json


def _lists_of_json(text: str, path: Path) -> list[tuple[list, dict]]:
    """The point lists of a file, each as its control points and the rest of it."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FetalPoseError(
            f"{path} is not a markups file: it is no valid JSON. Choose a pose saved by Slicer."
        ) from error
    markups = document.get("markups") if isinstance(document, dict) else None
    if not isinstance(markups, list):
        markups = []
    found = [m for m in markups if isinstance(m, dict) and m.get("type") in LIST_TYPES]
    lists = [(m["controlPoints"], m) for m in found if isinstance(m.get("controlPoints"), list)]
    if not lists:
        raise FetalPoseError(f"{path} is not a markups point list (.mrk.json). Choose a pose saved by Slicer.")
    return lists


def _label(point: object) -> str:
    label = point.get("label") if isinstance(point, dict) else None
    return label if isinstance(label, str) else ""


def _the_pose(lists: list[tuple[list, dict]], path: Path, complete: bool) -> Landmarks:
    known = set(load_skeleton().landmarks)
    counts = [len({landmark_name(_label(p)) for p in points[:MOST_POINTS]} & known) for points, _ in lists]
    best = max(counts)
    if counts.count(best) > 1 and best:
        raise FetalPoseError(
            f"{path} holds {counts.count(best)} lists with {best} landmarks. Save each in its own file."
        )
    points, rest = lists[counts.index(best)]
    problems = problems_of([_label(point) for point in points])
    others = len(points) - best  # not a landmark, or a landmark's second point
    if others or best < len(known) * (1 if complete else 0.5):
        raise FetalPoseError(f"{path}: The markups are not a fetal pose ({problems}). Rename their points.")
    system = SYSTEMS.get(str(rest.get("coordinateSystem", "LPS")).strip().upper())
    if system is None:
        raise FetalPoseError(
            f"{path} is in the coordinate system {listed([rest['coordinateSystem']])}. Give LPS or RAS."
        )
    read = [_point(point, _scale(rest, path), path) for point in points]
    absent = [
        Point(name, None, "undefined") for name in load_skeleton().landmarks if name not in {p.label for p in read}
    ]
    return Landmarks(system, (*read, *absent), _attributes(rest), tuple(point.label for point in absent))


def _scale(rest: dict, path: Path) -> float:
    """Millimetres in the file's unit of length."""
    units = rest.get("coordinateUnits", "mm")
    units = units if isinstance(units, list) else [units]
    codes = {unit.strip().strip("[]{}") if isinstance(unit, str) else "" for unit in units}
    if len(codes) != 1 or not codes <= MM_PER_UNIT.keys():
        raise FetalPoseError(f"{path} has coordinates in {listed(units)}. Give one of {', '.join(MM_PER_UNIT)}.")
    return MM_PER_UNIT[codes.pop()]


def _point(point: dict, scale: float, path: Path) -> Point:
    name = landmark_name(_label(point))
    status = STATUSES.get(str(point.get("positionStatus", "defined")))
    if status is None:
        raise FetalPoseError(f"{path}: the {name} has a positionStatus that is none of {', '.join(STATUSES)}.")
    description = point.get("description")
    if not isinstance(description, str) or not DESCRIPTION.fullmatch(description):
        description = ""
    if status != "defined":
        return Point(name, None, status, description)
    position = point.get("position")
    numbers = position if isinstance(position, list) else []
    if len(numbers) != 3 or not all(_is_coordinate(number, scale) for number in numbers):
        raise FetalPoseError(
            f"{path}: the position of the {name} is {listed([position])}, not three numbers. Place it again in Slicer."
        )
    x, y, z = (scale * number for number in numbers)
    return Point(name, (x, y, z), status, description)


def _is_coordinate(number: object, scale: float) -> bool:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return abs(number) <= FARTHEST_MM / scale and math.isfinite(number)


def _attributes(rest: dict) -> dict[str, str]:
    measurements = rest.get("measurements")
    for measurement in measurements if isinstance(measurements, list) else ():
        if isinstance(measurement, dict) and measurement.get("name") == PROVENANCE:
            return provenance_in(measurement.get("description"))
    return {}


# .fcsv


def _list_of_fcsv(text: str) -> tuple[list, dict]:
    """The control points of Slicer's older format as those of `.mrk.json`, and the rest of it."""
    lines = text.splitlines()
    head = dict(re.findall(r"^#\s*(\w+)\s*=\s*(.*?)\s*$", "\n".join(lines[:20]), re.MULTILINE))
    columns = [name.strip() for name in head.get("columns", "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc").split(",")]
    points = []
    try:
        for row in csv.reader(line for line in lines if line.strip() and not line.startswith("#")):
            values = dict(zip(columns, row, strict=False))
            status = FCSV_STATUSES.get(row[14].strip(), "") if len(row) > 14 else "defined"
            position = [_number(values.get(axis, "")) for axis in "xyz"]
            label, description = values.get("label", ""), values.get("desc", "")
            points.append({"label": label, "position": position, "positionStatus": status, "description": description})
    except csv.Error:
        points = []
    return points, {"coordinateSystem": head.get("CoordinateSystem", "RAS"), "coordinateUnits": "mm"}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
