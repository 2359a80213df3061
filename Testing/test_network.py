"""The U-Net: its layout, gradient checkpointing (GCP), batch norm, its RNN, its losses, and what GCP saves."""

import copy

import numpy as np
import pytest
import torch

from FetalPoseLib.benchmark import memory
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.network.heatmaps import render
from FetalPoseLib.network.losses import heatmap_loss, pair_loss
from FetalPoseLib.network.recurrent import SkeletonRNN
from FetalPoseLib.network.unet import BatchNorm, LandmarkNet, set_normalisation
from FetalPoseLib.volume.grid import Grid

SKELETON = load_skeleton()
SIDES = ("right", "left")


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


# --- the RNN along the skeleton


def landmarks(*names: str) -> list[int]:
    return sorted(SKELETON.index(name) for name in names)


def test_an_untrained_rnn_says_nothing_and_learns_to():
    plain, recurrent = small_net(out_channels=16), small_net(out_channels=16, recurrence=2)
    missing, unexpected = recurrent.load_state_dict(plain.state_dict(), strict=False)
    assert missing and all(".rnn." in name for name in missing) and not unexpected
    volume = torch.randn(1, 1, 16, 16, 20)
    assert torch.equal(recurrent(volume), plain(volume))
    train_step(recurrent, volume)
    torch.optim.SGD(recurrent.parameters(), lr=1.0).step()
    recurrent.zero_grad()
    train_step(recurrent, volume)  # what follows the zeros learns first, then all
    silent = [name for name, parameter in recurrent.named_parameters() if not parameter.grad.abs().max() > 0]
    assert not silent
    assert LandmarkNet.from_config(recurrent.config()).state_dict().keys() == recurrent.state_dict().keys()


@pytest.mark.parametrize(
    "changed, hear",
    [
        ("neck", SKELETON.landmarks),
        ("right_ankle", ["right_ankle"]),
        ("head", ["head"]),
        ("left_elbow", ["left_elbow", "left_wrist"]),
        ("right_hip", ["right_hip", "right_knee", "right_ankle"]),
        ("sacrum", ["sacrum", *(f"{side}_{joint}" for side in SIDES for joint in ("hip", "knee", "ankle"))]),
    ],
)
def test_messages_travel_from_the_trunk_to_the_ends_only(changed, hear):
    """With another feature of its own at one voxel, a joint tells those beyond it, a voxel further at each of them."""
    torch.manual_seed(0)
    rnn, hidden = SkeletonRNN(channels=3, hidden=2), 2
    for parameter in rnn.parameters():
        parameter.data.uniform_(0.1, 1)  # no ReLU ends what is said
    features, at = torch.rand(1, 3, 9, 9, 9), SKELETON.index(changed)
    before = rnn(features)
    rnn.own.weight.data[at * hidden : (at + 1) * hidden] += 0.5
    moved = (rnn(features) - before).abs().amax(dim=(0, 2, 3, 4)) > 1e-3
    assert moved.nonzero().flatten().tolist() == landmarks(*hear)


def test_a_message_reaches_one_voxel_further_at_each_joint():
    torch.manual_seed(0)
    rnn = SkeletonRNN(channels=1, hidden=1).double()
    for parameter in rnn.parameters():
        parameter.data.uniform_(0.1, 1)
    rnn.own.weight.data.zero_()
    rnn.own.weight.data[SKELETON.index("neck")] = 1
    spot = torch.zeros(1, 1, 13, 13, 13, dtype=torch.float64)
    spot[..., 6, 6, 6] = 1
    reached = ((rnn(spot) - rnn(torch.zeros_like(spot))).abs() > 1e-12).sum(dim=(0, 2, 3, 4))
    for distance, level in enumerate(SKELETON.levels()):
        assert {int(reached[landmark]) for landmark, _ in level} == {(2 * distance + 1) ** 3}


def test_volumes_of_a_batch_do_not_hear_each_other():
    torch.manual_seed(0)
    rnn, features = SkeletonRNN(channels=3, hidden=2), torch.randn(2, 3, 5, 6, 7)
    torch.nn.init.normal_(rnn.out.weight)
    torch.testing.assert_close(rnn(features), torch.cat([rnn(features[:1]), rnn(features[1:])]))
    assert rnn(features).shape == (2, 16, 5, 6, 7)


# --- the losses


def test_loss_is_the_mean_square_and_weighs_the_foreground():
    prediction, target = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.0]])
    assert heatmap_loss(prediction, target).item() == pytest.approx((0.25 + 1) / 2)
    assert heatmap_loss(prediction, target, foreground=4.0).item() == pytest.approx((0.25 * 3 + 1) / 2)
    with pytest.raises(ValueError, match="shape"):
        heatmap_loss(prediction, target[0])


def bodies(*shifts: float) -> list[torch.Tensor]:
    """Maps of 16 landmarks some voxels apart, each body shifted along x."""
    z, y = np.divmod(np.arange(16), 4)
    points = np.stack([np.full(16, 6.0), 4 + 6 * y, 4 + 6 * z], axis=1)
    return [render(points + [shift, 0, 0], (26, 26, 16), 1.2) for shift in shifts]


