"""Whether to compute in bfloat16: a third of the time of float32 where the processor can, many times it where not."""

import torch

PRECISIONS = ("auto", "float32", "bfloat16")


def has_bfloat16(device: str | torch.device) -> bool:
    """Whether the device, such as "cpu" or "cuda", computes in bfloat16 itself."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()


def autocast(device: str | torch.device, bfloat16: bool) -> torch.autocast:
    """The context in which convolutions are computed in bfloat16, or in which nothing is changed."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bfloat16)
