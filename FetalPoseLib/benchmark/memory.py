"""What gradient checkpointing (GCP) saves: the memory that one step keeps for its backward pass, and what it costs.

FetusMap, section 2.3, claims that a graphics card that trains on volumes at 0.4 of the original resolution (voxels of
1.25 mm) without GCP trains at 0.5 (1.0 mm) with it, for "about 1.5 times of extra running time". Bytes are counted, not
a process's memory, so the table is the same on every machine: all that autograd keeps of the forward pass and of the
loss, each storage once, without the parameters; with GCP, also the largest segment that has to be recomputed at a time.
Gradients and Adam's moments, the same with and without, are left out of the rows, and belong to the finest spacing.
Nothing is allocated for the count (the tensors are fake), so it goes to voxels that no memory here would hold; the
seconds are measured, where the sum is small enough.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from FetalPoseLib.network.losses import heatmap_loss
from FetalPoseLib.network.unet import LandmarkNet

EXTENT_MM = (110.0, 102.5, 130.0)  # the paper's average volume, 220 x 205 x 260 voxels of 0.5 mm
SPACINGS_MM = (1.25, 1.0, 0.75, 0.5)  # R4 and GCP of the paper's tables, and on to the volume's own
CARD_GIB = 12.0  # the paper's TITAN Xp
TIMED_MIB = 6000.0  # rows above it are counted only
PER_PARAMETER = 16  # bytes: the parameter, its gradient and Adam's two moments


@dataclass(frozen=True)
class Row:
    """One line of the table; voxels (x, y, z), memory in MiB, time in seconds per step (None: not measured)."""

    step: str
    spacing_mm: float
    size: str
    width: int
    gcp: bool
    kept_mib: float
    recomputed_mib: float
    total_mib: float
    step_s: float | None


@dataclass(frozen=True)
class Finest:
    """The finest voxels with which a step fits into ``card_gib``, with and without GCP."""

    step: str
    width: int
    gcp: bool
    card_gib: float
    spacing_mm: float


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """While it lasts, notes the storages that autograd keeps, and during which segment each was first kept."""

    def __init__(self, net: LandmarkNet):
        super().__init__(self._keep, lambda tensor: tensor)
        self._parameters = {_key(p) for p in net.parameters()}
        self._sizes: dict[int, int] = {}
        self._owners: dict[int, nn.Module | None] = {}
        self._segment: nn.Module | None = None
        self._watches = []
        for segment in net.segments():
            self._watches.append(segment.register_forward_pre_hook(self._enter))
            self._watches.append(segment.register_forward_hook(self._leave))

    def _keep(self, tensor: Tensor) -> Tensor:
        if _key(tensor) not in self._parameters:
            self._sizes[_key(tensor)] = tensor.untyped_storage().nbytes()
            self._owners.setdefault(_key(tensor), self._segment)
        return tensor

    def _enter(self, segment: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for tensor in inputs:  # there anyway: no part of what this segment keeps or recomputes
            self._owners.setdefault(_key(tensor), None)
        self._segment = segment

    def _leave(self, *_) -> None:
        self._segment = None

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        for watch in self._watches:
            watch.remove()

    @property
    def total(self) -> int:
        """Bytes kept in all."""
        return sum(self._sizes.values())

    @property
    def largest_segment(self) -> int:
        """Bytes kept within the segment that keeps most."""
        sums: Counter[nn.Module] = Counter()
        for address, segment in self._owners.items():
            if segment is not None:
                sums[segment] += self._sizes[address]
        return max(sums.values(), default=0)


def _key(tensor: Tensor) -> int:
    """The same for tensors that share their memory; fake ones have no address."""
    return tensor.untyped_storage()._cdata


def saved_bytes(net: LandmarkNet, volume: Tensor) -> tuple[int, int]:
    """Bytes that the forward pass and loss of a step keep, and those of the largest segment among them.

    With GCP the segments keep nothing, so the second number is 0; without it, it is what GCP would have to recompute.
    """
    saved = SavedBytes(net)
    with saved:
        heatmaps = net(volume)
        loss = heatmap_loss(heatmaps, torch.zeros_like(heatmaps))  # alive while counting: no address is used twice
    del loss
    return saved.total, saved.largest_segment


def counted(step: str, spacing: float, width: int) -> tuple[int, tuple[int, int]]:
    """`saved_bytes` without GCP of a step on a volume of the paper's extent, counted with fake tensors, and those with.

    Returns
    -------
    without : bytes kept
    with_gcp : bytes kept, and those of the largest segment to be recomputed, as a pair
    """
    with FakeTensorMode():
        net, volume = _network(step, width), torch.zeros(1, 1, *_shape(spacing)[::-1])
        without, segment = saved_bytes(net, volume)
        net.checkpointing = True
        kept, _ = saved_bytes(net, volume)
    return without, (kept, segment)


def step_seconds(net: LandmarkNet, volume: Tensor, repeats: int) -> float:
    """Shortest of `repeats` times of a forward and backward pass, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        heatmaps = net(volume)
        heatmap_loss(heatmaps, torch.zeros_like(heatmaps)).backward()
        times.append(time.perf_counter() - start)
        net.zero_grad()
    return min(times[1:])


def table(
    width: int = 16, *, repeats: int = 1, spacings: Iterable[float] = SPACINGS_MM, timed_mib: float = TIMED_MIB
) -> list[Row]:
    """Of a step of training and of refinement, with the paper's layout, without and with GCP; `timed_mib` of 0: no
    seconds."""
    rows = []
    for step in ("training", "refinement"):
        for spacing in spacings:
            without, (kept, segment) = counted(step, spacing, width)
            for gcp, bytes_kept, bytes_again in ((False, without, 0), (True, kept, segment)):
                mib, again = bytes_kept / 2**20, bytes_again / 2**20
                seconds = None
                if mib + again <= timed_mib:
                    net = _network(step, width)
                    net.checkpointing = gcp
                    seconds = step_seconds(net, torch.zeros(1, 1, *_shape(spacing)[::-1]), repeats)
                size = "x".join(map(str, _shape(spacing)))
                rows.append(Row(step, spacing, size, width, gcp, mib, again, mib + again, seconds))
    return rows


def finest(width: int = 16, *, card_gib: float = CARD_GIB) -> list[Finest]:
    """The finest voxels, to 0.01 mm, for which what is counted and the parameters with gradients and moments fit."""
    parameters = PER_PARAMETER * sum(p.numel() for p in LandmarkNet(width=width).parameters())
    found = []
    for step in ("training", "refinement"):
        for gcp in (False, True):
            coarse, fine = 300, 10  # hundredths of a mm: fits, does not fit
            while coarse - fine > 1:
                middle = (coarse + fine) // 2
                without, with_gcp = counted(step, middle / 100, width)
                needed = parameters + (sum(with_gcp) if gcp else without)
                coarse, fine = (middle, fine) if needed <= card_gib * 2**30 else (coarse, middle)
            found.append(Finest(step, width, gcp, card_gib, coarse / 100))
    return found


def _network(step: str, width: int) -> LandmarkNet:
    """As a step finds it: refinement runs in evaluation, by the volume's own statistics."""
    return LandmarkNet(width=width).train(step == "training")


def _shape(spacing: float) -> tuple[int, int, int]:
    """(nx, ny, nz) of the paper's average volume."""
    nx, ny, nz = (math.ceil(extent / spacing) for extent in EXTENT_MM)
    return nx, ny, nz