@pytest.mark.parametrize("foreground", [0.0, 10.0])
def test_pair_loss_with_equal_weights_is_the_plain_one(foreground):
    """But for the foreground, which the two maps of a pair share: there only where they are the same."""
    (target,) = bodies(0)
    if foreground:
        target[[b for _, b in SKELETON.symmetric_pairs]] = target[[a for a, _ in SKELETON.symmetric_pairs]]
    prediction = target + 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    found = pair_loss(prediction, target, SKELETON.symmetric_pairs, side=1.0, foreground=foreground)
    torch.testing.assert_close(found, heatmap_loss(prediction, target, foreground))


def test_pair_loss_shares_the_foreground_of_a_pair():
    """An error in the right wrist's map weighs more where the left wrist is, too; one in the head's does not."""
    right, left = (SKELETON.index(f"{side}_wrist") for side in SIDES)
    (target,) = bodies(0)
    z, y, x = (int(i) for i in np.unravel_index(int(target[left].argmax()), target.shape[1:]))
    for landmark, weight in ((right, 11), (left, 11), (0, 1)):
        prediction = target.clone()
        prediction[landmark, z, y, x] += 0.5
        loss = pair_loss(prediction, target, SKELETON.symmetric_pairs, side=1.0, foreground=10.0)
        assert loss.item() * target.numel() == pytest.approx(0.25 * weight, rel=1e-3)


def test_pair_loss_weighs_exchanged_sides_and_not_what_both_maps_get_wrong():
    (target,), pairs = bodies(0), SKELETON.symmetric_pairs
    exchanged = target[SKELETON.mirror.copy()]
    paired = torch.zeros_like(target)
    paired[SKELETON.mirror != np.arange(16)] = 0.1  # the same error in both of a pair
    unpaired = torch.zeros_like(target)
    unpaired[0] = 0.1

    def grows(prediction) -> float:
        """From a weight of 1 to one of 4."""
        losses = [pair_loss(prediction, target, pairs, side=side, foreground=5.0).item() for side in (1.0, 4.0)]
        return losses[1] / losses[0]

    assert grows(exchanged) == pytest.approx(4)
    assert grows(target + paired) == grows(target + unpaired) == pytest.approx(1)
    assert grows(bodies(3)[0]) < 2.6, "where all are elsewhere, half of the error is of side"


def test_pair_loss_can_be_learnt_from():
    (target,) = bodies(0)
    prediction = torch.zeros_like(target).requires_grad_(True)
    options = {"side": 3.0, "foreground": 2.0}
    for _ in range(3):
        loss = pair_loss(prediction, target, SKELETON.symmetric_pairs, **options)
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()
        with torch.no_grad():
            prediction -= 0.1 * target.numel() * gradient
    assert pair_loss(prediction, target, SKELETON.symmetric_pairs, **options) < 0.5 * pair_loss(
        torch.zeros_like(target), target, SKELETON.symmetric_pairs, **options
    )


# --- what GCP saves


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


def test_memory_table_counts_what_a_real_step_keeps(monkeypatch):
    monkeypatch.setattr(memory, "EXTENT_MM", (40.0, 20.0, 20.0))
    rows = memory.table(width=4, spacings=(1.0,), timed_mib=15)
    assert [(row.step, row.gcp) for row in rows] == [(s, g) for s in ("training", "refinement") for g in (False, True)]
    for row in rows:
        assert row.total_mib == row.kept_mib + row.recomputed_mib
        assert (row.step_s is not None) == (row.total_mib <= 15)
    plain, thrifty = rows[:2]
    assert plain.size == "40x20x20" and plain.recomputed_mib == 0 and thrifty.total_mib < plain.total_mib / 1.7
    net, volume = LandmarkNet(width=4), torch.zeros(1, 1, 20, 20, 40)  # with memory that is really there
    kept, segment = memory.saved_bytes(net, volume)
    assert (plain.kept_mib, thrifty.recomputed_mib) == pytest.approx((kept / 2**20, segment / 2**20), rel=1e-6)


def test_the_finest_voxels_just_fit(monkeypatch):
    """With bytes that go with the number of voxels: 2 GiB at 1 mm, or with GCP 0.5 kept and 0.5 again."""

    def counted(step, spacing, width):
        gib = 2**30 / spacing**3 * (1 if step == "training" else 0.5)
        return 2 * gib, (gib / 2, gib / 2)

    monkeypatch.setattr(memory, "counted", counted)
    found = memory.finest(width=4, card_gib=2.0)
    assert [(one.step, one.gcp) for one in found] == [(s, g) for s in ("training", "refinement") for g in (False, True)]
    left = 2.0 - memory.PER_PARAMETER * sum(p.numel() for p in LandmarkNet(width=4).parameters()) / 2**30
    for one, gib in zip(found, (2, 1, 1, 0.5), strict=True):
        exact = (gib / left) ** (1 / 3)
        assert exact <= one.spacing_mm < exact + 0.01
