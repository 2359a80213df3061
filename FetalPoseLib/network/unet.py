"""The landmark detector: a 3D U-Net that turns an ultrasound volume into 16 heatmaps.

Yang et al., "FetusMap: Fetal Pose Estimation in 3D Ultrasound", MICCAI 2019: the backbone of section 2.1 (Fig. 3) and
the gradient checkpointing (GCP) of section 2.3. Blocks of consecutive convolutions (Conv), four max-pooling layers on
the way down, four deconvolutions (Deconv) on the way up, each joined to the features of its own level by a
concatenation; every Conv and Deconv is followed by batch normalisation (BN) and ReLU; a linear 1x1x1 Conv ends in one
heatmap per landmark. Ours are the widths, which the paper does not give, and ``input_stride``: with 2, the first Conv
has stride 2, so that level one and the heatmaps lie at half the input's resolution, which is what a CPU can train.
It trains under bfloat16 autocast; the memory format ``torch.channels_last_3d`` is then the faster one on a CPU.

    >>> net = LandmarkNet(width=16, input_stride=2)
    >>> net(torch.zeros(1, 1, 64, 64, 96)).shape
    torch.Size([1, 16, 32, 32, 48])
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from FetalPoseLib.network.recurrent import SkeletonRNN

NORMALISATIONS = ("volume", "running")


class BatchNorm(nn.BatchNorm3d):
    """Batch normalisation with two choices at test time, and statistics that a recomputation leaves alone.

    Training with batch size 1 normalises each volume by its own statistics. In evaluation ``normalisation`` chooses
    between doing the same ("volume") and the running averages gathered while training ("running").
    """

    normalisation = "volume"
    recomputing = False
    running_mean: Tensor  # always tracked
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            mean, var = (self.running_mean, self.running_var) if self.normalisation == "running" else (None, None)
            # By volume means by each volume of a batch: what is found in one must not depend on its neighbours.
            parts = x.split(1) if mean is None else (x,)
            parts = [F.batch_norm(p, mean, var, self.weight, self.bias, mean is None, eps=self.eps) for p in parts]
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        if not self.recomputing:
            return super().forward(x)
        # GCP runs this layer a second time in the backward pass: same output, but the running averages and
        # num_batches_tracked have had their update. The copies keep autograd's list of saved tensors the same.
        mean, var = self.running_mean.clone(), self.running_var.clone()
        return F.batch_norm(x, mean, var, self.weight, self.bias, True, 0.0, self.eps)


@contextlib.contextmanager
def recomputation(segment: nn.Module) -> Iterator[None]:
    """While it lasts, the batch norms of ``segment`` do not update their running statistics."""
    norms = [module for module in segment.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.recomputing = True
    try:
        yield
    finally:
        for norm in norms:
            norm.recomputing = False


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Conv, BN, ReLU. With stride s the kernel is s + 2 wide, which centres output v on input voxels s*v .. s*v+s-1."""
    layer = nn.Conv3d(inputs, outputs, kernel_size=stride + 2, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, BatchNorm(outputs), nn.ReLU(inplace=True))


def deconv(inputs: int, outputs: int) -> nn.Sequential:
    """Deconv that doubles the resolution, BN, ReLU."""
    layer = nn.ConvTranspose3d(inputs, outputs, kernel_size=2, stride=2, bias=False)
    return nn.Sequential(layer, BatchNorm(outputs), nn.ReLU(inplace=True))


