"""GE Kretz files on Cartesian voxels, as Slicer shows them."""

from pathlib import Path

from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.reading.kretz import read_kretz
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_resampling import scan_converted
from FetalPoseLib.volume.probe_volume import ProbeVolume

SCAN_CONVERSION_MM = 0.5  # voxels of the node, half of those that the network reads


def read_kretz_volume(path: str | Path, frame: int | None = None) -> tuple[Volume, tuple[Doubt, ...]]:
    """The volume in a Kretz file on Cartesian voxels of `SCAN_CONVERSION_MM`, and what the file leaves open.

    FetalPoseError as for `reading.kretz.read_kretz`; ``frame`` counts from 1.
    """
    reading = read_kretz(path, frame=frame)
    if isinstance(reading.volume, ProbeVolume):
        return scan_converted(reading.volume, SCAN_CONVERSION_MM), reading.doubts
    return reading.volume, reading.doubts
