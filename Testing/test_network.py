"""The U-Net: its layout, gradient checkpointing (GCP), batch norm."""

import copy

import numpy as np
import pytest
import torch
from small_networks import small_net, train_step

from FetalPoseLib.network.unet import BatchNorm, LandmarkNet, set_normalisation
from FetalPoseLib.volume.grid import Grid


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


RECURRENT = {"input_stride": 2, "recurrence": 2, "out_channels": 16}


def eloquent(net: LandmarkNet) -> LandmarkNet:
    """With an RNN that says something, as after training."""
    for name, parameter in net.named_parameters():
        if ".rnn.out." in name:
            torch.nn.init.normal_(parameter)
    return net


@pytest.mark.parametrize("options", [{"input_stride": 1}, {"input_stride": 2}, RECURRENT])
def test_checkpointing_changes_no_output_gradient_or_statistic(options):
    plain = eloquent(small_net(**options))
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


@pytest.mark.parametrize("options", [{}, RECURRENT])
def test_the_head_stays_in_float32_under_autocast(options):
    net, volume = eloquent(small_net(**options)), torch.randn(1, 1, 16, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        heatmaps = net(volume)
    assert heatmaps.dtype == torch.float32
    assert 0 < (heatmaps - net(volume)).abs().max() < 0.2


def test_input_stride_other_than_1_and_2_is_refused():
    with pytest.raises(ValueError, match="3"):
        LandmarkNet(input_stride=3)
