"""Weights as small integers: kernels in 8 bits with one scale per output row, or in 4 bits with one per group.

Kernels are the tensors of two and more dimensions, nearly all of a file. Biases and batch norm stay as they are. In
8 bits the error of a weight is at most half of a 127th of its row's largest weight. 4 bits halve the file once more.
The scale of each group of `GROUP` weights is the one of `CLIPS` with the least squared error: a few large weights may
be clipped.
"""

from __future__ import annotations

import math

import torch

SCALE = ".scale"  # of the tensor whose key stands before it
SHAPE = ".shape"  # of a tensor in 4 bits, which is stored as rows of bytes
GROUP = 128  # weights that share a scale in 4 bits
CLIPS = (
    1.0,
    0.95,
    0.9,
    0.85,
    0.8,
    0.75,
    0.7,
    0.65,
)  # part of a group's largest weight that the largest integer stands for


def packed8(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with every kernel in 8 bits and its scales beside it; the rest as it was."""
    result = dict(state)
    for key, value in state.items():
        if value.ndim > 1:
            scale = value.float().abs().amax(dim=tuple(range(1, value.ndim)), keepdim=True).clamp_min(1e-12) / 127
            result |= {key: (value.float() / scale).round().to(torch.int8), key + SCALE: scale}
    return result


def packed4(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with every kernel in 4 bits, two weights in a byte, its scales and its shape beside it."""
    result = dict(state)
    for key, value in state.items():
        if value.ndim > 1:
            integers, scale = _rounded(_grouped(value.float()))
            low, high = (integers.flatten(1).to(torch.uint8) + 8).unflatten(1, (-1, 2)).unbind(2)
            result |= {key: low | high << 4, key + SCALE: scale[..., 0], key + SHAPE: torch.tensor(value.shape)}
    return result


def unpacked(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with packed kernels as float32 again; one that was never packed comes back as it is.

    ValueError if a kernel does not fit its scales or its shape, or scales have no kernel.
    """
    plain = {key: value for key, value in state.items() if not key.endswith((SCALE, SHAPE))}
    alone = [key for key in state if key.endswith((SCALE, SHAPE)) and key.rpartition(".")[0] not in plain]
    if alone:
        raise ValueError(f"there is no tensor for {alone[0]}")
    for key in plain:
        scale, shape = state.get(key + SCALE), state.get(key + SHAPE)
        if scale is not None:
            rows = plain[key].shape[:1]
            if scale.shape[:1] != rows or (shape is None and scale.numel() != plain[key].shape[0]):
                raise ValueError(f"the packed tensor {key} does not fit its scales of {tuple(scale.shape)}")
            try:
                plain[key] = plain[key].float() * scale if shape is None else _expanded(plain[key], scale, shape)
            except (RuntimeError, TypeError) as error:
                raise ValueError(f"the packed tensor {key} does not fit its scales: {error}") from None
    return plain


def _grouped(kernel: torch.Tensor) -> torch.Tensor:
    """A kernel as (rows, groups, `GROUP`), filled up with zeros."""
    rows = kernel.flatten(1)
    return torch.nn.functional.pad(rows, (0, -rows.shape[1] % GROUP)).unflatten(1, (-1, GROUP))


def _rounded(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Groups (rows, groups, G) as integers -8 to 7, and their scales (rows, groups, 1) in float16."""
    largest = groups.abs().amax(dim=2, keepdim=True)
    errors, scales = [], []
    for clip in CLIPS:
        scale = (largest * clip / 7).clamp_min(2e-7).half()
        scales.append(scale)
        errors.append((_integers(groups, scale) * scale - groups).square().sum(dim=2, keepdim=True))
    best = torch.stack(errors).argmin(dim=0, keepdim=True)
    scale = torch.stack(scales).gather(0, best)[0]
    return _integers(groups, scale), scale


def _integers(groups: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (groups / scale.float()).round().clamp(-8, 7)


def _expanded(data: torch.Tensor, scale: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    integers = torch.stack([data & 15, data >> 4], dim=2).flatten(1).float() - 8
    rows = (integers.unflatten(1, (scale.shape[1], -1)) * scale.float()[..., None]).flatten(1)  # of any group's size
    return rows[:, : math.prod(shape.tolist()[1:])].reshape(shape.tolist())
