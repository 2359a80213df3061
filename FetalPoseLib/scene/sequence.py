"""Poses over time as a sequence node, and in ``.seq.mrb``, which Slicer opens as a sequence of markups.

Each item is a pose node like any other. A volume without the fetus has an item without positions, so that the browser
shows a gap there and not the pose before.
"""

from pathlib import Path

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.scene.derived import update_derived
from FetalPoseLib.scene.pose import create_pose, set_estimate

SUFFIX = ".seq.mrb"


def pose_sequence(
    scene,
    points: np.ndarray,
    confidence: np.ndarray,
    times: np.ndarray | None,
    *,
    name: str = "Fetal poses",
    provenance: dict[str, str] | None = None,
):
    """A new vtkMRMLSequenceNode with a pose per volume.

    Parameters
    ----------
    points : (T, 16, 3) RAS mm, NaN where a landmark is not visible
    confidence : (T, 16) in 0..1
    times : (T,) s; None numbers the items from 0 instead
    provenance : of every pose, see `set_estimate`
    """
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName("frame" if times is None else "time")
    sequence.SetIndexUnit("" if times is None else "s")
    sequence.SetIndexTypeFromString("numeric")
    for frame, (pose, sure) in enumerate(zip(points, confidence, strict=True)):
        node = create_pose(scene, name)
        set_estimate(node, pose, sure, provenance=provenance)
        update_derived(node)
        sequence.SetDataNodeAtValue(node, index_value(frame, times))
        scene.RemoveNode(node)
    return sequence


def index_value(frame: int, times: np.ndarray | None) -> str:
    """The index value of a frame, counted from 0."""
    return str(frame) if times is None else f"{times[frame]:.6f}".rstrip("0").rstrip(".")


def save_sequence(sequence, path: str | Path) -> None:
    """Write a sequence node of poses into a ``.seq.mrb`` file; a file that was there is replaced only on success.

    Raises
    ------
    FetalPoseError
        The file cannot be written.
    """
    scene = sequence.GetScene()
    with replacing(path) as temporary:
        storage = scene.AddNewNodeByClass("vtkMRMLSequenceStorageNode")
        try:
            storage.SetFileName(str(temporary))
            if not storage.WriteData(sequence) or not temporary.is_file():
                raise FetalPoseError(
                    f"Cannot write the poses {path}. Choose a name ending in {SUFFIX} on a disk with room."
                )
        finally:
            scene.RemoveNode(storage)
