"""Training on cut fetuses, on volumes without one, in wrong frames, on disturbed pictures, and from trained weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tqdm import tqdm

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cli import main
from FetalPoseLib.detection.locate import POINTS, locator_points
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import save_model
from FetalPoseLib.simulation.datasets import draw_subject
from FetalPoseLib.training.augmentation import Disturbance, cropped, disturbed
from FetalPoseLib.training.detector import Trainer
from FetalPoseLib.training.pool import Pool, PoolCase, load_case, save_case
from FetalPoseLib.training.recipes import CONTINUED, Recipe
from FetalPoseLib.training.start import network_from
from FetalPoseLib.training.tasks import draw, make_task, wrong_frame
from FetalPoseLib.volume.grid import Grid

SKELETON = load_skeleton()
BODY = draw_subject("fresh", 1).body.landmarks
BODY = BODY - (BODY.max(axis=0) + BODY.min(axis=0)) / 2
HIDDEN = [SKELETON.index(name) for name in ("head", "neck", "left_ankle")]


def picture(size=60, spacing=2.0):
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * (size - 1) / 2
    volume = np.random.default_rng(1).integers(1, 255, (size, size, size)).astype(np.uint8)
    return volume, Grid((size,) * 3, affine)


@pytest.fixture
def case():
    """A fetus of which head, neck and an ankle lie outside the field."""
    volume, grid = picture()
    landmarks = BODY.copy()
    landmarks[HIDDEN] = np.nan
    return PoolCase("cut", volume, grid, landmarks, BODY)


@pytest.fixture
def empty():
    volume, grid = picture()
    return PoolCase("empty", volume, grid, np.full((16, 3), np.nan), np.full((16, 3), np.nan))


def test_a_case_keeps_its_whole_body(case, tmp_path):
    save_case(tmp_path, case)
    found = load_case(tmp_path / "cut.npz")
    np.testing.assert_array_equal(found.body, BODY)
    np.testing.assert_array_equal(found.landmarks, case.landmarks)
    plain = replace(case, body=None)
    np.testing.assert_array_equal(plain.whole, plain.landmarks)


@pytest.mark.parametrize("name", ["locate", "orient", "detect", "whole"])
def test_hidden_landmarks_of_a_cut_fetus_have_no_target(case, name):
    task = make_task(name, 2.0)
    for rng in (None, *(np.random.default_rng(seed) for seed in range(4))):
        points = draw(task, case, rng).points
        seen = np.isfinite(points).all(axis=1)
        if task.channels == 5:
            assert not seen[[POINTS.index("head"), POINTS.index("neck")]].any()
            assert rng is not None or seen[[POINTS.index(p) for p in ("spine", "sacrum", "front")]].all()
        else:
            mirrored = not seen[SKELETON.index("right_ankle")]
            hidden = SKELETON.mirror[HIDDEN] if mirrored else HIDDEN
            assert not seen[hidden].any()
            assert rng is not None or seen.sum() == 13


def test_the_front_is_where_the_whole_body_has_it(case):
    points = draw(make_task("locate", 2.0), case, None).points
    np.testing.assert_allclose(points[POINTS.index("front")], locator_points(BODY)[POINTS.index("front")])


@pytest.mark.parametrize("name", ["locate", "orient", "detect"])
def test_without_a_fetus_nothing_is_asked_for(empty, name):
    for rng in (None, *(np.random.default_rng(seed) for seed in range(4))):
        assert np.isnan(draw(make_task(name, 2.0), empty, rng).points).all()


def test_in_a_wrong_frame_nothing_is_asked_for(case):
    whole = replace(case, landmarks=BODY)
    task = replace(make_task("detect", 2.0), wrong_frames=0.5)
    quiet = Disturbance(crop=(0.0, 0.0))
    asked = [
        np.isfinite(draw(task, whole, np.random.default_rng(k), wrong_frames=True).points).any() for k in range(60)
    ]
    assert 0.3 < np.mean(asked) < 0.7
    assert all(np.isfinite(draw(task, whole, np.random.default_rng(k)).points).any() for k in range(20))
    assert np.isfinite(disturbed(whole, np.random.default_rng(1), quiet).landmarks).all()


def test_wrong_frames_lie_along_another_axis(case):
    frame = FetalFrame.from_landmarks(BODY)
    wrong = [wrong_frame(frame, case.grid, np.random.default_rng(k)) for k in range(200)]
    turns = np.array([other.rotation[:, 2] @ frame.rotation[:, 2] for other in wrong])
    assert (turns < np.cos(np.radians(45))).mean() > 0.97  # 75 degrees but for the disturbance
    assert 0.3 < (turns < -0.8).mean() < 0.8  # head for rump


def test_a_cropped_field_hides_what_it_cuts_off(case):
    whole = replace(case, landmarks=BODY)
    image = torch.from_numpy(whole.volume).float()
    hidden = 0
    for seed in range(30):
        rest, landmarks = cropped(image, whole, np.random.default_rng(seed), 0.45)
        voxels = np.round(whole.grid.to_voxel(BODY)).astype(int)
        grey = np.array([float(rest[z, y, x]) for x, y, z in voxels])
        np.testing.assert_array_equal(np.isnan(landmarks).any(axis=1), grey == 0)
        hidden += (grey == 0).sum()
    assert hidden > 10


def test_disturbed_pictures_keep_their_field(case):
    volume = case.volume.copy()
    volume[:10] = 0
    cut = replace(case, volume=volume)
    for seed in range(12):
        shown = disturbed(cut, np.random.default_rng(seed), Disturbance(crop=(0.0, 0.0)))
        np.testing.assert_array_equal(shown.volume > 0, volume > 0)
        assert not np.array_equal(shown.volume, volume)


def trainer(folder, case, net, **recipe):
    save_case(folder / "pool", case)
    return Trainer(net, make_task("locate", 2.0), Recipe(**recipe), Pool(folder / "pool"), [case], folder / "locate",
                   validate_every=2)  # fmt: skip


def test_a_step_whose_gradient_overflows_is_left_out(case, tmp_path, monkeypatch):
    (tmp_path / "pool").mkdir()
    torch.manual_seed(1)
    training = trainer(tmp_path, case, LandmarkNet(out_channels=5, width=2, input_stride=2), steps=2)
    loss = training._loss
    monkeypatch.setattr(training, "_loss", lambda *a: loss(*a) * (float("inf") if training.step == 0 else 1))
    training.run(progress=False)
    assert all(torch.isfinite(value).all() for value in training.net.state_dict().values())


def test_a_blank_view_is_not_trained_on(case, tmp_path):
    (tmp_path / "pool").mkdir()
    blank = replace(case, name="blank", volume=np.where(np.indices(case.volume.shape)[0] < 1, case.volume, 0))
    save_case(tmp_path / "pool", blank)
    training = trainer(tmp_path, case, LandmarkNet(out_channels=5, width=2, input_stride=2), steps=1)
    training.task = make_task("detect", 2.0)
    training.pool.refresh()
    images = [training._sample(np.random.default_rng(seed)).image for seed in range(8)]
    assert min(float(image.std()) for image in images) > 0.05


def test_validation_tells_peaks_of_visible_points_from_others(case, tmp_path):
    (tmp_path / "pool").mkdir()
    torch.manual_seed(1)  # untrained maps need not have a positive value
    training = trainer(tmp_path, case, LandmarkNet(out_channels=5, width=2, input_stride=2), steps=2)
    training.run(progress=False)
    row = json.loads((tmp_path / "locate" / "log.jsonl").read_text().splitlines()[-1])
    assert np.isfinite([row["mean_mm"], row["peak_visible"], row["peak_not_visible"]]).all()
    assert 0 <= row["within_10mm"] <= 1


def test_validation_of_a_network_that_finds_nothing(case, tmp_path):
    (tmp_path / "pool").mkdir()
    net = LandmarkNet(out_channels=5, width=2, input_stride=2)
    training = trainer(tmp_path, case, net, steps=2)
    for parameter in training.average.module.parameters():
        torch.nn.init.zeros_(parameter)
    row = training.validate()
    assert row["mean_mm"] is None and row["within_10mm"] == 0.0
    training._log(0.1, tqdm(disable=True))
    assert training.best == float("inf")


@pytest.fixture
def model(tmp_path):
    net = LandmarkNet(out_channels=5, width=2, input_stride=2)
    state = {f"locate.{key}": value for key, value in net.state_dict().items()}
    path = tmp_path / "small.safetensors"
    save_model(path, state, {"kind": "fetal-frame", "networks": {"locate": {"network": net.config(), "task": {}}}})
    return path, net


def test_a_training_starts_from_a_models_weights(model, case, tmp_path, capsys):
    path, net = model
    found = network_from(path, "locate")
    for key, value in net.state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value)
    with pytest.raises(FetalPoseError, match="no network for 'detect', but for locate"):
        network_from(path, "detect")
    with pytest.raises(FetalPoseError, match="no model 'nowhere'"):
        network_from("nowhere", "locate")
    assert CONTINUED.learning_rate < Recipe().learning_rate


def test_the_bundled_model_is_a_start():
    for task, channels in (("locate", 5), ("orient", 5), ("detect", 16)):
        assert network_from("fetal-frame", task).out_channels == channels


def test_an_unknown_factor_is_an_error(tmp_path, capsys):
    arguments = [
        "train",
        "--model",
        "fetal-frame",
        "--output",
        tmp_path / "m.safetensors",
        "--folder",
        tmp_path / "run",
    ]
    arguments += ["--without", "probe=convex"]
    assert main([str(argument) for argument in arguments]) != 0
    assert (
        "names no factor of simulated fetuses to leave out. Give one of kind, family, contact"
        in capsys.readouterr().err
    )
