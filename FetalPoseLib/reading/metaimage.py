"""MetaImage headers (.mha, .mhd): lines ``Key = Value`` up to ElementDataFile, which names the voxels' file or LOCAL.

Source: the MetaIO format as ITK documents it. The transform's rows are the directions of the axes, in LPS.
"""

import math
import re
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading import text_header as text
from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.reading.image import LPS_TO_RAS, Axis, Image, Role, check_spacing, matrix_of, unstated_unit_doubt
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import damaged, moving_frames, no_spacing
from FetalPoseLib.reading.streams import check_bytes, open_file
from FetalPoseLib.reading.times import increasing, seconds
from FetalPoseLib.reading.units import millimetres
from FetalPoseLib.reading.voxels import Storage

TYPES = {
    "CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4", "ULONG": "u4",
    "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8",
}  # fmt: skip
_LINE = re.compile(r"[ \t]*(\w[\w\[\] ]*?)[ \t]*[=:][ \t]*(.*?)[ \t]*\r?")
_TIMESTAMP = re.compile(r"seq_frame(\d+)_timestamp")
_FRAME_KINDS = {"list", "time"}
_TOWARDS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "I": (2, 1), "S": (2, -1)}  # where an axis begins


def is_metaimage(head: bytes) -> bool:
    """Whether a file that starts like this is a MetaImage."""
    return re.match(rb"\s*(ObjectType|ObjectSubType|NDims|Comment|Name|ID)\s*[=:]", head, re.I) is not None


def open_metaimage(path: Path) -> Image:
    """The header of a MetaImage file; its voxels are not read.

    Raises
    ------
    FetalPoseError
        The header is damaged, claims too much, or does not state what every length depends on.
    """
    with open_file(path) as file:
        data = text.read_header_bytes(file)
    fields, data_file, end, listed = _fields(data)
    axes_count = text.integers(fields.get("ndims", ""), "number of axes (NDims)", least=1)[0]
    if axes_count > text.MAX_AXES:
        raise damaged(f"it states {axes_count} axes")
    if fields.get("objecttype", "Image").lower() != "image":
        raise FetalPoseError(f"It holds a '{shown(fields['objecttype'])}', not an image. Choose the ultrasound volume.")
    sizes = text.integers(fields.get("dimsize", ""), "sizes (DimSize)", least=1)
    if len(sizes) != axes_count:
        raise damaged(f"it states {len(sizes)} sizes for {axes_count} axes")
    tracked = text.tracked_frames(list(fields))
    if axes_count == 3 and tracked > 1:
        raise moving_frames(tracked)
    channels = text.integers(fields.get("elementnumberofchannels", "1"), "ElementNumberOfChannels", least=1)[0]
    kind = _kind(fields)
    check_bytes(math.prod(sizes) * channels * kind.itemsize)
    roles = _roles(fields, axes_count)
    axes = [Axis(channels, "channels"), *(Axis(size, role) for size, role in zip(sizes, roles, strict=True))]
    matrix, doubts = _geometry(fields, [i for i, role in enumerate(roles) if role == "space"], axes_count)
    storage = Storage(
        header=path,
        count=math.prod(axis.size for axis in axes),
        kind=kind,
        encoding=_encoding(fields),
        start=0 if data_file is not None else end,
        byte_skip=text.integers(fields.get("headersize", "0"), "HeaderSize", least=-1)[0],
        parts=_parts(path.parent, data_file, listed, sizes[-1]),
    )
    _check_compressed_size(fields, path, end if data_file is None else None)
    return Image(tuple(axes), matrix, storage, doubts=doubts, times=_times(fields, axes))


def _times(fields: dict[str, str], axes: list[Axis]) -> tuple[float, ...] | None:
    """Seconds of the frames: Slicer lists them as ``axis 3 index values``, PLUS as ``Seq_Frame0000_Timestamp``."""
    count = math.prod(axis.size for axis in axes if axis.role == "frames")
    over_time = [i for i, axis in enumerate(axes[1:]) if axis.role == "frames" and axis.size > 1]
    listed = fields.get(f"axis {over_time[0]} index values") if len(over_time) == 1 else None
    scale = seconds(fields.get(f"nrrd_units[{over_time[0]}]", "")) if listed is not None else None
    if listed is not None and scale is not None:
        return increasing([scale * value for value in text.floats(listed, "times")], count)
    found = {int(match[1]): value for key, value in fields.items() if (match := _TIMESTAMP.fullmatch(key))}
    if sorted(found) != list(range(count)):
        return None
    return increasing([text.floats(found[i], "times")[0] for i in range(count) if found[i]], count)


def _check_compressed_size(fields: dict[str, str], path: Path, start: int | None) -> None:
    """Refuse a compressed stream that is stated to be longer than the file that holds it."""
    stated = text.integers(fields.get("compresseddatasize", "0"), "CompressedDataSize", least=0)[0]
    there = path.stat().st_size - (start or 0)
    if start is not None and _encoding(fields) == "zlib" and stated > there:
        raise damaged(f"its compressed voxels take {stated} bytes and {there} are left")


