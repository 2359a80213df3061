"""The U-Net: its layout, gradient checkpointing (GCP), batch norm, and what GCP saves."""

import copy
import io

import numpy as np
import pytest
import torch

from FetalPoseLib.benchmark import memory
from FetalPoseLib.geometry import Grid
from FetalPoseLib.loss import heatmap_loss
from FetalPoseLib.network import BatchNorm, LandmarkNet, set_normalisation


def small_net(**options) -> LandmarkNet:
    torch.manual_seed(0)
    return LandmarkNet(**{"width": 4, "levels": 2, "out_channels": 3, **options})


def train_step(net: LandmarkNet, volume: torch.Tensor) -> torch.Tensor:
    heatmaps = net(volume)
    heatmap_loss(heatmaps, torch.linspace(0, 1, heatmaps.numel()).view_as(heatmaps), foreground=2.0).backward()
    return heatmaps.detach()


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_layout_is_the_papers():
    net = LandmarkNet(width=4, max_channels=20)
    kinds = [type(module).__name__ for module in net.modules()]
    assert kinds.count("MaxPool3d") == 4 and kinds.count("ConvTranspose3d") == 4
    assert kinds.count("BatchNorm") == kinds.count("ReLU") == kinds.count("Conv3d") + kinds.count("ConvTranspose3d")
    lowest = net.bottom[1][0]
    assert (lowest.in_channels, lowest.out_channels) == (20, 20)
    assert net.ascent[-1][-1].out_channels == 16
    assert LandmarkNet.from_config(net.config()).config() == net.config()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(16, 16, 16), (17, 21, 30), (3, 5, 31)])
def test_any_size_gives_its_ceiling(stride, size):
    output = small_net(input_stride=stride)(torch.randn(1, 1, *size))
    assert output.shape == (1, 3, *(-(-n // stride) for n in size))


def test_padding_is_zeros_behind_the_volume():
    net = small_net(input_stride=2).eval()
    volume = torch.randn(1, 1, 15, 18, 16)
    padded = torch.nn.functional.pad(volume, (0, 0, 0, 6, 0, 1))
    torch.testing.assert_close(net(volume), net(padded)[:, :, :8, :9, :8])


@pytest.mark.parametrize("stride", [1, 2])
def test_heatmap_voxels_lie_where_the_coarsened_grid_says(stride):
    """A network without a left or right of its own sees a mirrored input mirrored about the same centre.

    A stride-2 kernel of 3 voxels would be off by half an input voxel.
    """
    net = small_net(input_stride=stride).eval()
    for parameter in net.parameters():
        if parameter.ndim == 5:
            for axis in (2, 3, 4):
                parameter.data = (parameter.data + parameter.data.flip(axis)) / 2
    volume = torch.randn(1, 1, 16, 24, 32)
    expected = net(volume).flip(2, 3, 4)
    torch.testing.assert_close(net(volume.flip(2, 3, 4)), expected, rtol=1e-3, atol=1e-5)

    grid = Grid((32, 24, 16), np.eye(4))
    centre = (np.array(grid.shape) - 1) / 2
    coarse = grid.coarsened(stride)
    assert coarse.array_shape == tuple(expected.shape[2:])
    np.testing.assert_allclose(coarse.to_world((np.array(coarse.shape) - 1) / 2), centre)


@pytest.mark.parametrize("stride", [1, 2])
def test_checkpointing_changes_no_output_gradient_or_statistic(stride):
    plain = small_net(input_stride=stride)
    saving = copy.deepcopy(plain)
    saving.checkpointing = True
    volume = torch.randn(1, 1, 17, 20, 24)
    volume.requires_grad_(True)
    saving_volume = volume.detach().clone().requires_grad_(True)
    for _ in range(2):  # the second step meets running statistics that are not the initial ones
        torch.testing.assert_close(train_step(saving, saving_volume), train_step(plain, volume), rtol=0, atol=0)
    torch.testing.assert_close(saving_volume.grad, volume.grad)
    for (name, expected), found in zip(plain.named_parameters(), saving.parameters(), strict=True):
        assert expected.grad.abs().max() > 0, name
        torch.testing.assert_close(found.grad, expected.grad, msg=lambda text, name=name: f"{name}: {text}")
    for (name, expected), found in zip(plain.named_buffers(), saving.buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}")
    assert all(m.num_batches_tracked == 2 for m in saving.modules() if isinstance(m, BatchNorm))


@pytest.mark.parametrize("mode", ["volume", "running"])
def test_checkpointing_agrees_in_evaluation(mode):
    plain = small_net()
    train_step(plain, torch.randn(1, 1, 16, 16, 16))
    plain.zero_grad()
    set_normalisation(plain.eval(), mode)
    saving = copy.deepcopy(plain)
    saving.checkpointing = True
    volume = torch.randn(1, 1, 16, 16, 20)
    torch.testing.assert_close(train_step(saving, volume), train_step(plain, volume), rtol=0, atol=0)
    for expected, found in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


def test_normalisation_by_volume_or_running_averages():
    net = small_net()
    for _ in range(3):
        net(torch.randn(1, 1, 16, 16, 16))
    volume = torch.randn(1, 1, 16, 16, 16)
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net.eval()
    set_normalisation(net, "volume")
    by_volume, by_volume_scaled = net(volume), net(3 * volume)
    set_normalisation(net, "running")
    by_running, by_running_scaled = net(volume), net(3 * volume)
    torch.testing.assert_close(by_volume_scaled, by_volume, rtol=1e-2, atol=1e-3)  # one volume's gain is divided out
    assert (by_running_scaled - by_running).abs().max() > 0.05
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, before[name], rtol=0, atol=0)
    torch.testing.assert_close(net.train()(volume), by_volume)
    with pytest.raises(ValueError, match="'batch'"):
        set_normalisation(net, "batch")


def test_the_head_stays_in_float32_under_autocast():
    net, volume = small_net(), torch.randn(1, 1, 16, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        heatmaps = net(volume)
    assert heatmaps.dtype == torch.float32
    assert 0 < (heatmaps - net(volume)).abs().max() < 0.2


def test_input_stride_other_than_1_and_2_is_refused():
    with pytest.raises(ValueError, match="3"):
        LandmarkNet(input_stride=3)


def test_loss_is_the_mean_square_and_weighs_the_foreground():
    prediction, target = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0]])
    assert heatmap_loss(prediction, target).item() == pytest.approx((0.25 + 1) / 2)
    assert heatmap_loss(prediction, target, foreground=4.0).item() == pytest.approx((0.25 * 3 + 1) / 2)
    with pytest.raises(ValueError, match="shape"):
        heatmap_loss(prediction, target[0])


