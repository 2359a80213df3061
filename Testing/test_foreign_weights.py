"""Files that are no FetalPose model, or a damaged one: one clear message before a network is built."""

import copy
import json
from functools import cache

import pytest
import torch
from safetensors.torch import load, save

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import Estimator
from FetalPoseLib.resources import resource_path
from FetalPoseLib.training.start import network_from


@cache
def bundled() -> tuple[dict, dict]:
    """The state and the decoded header of the bundled r4, the smallest to build."""
    data = resource_path("models", "r4.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return load(data), {key: json.loads(value) for key, value in header.items()}


def model(*, metadata=None, state=None) -> bytes:
    known_state, known = bundled()
    header = known if metadata is None else metadata
    return save(known_state if state is None else state, {key: json.dumps(value) for key, value in header.items()})


def with_header(change) -> bytes:
    metadata = copy.deepcopy(bundled()[1])
    change(metadata, metadata["networks"]["whole"])
    return model(metadata=metadata)


def with_state(change) -> bytes:
    state = dict(bundled()[0])
    change(state, next(key for key in state if key.endswith("bottom.1.0.weight")))
    return model(state=state)


FOREIGN = {
    "no safetensors": lambda: b"not at all",
    "empty": lambda: b"",
    "cut": lambda: model()[:1000],
    "a header of 4 GB": lambda: (2**32).to_bytes(8, "little") + b"{}",
    "any other safetensors file": lambda: save({"a": torch.zeros(3)}),
    "networks null": lambda: with_header(lambda m, n: m.update(networks=None)),
    "networks a list": lambda: with_header(lambda m, n: m.update(networks=["whole"])),
    "networks of other names": lambda: with_header(lambda m, n: m.update(networks={"x": n})),
    "networks that make no model": lambda: with_header(lambda m, n: m.update(networks={"whole": n, "locate": n})),
    "a header without a network": lambda: with_header(lambda m, n: n.pop("network")),
    "a header without a task": lambda: with_header(lambda m, n: n.pop("task")),
    "an unknown entry": lambda: with_header(lambda m, n: n["network"].update(x=1)),
    "a width of text": lambda: with_header(lambda m, n: n["network"].update(width="16")),
    "a width of a billion": lambda: with_header(lambda m, n: n["network"].update(width=10**9)),
    "a hundred levels": lambda: with_header(lambda m, n: n["network"].update(levels=100)),
    "17 heatmaps": lambda: with_header(lambda m, n: n["network"].update(out_channels=17)),
    "a spacing of text": lambda: with_header(lambda m, n: n["task"].update(spacing_mm="fine")),
    "a spacing of zero": lambda: with_header(lambda m, n: n["task"].update(spacing_mm=0)),
    "a spacing of a micrometre": lambda: with_header(lambda m, n: n["task"].update(spacing_mm=0.001)),
    "a box of two numbers": lambda: with_header(lambda m, n: n["task"].update(lower=[0, 0], upper=[1, 1])),
    "a task that is a list": lambda: with_header(lambda m, n: n.update(task=[1])),
    "another normalisation": lambda: with_header(lambda m, n: n["task"].update(normalisation="none")),
    "a tensor missing": lambda: with_state(lambda s, key: s.pop(key)),
    "a tensor too many": lambda: with_state(lambda s, key: s.update({"whole.x": torch.zeros(2)})),
    "a tensor of another shape": lambda: with_state(lambda s, key: s.update({key: torch.zeros(2)})),
    "a weight that is NaN": lambda: with_state(lambda s, key: s.update({key: s[key] * torch.nan})),
    "a scale without its tensor": lambda: with_state(lambda s, key: s.update({"x.scale": torch.ones(3)})),
    "a scale that broadcasts to 40 GB": lambda: with_state(
        lambda s, key: s.update({"x": torch.zeros(1, 100_000, dtype=torch.int8), "x.scale": torch.ones(100_000, 1)})
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_model_is_one_clear_message(tmp_path, name):
    path = tmp_path / "other.safetensors"
    path.write_bytes(FOREIGN[name]())
    with pytest.raises(FetalPoseError) as raised:
        Estimator(path)
    message = str(raised.value)
    assert len(message) < 600 and "\n" not in message
    assert message.endswith(".") and any(word in message for word in ("Export", "Give", "model is", "A model has"))


def test_metadata_that_nests_without_end_is_no_obstacle(tmp_path):
    state, header = bundled()
    path = tmp_path / "nested.safetensors"
    texts = {key: json.dumps(value) for key, value in header.items()}
    path.write_bytes(save(state, {**texts, "x": "[" * 100_000}))
    assert Estimator(path).spacing_mm == header["networks"]["whole"]["task"]["spacing_mm"]


def test_a_foreign_file_is_no_start_of_a_training(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(FOREIGN["any other safetensors file"]())
    with pytest.raises(FetalPoseError, match="not a FetalPose model"):
        network_from(path, "whole")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "nowhere.safetensors"])
def test_a_name_that_can_be_no_file_is_no_model(name):
    with pytest.raises(FetalPoseError, match="There is no model"):
        Estimator(name)
