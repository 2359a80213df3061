"""Packed weights come back within half a step of their group or row; a file of them opens as the same network."""

import pytest
import torch

from FetalPoseLib.network.quantisation import GROUP, SCALE, SHAPE, packed4, packed8, unpacked
from FetalPoseLib.network.unet import LandmarkNet
from FetalPoseLib.network.weights import open_model, save_model


@pytest.fixture
def state():
    torch.manual_seed(3)
    return LandmarkNet(width=4, levels=2).state_dict()


def kernels(state):
    return {key: value for key, value in state.items() if value.ndim > 1}


def test_eight_bits_err_by_half_a_step_of_the_row(state):
    small = packed8(state)
    assert all(small[key].dtype == torch.int8 for key in kernels(state))
    restored = unpacked(small)
    assert restored.keys() == state.keys()
    for key, value in kernels(state).items():
        step = value.abs().amax(dim=tuple(range(1, value.ndim)), keepdim=True) / 127
        assert ((restored[key] - value).abs() <= step / 2 + 1e-7).all()


def test_four_bits_err_by_half_a_step_of_the_group_where_nothing_is_clipped(state):
    restored = unpacked(packed4(state))
    assert restored.keys() == state.keys()
    for key, value in kernels(state).items():
        assert restored[key].shape == value.shape and restored[key].dtype == torch.float32
        step = value.abs().max() / 7
        assert (restored[key] - value).abs().max() <= 0.35 * value.abs().max() + step / 2
        assert (restored[key] - value).norm() < 0.12 * value.norm(), key


def test_four_bits_keep_what_fits_exactly():
    kernel = (torch.arange(2 * GROUP) % 15 - 7).float().reshape(2, GROUP) * torch.tensor([[0.5], [2.0]])
    small = packed4({"kernel": kernel})
    assert small["kernel"].shape == (2, GROUP // 2) and small["kernel"].dtype == torch.uint8
    torch.testing.assert_close(unpacked(small)["kernel"], kernel, rtol=1e-3, atol=0)


def test_four_bits_are_an_eighth_of_float32_plus_the_scales(state):
    wide = {"kernel": torch.randn(64, GROUP, 3, 3, 3)}
    size = sum(value.numel() * value.element_size() for value in packed4(wide).values())
    assert size / (4 * wide["kernel"].numel()) == pytest.approx(1 / 8 + 2 / (4 * GROUP), rel=0.01)


@pytest.mark.parametrize("pack", [packed8, packed4])
def test_biases_batch_norm_and_zeros_stay_as_they_are(state, pack):
    state["zeros"] = torch.zeros(3, 5)
    restored = unpacked(pack(state))
    assert all(torch.equal(restored[key], value) for key, value in state.items() if value.ndim <= 1)
    assert not restored["zeros"].any()
    assert all(torch.equal(value, state[key]) for key, value in unpacked(state).items())


@pytest.mark.parametrize("pack", [packed8, packed4])
def test_a_packed_file_opens_as_the_same_network(state, pack, tmp_path):
    save_model(tmp_path / "small.safetensors", pack(state), {"kind": "test"})
    opened, _ = open_model(tmp_path / "small.safetensors")
    expected = unpacked(pack(state))
    assert opened.keys() == expected.keys()
    assert all(torch.equal(opened[key], value) for key, value in expected.items())


@pytest.mark.parametrize("part", [SCALE, SHAPE])
def test_a_kernel_that_does_not_fit_its_scales_or_shape_is_refused(part):
    small = packed4({"kernel": torch.randn(4, 100)})
    small["kernel" + part] = torch.ones(3, 7, dtype=torch.float16) if part == SCALE else torch.tensor([5, 100])
    with pytest.raises(ValueError, match="kernel does not fit its scales"):
        unpacked(small)
