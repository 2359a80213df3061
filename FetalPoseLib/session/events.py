"""What a session tells its front end, one frozen dataclass per event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Question:
    """Something that only a person can decide. The run waits for `PoseSession.answer`."""

    text: str  #: to be answered with yes or no


@dataclass(frozen=True, eq=False)
class PoseShown:
    """A run has put its first pose into a node."""

    pose: Any  #: vtkMRMLMarkupsFiducialNode
    points: np.ndarray  #: (16, 3) RAS mm, NaN where a landmark is not visible
    recentre: bool  #: whether the views should move to the pose; not where a person was correcting it


@dataclass(frozen=True, eq=False)
class Finished:
    """A run ended with a pose."""

    pose: Any  #: vtkMRMLMarkupsFiducialNode
    warnings: tuple[str, ...]  #: sentences for the user


@dataclass(frozen=True)
class Failure:
    """A run ended without a result."""

    message: str  #: what was wrong and how to mend it
