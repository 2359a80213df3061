"""The one place that knows MRML: volume nodes in, markups nodes out, and what is derived from them kept true.

The 16-point markups node is the one source of truth. `pose` makes and reads it, `derived` computes the lengths, the
provenance and the skeleton model from it, `observer` does so whenever a point moves, `storage` writes and reads
`.mrk.json`, `volumes` turns a volume node into what the network takes. All of it runs in 3D Slicer and, without an
application, on the slicer-core package. Importing it does not import torch.
"""

from FetalPoseLib.scene.derived import show_skeleton, update_derived
from FetalPoseLib.scene.doubtful import InstanceFile, doubts_of, is_confirmed
from FetalPoseLib.scene.labels import show_lengths
from FetalPoseLib.scene.observer import PoseObserver
from FetalPoseLib.scene.pose import (
    adopt_pose,
    confidence_of,
    create_pose,
    is_pose,
    is_whole,
    length_intervals_of,
    moved_landmarks,
    points_of,
    pose_node,
    provenance_of,
    radius_of,
    reset_landmarks,
    set_estimate,
)
from FetalPoseLib.scene.storage import ABSENT, load_pose, save_pose
from FetalPoseLib.scene.volumes import (
    add_volume,
    new_scene,
    read_volume,
    silence_log,
    volume_from_node,
    write_volume,
)

__all__ = [
    "ABSENT",
    "InstanceFile",
    "PoseObserver",
    "add_volume",
    "adopt_pose",
    "confidence_of",
    "create_pose",
    "doubts_of",
    "is_confirmed",
    "is_pose",
    "is_whole",
    "length_intervals_of",
    "load_pose",
    "moved_landmarks",
    "new_scene",
    "points_of",
    "pose_node",
    "provenance_of",
    "radius_of",
    "read_volume",
    "reset_landmarks",
    "save_pose",
    "set_estimate",
    "show_lengths",
    "show_skeleton",
    "silence_log",
    "update_derived",
    "volume_from_node",
    "write_volume",
]
