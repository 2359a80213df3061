"""NRRD headers (.nrrd, .nhdr): lines ``field: value`` and ``key:=value`` up to an empty one; then come the voxels.

Source: the NRRD format's definition (teem). Names of fields are read in any case, with or without spaces.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading import text_header as text
from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.reading.image import (
    LPS_TO_RAS,
    SAME,
    Axis,
    Image,
    Role,
    check_spacing,
    matrix_of,
    unstated_unit_doubt,
)
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import NotStatedError, damaged, moving_frames, no_spacing
from FetalPoseLib.reading.streams import check_bytes, open_file
from FetalPoseLib.reading.times import increasing, seconds
from FetalPoseLib.reading.units import millimetres
from FetalPoseLib.reading.voxels import Storage

TYPES = {
    "signedchar": "i1", "int8": "i1", "int8_t": "i1", "uchar": "u1", "unsignedchar": "u1", "uint8": "u1",
    "uint8_t": "u1",
    "short": "i2", "shortint": "i2", "signedshort": "i2", "signedshortint": "i2", "int16": "i2", "int16_t": "i2",
    "ushort": "u2", "unsignedshort": "u2", "unsignedshortint": "u2", "uint16": "u2", "uint16_t": "u2",
    "int": "i4", "signedint": "i4", "int32": "i4", "int32_t": "i4",
    "uint": "u4", "unsignedint": "u4", "uint32": "u4", "uint32_t": "u4",
    "longlong": "i8", "longlongint": "i8", "signedlonglong": "i8", "signedlonglongint": "i8", "int64": "i8",
    "int64_t": "i8", "ulonglong": "u8", "unsignedlonglong": "u8", "unsignedlonglongint": "u8", "uint64": "u8",
    "uint64_t": "u8", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
ENCODINGS = {
    "raw": "raw", "txt": "text", "text": "text", "ascii": "text", "hex": "hex", "gz": "gzip", "gzip": "gzip",
    "bz2": "bzip2", "bzip2": "bzip2",
}  # fmt: skip
_LETTERS = {"r": (0, 1), "l": (0, -1), "a": (1, 1), "p": (1, -1), "s": (2, 1), "i": (2, -1)}  # RAS
_SPACES = {"right": "r", "left": "l", "anterior": "a", "posterior": "p", "superior": "s", "inferior": "i"}
_AXIS_KINDS: dict[str, Role] = {"domain": "space", "space": "space", "time": "frames", "list": "frames"}
_NO_KIND = {"", "???", "none"}
_SEGMENTATION = re.compile(r"Segment\d+_ID")
_VECTOR = re.compile(r"\s*(?:(none)|\(([^()]*)\))", re.I)


def is_nrrd(head: bytes) -> bool:
    """Whether a file that starts like this is an NRRD."""
    return head.startswith(b"NRRD")


def open_nrrd(path: Path) -> Image:
    """The header of an NRRD file; its voxels are not read.

    Raises
    ------
    FetalPoseError
        The header is damaged, claims too much, or does not state what every length depends on.
    """
    with open_file(path) as file:
        data = text.read_header_bytes(file)
    fields, keys, end, listed = _fields(data)
    if any(_SEGMENTATION.match(key) for key in keys):
        raise FetalPoseError("It is a segmentation. Choose the ultrasound volume itself.")
    tracked = text.tracked_frames(list(keys))
    dimension = text.integers(fields.get("dimension", ""), "dimension", least=1)[0]
    sizes = text.integers(fields.get("sizes", ""), "sizes", least=1)
    if dimension > text.MAX_AXES or len(sizes) != dimension:
        raise damaged(f"it states {len(sizes)} sizes for {dimension} axes")
    if tracked > 1 and dimension == 3:
        raise moving_frames(tracked)
    kind = _kind(fields)
    check_bytes(math.prod(sizes) * kind.itemsize)
    encoding = ENCODINGS.get(fields.get("encoding", "").lower())
    if encoding is None:
        raise FetalPoseError(f"Its encoding '{shown(fields.get('encoding', ''))}' is not read. Save it as raw or gzip.")
    roles, matrix, doubts = _geometry(fields, sizes)
    times = _times(fields, keys, roles, sizes)
    storage = Storage(
        header=path,
        count=math.prod(sizes),
        kind=kind,
        encoding=encoding,
        start=0 if "datafile" in fields else end,
        line_skip=text.integers(fields.get("lineskip", "0"), "line skip", least=0)[0],
        byte_skip=text.integers(fields.get("byteskip", "0"), "byte skip", least=-1)[0],
        parts=_parts(path.parent, fields.get("datafile"), listed),
    )
    axes = tuple(Axis(*axis) for axis in zip(sizes, roles, strict=True))
    return Image(axes, matrix, storage, doubts=doubts, times=times)


def _fields(data: bytes) -> tuple[dict[str, str], dict[str, str], int, list[str]]:
    """Fields by name without spaces in lower case, key/value pairs, where the header ends, and listed files."""
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    position, plain = data.find(b"\n") + 1, 0
    if not position or not re.fullmatch(rb"NRRD000[1-6]\s*", data[:position]):
        raise damaged("it does not start as NRRD files of version 1 to 6 do")
    while position < len(data):
        end = data.find(b"\n", position)
        end = len(data) if end < 0 else end
        line = data[position:end].decode("utf-8", "surrogateescape").removesuffix("\r")
        position = end + 1
        if not line.strip():
            return fields, keys, position, []
        if line.startswith("#"):
            continue
        name, colon, value = line.partition(": ")
        key, pair, stated = line.partition(":=")
        if pair and len(key) < len(name):
            keys[key] = stated
            plain += not key.startswith("Seq_Frame")
            text.check_field_count(plain)
            continue
        name, colon, value = (name, colon, value) if colon else line.partition(":")
        if not colon:
            raise damaged(f"its header holds the line '{shown(line[:40])}', which states nothing")
        name, value = re.sub(r"\s+", "", name).lower(), value.strip()
        if fields.setdefault(name, value) != value:
            raise damaged(f"its header states '{shown(name)}' twice and differently")
        if name == "datafile" and re.match(r"LIST\b", value):
            if len(data) == text.MAX_HEADER_BYTES:
                raise text.too_long()
            rest = data[position:].decode("utf-8", "surrogateescape")
            return fields, keys, position, [line.strip() for line in rest.splitlines() if line.strip()]
    if text.tracked_frames(list(keys)) > 1:
        raise moving_frames(text.tracked_frames(list(keys)))
    if len(data) == text.MAX_HEADER_BYTES:
        raise text.too_long()
    if "datafile" not in fields:
        raise damaged("it ends within its header")
    return fields, keys, len(data), []


def _kind(fields: dict[str, str]) -> np.dtype:
    name = fields.get("type", "")
    code = TYPES.get(re.sub(r"\s+", "", name).lower())
    if code is None:
        raise FetalPoseError(f"Its voxels are of type '{shown(name)}', which is not read. Save it as short or uchar.")
    kind, order = np.dtype(code), fields.get("endian", "").lower()
    stored = ENCODINGS.get(fields.get("encoding", "").lower()) != "text"
    if order not in ("little", "big") and kind.itemsize > 1 and stored:
        raise damaged("it does not state the order of its bytes (endian)")
    return kind.newbyteorder(">" if order == "big" else "<")


def _geometry(fields: dict[str, str], sizes: list[int]) -> tuple[list[Role], np.ndarray, tuple[Doubt, ...]]:
    kinds = fields.get("kinds", "").lower().split()
    if kinds and len(kinds) != len(sizes):
        raise damaged(f"it states {len(kinds)} kinds for {len(sizes)} axes")
    if "spacedirections" in fields:
        return _from_directions(fields, sizes, kinds)
    return _from_spacings(fields, sizes, kinds)


def _from_directions(fields: dict[str, str], sizes: list[int], kinds: list[str]):
    vectors = _vectors(fields["spacedirections"], "space directions")
    if len(vectors) != len(sizes):
        raise damaged(f"it states {len(vectors)} space directions for {len(sizes)} axes")
    to_ras, doubts, dimension = _space(fields)
    kinds = kinds or [""] * len(sizes)
    roles: list[Role] = [_role(kind, vector, size) for kind, vector, size in zip(kinds, vectors, sizes, strict=True)]
    if roles.count("space") != 3:
        return roles, np.eye(4), ()  # what kind of image it is decides
    space = [vector for vector, role in zip(vectors, roles, strict=True) if role == "space"]
    columns = [vector for vector in space if vector is not None and len(vector) == dimension]
    if len(columns) < 3:
        raise no_spacing("direction along every axis of space (space directions)")
    factors = _units(fields.get("spaceunits", ""), range(3))
    directions = np.array([vector[:3] for vector in columns]).T * factors[:, None]
    spacing = np.linalg.norm(directions, axis=0)
    doubts = check_spacing(spacing.tolist()) + doubts
    _check_same(fields, roles, spacing)
    place = _vectors(fields.get("spaceorigin", ""), "space origin")
    origin = np.zeros(3) if not place or place[0] is None else np.array(place[0])[:3]
    if len(origin) != 3:
        raise damaged("its space origin has not three numbers")
    return roles, matrix_of(to_ras @ directions, to_ras @ (origin * factors)), doubts


def _from_spacings(fields: dict[str, str], sizes: list[int], kinds: list[str]):
    spacings = text.floats(fields.get("spacings", ""), "spacings")
    if not spacings:
        raise no_spacing()
    if len(spacings) != len(sizes):
        raise damaged(f"it states {len(spacings)} spacings for {len(sizes)} axes")
    if not kinds:  # then volumes follow each other
        kinds = ["domain"] * 3 + ["list"] * (len(sizes) - 3) if len(sizes) > 3 else ["domain"] * len(sizes)
    numbers = [None if math.isnan(value) else [value] for value in spacings]
    roles: list[Role] = [_role(kind, number, size) for kind, number, size in zip(kinds, numbers, sizes, strict=True)]
    if roles.count("space") != 3:
        return roles, np.eye(4), ()
    space = [i for i, role in enumerate(roles) if role == "space"]
    mm = np.array([spacings[i] for i in space]) * _units(fields.get("units", ""), space)
    doubts = check_spacing(mm.tolist()) + unstated_unit_doubt(mm.tolist(), fields.get("units", ""))
    to_ras, _, _ = _space(fields)
    place = _vectors(fields.get("spaceorigin", ""), "space origin")
    origin = np.zeros(3) if not place or place[0] is None or len(place[0]) != 3 else np.array(place[0])
    doubts += (Doubt("orientation", "left, posterior and superior, as Slicer takes them"),)
    return roles, matrix_of(LPS_TO_RAS * mm, to_ras @ origin), doubts


def _role(kind: str, vector: list[float] | None, size: int) -> Role:
    """What an axis is, of its kind, its direction (None if it has none) and its size."""
    if kind in _AXIS_KINDS and (vector is not None or _AXIS_KINDS[kind] != "space"):
        if vector is not None and len(vector) == 4 and not any(vector[:3]) and vector[3]:
            return "frames"  # runs along time
        return _AXIS_KINDS[kind]
    if kind in _AXIS_KINDS or kind in _NO_KIND:
        if vector is not None:
            return "frames" if len(vector) == 4 and not any(vector[:3]) and vector[3] else "space"
        return "space" if kind in _AXIS_KINDS and size > 1 else "frames"
    return "channels" if size > 1 else "frames"


def _space(fields: dict[str, str]) -> tuple[np.ndarray, tuple[Doubt, ...], int]:
    """From the header's space to RAS (3, 3), what it leaves open, and how many numbers a vector has."""
    name = fields.get("space", "").lower().replace(" ", "")
    words = name.split("-")
    letters = [_SPACES.get(word, "") for word in words[:3]]
    timed = name.endswith("-time")
    if re.fullmatch(r"[rl][ap][si]t?", name):
        letters, timed = list(name[:3]), len(name) == 4
    if len(letters) == 3 and all(letters):
        to_ras = np.zeros((3, 3))
        for column, letter in enumerate(letters):
            axis, sign = _LETTERS[letter]
            to_ras[axis, column] = sign
        return to_ras, (), 3 + timed
    if name.startswith(("3d-left-handed", "3dl")):
        raise NotStatedError(
            "Its space is 3D-left-handed, which does not say which side is left; Slicer mirrors such a file. Write the "
            "space that it is into the header, such as left-posterior-superior."
        )
    if name.startswith(("scanner-xyz", "3d-right-handed", "3dr")):
        return LPS_TO_RAS, (), 3 + timed
    if name:
        raise damaged(f"its space '{shown(name)}' is none that the format knows")
    dimension = text.integers(fields.get("spacedimension", "3"), "space dimension", least=1)[0]
    return LPS_TO_RAS, (Doubt("orientation", "left, posterior and superior, as Slicer takes them"),), dimension


