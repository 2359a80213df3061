"""The lines of JSON between the worker and its client, and the stand-in that speaks them."""

import json
from dataclasses import fields, is_dataclass

import fake_worker
import numpy as np
import pytest

from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeGrid
from FetalPoseLib.worker import protocol
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import (
    EVENTS,
    REQUESTS,
    Cancelled,
    Device,
    Devices,
    DevicesRequest,
    Done,
    EstimateRequest,
    Failed,
    Hello,
    ProgressEvent,
    ProtocolError,
    Ready,
    Unreadable,
    WarmUpRequest,
    decode_request,
    encode_event,
    encode_request,
    event_in,
)

POINTS = np.arange(48, dtype=np.float64).reshape(16, 3) / 7
POINTS[5] = np.nan
CONFIDENCE = np.linspace(0, 1, 16)
CONFIDENCE[5] = np.nan
INTERVALS = np.stack([np.linspace(3, 20, 15), np.linspace(5, 24, 15)], axis=1)
INTERVALS[4] = np.nan
PROBE = ProbeGrid(40, 41.5, 0.37, -12.0, np.linspace(-0.6, 0.6, 7), np.linspace(0.4, -0.4, 5), np.diag([-1.0, 1, 1, 1]))
#: No field has its default.
OPTIONS = EstimateOptions("r4", "cuda", "holding", 3, 5, 1.25, ("one.npz", "two.npz"))
REQUEST_EXAMPLES = [
    EstimateRequest(OPTIONS, "volume.npy", np.diag([-0.5, 1, 2, 1]), {4: np.array([1.5, 2, 3])}, PROBE, POINTS),
    EstimateRequest(EstimateOptions(), "volume.npy", None, probe=PROBE),
    EstimateRequest(EstimateOptions(), "volume.npy", np.eye(4)),
    WarmUpRequest(OPTIONS),
    DevicesRequest(),
]
EVENT_EXAMPLES = [
    Hello(None, 7),
    Ready(1, "r4", "cuda", "Test GPU"),
    ProgressEvent(2, Progress("refine", 1, 3, POINTS, CONFIDENCE, "Refinement 1"), 0.25),
    ProgressEvent(2, Progress("open", 0, 3, None, None, "Starting the network"), None),
    Done(3, Estimate(POINTS, CONFIDENCE, POINTS + 1, {"Model": "r4"}, ["a warning"])),
    Done(3, Estimate(POINTS, CONFIDENCE, POINTS, {}, [], 2 * CONFIDENCE, INTERVALS)),
    Done(3, Estimate(np.full((16, 3), np.nan), np.full(16, np.nan), POINTS, {}, [])),
    Devices(4, (Device("cuda", "Test GPU", 1), Device("cpu", "CPU", None))),
    Failed(5, "a message", True),
    Failed(None, "another", False, "a traceback"),
    Cancelled(6),
]


