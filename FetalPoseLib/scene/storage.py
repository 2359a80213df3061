"""Poses in `.mrk.json` files, through MRML's own storage node: RAS in memory, LPS in the file is its business."""

import json
from pathlib import Path

import slicer

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.scene.derived import restore_provenance, update_derived
from FetalPoseLib.scene.pose import adopt_pose

SUFFIX = ".mrk.json"


def save_pose(node, path: str | Path) -> None:
    """Write a pose with its lengths and provenance; a file that was there is replaced only on success.

    Raises
    ------
    FetalPoseError
        The file cannot be written.
    """
    update_derived(node)
    with replacing(path) as temporary:
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
        storage.SetFileName(str(temporary))
        if not storage.WriteData(node):
            raise FetalPoseError(f"Cannot write the pose {path}. Choose a name ending in {SUFFIX} on a disk with room.")
        if not _is_whole(temporary, node.GetNumberOfControlPoints()):
            raise FetalPoseError(f"The pose {path} was not stored in full; the former file is kept. Is the disk full?")


def _is_whole(path: Path, points: int) -> bool:
    """Whether the file is whole JSON with so many control points: MRML's writer does not notice a full disk."""
    try:
        (markups, *_) = json.loads(path.read_text(encoding="utf-8"))["markups"]
        return len(markups["controlPoints"]) == points
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load_pose(scene, path: str | Path):
    """Read a pose, ours or anyone's with the 16 landmark names, into a new markups node.

    Raises
    ------
    FetalPoseError
        The file is missing or no markups point list, or its names are not the skeleton's; the scene is left as it was.
    """
    path = Path(path)
    if not path.is_file():
        raise FetalPoseError(f"The pose {path} does not exist. Check its name.")
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", path.name.removesuffix(SUFFIX))
    try:
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
        storage.SetFileName(str(path))
        if not storage.ReadData(node):
            raise FetalPoseError(f"{path} is not a markups point list ({SUFFIX}). Choose a pose saved by Slicer.")
        restore_provenance(node)
        try:
            adopt_pose(node)
        except FetalPoseError as error:
            raise FetalPoseError(f"{path}: {error}") from error
    except FetalPoseError:
        scene.RemoveNode(node)
        raise
    update_derived(node)
    return node
