"""One run of the network: what it writes to, and how its points come into the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from FetalPoseLib.volume.grid import Volume


@dataclass
class Run:
    """One request under way."""

    volume: Any  #: vtkMRMLScalarVolumeNode
    to_world: np.ndarray  #: (4, 4) from where the network thinks the volume is to where it is
    pose: Any = None  #: vtkMRMLMarkupsFiducialNode, None until the first points come
    held: tuple[int, ...] = ()  #: landmarks that a person placed or marked as not visible
    makes_pose: bool = True  #: the pose is made by this run, so that nothing of it can be undone
    shown: bool = False  #: points have come
    accepted: bool = False  #: a person wants to see the pose, whatever size the fetus has
    request: int = 0  #: number of the worker's request


def mirror_of(volume: Volume) -> np.ndarray:
    """The reflection (4, 4) of the world, in mm, along the volume's first axis that leaves the volume's box in place.

    It is its own inverse.
    """
    across = volume.ijk_to_ras[:3, 0] / np.linalg.norm(volume.ijk_to_ras[:3, 0])
    middle = (np.array(volume.array.shape[::-1]) - 1) / 2
    centre = volume.ijk_to_ras[:3, :3] @ middle + volume.ijk_to_ras[:3, 3]
    mirror = np.eye(4)
    mirror[:3, :3] -= 2 * np.outer(across, across)
    mirror[:3, 3] = 2 * across * (across @ centre)
    return mirror
