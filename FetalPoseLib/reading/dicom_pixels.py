"""Voxels of one DICOM file: counted, decoded, grey, and rescaled as the file says."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.dicom_files import DicomFile, numbers_in, read_dicom_file
from FetalPoseLib.reading.names import shown
from FetalPoseLib.reading.refusals import damaged
from FetalPoseLib.reading.streams import check_bytes

#: What decodes the voxels of a file whose compression pydicom does not know: (frames, rows, columns) or (frames, rows,
#: columns, samples), or None.
Decoder = Callable[[Path], np.ndarray | None]

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_LOSSY = 3  # levels of 255 by which channels of a grey picture differ after JPEG
_MIDDLE = 128  # chroma of grey


def stated_bytes(file: DicomFile) -> int:
    """Bytes of all voxels that the file states; FetalPoseError if they are too many, or the statement is incomplete."""
    data = file.data
    try:
        count = file.frames * int(data.Rows) * int(data.Columns) * int(data.get("SamplesPerPixel", 1) or 1)
        bits = int(data.get("BitsAllocated", 8))
    except Exception:  # absent, or no number
        raise damaged(f"its file {shown(file.path.name)} states no sizes of its images") from None
    if count <= 0 or bits not in (8, 16, 32):
        name, rows, columns = shown(file.path.name), data.Rows, data.Columns
        raise damaged(f"the images of its file {name} have {rows} rows, {columns} columns and {bits} bits per pixel")
    check_bytes(count * bits // 8)
    return count * bits // 8


def read_pixels(file: DicomFile, decode: Decoder | None = None) -> np.ndarray:
    """The grey values (frames, rows, columns) of a file, rescaled.

    Raises
    ------
    FetalPoseError
        The file holds fewer voxels than it states, no decoder reads them, or they are in colour.
    """
    size = stated_bytes(file)
    data = read_dicom_file(file.path, voxels=True).data
    if "PixelData" not in data:
        raise damaged(f"its file {shown(file.path.name)} holds no voxels, or was cut short")
    samples = int(data.get("SamplesPerPixel", 1) or 1)
    shape = (file.frames, int(data.Rows), int(data.Columns), samples)
    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
    compressed = bool(syntax is not None and syntax.is_compressed and not syntax.is_deflated)
    array = _decoded(file, data, shape, decode) if compressed else _plain(file, data, shape, size, str(syntax))
    return _rescaled(_grey(array, str(data.get("PhotometricInterpretation", "")), file, compressed), data)


def _plain(file: DicomFile, data: Any, shape: tuple[int, int, int, int], size: int, syntax: str) -> np.ndarray:
    pixels = data.PixelData
    if len(pixels) < size:
        raise damaged(f"its file {shown(file.path.name)} holds {len(pixels)} of the {size} bytes of its images")
    if len(pixels) > size + 1 + shape[1] * shape[2]:  # one byte fills up to an even number
        raise damaged(f"its file {shown(file.path.name)} holds {len(pixels)} bytes where {size} belong")
    code = f"{'i' if data.get('PixelRepresentation', 0) else 'u'}{int(data.get('BitsAllocated', 8)) // 8}"
    kind = np.dtype(code).newbyteorder(">" if syntax == _BIG_ENDIAN else "<")
    array = np.frombuffer(pixels, kind, math.prod(shape)).astype(kind.newbyteorder("="), copy=False)
    if shape[3] > 1 and data.get("PlanarConfiguration", 0):
        return np.moveaxis(array.reshape(shape[0], shape[3], shape[1], shape[2]), 1, -1)
    return array.reshape(shape)


def _decoded(file: DicomFile, data: Any, shape: tuple[int, int, int, int], decode: Decoder | None) -> np.ndarray:
    array = None
    try:
        if _has_decoder(data.file_meta.TransferSyntaxUID):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                array = data.pixel_array
        elif decode is not None:
            array = decode(file.path)
    except Exception:  # damaged: pydicom and its decoders have many kinds of exceptions
        array = None
    if array is None or array.size != math.prod(shape):
        name = getattr(data.file_meta.TransferSyntaxUID, "name", "an unknown method")
        raise FetalPoseError(
            f"The images of its file {shown(file.path.name)} are compressed ({name}) and cannot be decoded: they are "
            "damaged, or of a kind that is not read. Export the series uncompressed."
        )
    return array.reshape(shape)


def _has_decoder(syntax: Any) -> bool:
    """Whether pydicom decodes the transfer syntax. If it does, what it refuses is not given to a more tolerant one."""
    try:
        from pydicom.pixels import get_decoder
    except ImportError:  # before version 3
        from pydicom import config

        return any(h.is_available() and h.supports_transfer_syntax(syntax) for h in config.pixel_data_handlers)
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _grey(array: np.ndarray, photometric: str, file: DicomFile, lossy: bool) -> np.ndarray:
    """(frames, rows, columns) of (frames, rows, columns, samples)."""
    if array.shape[-1] == 1:
        if photometric == "PALETTE COLOR":
            raise FetalPoseError("Its images are in colours of a palette. Export them in grey.")
        return array[..., 0]
    first, others = array[..., 0], array[..., 1:3]
    grey_level = _MIDDLE if photometric.startswith("YBR") and not lossy else None  # decoders turn YBR into RGB
    allowed = _LOSSY if lossy else 0
    for plane in range(len(array)):  # without a copy of the whole
        middle = np.int32(grey_level) if grey_level is not None else first[plane, ..., None].astype(np.int32)
        if np.abs(others[plane].astype(np.int32) - middle).max() > max(allowed, 1 if grey_level is not None else 0):
            raise FetalPoseError(
                f"The images of its file {shown(file.path.name)} have several values per voxel (colour) that differ. "
                "Export the volume in grey, without Doppler or a colour map."
            )
    return first


def _rescaled(array: np.ndarray, data: Any) -> np.ndarray:
    source = data
    for name in ("SharedFunctionalGroupsSequence", "PixelValueTransformationSequence"):
        items = source.get(name) if source is not None else None
        source = items[0] if items else None
    source = data if source is None else source
    slope = (numbers_in(source, "RescaleSlope", 1) or [1.0])[0]
    intercept = (numbers_in(source, "RescaleIntercept", 1) or [0.0])[0]
    if str(data.get("PhotometricInterpretation", "")) == "MONOCHROME1" and array.dtype.kind == "u":
        stored = int(data.get("BitsStored", 8) or 8)
        array = np.minimum(array, 2**stored - 1)
        array = (2**stored - 1 - array).astype(array.dtype)
    if slope == 0 or (slope == 1 and intercept == 0):
        return array
    if slope == 1 and intercept == int(intercept) and array.dtype.itemsize < 4:
        return array.astype(np.int32) + int(intercept)
    return (array * np.float32(slope) + np.float32(intercept)).astype(np.float32)