def assert_same(one, other):
    """Equal in type and value; arrays, too, with NaN equal to NaN."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other


def name(message) -> str:
    return type(message).__name__


@pytest.mark.parametrize("request_", REQUEST_EXAMPLES, ids=name)
def test_a_request_is_read_as_it_was_written(request_):
    line = encode_request(3, request_)
    assert "\n" not in line and "NaN" not in line
    number, read = decode_request(line.encode())
    assert number == 3
    assert_same(read, request_)


@pytest.mark.parametrize("event", EVENT_EXAMPLES, ids=name)
def test_an_event_is_read_as_it_was_written(event):
    line = encode_event(event)
    assert "\n" not in line and "NaN" not in line
    assert_same(event_in(line.encode()), event)


def test_every_kind_of_message_has_an_example():
    assert {type(request) for request in REQUEST_EXAMPLES} == set(REQUESTS.values())
    assert {type(event) for event in EVENT_EXAMPLES} == set(EVENTS.values())
    assert set(REQUESTS.values()) == set(protocol.Request.__args__)
    assert set(EVENTS.values()) == set(protocol.Event.__args__)


def test_no_option_of_the_example_has_its_default():
    default = EstimateOptions()
    assert all(getattr(OPTIONS, field.name) != getattr(default, field.name) for field in fields(OPTIONS))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "not JSON"),
        (b"\xff", "not JSON"),
        ("[1]", "not an object but list"),
        ("{}", "no message of the kind None"),
        ('{"kind": "dance", "request": 1}', "no message of the kind 'dance', only hello, ready"),
        ('{"kind": ["hello"], "request": 1}', "no message of the kind"),
        ('{"kind": "hello", "request": "1", "pid": 1}', "not an integer"),
        ('{"kind": "hello", "request": true, "pid": 1}', "not an integer"),
        ('{"kind": "hello", "request": null}', "pid"),
        ('{"kind": "ready", "request": null, "model": "", "device": "", "device_name": ""}', "request is None"),
        ('{"kind": "hello", "request": null, "pid": "7"}', "pid is '7', not int"),
        ('{"kind": "hello", "request": null, "pid": 7, "age": 3}', "has no age"),
        ('{"kind": "hello", "request": null, "pid": NaN}', "NaN is not a number"),
        ('{"kind": "failed", "request": 1, "message": "m", "user": 1}', "user is 1, not bool"),
        ('{"kind": "done", "request": 1, "estimate": [1]}', "Estimate is"),
        ('{"kind": "devices", "request": 1, "devices": {"cpu": 1}}', "not a list"),
        ('{"kind": "progress", "request": 1, "progress": {"points": 7}, "seconds_left": null}', "wrong field"),
    ],
)
def test_a_line_that_is_no_event_is_a_clear_error(line, message):
    found = event_in(line)
    assert isinstance(found, Unreadable) and message in found.reason
    assert "reinstall FetalPose" in str(found.error) and found.error.request == found.request


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"k": 2.5}},
        {"options": {"k": True}},
        {"options": {"neighbours": 3}},
        {"options": {"libraries": "mine.npz"}},
        {"options": {"libraries": [1]}},
        {"volume": None},
        {"ijk_to_ras": [1, 2, 3]},
        {"ijk_to_ras": [["a"] * 4] * 4},
        {"placed": [1, 2, 3]},
        {"placed": {"wrist": [1, 2, 3]}},
        {"placed": {"3": [1, 2]}},
        {"placed": {"3": None}},
        {"start": [[1, 2], None]},
    ],
    ids=str,
)
def test_a_request_with_a_wrong_field_is_a_clear_error_with_its_number(change):
    values = json.loads(encode_request(9, REQUEST_EXAMPLES[0])) | change
    with pytest.raises(ProtocolError, match="EstimateRequest has a wrong field") as caught:
        decode_request(json.dumps(values))
    assert caught.value.request == 9 and isinstance(caught.value, FetalPoseError)


def test_a_request_needs_a_number():
    with pytest.raises(ProtocolError, match="no number"):
        decode_request('{"kind": "devices"}')


def test_the_stand_in_answers_with_what_the_client_was_told(tmp_path):
    log = tmp_path / "requests.txt"
    points = [row if np.isfinite(row).all() else None for row in POINTS.tolist()]
    plan = {"points": points, "confidence": [0.5] * 16, "warnings": ["a warning"], "log": str(log)}
    placed = {2: np.array([1.0, 2, 3])}
    with WorkerClient(command=fake_worker.command(plan)) as client:
        numbers = [client.devices(), client.warm_up(OPTIONS)]
        numbers.append(client.estimate(Volume(np.ones((2, 3, 4)), np.eye(4)), OPTIONS, placed=placed, start=POINTS))
        events = []
        while not events or not isinstance(events[-1], Done | Failed):
            events += client.poll()
    assert events[0] == Devices(numbers[0], (fake_worker.DEVICE,))
    assert isinstance(events[1], Ready) and events[1].request == numbers[1]
    expected = POINTS.copy()
    expected[2] = placed[2]
    np.testing.assert_array_equal(events[-1].estimate.points, expected)
    assert events[-1].estimate.warnings == ["a warning"]

    heard = [decode_request(line) for line in log.read_text().splitlines()]
    assert [number for number, _ in heard] == numbers
    assert heard[2][1].options.model == "r4" and heard[2][1].options.k == OPTIONS.k
    np.testing.assert_array_equal(heard[2][1].start, POINTS)
