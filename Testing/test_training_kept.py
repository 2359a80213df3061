"""What a training keeps: cases by what they were made from, states and logs that a kill or damage cannot bend."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import TEMPORARY_PREFIX, locked
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.training.curves import draw_curves
from FetalPoseLib.training.detector import Trainer
from FetalPoseLib.training.export import export_model
from FetalPoseLib.training.folders import convert
from FetalPoseLib.training.kept import append_row, read_rows, read_state, write_state
from FetalPoseLib.training.pool import Pool, PoolCase, load_case, save_case
from FetalPoseLib.training.recipes import Recipe
from FetalPoseLib.training.run import TrainingOptions, train
from FetalPoseLib.training.tasks import make_task
from FetalPoseLib.volume.grid import Grid, Volume


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-25, -5, (16, 3)) * [1, 1, -1]


def write_pair(folder, points, grey, seed=1, name="patient01") -> None:
    """A volume about ``grey`` with its landmarks, with the dates of long ago, as after a copy that keeps them."""
    folder.mkdir(exist_ok=True)
    scene = mrml.new_scene()
    array = np.random.default_rng(seed).integers(grey - 5, grey + 5, (40, 40, 40), dtype=np.uint8)
    volume = Volume(array, np.diag([-1.0, -1.0, 1.0, 1.0]))
    mrml.write_volume(mrml.add_volume(scene, volume), folder / f"{name}.nrrd")
    node = mrml.create_pose(scene)
    mrml.set_estimate(node, points)
    mrml.save_pose(node, folder / f"{name}.mrk.json")
    for file in folder.iterdir():
        os.utime(file, (1.6e9, 1.6e9))


def contents(cases) -> list[float]:
    return [load_case(path).landmarks[0, 0].round(3) for path in cases]


def test_another_folder_with_the_same_names_is_converted_anew(tmp_path, points):
    write_pair(tmp_path / "a", points, 50)
    write_pair(tmp_path / "b", points + 1, 50)
    pool = tmp_path / "pool"
    first = contents(convert(tmp_path / "a", pool, spacing=1.25, frame=False))
    assert contents(convert(tmp_path / "b", pool, spacing=1.25, frame=False)) == [first[0] + 1]
    assert contents(convert(tmp_path / "a", pool, spacing=1.25, frame=False)) == first


def test_what_has_not_changed_is_not_converted_again(tmp_path, points, monkeypatch):
    write_pair(tmp_path / "a", points, 50)
    [case] = convert(tmp_path / "a", tmp_path / "pool", spacing=1.25, frame=False)
    before = case.stat().st_mtime_ns
    for file in (tmp_path / "a").iterdir():
        os.utime(file)  # dates do not matter
    monkeypatch.setattr("FetalPoseLib.training.folders.Pair.read", None)
    convert(tmp_path / "a", tmp_path / "pool", spacing=1.25, frame=False)
    assert case.stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["volume", "landmarks", "spacing", "damage"])
def test_what_has_changed_is_converted_again(tmp_path, points, change):
    folder, pool, spacing = tmp_path / "a", tmp_path / "pool", 1.25
    write_pair(folder, points, 50)
    [case] = convert(folder, pool, spacing=spacing, frame=False)
    before = load_case(case)
    if change == "volume":
        write_pair(folder, points, 50, seed=2)
    elif change == "landmarks":
        write_pair(folder, points + 1, 50)
    elif change == "spacing":
        spacing = 1.5
    else:
        case.write_bytes(case.read_bytes()[:500])
    convert(folder, pool, spacing=spacing, frame=False)
    after = load_case(case)
    same = after.volume.shape == before.volume.shape and (after.volume == before.volume).all()
    assert same == (change in ("landmarks", "damage"))
    assert (after.landmarks == before.landmarks).all() == (change != "landmarks")


def damaged_cases() -> dict:
    case = {"volume": np.ones((4, 4, 4), np.uint8), "affine": np.eye(4), "landmarks": np.zeros((16, 3))}
    return {
        "another type": case | {"volume": np.ones((4, 4, 4))},
        "two dimensions": case | {"volume": np.ones((4, 4), np.uint8)},
        "points in a plane": case | {"landmarks": np.zeros((16, 2))},
        "a matrix without an inverse": case | {"affine": np.zeros((4, 4))},
        "no volume": {"affine": np.eye(4), "landmarks": np.zeros((16, 3))},
    }


@pytest.mark.parametrize("kind", [*damaged_cases(), "cut", "flipped", "empty"])
def test_a_damaged_case_is_one_clear_message(tmp_path, kind):
    path = tmp_path / "case.npz"
    grid = Grid((20, 20, 20), np.eye(4))
    image = np.random.default_rng(0).integers(1, 255, (20, 20, 20), dtype=np.uint8)
    save_case(tmp_path, PoolCase("case", image, grid, np.zeros((16, 3))))
    if kind in ("cut", "flipped", "empty"):
        data = path.read_bytes()
        flipped = data[:2000] + bytes(255 - byte for byte in data[2000:2200]) + data[2200:]
        path.write_bytes({"cut": data[:1000], "empty": b"", "flipped": flipped}[kind])
    else:
        np.savez_compressed(path, **damaged_cases()[kind])
    with pytest.raises(FetalPoseError, match=r"case\.npz is not a training case") as raised:
        Pool(tmp_path).refresh()
    assert "\n" not in str(raised.value)


def test_a_case_that_is_being_written_is_not_drawn_from(tmp_path):
    (tmp_path / f"{TEMPORARY_PREFIX}x1y2").mkdir()
    (tmp_path / f"{TEMPORARY_PREFIX}x1y2" / "case.npz").write_bytes(b"half")
    assert Pool(tmp_path).refresh() == 0


# --- states and logs


def training(folder, steps=1) -> Trainer:
    (folder / "pool").mkdir(parents=True, exist_ok=True)
    grid = Grid((32, 32, 32), np.diag([2.0, 2.0, 2.0, 1.0]))
    image = np.random.default_rng(0).integers(1, 255, (32, 32, 32), dtype=np.uint8)
    from FetalPoseLib.body.pose_library import PoseLibrary
    from FetalPoseLib.resources import resource_path

    body = PoseLibrary.load(resource_path("pose_library.npz")).poses[0]
    save_case(folder / "pool", PoolCase("case", image, grid, body - body.mean(axis=0) + 32))
    net = LandmarkNet(width=2, input_stride=2, levels=2)
    case = load_case(folder / "pool" / "case.npz")
    return Trainer(
        net, make_task("whole", 2.0), Recipe(steps=steps), Pool(folder / "pool"), [case], folder / "whole",
        validate_every=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    training(folder, steps=2).run(progress=False)
    return folder


@pytest.fixture
def kept(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["state.pt", "best.pt"])
def test_a_kill_while_a_state_is_written_leaves_the_former_one(kept, name):
    path = kept / "whole" / name
    before = path.read_bytes()
    code = (
        "import os, sys, torch\n"
        "def half(state, file): open(file, 'wb').write(b'x' * 1000); os._exit(9)\n"
        "torch.save = half\n"
        "from pathlib import Path\nfrom FetalPoseLib.training.kept import write_state\n"
        "write_state(Path(sys.argv[1]), {})\n"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 9
    assert path.read_bytes() == before
    assert "sha256" in export_model({"whole": kept / "whole"}, kept / "m.safetensors")


@pytest.mark.parametrize("name", ["state.pt", "best.pt"])
def test_a_trainer_writes_its_states_through_a_file_beside(kept, name, monkeypatch):
    path = kept / "whole" / name
    before, written = path.read_bytes(), []

    def save(state, file):
        written.append(file)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(FetalPoseError, match="No space left"):
        write_state(path, {})
    assert written[0] != path and path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\x80\x04x" + data,
        lambda data: data[:200] + b"\xff" * 200 + data[400:], lambda data: b"PK\x03\x04" + b"\0" * 500,
    ],
    ids=["empty", "cut", "prefixed", "flipped", "zeros"],
)  # fmt: skip
def test_a_damaged_state_is_one_clear_message(kept, damage):
    for name in ("state.pt", "best.pt"):
        path = kept / "whole" / name
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FetalPoseError, match=r"state\.pt.*Delete it"):
        training(kept).resume()
    with pytest.raises(FetalPoseError, match=r"state\.pt"):
        export_model({"whole": kept / "whole"}, kept / "m.safetensors")


@pytest.mark.parametrize("key", ["net", "optimiser", "step", "task", "config"])
def test_a_state_that_lacks_something_is_named(kept, key):
    path = kept / "whole" / "state.pt"
    state = read_state(path)
    state[key] = "x"
    write_state(path, state)
    with pytest.raises(FetalPoseError, match=key):
        training(kept).resume()


def test_a_log_whose_last_line_was_cut_goes_on(kept):
    log = kept / "whole" / "log.jsonl"
    whole = read_rows(log)
    log.write_text(log.read_text()[:-20])
    assert read_rows(log) == whole[:-1]
    append_row(log, {"step": 9, "loss": 1.0})
    assert read_rows(log) == [*whole[:-1], {"step": 9, "loss": 1.0}]
    draw_curves({"whole": kept / "whole"}, kept / "curves.png")


@pytest.mark.parametrize("line", ["x", "[1]", '{"loss": 1}', "[" * 100_000])
def test_a_damaged_line_within_a_log_is_named(kept, line):
    log = kept / "whole" / "log.jsonl"
    log.write_text(f"{line}\n{json.dumps({'step': 2})}\n")
    with pytest.raises(FetalPoseError, match=r"Line 1 of .*log\.jsonl"):
        draw_curves({"whole": kept / "whole"}, kept / "curves.png")


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    options = TrainingOptions(model="r4", output=tmp_path / "m.safetensors", folder=tmp_path / "run", cases=1)
    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"), pytest.raises(FetalPoseError, match="Another training writes there"):
        train(options)
