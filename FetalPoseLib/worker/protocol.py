"""What client and server of the worker say to each other: each message one line of JSON, typed on both sides.

A request goes in on the process's standard input, events come out on its standard output. Every request ends with
exactly one of `Done`, `Devices`, `Failed` or `Cancelled`; a `WarmUpRequest` ends with `Ready` instead of `Done`. Points
are RAS mm, NaN where a landmark is not visible; in JSON such a row is null, and so is a confidence that is not finite.

A line is an object with "kind", "request" (the number that the client gave) and the fields of the dataclass:

>>> encode_request(3, DevicesRequest())
'{"kind": "devices", "request": 3}'
>>> event_in('{"kind": "hello", "request": null, "pid": 7}')
Hello(request=None, pid=7)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.volume.probe_volume import ProbeGrid
from FetalPoseLib.worker.codec import dataclass_of_plain, plain_of_dataclass


class ProtocolError(FetalPoseError):
    """A line that is not a message of this protocol. ``request`` is its number where it has one."""

    def __init__(self, reason: str, request: int | None = None):
        super().__init__(f"{reason} Client and worker must be of the same FetalPose version: reinstall FetalPose.")
        self.request = request


@dataclass(frozen=True)
class Unreadable:
    """Why a line is no message, and the number of its request if it has one."""

    reason: str
    request: int | None = None

    @property
    def error(self) -> ProtocolError:
        """The same to be raised."""
        return ProtocolError(self.reason, self.request)


# requests


@dataclass(frozen=True, eq=False)
class EstimateRequest:
    """Find the pose in a volume."""

    options: EstimateOptions
    volume: (
        str  #: path of an .npy file with the voxels (nz, ny, nx), whose name the server removes as soon as it is open
    )
    ijk_to_ras: np.ndarray | None  #: (4, 4); None where ``probe`` places the voxels
    placed: Mapping[int, np.ndarray] = field(default_factory=dict)  #: landmark to (3,) mm where a person placed it
    probe: ProbeGrid | None = None  #: where the voxels lie if they are a probe's own samples
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


@dataclass(frozen=True)
class Hello:
    """The process runs."""

    request: int | None
    pid: int


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Devices:
    """The devices, the best first."""

    request: int
    devices: tuple[Device, ...]


@dataclass(frozen=True)
class Failed:
    """A request failed. ``user`` says that a person can mend it; otherwise ``details`` holds a traceback."""

    request: int | None
    message: str
    user: bool
    details: str = ""


@dataclass(frozen=True)
class Cancelled:
    """A request was cancelled."""

    request: int


Event = Hello | Ready | ProgressEvent | Done | Devices | Failed | Cancelled

# lines of JSON

REQUESTS: dict[str, type] = {
    "estimate": EstimateRequest,
    "warm_up": WarmUpRequest,
    "devices": DevicesRequest,
}
EVENTS: dict[str, type] = {
    "hello": Hello,
    "ready": Ready,
    "progress": ProgressEvent,
    "done": Done,
    "devices": Devices,
    "failed": Failed,
    "cancelled": Cancelled,
}


def encode_request(number: int, request: Request) -> str:
    """One line of JSON, without its end."""
    return _line(REQUESTS, request, number)


def encode_event(event: Event) -> str:
    """One line of JSON, without its end."""
    return _line(EVENTS, event, event.request)


def decode_request(line: str | bytes) -> tuple[int, Request]:
    """The number and the request in a line; ProtocolError if it is none."""
    parsed = _parsed(REQUESTS, line)
    if isinstance(parsed, Unreadable):
        raise parsed.error
    kind, number, values = parsed
    if number is None:
        raise ProtocolError("A request has no number.")
    request = _built(REQUESTS[kind], values, number)
    if isinstance(request, Unreadable):
        raise request.error
    return number, request


def event_in(line: str | bytes) -> Event | Unreadable:
    """The event in a line, or why it is none."""
    parsed = _parsed(EVENTS, line)
    if isinstance(parsed, Unreadable):
        return parsed
    kind, number, values = parsed
    return _built(EVENTS[kind], {"request": number, **values}, number)


def _line(kinds: dict[str, type], message: Request | Event, number: int | None) -> str:
    kind = next(kind for kind, cls in kinds.items() if type(message) is cls)
    return json.dumps({"kind": kind, "request": number, **plain_of_dataclass(message, skip="request")}, allow_nan=False)


def _parsed(kinds: dict[str, type], line: str | bytes) -> tuple[str, int | None, dict] | Unreadable:
    """Kind, number and the other fields of a line."""
    try:
        values = json.loads(line, parse_constant=_no_constant)
    except ValueError as error:
        return Unreadable(f"A message is not JSON: {error}.")
    if not isinstance(values, dict):
        return Unreadable(f"A message is not an object but {type(values).__name__}.")
    kind, number = values.pop("kind", None), values.pop("request", None)
    if type(number) not in (int, type(None)):
        return Unreadable(f"The number of a request is {number!r}, which is not an integer.")
    if not isinstance(kind, str) or kind not in kinds:
        return Unreadable(f"There is no message of the kind {kind!r}, only {', '.join(kinds)}.", number)
    return kind, number, values


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _built(cls: type, values: dict, number: int | None):
    """A dataclass of the fields in ``values``, each of the type that the dataclass says; or why there is none."""
    try:
        return dataclass_of_plain(cls, values)
    except (TypeError, ValueError, AttributeError, FetalPoseError) as error:
        return Unreadable(f"A message of the kind {cls.__name__} has a wrong field: {error}.", number)
