"""A model opens only if it is the file that was released, and every refusal says what to do."""

import json
import pickle

import pytest
import torch

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network import weights
from FetalPoseLib.network.weights import load_manifest, open_model, save_model

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "bn.count": torch.tensor(7)}
METADATA = {"kind": "single-pass", "config": {"width": 16, "levels": 4}, "spacing_mm": 1.25, "sigma": 2}


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder of models with one trained ("good") and one that is not ("later")."""
    digest = save_model(tmp_path / "good.safetensors", STATE, METADATA)
    manifest = {
        "good": {"file": "good.safetensors", "sha256": digest, "kind": "single-pass", "description": "a model"},
        "later": {"file": None, "sha256": None, "kind": "fetal-frame"},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    monkeypatch.setattr(weights, "resource_path", lambda _, name: tmp_path / name)
    return tmp_path


def test_the_bundled_manifest_lists_the_models():
    manifest = load_manifest()
    assert {"fetal-frame", "r4", "gcp"} <= set(manifest)
    assert {entry["kind"] for entry in manifest.values()} == {"fetal-frame", "single-pass"}
    for name, entry in manifest.items():
        assert {"file", "sha256", "spacing_mm", "description", "trained_on"} <= set(entry)
        if entry["file"]:
            _, metadata = open_model(name)
            assert metadata["sha256"] == entry["sha256"]


def test_a_model_comes_back_as_it_was_saved(bundle):
    for source in ("good", bundle / "good.safetensors"):
        state, metadata = open_model(source)
        assert set(state) == set(STATE)
        for key, value in STATE.items():
            assert torch.equal(state[key], value) and state[key].dtype == value.dtype
        assert METADATA.items() <= metadata.items() and len(metadata["sha256"]) == 64
    assert open_model("good")[1]["description"] == "a model"


def test_changed_weights_are_refused_by_name(bundle):
    expected = load_manifest()["good"]["sha256"]
    actual = save_model(bundle / "good.safetensors", {"conv.weight": torch.zeros(1)}, METADATA)
    with pytest.raises(FetalPoseError, match=f"{actual}.*expected {expected}"):
        open_model("good")
    assert open_model(bundle / "good.safetensors")[1]["sha256"] == actual  # as one's own file it may be used


def test_one_flipped_bit_is_noticed(bundle):
    path = bundle / "good.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FetalPoseError, match="SHA-256"):
        open_model("good")


def test_a_model_not_trained_yet_tells_how_to_train_it(bundle):
    with pytest.raises(FetalPoseError, match="fetalpose train --model later"):
        open_model("later")


def test_unknown_missing_and_foreign_files(bundle):
    with pytest.raises(FetalPoseError, match="'best'.*good, later"):
        open_model("best")
    (bundle / "good.safetensors").unlink()
    with pytest.raises(FetalPoseError, match="Cannot read"):
        open_model("good")
    for name, data in {"empty": b"", "text": b"hello world", "pickle": pickle.dumps(STATE)}.items():
        (bundle / name).write_bytes(data)
        with pytest.raises(FetalPoseError, match="not a safetensors file"):
            open_model(bundle / name)


def test_an_interrupted_save_keeps_the_former_file(bundle):
    before = (bundle / "good.safetensors").read_bytes()
    with pytest.raises(TypeError):
        save_model(bundle / "good.safetensors", STATE, {"kind": object()})
    assert (bundle / "good.safetensors").read_bytes() == before
