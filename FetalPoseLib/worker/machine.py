"""The machine that computes: its devices, their free memory, and a GPU whose memory is full."""

from __future__ import annotations

import gc
import os
import platform
import sys
from pathlib import Path

from FetalPoseLib.worker.protocol import Device

_GPU_FULL = ("CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")


def devices() -> tuple[Device, ...]:
    """All that can compute, the best first."""
    import torch

    found = []
    if torch.cuda.is_available():
        found.append(Device("cuda", device_name("cuda"), torch.cuda.mem_get_info()[0]))
    found.append(Device("cpu", device_name("cpu"), free_memory()))
    return tuple(found)


def device_name(kind: str) -> str:
    """What a person calls the device of this kind, "cpu" or "cuda"."""
    if kind == "cpu":
        return f"CPU {platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    import torch

    return torch.cuda.get_device_name()


def free_memory() -> int | None:
    """Bytes of main memory available; None where the system does not say (Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
        return kilobytes["MemAvailable"] * 1024
    except (OSError, ValueError, KeyError):
        return None


def is_gpu_full(error: Exception) -> bool:
    """The error says that the GPU's memory was not enough."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(text in str(error) for text in _GPU_FULL)


def free_gpu() -> None:
    """Give the GPU's memory back that nothing uses any more."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()
