"""What client and server of the worker say to each other: each message one line of JSON, typed on both sides.

A request goes in on the process's standard input, events come out on its standard output. Every request ends with
exactly one of `Done`, `Devices`, `Failed` or `Cancelled`; a `WarmUp` ends with `Ready`. Points are RAS mm, NaN where a
landmark is not visible; in JSON such a row is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.refinement.options import EstimateOptions

# requests


@dataclass(frozen=True, eq=False)
class EstimateRequest:
    """Find the pose in a volume."""

    options: EstimateOptions
    volume: str  #: path of an .npy file with the voxels (nz, ny, nx), which the server deletes once it is open
    ijk_to_ras: np.ndarray  #: (4, 4)
    placed: Mapping[int, np.ndarray] = field(default_factory=dict)  #: landmark to (3,) mm where a person placed it
    start: np.ndarray | None = None  #: (16, 3) mm, the pose on screen: the fetus is searched for nowhere else


@dataclass(frozen=True)
class WarmUpRequest:
    """Open the model, so that the first estimate need not wait."""

    options: EstimateOptions


@dataclass(frozen=True)
class DevicesRequest:
    """Say which devices there are."""


Request = EstimateRequest | WarmUpRequest | DevicesRequest

# events


@dataclass(frozen=True)
class Device:
    """A device that can compute."""

    device: str  #: "cpu" or "cuda"
    name: str
    free_bytes: int | None  #: None where the system does not say
    total_bytes: int | None


@dataclass(frozen=True, eq=False)
class Hello:
    """The process runs."""

    request: int | None
    pid: int


@dataclass(frozen=True, eq=False)
class Ready:
    """The model is open. An estimate has this event, too, before its "locate"."""

    request: int
    model: str
    device: str
    device_name: str


@dataclass(frozen=True, eq=False)
class ProgressEvent:
    """An estimate goes on. ``seconds_left`` is None while unknown."""

    request: int
    progress: Progress
    seconds_left: float | None


@dataclass(frozen=True, eq=False)
class Done:
    """An estimate ended. Placed landmarks are where they were placed, with confidence 1."""

    request: int
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class Devices:
    """The devices, the best first."""

    request: int
    devices: tuple[Device, ...]


@dataclass(frozen=True, eq=False)
class Failed:
    """A request failed. ``user`` says that a person can mend it; otherwise ``details`` holds a traceback."""

    request: int | None
    message: str
    user: bool
    details: str = ""


@dataclass(frozen=True, eq=False)
class Cancelled:
    """A request was cancelled."""

    request: int


Event = Hello | Ready | ProgressEvent | Done | Devices | Failed | Cancelled
