"""The curves of a training, from the log that its `Trainer` wrote: loss, and error on validation, over the steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.training.kept import LOG, read_rows


def draw_curves(passes: Mapping[str, Path], output: str | Path) -> None:
    """Write a PNG with one panel for each pass, by the name of the pass and the folder its `Trainer` wrote.

    FetalPoseError if a folder holds no log.
    """
    figure = Figure(figsize=(4.6 * len(passes), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (name, folder) in enumerate(passes.items(), start=1):
        rows = read_rows(Path(folder) / LOG)
        if not rows:
            raise FetalPoseError(f"There is no log of '{name}' in {folder}, so its curves cannot be drawn.")
        steps = [row["step"] for row in rows]
        loss = figure.add_subplot(1, len(passes), panel, title=name, xlabel="step", ylabel="loss in training")
        loss.plot(steps, [np.nan if row["loss"] is None else row["loss"] for row in rows], ".-", color="#7f7f7f")
        loss.set_ylim(bottom=0)
        if "mean_mm" in rows[-1]:
            error = loss.twinx()
            error.plot(steps, [row.get("mean_mm") for row in rows], ".-", color="#d55e00", label="mean")
            error.plot(steps, [row.get("median_mm") for row in rows], ".--", color="#d55e00", label="median")
            error.set_ylabel("error on validation (mm)", color="#d55e00")
            error.set_ylim(bottom=0)
            error.legend(fontsize=8)
    with replacing(output) as temporary:
        figure.savefig(temporary, dpi=90)
