"""What a volume file states and ITK, which reads it, would quietly overrule.

ITK gives a volume 1 mm voxels where the header says 0, NaN, a negative number or nothing, and fills what a truncated
NIfTI file lacks with zeros. Both would end as plausible but wrong lengths, so the headers are looked at first.
"""

import gzip
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError

_HEADER_BYTES = 1 << 20  # NRRD and MetaImage headers are text of a few hundred bytes, followed by binary data


def check_header(path: Path) -> None:
    """Raise FetalPoseError if the NRRD, MetaImage or NIfTI file `path` has no usable spacing or misses data.

    Other files pass: whether they are volumes at all is for ITK to say.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nrrd", ".nhdr")):
            spacing = _nrrd_spacing(path)
        elif name.endswith((".mha", ".mhd")):
            spacing = _metaimage_spacing(path)
        elif name.endswith((".nii", ".nii.gz")):
            spacing = _nifti_spacing(path)
        else:
            return
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise FetalPoseError(f"{path} cannot be read as a volume: it is damaged ({error}). Export it again.") from error
    if not spacing:
        raise FetalPoseError(f"{path} states no voxel spacing, so nothing can be measured in it. Export it again.")
    if not all(0 < value < np.inf for value in spacing):
        stated = " x ".join(f"{value:g}" for value in spacing)
        raise FetalPoseError(f"{path} states an impossible voxel spacing of {stated} mm. Correct the file's header.")


def _nrrd_spacing(path: Path) -> list[float]:
    header = _read(path)
    if not header.startswith(b"NRRD"):
        raise ValueError("it does not start as NRRD files do")
    fields = dict(re.findall(r"^([\w ]+): *(.*?)\r?$", re.split(rb"\r?\n\r?\n", header)[0].decode("latin-1"), re.M))
    if re.search(rb"^Segment0_ID", header, re.M):
        raise FetalPoseError(f"{path} is a segmentation. Choose the ultrasound volume itself.")
    if "space directions" in fields:
        vectors = re.findall(r"\(([^)]*)\)", fields["space directions"])
        return [float(np.linalg.norm([float(x) for x in vector.split(",")])) for vector in vectors]
    return [float(value) for value in fields.get("spacings", "").split()][: int(fields.get("dimension", 3))]


def _metaimage_spacing(path: Path) -> list[float]:
    fields = dict(re.findall(r"^(\w+) *= *(.*?)\r?$", _read(path).split(b"ElementDataFile")[0].decode("latin-1"), re.M))
    if "NDims" not in fields:
        raise ValueError("it does not start as MetaImage files do")
    return [float(value) for value in fields.get("ElementSpacing", fields.get("ElementSize", "")).split()]


def _nifti_spacing(path: Path) -> list[float]:
    with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as file:
        header = file.read(348)
        order = next((o for o in "<>" if struct.unpack_from(f"{o}i", header)[0] == 348), None)
        if order is None:  # NIfTI-2, or no NIfTI at all: left to ITK
            return [1.0]
        dim = struct.unpack_from(f"{order}8h", header, 40)
        bits, pixdim = struct.unpack_from(f"{order}h", header, 72)[0], struct.unpack_from(f"{order}8f", header, 76)
        expected = int(struct.unpack_from(f"{order}f", header, 108)[0]) + int(np.prod(dim[1 : dim[0] + 1])) * bits // 8
        size = 348 + sum(len(block) for block in iter(lambda: file.read(1 << 20), b""))
    if header[344:347] == b"n+1" and size < expected:
        raise ValueError(f"{size} of {expected} bytes")
    return [float(abs(value)) for value in pixdim[1 : min(dim[0], 3) + 1]]


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_HEADER_BYTES)