class Join(nn.Module):
    """The concatenation of the Deconv's features with those of the same level on the way down, and the Conv on it."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv(2 * channels, channels)

    def forward(self, risen: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat((risen, skip), dim=1))


class Head(nn.Conv3d):
    """The linear 1x1x1 Conv, in float32 even under autocast: bfloat16 is too coarse for sub-voxel decoding."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class RecurrentHead(Head):
    """The linear Conv, corrected by the RNN of `recurrent`, which says nothing before it has been trained."""

    def __init__(self, inputs: int, outputs: int, hidden: int):
        super().__init__(inputs, outputs, kernel_size=1)
        self.rnn = SkeletonRNN(inputs, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.rnn(x).float()


class LandmarkNet(nn.Module):
    """The paper's 3D U-Net.

    Parameters
    ----------
    in_channels : int
        Channels of the input volume.
    out_channels : int
        Heatmaps, one per landmark.
    width : int
        Channels of level one; each level below has twice as many, up to `max_channels`.
    input_stride : 1 or 2
        1 is the paper's layout, 2 puts level one and the heatmaps at half the input's resolution.
    levels : int
        Number of max-pooling layers.
    max_channels : int, optional
        Most channels of any level; ``8 * width`` by default.
    recurrence : int
        Channels of a landmark's state in the RNN after the last Conv (see `recurrent`); 0 for none.
    checkpointing : bool
        Whether to train with GCP: less memory, one more forward pass per step, the same gradients. An attribute that
        may be changed at any time.

    Raises
    ------
    ValueError
        If `input_stride` is neither 1 nor 2.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 16,
        width: int = 16,
        input_stride: int = 1,
        levels: int = 4,
        max_channels: int | None = None,
        recurrence: int = 0,
        checkpointing: bool = False,
    ):
        super().__init__()
        if input_stride not in (1, 2):
            raise ValueError(f"input_stride is {input_stride}, must be 1 or 2")
        self.in_channels, self.out_channels, self.width = in_channels, out_channels, width
        self.input_stride, self.levels, self.recurrence = input_stride, levels, recurrence
        self.max_channels = max_channels or 8 * width
        self.checkpointing = checkpointing

        # GCP, section 2.3: "we manually select all the Conv layers except the Conv layers directly connected with the
        # concatenation layer into the layer set". We read it with Fig. 4: the outputs of the layers that touch a
        # concatenation (the last Conv of a level on the way down, the Deconv, the Conv on the concatenation) are the
        # milestones that are kept, and whatever lies between two milestones is discarded and recomputed. So the network
        # is a chain of segments, and each ends at a milestone (or at the heatmaps).
        c = [min(width * 2**level, self.max_channels) for level in range(levels + 1)]
        self.descent = nn.ModuleList([nn.Sequential(conv(in_channels, c[0], input_stride), conv(c[0], c[0]))])
        for above, here in zip(c[:-2], c[1:-1], strict=True):
            self.descent.append(nn.Sequential(nn.MaxPool3d(2), conv(above, here), conv(here, here)))
        self.bottom = nn.Sequential(nn.MaxPool3d(2), conv(c[-2], c[-1]), conv(c[-1], c[-1]), deconv(c[-1], c[-2]))
        self.joins = nn.ModuleList([Join(here) for here in reversed(c[:-1])])
        self.ascent = nn.ModuleList()
        for here, above in zip(c[-2:0:-1], c[-3::-1], strict=True):
            self.ascent.append(nn.Sequential(conv(here, here), deconv(here, above)))
        head = RecurrentHead(c[0], out_channels, recurrence) if recurrence else Head(c[0], out_channels, kernel_size=1)
        self.ascent.append(nn.Sequential(conv(c[0], c[0]), head))

    def forward(self, x: Tensor) -> Tensor:
        """Heatmaps (N, out_channels, ceil(nz / s), ceil(ny / s), ceil(nx / s)) of x (N, in_channels, nz, ny, nx).

        s is ``input_stride``; voxel v of a heatmap covers the input voxels s*v .. s*v+s-1 (``Grid.coarsened(s)``).
        """
        size = [-(-n // self.input_stride) for n in x.shape[2:]]
        x = self._padded(x)
        skips = []
        for segment in self.descent:
            x = self._run(segment, x)
            skips.append(x)
        x = self._run(self.bottom, x)
        for join, rise in zip(self.joins, self.ascent, strict=True):
            x = self._run(join, x, skips.pop())
            x = self._run(rise, x)
        return x[:, :, : size[0], : size[1], : size[2]]

    def _padded(self, x: Tensor) -> Tensor:
        """x with zeros at the far ends, so that every pooling halves an even size and the lowest has a variance."""
        ends = [-n % self.multiple for n in x.shape[:1:-1]]
        if max(x.shape[2:]) <= self.multiple:  # a single voxel has no variance to normalise by
            ends[0] += self.multiple
        return F.pad(x, [0, ends[0], 0, ends[1], 0, ends[2]]) if any(ends) else x

    def _run(self, segment: nn.Module, *inputs: Tensor) -> Tensor:
        """The segment's output; with GCP only its inputs are kept and the rest is recomputed for the gradients."""
        if not (self.checkpointing and torch.is_grad_enabled()):
            return segment(*inputs)

        def contexts() -> tuple:
            return contextlib.nullcontext(), recomputation(segment)

        return checkpoint(segment, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)

    @property
    def multiple(self) -> int:
        """An input whose sizes are multiples of this, and one of them a larger one, needs no padding."""
        return self.input_stride * 2**self.levels

    def segments(self) -> list[nn.Module]:
        """The parts between two milestones, in no particular order: what GCP recomputes one at a time."""
        return [*self.descent, self.bottom, *self.joins, *self.ascent]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of everything after the lowest level's Conv layers: the way up and the heatmaps."""
        return [p for part in (self.bottom[-1], self.joins, self.ascent) for p in part.parameters()]

    def config(self) -> dict[str, Any]:
        """What ``from_config`` needs to build the same network; GCP is no part of it, as it changes no result."""
        names = ("in_channels", "out_channels", "width", "input_stride", "levels", "max_channels", "recurrence")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LandmarkNet:
        """The untrained network that `config` describes."""
        return cls(**config)


def set_normalisation(net: nn.Module, mode: str) -> None:
    """How batch norm works in evaluation: by the volume's own statistics ("volume") or running averages ("running").

    Raises
    ------
    ValueError
        For any other mode.
    """
    if mode not in NORMALISATIONS:
        raise ValueError(f"normalisation is {mode!r}, must be one of {NORMALISATIONS}")
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.normalisation = mode
