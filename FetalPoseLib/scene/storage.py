"""Poses in `.mrk.json` files, through MRML's own storage node: RAS in memory, LPS in the file is its business."""

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
