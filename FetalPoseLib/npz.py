"""Arrays out of `.npz` files: the size of each is checked before it is read, and a damaged file is one clear error."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError, listed

MOST_BYTES = 2**29  # of one array; a training case has some 10 MB


def read_npz(
    path: str | Path, names: Sequence[str], *, optional: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> dict[str, np.ndarray]:
    """The arrays of these names, those of ``optional`` if they are there.

    Raises
    ------
    FetalPoseError
        The file cannot be read or is no `.npz` file; an array is missing, damaged, larger than ``most_bytes``, or holds
        Python objects. The message says which.
    """
    arrays = arrays_or_reason(path, names, optional=optional, most_bytes=most_bytes)
    if isinstance(arrays, str):
        raise FetalPoseError(arrays)
    return arrays


def arrays_or_reason(
    path: str | Path, names: Sequence[str], *, optional: Sequence[str] = (), most_bytes: int = MOST_BYTES
) -> dict[str, np.ndarray] | str:
    """As `read_npz`, but where that raises, the sentence that says why."""
    try:
        with zipfile.ZipFile(path) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
            missing = [name for name in names if name not in there]
            if missing:
                raise ValueError(f"it holds no {listed(missing)}")
            wanted = [*names, *(name for name in optional if name in there)]
            return {name: _array(archive, name, most_bytes) for name in wanted}
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}."
    except (Exception, RecursionError) as error:  # zlib, zip, literals, tokens: whatever a damaged byte sets off
        reason = listed([error]) or type(error).__name__
        return f"{path} is damaged or no .npz file of FetalPose ({reason})."


def _array(archive: zipfile.ZipFile, name: str, most_bytes: int) -> np.ndarray:
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > most_bytes:
        raise ValueError(f"{name} has {info.file_size} bytes")
    with archive.open(info) as stream:
        data = stream.read(most_bytes + 1)
    buffer = io.BytesIO(data)
    version = np.lib.format.read_magic(buffer)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, by_columns, dtype = read_header(buffer)
    count, rest = math.prod(shape), len(data) - buffer.tell()
    if dtype.hasobject or min(shape, default=0) < 0 or count * dtype.itemsize != rest:
        raise ValueError(f"{name} states {listed([shape])} of {dtype}, and has {rest} bytes")
    flat = np.frombuffer(data, dtype, count, buffer.tell()) if count and dtype.itemsize else np.zeros(count, dtype)
    return flat.reshape(shape, order="F" if by_columns else "C").copy()
