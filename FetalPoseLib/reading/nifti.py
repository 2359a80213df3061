"""NIfTI headers, versions 1 and 2 (.nii, .nii.gz, .hdr with .img): sizes, spacing, and two statements of orientation.

Source: nifti1.h and nifti2.h. Of the sform and the qform the one is taken that Slicer takes; they must agree about the
spacing and about handedness, because left and right depend on it.
"""

import math
import struct
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.reading.image import MAX_SIZE, SAME, Axis, Image, check_spacing, matrix_of, unstated_unit_doubt
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import NotStatedError, damaged
from FetalPoseLib.reading.streams import GZIP, open_file, read_head
from FetalPoseLib.reading.times import increasing
from FetalPoseLib.reading.voxels import Storage

TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 128: "u1", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
    2304: "u1",
}  # fmt: skip
CHANNELS = {128: 3, 2304: 4}  # RGB24 and RGBA32
TIME_UNITS_S = {8: 1.0, 16: 1e-3, 24: 1e-6}
UNITS_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # of the code's lowest three bits
_LABEL, _VECTORS = 1002, {1004, 1005, 1006, 1007, 1008, 1009, 1010, 2003, 2004}
_SCANNER = 1
_ORTHONORMAL = 1e-3  # largest deviation that Slicer takes for rounding
_SIZES = {1: 348, 2: 540}
_MAGICS = {b"n+1\0": (1, True), b"ni1\0": (1, False), b"n+2\0": (2, True), b"ni2\0": (2, False)}


def is_nifti(head: bytes) -> bool:
    """Whether a file that starts like this, inflated, is a NIfTI or Analyze header."""
    return _order(head) is not None


def open_voxels(path: Path) -> np.ndarray:
    """The voxels (nz, ny, nx) of a NIfTI file whose geometry is known from elsewhere: nothing of it is read or checked.

    FetalPoseError where `open_nifti` raises for another reason, or the voxels are damaged.
    """
    return open_nifti(path, geometry=False).load().volume.array


def open_nifti(path: Path, *, geometry: bool = True) -> Image:
    """The header of a NIfTI file, or of the pair that `path` belongs to; the voxels are not read.

    Without ``geometry``, the axes of the array are those of space, and a voxel measures 1 mm.

    Raises
    ------
    FetalPoseError
        The header is damaged, claims too much, or contradicts itself about what every length and side depends on.
    """
    path = _header_of_pair(path)
    with open_file(path) as file:
        compressed = file.read(2) == GZIP
        file.seek(0)
        head = read_head(file, _SIZES[2])
    order = _order(head)
    if order is None:
        raise damaged("it does not start as NIfTI files do")
    header = _Header(head, order)
    if header.intent == _LABEL:
        raise FetalPoseError("It is a label map. Choose the ultrasound volume itself.")
    voxels, voxels_compressed = (path, compressed) if header.single else _voxels_of_pair(path)
    code = header.datatype
    if code not in TYPES:
        raise FetalPoseError(f"Its voxels are of NIfTI type {code}, which is not read. Save it as short or float.")
    axes = [Axis(CHANNELS.get(code, 1), "channels"), *header.axes()]
    matrix, doubts = header.geometry() if geometry else (np.eye(4), ())
    storage = Storage(
        header=voxels,
        count=math.prod(axis.size for axis in axes),
        kind=np.dtype(order + TYPES[code]),
        encoding="gzip" if voxels_compressed else "raw",
        start=header.offset(),
        whole_file_compressed=voxels_compressed,
    )
    slope, intercept = header.scaling()
    return Image(tuple(axes), matrix, storage, slope, intercept, doubts, header.times())


