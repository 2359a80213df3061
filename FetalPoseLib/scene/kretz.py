"""GE Kretz files as scalar volume nodes, with what the file leaves open kept on the node."""

import json
from pathlib import Path

from FetalPoseLib.reading.doubts import Doubt
from FetalPoseLib.reading.kretz import read_kretz
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_resampling import scan_converted

DOUBTS_ATTRIBUTE = "FetalPose.Doubts"  # of a volume node: JSON list of [code, value], see `reading.doubts`
SCAN_CONVERSION_MM = 0.5  # voxels of the node, half of those that the network reads


def read_kretz_volume(path: str | Path, frame: int | None = None) -> tuple[Volume, tuple[Doubt, ...]]:
    """The volume in a Kretz file on Cartesian voxels of `SCAN_CONVERSION_MM`, and what the file leaves open.

    FetalPoseError as for `reading.kretz.read_kretz`; ``frame`` counts from 1.
    """
    reading = read_kretz(path, frame=frame)
    volume = reading.volume
    return scan_converted(volume, SCAN_CONVERSION_MM) if reading.in_probe_coordinates else volume, reading.doubts


def keep_doubts(node, doubts: tuple[Doubt, ...]) -> None:
    """Write the doubts on a volume node."""
    node.SetAttribute(DOUBTS_ATTRIBUTE, json.dumps([[doubt.code, doubt.value] for doubt in doubts]))


def doubts_of(node) -> tuple[Doubt, ...]:
    """What the file of a volume node leaves open; empty where nothing is known to be open."""
    return tuple(Doubt(code, value) for code, value in json.loads(node.GetAttribute(DOUBTS_ATTRIBUTE) or "[]"))