def _fields(data: bytes) -> tuple[dict[str, str], str | None, int, list[str]]:
    """Fields by their lower-case names, the data file (None for LOCAL), where the header ends, and listed files."""
    fields: dict[str, str] = {}
    position = plain = 0
    while position < len(data):
        end = data.find(b"\n", position)
        end = len(data) if end < 0 else end
        line = data[position:end].decode("utf-8", "surrogateescape")
        match = _LINE.fullmatch(line)
        if match:
            key, value = match[1].lower(), match[2]
            if key == "elementdatafile":
                if value.lower() == "local":
                    return fields, None, end + 1, []
                if value.lower().split()[:1] == ["list"]:
                    rest = data[end + 1 :].decode("utf-8", "surrogateescape")
                    if len(data) == text.MAX_HEADER_BYTES:
                        raise text.too_long()
                    return fields, "LIST", end + 1, [name.strip() for name in rest.splitlines() if name.strip()]
                return fields, value, end + 1, []
            plain += not key.startswith("seq_frame")
            text.check_field_count(plain)
            if fields.setdefault(key, value) != value:
                raise damaged(f"its header states {match[1]} twice and differently")
        position = end + 1
    tracked_count = text.tracked_frames(list(fields))
    if tracked_count > 1:
        raise moving_frames(tracked_count)
    raise text.too_long() if len(data) == text.MAX_HEADER_BYTES else damaged("it names no ElementDataFile")


def _kind(fields: dict[str, str]) -> np.dtype:
    name = fields.get("elementtype", "")
    code = TYPES.get(name.upper().removeprefix("MET_").removesuffix("_ARRAY"))
    if code is None:
        raise FetalPoseError(
            f"Its voxels are of type '{shown(name)}', which is not read. Save it as MET_SHORT or MET_UCHAR."
        )
    stated = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "False"))
    return np.dtype(code).newbyteorder(">" if _yes(stated) else "<")


def _encoding(fields: dict[str, str]) -> str:
    if not _yes(fields.get("binarydata", "True")):
        return "text"
    return "zlib" if _yes(fields.get("compresseddata", "False")) else "raw"


def _yes(value: str) -> bool:
    return value[:1] in ("T", "t", "1", "Y", "y")


def _roles(fields: dict[str, str], axes: int) -> list[Role]:
    kinds = fields.get("kinds", "").lower().split()
    if len(kinds) == axes:
        roles: list[Role] = ["frames" if kind in _FRAME_KINDS else "space" for kind in kinds]
        if roles.count("space") <= 3:
            return roles
    usual: list[Role] = ["space", "space", "space", "frames", "frames", "frames"]
    return usual[:axes]


def _geometry(fields: dict[str, str], space: list[int], axes: int) -> tuple[np.ndarray, tuple[Doubt, ...]]:
    spacing = text.floats(fields.get("elementspacing", fields.get("elementsize", "")), "spacing")
    if not spacing:
        raise no_spacing()
    if len(spacing) != axes:
        raise damaged(f"it states {len(spacing)} spacings for {axes} axes")
    if len(space) != 3:
        return np.eye(4), ()  # what kind of image it is decides
    unit = millimetres(fields.get("distanceunits", ""))
    mm = np.array([spacing[i] * unit for i in space])
    doubts = check_spacing(mm.tolist())
    stated = next((fields[key] for key in ("transformmatrix", "rotation", "orientation") if key in fields), None)
    directions = np.eye(axes)
    if stated is None:
        doubts += unstated_unit_doubt(mm.tolist(), fields.get("distanceunits", ""))
    else:
        numbers = text.floats(stated, "TransformMatrix")
        if len(numbers) != axes**2:
            raise damaged(f"its TransformMatrix has {len(numbers)} numbers, not {axes**2}")
        directions = np.reshape(numbers, (axes, axes))
    directions = directions[np.ix_(space, space)].T  # columns, LPS
    place = next((fields[key] for key in ("offset", "position", "origin") if key in fields), "")
    origin = np.array(text.floats(place, "Offset") or [0.0] * axes)
    if len(origin) != axes:
        raise damaged(f"its Offset has {len(origin)} numbers, not {axes}")
    doubts += _orientation_doubt(fields.get("anatomicalorientation", ""), directions, stated is not None)
    return matrix_of(LPS_TO_RAS @ (directions * mm), LPS_TO_RAS @ (origin[space] * unit)), doubts


def _orientation_doubt(letters: str, directions: np.ndarray, stated: bool) -> tuple[Doubt, ...]:
    """AnatomicalOrientation says where each axis begins: RAI runs to left, posterior and superior."""
    runs = [_TOWARDS.get(letter) for letter in letters.upper()[:3]]
    known = [run for run in runs if run is not None]
    if len({axis for axis, _ in known}) == 3:
        signs = np.zeros((3, 3))
        for column, (axis, sign) in enumerate(known):
            signs[axis, column] = sign
        if np.linalg.det(signs) * np.linalg.det(directions) > 0:
            return ()
        return (Doubt("orientation", "those of its transform, which its AnatomicalOrientation mirrors"),)
    return () if stated else (Doubt("orientation", "left, posterior and superior, as Slicer takes them"),)


def _parts(folder: Path, data_file: str | None, listed: list[str], slices: int) -> tuple[str, ...]:
    if data_file is None:
        return ()
    if data_file == "LIST":
        if not listed:
            raise damaged("it says that a list of data files follows, and none does")
        return tuple(listed)
    return text.named_parts(folder, data_file, default_last=slices)
