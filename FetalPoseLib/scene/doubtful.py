"""What the file of a volume node leaves open, and whether the node holds what Slicer's own reader has guessed.

A node that `volumes.read_volume` made keeps its doubts. Of one that Slicer has loaded, the file is looked at,
so that both are treated alike.
"""

import json
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.doubts import SENTENCES, Doubt
from FetalPoseLib.reading.image import one_mm_doubt
from FetalPoseLib.reading.read import look_all

DOUBTS_ATTRIBUTE = "FetalPose.Doubts"  # of a volume node: JSON list of [code, value], see `reading.doubts`


def keep_doubts(node, doubts: tuple[Doubt, ...]) -> None:
    """Write the doubts on a volume node."""
    node.SetAttribute(DOUBTS_ATTRIBUTE, json.dumps([[doubt.code, doubt.value] for doubt in doubts]))


def doubts_of(node) -> tuple[Doubt, ...]:
    """What the file of a volume node leaves open; empty where nothing is known to be open."""
    kept = node.GetAttribute(DOUBTS_ATTRIBUTE)
    if kept is not None:
        return _parsed(kept)
    stated = look_all(_files(node)).doubts
    spacing = one_mm_doubt(node.GetSpacing())
    return stated + tuple(doubt for doubt in spacing if doubt.code not in {other.code for other in stated})


def check_stated(node) -> None:
    """Raise FetalPoseError if the node holds a spacing or sides that its file does not state.

    Slicer's readers take 1 mm where nothing is stated. A node that was changed since it was read is the user's own.
    """
    if node.GetAttribute(DOUBTS_ATTRIBUTE) is not None:
        return
    refusal = look_all(_files(node)).refusal
    if refusal is not None:
        raise FetalPoseError(f"{refusal} If you know it, set it in Slicer's module Volumes.")


def _files(node) -> list[Path]:
    """The files that a node was read from, if it was not changed since and they are still there."""
    storage = node.GetStorageNode()
    if storage is None or not storage.GetFileName() or node.GetModifiedSinceRead():
        return []
    names = [storage.GetFileName(), *(storage.GetNthFileName(i) for i in range(storage.GetNumberOfFileNames()))]
    paths = [Path(name) for name in dict.fromkeys(names) if name]
    return paths if all(path.is_file() for path in paths) else []


def _parsed(text: str) -> tuple[Doubt, ...]:
    """Doubts of an attribute; what another version or program wrote is passed over."""
    try:
        pairs = [(str(code), str(value)) for code, value in json.loads(text)]
    except (ValueError, TypeError):
        return ()
    return tuple(Doubt(code, value) for code, value in pairs if code in SENTENCES)
