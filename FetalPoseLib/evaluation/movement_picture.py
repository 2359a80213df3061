"""Curves of a track over time: joint angles, speeds, the quantity of movement, periods of rest and events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from FetalPoseLib.body.joint_angles import JOINTS
from FetalPoseLib.files import replacing

_COLOURS = {
    "elbow": "#1f77b4", "hip": "#2ca02c", "knee": "#d62728", "arm": "#1f77b4", "leg": "#d62728", "head": "#9467bd",
    "trunk": "#7f7f7f",
}  # fmt: skip


def draw_movement(
    path: str | Path,
    times: np.ndarray | None,
    angles_deg: np.ndarray,
    *,
    speeds: dict[str, np.ndarray] | None = None,
    quantity_mm_s: np.ndarray | None = None,
    rests: Sequence[tuple[float, float]] = (),
    events: Sequence[tuple[str, float, float]] = (),
    title: str = "",
) -> None:
    """Write the curves; .png, .pdf or .svg by the name of ``path``.

    Parameters
    ----------
    times : (T,) s; None numbers the volumes from 1, and only the angles are drawn
    angles_deg : (T, 6) of `JOINTS`
    speeds : (T,) mm/s by the name of a part of the body
    rests : (start, stop) s
    events : (kind, start, stop), s
    """
    rows = 1 if times is None or speeds is None or quantity_mm_s is None else 3
    figure = Figure(figsize=(10, 1.2 + 2.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    clock = np.arange(1, len(angles_deg) + 1) if times is None else times
    for joint, curve in zip(JOINTS, angles_deg.T, strict=True):
        side, name = joint.split("_")
        axes[0].plot(clock, curve, color=_COLOURS[name], linestyle="-" if side == "left" else "--", label=_words(joint))
    axes[0].set_ylabel("flexion (degrees)")
    if rows == 3 and speeds is not None:
        for part, curve in speeds.items():
            side, _, name = part.rpartition("_")
            axes[1].plot(
                clock, curve, color=_COLOURS[name], linestyle="--" if side == "right" else "-", label=_words(part)
            )
        axes[1].set_ylabel("speed (mm/s)")
        axes[2].plot(clock, quantity_mm_s, color="black", label="quantity of movement")
        axes[2].set_ylabel("mean speed (mm/s)")
        for number, (start, stop) in enumerate(rests):
            axes[2].axvspan(start, stop, color="#cfe8cf", label="rest" if not number else None)
        top = 1.08 * axes[2].get_ylim()[1]
        axes[2].set_ylim(0, 1.15 * top)
        for kind, start, stop in events:
            axes[2].plot([start, stop], [top, top], color="#d62728", linewidth=4, solid_capstyle="butt")
            axes[2].text((start + stop) / 2, 1.02 * top, kind, fontsize=8, ha="center", va="bottom")
    axes[-1].set_xlabel("volume" if times is None else "time (s)")
    for one in axes:
        one.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
        one.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _words(name: str) -> str:
    return name.replace("_", " ")
