"""The one place that knows MRML: volume nodes in, markups nodes out, and what is derived from them kept true.

The 16-point markups node is the one source of truth. `pose` makes and reads it, `derived` computes the lengths, the
provenance and the skeleton model from it, `observer` does so whenever a point moves, `storage` writes and reads
`.mrk.json`, `volumes` turns a volume node into what the network takes. All of it runs in 3D Slicer and, without an
application, on the slicer-core package.

May import `reading`, `volume`, `body`, `files` and `errors`, and the packages slicer and vtk. Importing it does not
import torch. A new file here is one more node, or one more thing that a node shows.
"""

from FetalPoseLib.scene.derived import show_skeleton, update_derived
from FetalPoseLib.scene.doubtful import InstanceFile, doubts_of, is_confirmed
from FetalPoseLib.scene.labels import show_lengths
from FetalPoseLib.scene.measures import crown_rump_of, head_turn_of, measures_of, set_crown_rump, set_head_turn
from FetalPoseLib.scene.observer import PoseObserver
from FetalPoseLib.scene.pose import (
    adopt_pose,
    confidence_of,
    create_pose,
    is_pose,
    is_whole,
    length_intervals_of,
    placed_landmarks,
    points_of,
    pose_node,
    provenance_of,
    radius_of,
    reset_landmarks,
    set_estimate,
)
from FetalPoseLib.scene.sequence import pose_sequence, save_sequence
from FetalPoseLib.scene.slice_views import are_turned, distance_shown, move_view, slice_nodes, turn_back, turn_views
from FetalPoseLib.scene.storage import ABSENT, load_pose, save_pose
from FetalPoseLib.scene.uncertainty import show_uncertainty
from FetalPoseLib.scene.volumes import (
    add_volume,
    new_scene,
    read_volume,
    recorded_volume,
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
    "are_turned",
    "confidence_of",
    "create_pose",
    "crown_rump_of",
    "distance_shown",
    "doubts_of",
    "head_turn_of",
    "is_confirmed",
    "is_pose",
    "is_whole",
    "length_intervals_of",
    "load_pose",
    "measures_of",
    "move_view",
    "placed_landmarks",
    "new_scene",
    "points_of",
    "pose_node",
    "pose_sequence",
    "provenance_of",
    "radius_of",
    "read_volume",
    "recorded_volume",
    "reset_landmarks",
    "save_pose",
    "save_sequence",
    "set_crown_rump",
    "set_estimate",
    "set_head_turn",
    "show_lengths",
    "show_skeleton",
    "show_uncertainty",
    "silence_log",
    "slice_nodes",
    "turn_back",
    "turn_views",
    "update_derived",
    "volume_from_node",
    "write_volume",
]
