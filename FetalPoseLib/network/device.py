"""The device that a network computes on, by the name that a person chooses."""

from FetalPoseLib.errors import FetalPoseError

DEVICES = ("auto", "cpu", "cuda")  #: what a person can choose


def device_named(name: str) -> str:
    """PyTorch's name, "cpu" or "cuda", for one of `DEVICES`: "auto" is a GPU if there is one that PyTorch can use.

    Raises
    ------
    FetalPoseError
        There is no device of this name, or no such GPU.
    """
    import torch  # here, because the command line reads `DEVICES` without it

    if name not in DEVICES:
        raise FetalPoseError(f"There is no device '{name}'. Choose one of {', '.join(DEVICES)}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise FetalPoseError("CUDA was asked for, but there is no GPU that PyTorch can use here. Choose auto or cpu.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
