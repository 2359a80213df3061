"""Adapting a trained model to 4 to 40 volumes of a person's own: for how long, on what, and checked on which.

``--from`` and ``--data`` together mean this. How each network learns is `recipes.ADAPTED`. A quarter of the patients is
held out to check on, unless there is a folder for that; each network is validated there before the first step, stops
when its error has long not fallen, and keeps the weights that it had where no step beat them. Why so:
``docs/decisions/0013-adapting.md``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.training.options import TrainingOptions

if TYPE_CHECKING:  # it imports torch
    from FetalPoseLib.training.pool import PoolCase

STEPS = {"locate": 400, "orient": 600, "detect": 1500, "whole": 1500}  # at most, of each network
SIMULATED = 40  # fetuses against forgetting; a second or two each
FIRST_CASES = 8  # of these that are made before the first step
VALIDATE_EVERY = 100  # steps
LOOKS = 16  # at least so many at the cases that validate, each in a frame of its own, or few cases give no mean
DATA = "data.json"  # in the training's folder: which volumes it is of


def is_adapting(options: TrainingOptions) -> bool:
    """Whether the options ask for this."""
    return bool(options.start and options.data and not options.method)


def looks(cases: Sequence[PoolCase], *, in_frame: bool) -> list[PoolCase]:
    """The cases that validate, each several times where there are few and each time is another frame."""
    return [*cases] * (math.ceil(LOOKS / len(cases)) if in_frame and cases else 1)


def check_same_data(folder: Path, sides: Mapping[str, Sequence[Path]]) -> None:
    """Remember which cases are learnt from and which validate.

    FetalPoseError if ``folder`` holds a training on others, which would not learn from these any more.
    """
    from FetalPoseLib.training.kept import STATE

    now = {side: {path.stem: _digest(path) for path in paths} for side, paths in sides.items()}
    record = folder / DATA
    try:
        before = json.loads(record.read_text(encoding="utf-8")) if record.exists() else None
    except (OSError, ValueError):
        before = None
    if before != now and any(folder.glob(f"*/{STATE}")):
        raise FetalPoseError(
            f"{folder} holds a training on other volumes, which would not learn from these any more. Delete that "
            "folder to adapt anew, or choose another with --folder."
        )
    with replacing(record) as temporary:
        temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
