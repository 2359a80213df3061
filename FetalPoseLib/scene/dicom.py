"""The slices of a DICOM series, in the order of their places in space.

MRML's volume reader stacks the files of a folder in the order of their names, whatever their positions. Slicer's DICOM
module sorts them first; so does this.
"""

from pathlib import Path

import numpy as np
import slicer
import slicer.util

from FetalPoseLib.errors import FetalPoseError

_SERIES_UID = "0020|000e"
_GAP = 0.02  # largest deviation from even spacing, as a part of it; scanners round positions


def slices_in_order(folder: Path) -> list[Path]:
    """The DICOM files in `folder`, sorted along the slice normal.

    Raises
    ------
    FetalPoseError
        There are none, they belong to several series or time points, or slices are missing.
    """
    files = sorted(file for file in folder.iterdir() if file.is_file() and _is_dicom(file))
    if not files:
        raise FetalPoseError(f"The folder {folder} holds no DICOM images. Choose a folder with one DICOM series.")
    headers = [_header(file) for file in files]
    series = {uid for uid, _ in headers}
    if len(series) > 1:
        raise FetalPoseError(f"The folder {folder} holds {len(series)} DICOM series. Put the one to read in its own.")
    normal = headers[0][1][:3, 2] / np.linalg.norm(headers[0][1][:3, 2])
    places = np.array([matrix[:3, 3] @ normal for _, matrix in headers])
    order = np.argsort(places, kind="stable")
    if len(files) > 1:
        _check_even(np.diff(places[order]), folder)
    return [files[i] for i in order]


def _check_even(steps: np.ndarray, folder: Path) -> None:
    step = np.median(steps)
    if steps.min() < 1e-4:
        raise FetalPoseError(
            f"{folder} is a 4D series, or holds slices twice: several images lie at one place. Keep one frame."
        )
    if np.abs(steps - step).max() > _GAP * step:
        raise FetalPoseError(
            f"Slices are missing in {folder}: they lie {steps.min():.3g} to {steps.max():.3g} mm apart. "
            "Export the whole series."
        )


def _is_dicom(file: Path) -> bool:
    with open(file, "rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _header(file: Path) -> tuple[str, np.ndarray]:
    """Series UID and IJK-to-RAS matrix (4, 4) of one DICOM file; its pixels are not read."""
    reader = slicer.vtkITKArchetypeImageSeriesScalarReader()
    reader.SetArchetype(str(file))
    reader.SetSingleFile(1)
    reader.SetDesiredCoordinateOrientationToNative()
    reader.UpdateInformation()
    if reader.GetErrorCode():
        raise FetalPoseError(f"The DICOM file {file} cannot be read: it is damaged or holds no image. Export it again.")
    return reader.GetTagValue(_SERIES_UID), np.linalg.inv(slicer.util.arrayFromVTKMatrix(reader.GetRasToIjkMatrix()))
