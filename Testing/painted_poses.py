"""What the tests of the joint choice of peaks share: bodies painted as heatmaps."""

import numpy as np

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.refinement.length_prior import LengthPrior
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Grid

SKELETON = load_skeleton()
LIBRARY = PoseLibrary.load(resource_path("pose_library.npz"))
PRIOR = LengthPrior.of(LIBRARY)
SHAPE = (44, 36, 48)
ELBOW, WRIST, OTHER_WRIST = (SKELETON.index(name) for name in ("right_elbow", "right_wrist", "left_wrist"))


def grid_of(spacing: float) -> Grid:
    """Oblique and left-handed: voxels are not millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = spacing * np.array([[-0.8, 0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    affine[:3, 3] = 5, -7, 11
    return Grid(SHAPE, affine)


GRID = grid_of(2.0)


def atlas(index: int) -> np.ndarray:
    """An atlas in the middle of the grid, in RAS mm."""
    pose = LIBRARY.poses[index]
    return pose - (pose.min(axis=0) + pose.max(axis=0)) / 2 + GRID.to_world((np.array(SHAPE) - 1) / 2)


def distance(a, b) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)
