"""What was seen in one volume of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume


class Frames(Protocol):
    """A sequence of volumes, read one at a time."""

    @property
    def times(self) -> np.ndarray | None:
        """(T,) s, None where they are not known."""

    def __len__(self) -> int: ...

    def volume(self, frame: int) -> Volume | ProbeVolume:
        """The volume of a frame, counted from 0."""


@dataclass(frozen=True, eq=False)
class Observation:
    """One volume.

    Attributes
    ----------
    points : (16, 3) RAS mm, NaN where a landmark is not visible
    confidence : (16,) in 0..1
    found : whether the fetus was found
    how : "followed", "located" (by pass 1), "searched", or "" where it was not found
    reason : why it was not found, a sentence; or ""
    """

    points: np.ndarray
    confidence: np.ndarray
    found: bool
    how: str = ""
    reason: str = ""

    @classmethod
    def nothing(cls, landmarks: int, reason: str) -> Observation:
        """A volume in which no fetus was found."""
        return cls(np.full((landmarks, 3), np.nan), np.zeros(landmarks), False, reason=reason)
