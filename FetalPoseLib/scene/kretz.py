"""GE Kretz files: on Cartesian voxels as Slicer shows them, and the probe's own samples, which the network reads."""

import json
import zlib
from pathlib import Path

import numpy as np
import slicer.util
import vtk

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.doubts import Reading
from FetalPoseLib.reading.kretz import read_kretz
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_resampling import scan_converted
from FetalPoseLib.volume.probe_volume import ProbeVolume

SCAN_CONVERSION_MM = 0.5  # voxels of the node, half of those that the network reads
SAMPLES_ATTRIBUTE = "FetalPose.ProbeSamples"  # of a volume node: JSON, where the samples that it shows are read again


def read_kretz_volume(path: str | Path, frame: int | None = None) -> tuple[Volume, Reading]:
    """The volume in a Kretz file on Cartesian voxels of `SCAN_CONVERSION_MM`, and what was read.

    FetalPoseError as for `reading.kretz.read_kretz`; ``frame`` counts from 1.
    """
    reading = read_kretz(path, frame=frame)
    volume = reading.volume
    return scan_converted(volume, SCAN_CONVERSION_MM) if isinstance(volume, ProbeVolume) else volume, reading


def keep_samples(node, path: str | Path, frame: int | None, samples: ProbeVolume) -> None:
    """Note on a node which samples of which file it shows, so that `samples_of` finds them."""
    kept = {"file": str(Path(path).absolute()), "frame": frame, "samples": _crc(samples.array)}
    node.SetAttribute(SAMPLES_ATTRIBUTE, json.dumps({**kept, "shown": _checksum(node)}))


def samples_of(node) -> ProbeVolume | None:
    """The samples that a node shows, moved as its linear transforms say.

    None where the node shows none, where its voxels or its place were changed, where its transforms change lengths, or
    where the file is no longer there: then the node itself is what there is.
    """
    try:
        kept = json.loads(node.GetAttribute(SAMPLES_ATTRIBUTE) or "{}")
        path, frame, samples, shown = (kept[name] for name in ("file", "frame", "samples", "shown"))
        if shown != _checksum(node):
            return None
        volume = read_kretz(Path(path), frame=frame).volume
        if not isinstance(volume, ProbeVolume) or _crc(volume.array) != samples:
            return None
        return volume.moved(_to_world(node))
    except (FetalPoseError, ValueError, TypeError, KeyError):  # of the file, or of an attribute that others wrote
        return None


def _checksum(node) -> int:
    """Of the voxels of a node and their place."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    place = np.round(slicer.util.arrayFromVTKMatrix(matrix), 6) + 0.0  # no negative zero
    return _crc(place, _crc(slicer.util.arrayFromVolume(node)))


def _crc(array: np.ndarray, start: int = 0) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B"), start)


def _to_world(node) -> np.ndarray:
    matrix, transform = vtk.vtkMatrix4x4(), node.GetParentTransformNode()
    if transform is not None:
        transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
