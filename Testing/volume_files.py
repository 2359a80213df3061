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


def metaimage(array: np.ndarray, *, payload: bytes | None = None, **fields: str | None) -> bytes:
    """A MetaImage of 0.9 mm voxels with its data in it; ``fields`` replace or (None) drop those of the header."""
    header = {
        "ObjectType": "Image",
        "NDims": str(array.ndim),
        "TransformMatrix": " ".join(str(int(x)) for x in np.eye(array.ndim).ravel()),
        "Offset": " ".join(["0"] * array.ndim),
        "ElementSpacing": " ".join(["0.9"] * array.ndim),
        "DimSize": " ".join(map(str, array.shape[::-1])),
        "ElementType": "MET_UCHAR",
    }
    last = fields.pop("ElementDataFile", "LOCAL")
    lines = [f"{key} = {value}" for key, value in {**header, **fields}.items() if value is not None]
    data = array.tobytes() if payload is None else payload
    return "\n".join([*lines, f"ElementDataFile = {last}", ""]).encode() + (data if last == "LOCAL" else b"")


def nrrd(array: np.ndarray, *lines: str, payload: bytes | None = None, **fields: str | None) -> bytes:
    """An NRRD of 0.9 mm voxels in LPS; ``fields`` (underscores for spaces) replace or (None) drop those it has."""
    header = {
        "type": str(array.dtype),
        "dimension": str(array.ndim),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, array.shape[::-1])),
        "space directions": "(0.9,0,0) (0,0.9,0) (0,0,0.9)",
        "endian": "little",
        "encoding": "raw",
    }
    header |= {key.replace("_", " "): value for key, value in fields.items()}
    text = [f"{key}: {value}" for key, value in header.items() if value is not None]
    return "\n".join(["NRRD0005", *text, *lines, "", ""]).encode() + (array.tobytes() if payload is None else payload)


def nifti(
    array: np.ndarray, *, pixdim=(1, 0.9, 0.9, 0.9), sform=None, qform=None, codes=None, units=2, datatype=(2, 8),
    dim=None, intent=0, magic=b"n+1\0", scaling=(0.0, 0.0), offset=352.0, order="<",
) -> bytes:  # fmt: skip
    """NIfTI-1: sform (3, 4) to RAS, qform (b, c, d, x, y, z), codes (qform, sform)."""
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    sizes = dim or (array.ndim, *array.shape[::-1])
    struct.pack_into(f"{order}8h", header, 40, *sizes, *[1] * (8 - len(sizes)))
    struct.pack_into(f"{order}hhh", header, 68, intent, *datatype)
    struct.pack_into(f"{order}8f", header, 76, *pixdim, *[0] * (8 - len(pixdim)))
    struct.pack_into(f"{order}fff", header, 108, offset, *scaling)
    header[123] = units
    struct.pack_into(f"{order}hh", header, 252, *(codes or (int(qform is not None), int(sform is not None))))
    struct.pack_into(f"{order}6f", header, 256, *(qform or [0] * 6))
    struct.pack_into(f"{order}12f", header, 280, *np.ravel(sform if sform is not None else np.zeros((3, 4))))
    header[344:348] = magic
    return bytes(header) + array.astype(array.dtype.newbyteorder(order)).tobytes()


def dicom_set(plane: np.ndarray, index: int = 0, *, spacing=(0.8, 0.8), step=0.7, **elements):
    """A pydicom data set of one image at z = index x step mm; ``elements`` replace or (None) drop those it has."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    colour = plane.ndim > 2 and plane.shape[-1] == 3
    rows, columns = plane.shape[-3:-1] if colour else plane.shape[-2:]
    values = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
        "SOPInstanceUID": f"1.2.3.4.{index + 1}",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "US",
        "InstanceNumber": index + 1,
        "ImagePositionPatient": [0, 0, round(index * step, 6)],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": list(spacing),
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "PlanarConfiguration": 0 if colour else None,
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 8 * plane.dtype.itemsize,
        "BitsStored": 8 * plane.dtype.itemsize,
        "HighBit": 8 * plane.dtype.itemsize - 1,
        "PixelRepresentation": int(plane.dtype.kind == "i"),
        "PixelData": plane.tobytes(),
    }
    for keyword, value in {**values, **elements}.items():
        if value is not None:
            setattr(data, keyword, value)
    meta.MediaStorageSOPClassUID = data.get("SOPClassUID", "1.2")
    meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "1.2")
    return data


def save_dicom(data, path: Path) -> Path:
    """Write a data set as a DICOM file."""
    data.save_as(path, enforce_file_format=True)
    return path


def write_slices(folder: Path, array: np.ndarray, change=lambda data, index: None, **options) -> Path:
    """One file a slice, each data set changed by ``change(data, index)`` before it is written."""
    folder.mkdir(exist_ok=True, parents=True)
    for index, plane in enumerate(array):
        data = dicom_set(plane, index, **options)
        change(data, index)
        save_dicom(data, folder / f"IM{index:04d}")
    return folder


def multiframe(array: np.ndarray, **elements):
    """A data set of many frames that states neither spacing nor places, as ultrasound clips and volumes do."""
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    kind = "1.2.840.10008.5.1.4.1.1.3.1"
    return dicom_set(array, **{"NumberOfFrames": len(array), "SOPClassUID": kind, **nowhere, **elements})