def test_saved_bytes_are_what_a_hand_count_gives():
    """One block of Conv, BN, ReLU keeps the input, the Conv's output and the ReLU's output, and each only once."""
    net = LandmarkNet(width=8, levels=1, out_channels=1)
    voxels, float32 = 16**3, 4
    sizes = memory.SavedBytes(net)
    with sizes:
        output = net.descent[0](torch.randn(1, 1, 16, 16, 16))
    assert output.shape[1] == 8
    maps = 1 + 8 * 4  # the input; two Conv outputs and two ReLU outputs of eight channels
    statistics = 2 * 4 * 8  # of two batch norms: running and batch mean and variance
    assert sizes.total == pytest.approx(voxels * float32 * maps + statistics * float32, rel=2e-3)
    assert sizes.largest_segment == pytest.approx(voxels * float32 * (maps - 1), rel=2e-3)


def test_checkpointing_saves_what_the_paper_claims():
    """0.5 instead of 0.4 of the resolution is 1.95 times the voxels in the same memory (section 2.3)."""
    net = LandmarkNet(width=16)
    plain, segment = memory.saved_bytes(net, torch.zeros(1, 1, 64, 64, 64))
    half, half_segment = memory.saved_bytes(net, torch.zeros(1, 1, 32, 64, 64))
    net.checkpointing = True
    kept, nothing = memory.saved_bytes(net, torch.zeros(1, 1, 64, 64, 64))
    assert nothing == 0
    assert kept + segment < plain / 1.85  # the heatmaps of the loss, the same with and without, are in both
    assert (plain, segment) == pytest.approx((2 * half, 2 * half_segment), rel=0.01)


def test_memory_table_can_be_printed(monkeypatch):
    monkeypatch.setattr(memory, "EXTENT_MM", (40.0, 20.0, 20.0))
    rows = memory.table(width=4)
    assert [(row.spacing_mm, row.gcp) for row in rows] == [(1.25, False), (1.25, True), (1.0, False), (1.0, True)]
    assert all(row.total_mib == row.kept_mib + row.recomputed_mib and row.step_s > 0 for row in rows)
    assert memory.markdown(rows).count("\n") == 5
    file = io.StringIO()
    memory.write_csv(rows, file)
    assert file.getvalue().startswith("spacing_mm,size,width,gcp,kept_mib") and file.getvalue().count("\n") == 5
