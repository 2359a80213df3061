"""Small volumes in memory and on disk, good and bad, for the tests of the scene and of the command line."""

import struct
from pathlib import Path

import numpy as np

from FetalPoseLib.volume.grid import Volume

SHAPE = (32, 36, 40)  # nz, ny, nx; voxels of 1 mm make it just large enough


def picture(shape=SHAPE, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)


def volume(array=None, matrix=None) -> Volume:
    return Volume(picture() if array is None else array, np.eye(4) if matrix is None else matrix)


def oblique_left_handed() -> np.ndarray:
    """IJK-to-RAS with three spacings, oblique directions and a mirrored axis."""
    a, b = np.deg2rad([20, 35])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ tilt @ np.diag([-0.9, 1.0, 1.1])
    matrix[:3, 3] = 10, -20, 30
    assert np.linalg.det(matrix[:3, :3]) < 0
    return matrix


def write_nrrd(path: Path, array: np.ndarray, *fields: str) -> Path:
    """A raw NRRD file with these header fields, whatever they are worth."""
    header = ["NRRD0004", f"type: {array.dtype}", "encoding: raw", "endian: little", *fields]
    path.write_bytes("\n".join([*header, "", ""]).encode() + array.tobytes())
    return path


def write_nifti(path: Path, array: np.ndarray, *, spacing=(1, 1, 1), missing=0) -> Path:
    """A NIfTI-1 file of uint8 that states this spacing, without its last `missing` bytes."""
    sizes = array.shape[::-1]
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, array.ndim, *sizes, *[1] * (7 - array.ndim))
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, 1, *spacing, *[1] * (7 - len(spacing)))
    struct.pack_into("<ff", header, 108, 352, 1)
    header[344:348] = b"n+1\0"
    data = bytes(header) + array.tobytes()
    path.write_bytes(data[: len(data) - missing])
    return path


def write_dicom(folder: Path, array: np.ndarray, *, names=None, spacing=(1.0, 1.0, 1.0), series="1.2.3.4") -> Path:
    """One DICOM file a slice, at z = index * spacing; `names[k]` is the name of slice k's file."""
    folder.mkdir(exist_ok=True)
    for k, plane in enumerate(array):
        (folder / (names[k] if names else f"{k:03d}.dcm")).write_bytes(_dicom(plane, k, spacing, series))
    return folder


def _dicom(plane: np.ndarray, index: int, spacing, series: str) -> bytes:
    rows, columns = plane.shape
    kind, instance = "1.2.840.10008.5.1.4.1.1.4", f"{series}.{index + 1}"
    meta = _element(2, 2, "UI", kind) + _element(2, 3, "UI", instance) + _element(2, 16, "UI", "1.2.840.10008.1.2.1")
    body = [
        (0x08, 0x16, "UI", kind),
        (0x08, 0x18, "UI", instance),
        (0x08, 0x60, "CS", "MR"),
        (0x18, 0x50, "DS", str(spacing[2])),
        (0x20, 0x0D, "UI", "1.2.3"),
        (0x20, 0x0E, "UI", series),
        (0x20, 0x13, "IS", str(index + 1)),
        (0x20, 0x32, "DS", f"0\\0\\{index * spacing[2]:.6g}"),
        (0x20, 0x37, "DS", "1\\0\\0\\0\\1\\0"),
        (0x28, 0x02, "US", struct.pack("<H", 1)),
        (0x28, 0x04, "CS", "MONOCHROME2"),
        (0x28, 0x10, "US", struct.pack("<H", rows)),
        (0x28, 0x11, "US", struct.pack("<H", columns)),
        (0x28, 0x30, "DS", f"{spacing[1]}\\{spacing[0]}"),
        (0x28, 0x100, "US", struct.pack("<H", 8)),
        (0x28, 0x101, "US", struct.pack("<H", 8)),
        (0x28, 0x102, "US", struct.pack("<H", 7)),
        (0x28, 0x103, "US", struct.pack("<H", 0)),
        (0x7FE0, 0x10, "OW", plane.tobytes()),
    ]
    length = _element(2, 0, "UL", struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + length + meta + b"".join(_element(*element) for element in body)


def _element(group: int, element: int, kind: str, value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    value += b"" if len(value) % 2 == 0 else b"\0" if kind == "UI" else b" "
    head = struct.pack("<HH2s", group, element, kind.encode())
    return head + (struct.pack("<HI", 0, len(value)) if kind == "OW" else struct.pack("<H", len(value))) + value
