"""What models can be trained: their networks, at which spacing, how wide, and for how many steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pass:
    """One network of a model: its task, at which spacing (mm), how wide it is, and for how many steps it trains."""

    task: str
    spacing: float
    width: int
    steps: int


@dataclass(frozen=True)
class Model:
    """The networks that are trained together; ``spacing`` (mm) is that of the cases on disk."""

    passes: tuple[Pass, ...]
    spacing: float
    input_stride: int
    checkpointing: bool
    recipe: str


MODELS = {
    "fetal-frame": Model(
        (Pass("locate", 2.0, 16, 6000), Pass("orient", 1.0, 16, 6000), Pass("detect", 1.0, 24, 9500)),
        spacing=1.0,
        input_stride=2,
        checkpointing=False,
        recipe="shipped",
    ),  # fmt: skip
    "r4": Model((Pass("whole", 1.25, 16, 16000),), 1.25, input_stride=1, checkpointing=False, recipe="paper"),
    "gcp": Model((Pass("whole", 1.0, 16, 16000),), 1.0, input_stride=1, checkpointing=True, recipe="paper"),
}