def _vectors(value: str, what: str) -> list[list[float] | None]:
    """Vectors such as ``(1,0,0) none``; None where there is none, or where it is NaN."""
    vectors: list[list[float] | None] = []
    position = 0
    while position < len(value.rstrip()):
        match = _VECTOR.match(value, position)
        if match is None:
            raise damaged(f"its {what} '{shown(value[:60])}' are no vectors")
        numbers = None if match[1] else text.floats(match[2], what)
        vectors.append(None if numbers is None or not numbers or all(map(math.isnan, numbers)) else numbers)
        position = match.end()
    return vectors


def _units(value: str, axes: Sequence[int]) -> np.ndarray:
    """Millimetres per unit of these axes, (3,)."""
    names = re.findall(r'"([^"]*)"', value)
    return np.array([millimetres(names[i]) if i < len(names) else 1.0 for i in axes])


def _times(
    fields: dict[str, str], keys: dict[str, str], roles: list[Role], sizes: list[int]
) -> tuple[float, ...] | None:
    """Seconds of the frames: Slicer lists them as "axis N index values"; others state a step. Both need a unit."""
    over_time = [i for i, role in enumerate(roles) if role == "frames" and sizes[i] > 1]
    if len(over_time) != 1:
        return None
    (axis,), units = over_time, re.findall(r'"([^"]*)"', fields.get("units", ""))
    scale = seconds(units[axis]) if axis < len(units) else None
    if scale is None:
        return None
    listed = keys.get(f"axis {axis} index values")
    if listed is not None and keys.get(f"axis {axis} index type", "numeric") == "numeric":
        return increasing([scale * value for value in text.floats(listed, "times")], sizes[axis])
    spacings = text.floats(fields.get("spacings", ""), "spacings")
    step = spacings[axis] if len(spacings) == len(sizes) else math.nan
    return increasing([scale * step * i for i in range(sizes[axis])], sizes[axis])


def _check_same(fields: dict[str, str], roles: list[Role], spacing: np.ndarray) -> None:
    """Refuse spacings that contradict the directions."""
    stated = text.floats(fields.get("spacings", ""), "spacings")
    if len(stated) == len(roles):
        others = np.array([value for value, role in zip(stated, roles, strict=True) if role == "space"])
        known = np.isfinite(others)
        if (np.abs(others - spacing)[known] > SAME * spacing[known]).any():
            raise NotStatedError(
                f"It states two spacings: {' x '.join(f'{value:g}' for value in others)} mm, and its space directions "
                f"{' x '.join(f'{value:g}' for value in spacing)} mm. Delete the wrong one from its header."
            )


def _parts(folder: Path, data_file: str | None, listed: list[str]) -> tuple[str, ...]:
    if data_file is None:
        return ()
    if re.match(r"LIST\b", data_file):
        if not listed:
            raise damaged("it says that a list of data files follows, and none does")
        return tuple(listed)
    return text.named_parts(folder, data_file)
