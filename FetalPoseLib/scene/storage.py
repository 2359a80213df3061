"""Poses in `.mrk.json` files, through MRML's own storage node: RAS in memory, LPS in the file is its business."""

import json
import tempfile
from pathlib import Path

import slicer

from FetalPoseLib.errors import FetalPoseError, printable
from FetalPoseLib.files import replacing
from FetalPoseLib.scene.derived import update_derived
from FetalPoseLib.scene.markups_file import PREFIX, SUFFIXES, plain_markups, read_landmarks
from FetalPoseLib.scene.place_node import kept_place_node
from FetalPoseLib.scene.pose import adopt_pose
from FetalPoseLib.scene.world_copy import world_copy

ABSENT = PREFIX + "NotInFile"  # names of the landmarks that the file of a pose does not hold
SUFFIX = ".mrk.json"


def save_pose(node, path: str | Path) -> None:
    """Write a pose with its lengths and provenance; a file that was there is replaced only on success.

    The points of the file are those in the world, as the lengths are: a markups file knows of no transform.

    Raises
    ------
    FetalPoseError
        The file cannot be written.
    """
    update_derived(node)
    scene = slicer.vtkMRMLScene()  # holds the copy while it is written
    if node.GetParentTransformNode() is not None:
        node = world_copy(node, scene)
    with replacing(path) as temporary:
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
        storage.SetFileName(str(temporary))
        if not storage.WriteData(node):
            raise FetalPoseError(
                "Cannot write the pose {path}. Choose a name ending in {suffix} on a disk with room.",
                path=path,
                suffix=SUFFIX,
            )
        if not _is_whole(temporary, node.GetNumberOfControlPoints()):
            raise FetalPoseError(
                "The pose {path} was not stored in full; the former file is kept. Is the disk full?", path=path
            )


def _is_whole(path: Path, points: int) -> bool:
    """Whether the file is whole JSON with so many control points: MRML's writer does not notice a full disk."""
    try:
        (markups, *_) = json.loads(path.read_text(encoding="utf-8"))["markups"]
        return len(markups["controlPoints"]) == points
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load_pose(scene, path: str | Path, *, complete: bool = False):
    """Read a pose, ours or anyone's with the landmarks' names, into a new markups node.

    A landmark that the file does not hold is not visible, and named in the attribute `ABSENT`; it is an error where the
    list must be ``complete``.

    Raises
    ------
    FetalPoseError
        As `markups_file.read_landmarks`; the scene is left as it was.
    """
    path = Path(path)
    landmarks = read_landmarks(path, complete=complete)
    before = {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}
    try:
        name = _name_of(path)
        with kept_place_node(scene):
            node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        _fill(node, plain_markups(landmarks), path)
        node.SetName(name)
        for attribute, value in landmarks.attributes.items():
            node.SetAttribute(attribute, value)
        if landmarks.absent:
            node.SetAttribute(ABSENT, " ".join(landmarks.absent))
        adopt_pose(node)
        update_derived(node)
    except BaseException:
        added = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        for node in [node for node in added if node.GetID() not in before]:
            scene.RemoveNode(node)
        raise
    return node


def _fill(node, markups: str, path: Path) -> None:
    """Have MRML read checked markups into a node."""
    with tempfile.TemporaryDirectory(prefix="fetalpose-") as folder:
        checked = Path(folder) / f"checked{SUFFIX}"
        checked.write_text(markups, encoding="utf-8")
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
        storage.SetFileName(str(checked))
        if not storage.ReadData(node):
            raise FetalPoseError(f"{path} is not a markups point list ({SUFFIX}). Choose a pose saved by Slicer.")


def _name_of(path: Path) -> str:
    name = printable(path.name)
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or "Fetal pose"
