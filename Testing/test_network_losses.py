"""The RNN along the skeleton, the losses, and the memory that GCP saves."""

import numpy as np
import pytest
import torch
from small_networks import small_net, train_step

from FetalPoseLib.benchmark import memory
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.network.heatmaps import render
from FetalPoseLib.network.losses import heatmap_loss, pair_loss
from FetalPoseLib.network.recurrent import SkeletonRNN
from FetalPoseLib.network.unet import LandmarkNet

SKELETON = load_skeleton()
SIDES = ("right", "left")


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
