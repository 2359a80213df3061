"""What gradient checkpointing (GCP) saves: the memory that one training step keeps for its backward pass.

FetusMap, section 2.3, claims that a graphics card that trains on volumes at 0.4 of the original resolution (voxels of
1.25 mm) without GCP trains at 0.5 (1.0 mm) with it. Counted are bytes, not a process's memory, so the table is the same
on every machine: all that autograd keeps of the forward pass and of the loss, each storage once, without the
parameters; with GCP, also the largest segment that has to be recomputed at a time. Gradients and Adam's moments, the
same with and without, are left out.

    $ python -m FetalPoseLib.benchmark.memory --width 16
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor, nn

from FetalPoseLib.loss import heatmap_loss
from FetalPoseLib.network import LandmarkNet

EXTENT_MM = (110.0, 102.5, 130.0)  # the paper's average volume, 220 x 205 x 260 voxels of 0.5 mm
SPACINGS_MM = (1.25, 1.0)  # R4 and GCP of the paper's tables


@dataclass(frozen=True)
class Row:
    """One line of the table; sizes in voxels (x, y, z), memory in MiB, time in seconds a step."""

    spacing_mm: float
    size: str
    width: int
    gcp: bool
    kept_mib: float
    recomputed_mib: float
    total_mib: float
    step_s: float


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """While it lasts, notes the storages that autograd keeps, and during which segment each was first kept."""

    def __init__(self, net: LandmarkNet):
        super().__init__(self._keep, lambda tensor: tensor)
        self._parameters = {p.untyped_storage().data_ptr() for p in net.parameters()}
        self._sizes, self._owners, self._segment = {}, {}, None
        self._watches = []
        for segment in net.segments():
            self._watches.append(segment.register_forward_pre_hook(self._enter))
            self._watches.append(segment.register_forward_hook(self._leave))

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        if address not in self._parameters:
            self._sizes[address] = storage.nbytes()
            self._owners.setdefault(address, self._segment)
        return tensor

    def _enter(self, segment: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for tensor in inputs:  # there anyway: no part of what this segment keeps or recomputes
            self._owners.setdefault(tensor.untyped_storage().data_ptr(), None)
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
        sums = Counter()
        for address, segment in self._owners.items():
            if segment is not None:
                sums[segment] += self._sizes[address]
        return max(sums.values(), default=0)


def saved_bytes(net: LandmarkNet, volume: Tensor) -> tuple[int, int]:
    """Bytes that the forward pass and loss of a training step keep, and those of the largest segment among them.

    With GCP the segments keep nothing, so the second number is 0; without it, it is what GCP would have to recompute.
    """
    saved = SavedBytes(net)
    with saved:
        heatmaps = net(volume)
        loss = heatmap_loss(heatmaps, torch.zeros_like(heatmaps))  # alive while counting: no address is used twice
    del loss
    return saved.total, saved.largest_segment


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


def table(width: int = 16, *, repeats: int = 1) -> list[Row]:
    """The paper's layout at both spacings, without and with GCP, on a volume of the paper's average extent."""
    rows, net = [], LandmarkNet(width=width)
    for spacing in SPACINGS_MM:
        x, y, z = (math.ceil(extent / spacing) for extent in EXTENT_MM)
        volume = torch.zeros(1, 1, z, y, x)
        segment = 0
        for net.checkpointing in (False, True):
            recomputed = segment / 2**20  # known from the row without GCP, whose segments keep what GCP recomputes
            kept, segment = saved_bytes(net, volume)
            kept /= 2**20
            seconds = step_seconds(net, volume, repeats)
            size = f"{x}x{y}x{z}"
            rows.append(Row(spacing, size, width, net.checkpointing, kept, recomputed, kept + recomputed, seconds))
    return rows


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a table for a README."""
    lines = [
        "| voxel (mm) | volume | width | GCP | kept (MiB) | recomputed (MiB) | sum (MiB) | time a step (s) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        numbers = f"{r.kept_mib:.0f} | {r.recomputed_mib:.0f} | {r.total_mib:.0f} | {r.step_s:.1f}"
        lines.append(f"| {r.spacing_mm:g} | {r.size} | {r.width} | {'on' if r.gcp else 'off'} | {numbers} |")
    return "\n".join(lines)


def write_csv(rows: Iterable[Row], file) -> None:
    """The rows as comma-separated values, one column a field of `Row`."""
    writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Memory and time of a training step, without and with GCP.")
    parser.add_argument("--width", type=int, default=16, help="channels of the network's first level (default 16)")
    parser.add_argument("--repeats", type=int, default=1, help="steps to time; the shortest counts (default 1)")
    parser.add_argument("--csv", action="store_true", help="comma-separated values instead of a markdown table")
    options = parser.parse_args(arguments)
    rows = table(options.width, repeats=options.repeats)
    if options.csv:
        write_csv(rows, sys.stdout)
    else:
        print(markdown(rows))


if __name__ == "__main__":
    main()
