"""One run of the network: what it writes to, and how its points come into the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Run:
    """One request under way."""

    volume: Any  #: vtkMRMLScalarVolumeNode
    to_world: np.ndarray  #: (4, 4) from where the network thinks the volume is to where it is
    pose: Any = None  #: vtkMRMLMarkupsFiducialNode, None until the first points come
    corrected: tuple[int, ...] = ()  #: landmarks that a person placed or marked as not visible
    makes_pose: bool = True  #: the pose is made by this run, so that nothing of it can be undone
    shown: bool = False  #: points have come
    accepted: bool = False  #: a person wants to see the pose, whatever size the fetus has
    request: int = 0  #: number of the worker's request
