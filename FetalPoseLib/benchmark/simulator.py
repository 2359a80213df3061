"""What a simulated volume costs: seconds by spacing on one core of the CPU, and on a GPU where there is one."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from FetalPoseLib.benchmark.report import Folder, markdown, origin
from FetalPoseLib.simulation.datasets import simulate

SPACINGS_MM = (1.25, 1.0, 0.5)


def measure(output: Path, *, volumes: int = 4, spacings=SPACINGS_MM) -> list[dict]:
    """Simulate `volumes` validation subjects at each spacing, after one to warm up; write simulator.csv and .md."""
    devices, threads = ["cpu"] + ["cuda"] * torch.cuda.is_available(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        header = origin("simulator")
        jobs = [(device, spacing) for device in devices for spacing in spacings]
        table = [
            _row(device, spacing, volumes)
            for device, spacing in tqdm(jobs, desc="simulator", file=sys.stderr, leave=False)
        ]
    finally:
        torch.set_num_threads(threads)
    out = Folder(output, [header])
    out.csv("simulator.csv", table)
    out.markdown("simulator.md", "Seconds of a simulated volume", markdown(table))
    return table


def _row(device: str, spacing: float, volumes: int) -> dict:
    simulate("validation", 0, spacing=max(spacing, 2.0), device=device)
    seconds, sizes = [], []
    for index in range(volumes):
        start = time.perf_counter()
        case = simulate("validation", index, spacing=spacing, device=device)
        seconds.append(time.perf_counter() - start)
        sizes.append(case.volume.array.shape[::-1])
    size = "x".join(str(int(n)) for n in np.median(sizes, axis=0))
    return {"device": device, "spacing_mm": spacing, "size": size, "volumes": volumes,
            "mean_s": float(np.mean(seconds)), "longest_s": max(seconds)}  # fmt: skip