class _Header:
    """The fields of a header that are needed, of either version."""

    def __init__(self, head: bytes, order: str):
        self.magic = head[344:348] if struct.unpack_from(f"{order}i", head)[0] == _SIZES[1] else head[4:8]
        if self.magic not in _MAGICS:
            raise NotStatedError(
                "It is an Analyze file, which does not say which side is left: programs read it in two ways. "
                "Convert it to NIfTI with the program that wrote it."
            )
        self.version, self.single = _MAGICS[self.magic]
        if len(head) < _SIZES[self.version]:
            raise damaged(f"its header has {len(head)} of {_SIZES[self.version]} bytes")
        at = lambda code, first, second: struct.unpack_from(  # noqa: E731
            order + code[self.version - 1], head, (first, second)[self.version - 1]
        )
        self.dim = at(("8h", "8q"), 40, 16)
        self.intent, self.datatype = at("hi", 68, 504)[0], at("hh", 70, 12)[0]
        self.pixdim = at(("8f", "8d"), 76, 104)
        self.vox_offset = at("fq", 108, 168)[0]
        self.slope, self.intercept = at(("2f", "2d"), 112, 176)
        self.units = at("Bi", 123, 500)[0]
        self.qform_code, self.sform_code = at(("2h", "2i"), 252, 344)
        self.quaternion = at(("6f", "6d"), 256, 352)
        self.sform = np.array(at(("12f", "12d"), 280, 400), dtype=np.float64).reshape(3, 4)

    def axes(self) -> list[Axis]:
        count = self.dim[0]
        if not 1 <= count <= 7:
            raise damaged(f"it states {count} axes")
        sizes = [int(size) for size in self.dim[1 : count + 1]]
        roles = ["space", "space", "space", "frames", "frames", "frames", "frames"][:count]
        if len(sizes) > 4 and self.intent in _VECTORS:
            roles[4] = "channels"
        return [Axis(size, role) for size, role in zip(sizes, roles, strict=True)]  # type: ignore[arg-type]

    def offset(self) -> int:
        """Bytes before the voxels."""
        offset = self.vox_offset
        if not math.isfinite(offset) or not 0 <= offset < 2**40:
            raise damaged(f"it states that its voxels begin at byte {offset:g}")
        return max(int(offset), _SIZES[self.version] + 4) if self.single else int(offset)

    def scaling(self) -> tuple[float, float]:
        if not math.isfinite(self.slope) or not math.isfinite(self.intercept) or self.slope == 0:
            return 1.0, 0.0
        return self.slope, self.intercept

    def times(self) -> tuple[float, ...] | None:
        """Seconds of the frames along the fourth axis, where it has a unit of time."""
        step = self.pixdim[4] * TIME_UNITS_S.get(self.units & 0x38, math.nan)
        if self.dim[0] < 4 or any(size > 1 for size in self.dim[5 : self.dim[0] + 1]):
            return None
        return increasing([step * i for i in range(self.dim[4])], self.dim[4]) if self.dim[4] <= MAX_SIZE else None

    def geometry(self) -> tuple[np.ndarray, tuple[Doubt, ...]]:
        unit = UNITS_MM.get(self.units & 7, 1.0)
        pixdim = np.array(self.pixdim[1:4], dtype=np.float64) * unit
        if (pixdim < 0).any():
            raise NotStatedError(
                f"It states voxels of {_times(pixdim)} mm: a negative size mirrors the volume in some programs and not "
                "in others. Save it again with the program that wrote it."
            )
        count = min(self.dim[0], 3)
        doubts = check_spacing(pixdim[:count].tolist()) if count == 3 else ()
        if count < 3:
            return np.eye(4), ()  # 2D, which is refused
        qform = self._qform(pixdim) if self.qform_code > 0 else None
        sform = self.sform * unit if self.sform_code > 0 else None
        if sform is not None:
            self._check_sform(sform, qform, pixdim)
        if sform is not None and (qform is None or self.sform_code == _SCANNER and _orthogonal(sform)):
            return matrix_of(sform[:, :3], sform[:, 3]), doubts
        if qform is not None:
            return matrix_of(qform[:, :3], qform[:, 3]), doubts
        doubts += unstated_unit_doubt(pixdim.tolist(), "stated" if self.units & 7 else "")
        doubt = Doubt("orientation", "left, posterior and superior, as Slicer takes them")
        return matrix_of(np.diag([-1.0, -1.0, 1.0]) * pixdim, np.zeros(3)), (*doubts, doubt)

    def _qform(self, pixdim: np.ndarray) -> np.ndarray:
        b, c, d, *origin = self.quaternion
        a = math.sqrt(max(1 - b * b - c * c - d * d, 0)) if np.isfinite([b, c, d]).all() else math.nan
        if not np.isfinite([a, *origin]).all() or abs(a * a + b * b + c * c + d * d - 1) > SAME:
            raise NotStatedError("Its qform is no rotation. Save it again with the program that wrote it.")
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        sign = np.array([1, 1, -1 if self.pixdim[0] < 0 else 1])
        unit = UNITS_MM.get(self.units & 7, 1.0)
        return np.column_stack([rotation * pixdim * sign, np.array(origin) * unit])

    def _check_sform(self, sform: np.ndarray, qform: np.ndarray | None, pixdim: np.ndarray) -> None:
        spacing = np.linalg.norm(sform[:, :3], axis=0)
        if not np.isfinite(sform).all() or not spacing.all():
            raise NotStatedError("Its sform holds no usable directions. Save it again with the program that wrote it.")
        if qform is not None and np.linalg.det(sform[:, :3]) * np.linalg.det(qform[:, :3]) < 0:
            raise NotStatedError(
                "Its sform and its qform mirror each other, so that left and right are not known. Save it again with "
                "the program that wrote it, or delete the wrong one."
            )
        if (np.abs(spacing - pixdim) > SAME * pixdim).any() and (qform is None or self.sform_code == _SCANNER):
            raise NotStatedError(
                f"It states two spacings: pixdim {_times(pixdim)} mm, and the sform {_times(spacing)} mm. Save it "
                "again with the program that wrote it."
            )


def _order(head: bytes) -> str | None:
    if len(head) >= _SIZES[1]:  # the header of a pair is no longer
        for order in "<>":
            if struct.unpack_from(f"{order}i", head)[0] in _SIZES.values():
                return order
    return None


def _orthogonal(sform: np.ndarray) -> bool:
    directions = sform[:, :3] / np.linalg.norm(sform[:, :3], axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() < _ORTHONORMAL)


def _header_of_pair(path: Path) -> Path:
    """The .hdr of a .img; otherwise the file itself."""
    name = path.name
    for ending in (".img", ".img.gz"):
        if name.lower().endswith(ending):
            other = _sibling(path, len(ending), ("hdr", "hdr.gz"))
            if other is None:
                raise FetalPoseError(f"Its header {shown(name[: -len(ending)])}.hdr is missing. Put it beside it.")
            return other
    return path


def _voxels_of_pair(path: Path) -> tuple[Path, bool]:
    ending = 7 if path.name.lower().endswith(".hdr.gz") else 4
    other = _sibling(path, ending, ("img", "img.gz"))
    if other is None:
        raise FetalPoseError(f"Its data file {shown(path.name[:-ending])}.img is missing. Put it beside the header.")
    with open_file(other) as file:
        return other, file.read(2) == GZIP


def _sibling(path: Path, ending: int, endings: tuple[str, ...]) -> Path | None:
    stem = path.name[:-ending]
    names = [f"{stem}.{text}" for kind in endings for text in (kind, kind.upper())]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def _times(values) -> str:
    return " x ".join(f"{value:g}" for value in values)
