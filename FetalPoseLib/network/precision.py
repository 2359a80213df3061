"""Whether to compute in bfloat16: a third of float32's time where the processor has it, else many times that."""

import torch

from FetalPoseLib.errors import FetalPoseError

PRECISIONS = ("auto", "float32", "bfloat16")


def has_bfloat16(device: str | torch.device) -> bool:
    """Whether the device, such as "cpu" or "cuda", computes in bfloat16 itself."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def uses_bfloat16(precision: str, device: str | torch.device) -> bool:
    """Whether one of `PRECISIONS` means bfloat16 on the device; FetalPoseError if it is none of them."""
    if precision not in PRECISIONS:
        raise FetalPoseError(f"There is no precision '{precision}'. Choose one of {', '.join(PRECISIONS)}.")
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def autocast(device: str | torch.device, bfloat16: bool) -> torch.autocast:
    """The context in which convolutions are computed in bfloat16, or in which nothing is changed."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bfloat16)
