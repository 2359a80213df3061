"""The paper's Figures 5 and 6 from our records: PCK curves of the worst landmarks, and poses beside the truth."""

from __future__ import annotations

import numpy as np
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.evaluation.metrics import auc, pck, wrong_side_limbs

SHOWN = ("Land-R4", "Land-GCP", "SSL-GCP", "Consensus-GCP")  # beside the truth, the paper's Fig. 6 and one more
_COLOURS = {"Land": "#7f7f7f", "RNN": "#e69f00", "GAN": "#cc79a7", "Pair": "#56b4e9", "SSL": "#009e73",
            "Consensus": "#d55e00", "fetal": "#0072b2"}  # fmt: skip
_OUTLINE = [patheffects.withStroke(linewidth=2.2, foreground="black")]


def draw_pck(columns, landmarks: list[int]) -> Figure:
    """PCK from 0 to 10 mm of each method, one panel per landmark; R4 dashed, all else solid."""
    figure, thresholds = Figure(figsize=(5.2 * len(landmarks), 5.4), layout="constrained"), np.linspace(0, 10, 101)
    FigureCanvasAgg(figure)
    for panel, landmark in enumerate(landmarks, start=1):
        axes = figure.add_subplot(1, len(landmarks), panel, xlabel="distance (mm)", xlim=(0, 10), ylim=(0, 100))
        axes.set_title(f"L{landmark + 1} {load_skeleton().landmarks[landmark].replace('_', ' ')}")
        for column in columns:
            name, errors = column.method.name, column.errors[:, [landmark]]
            family = name.split("-")[0]
            dashed = name.endswith("R4") or name == "fetal-frame"
            label = f"{name}: {auc(errors):.1f} %"
            axes.plot(thresholds, 100 * pck(errors, thresholds), "--" if dashed else "-", color=_COLOURS[family],
                      linewidth=1.6, label=label)  # fmt: skip
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, title="AUC", title_fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    figure.axes[0].set_ylabel("landmarks within it (%)")
    return figure


def draw_poses(out, columns, *, subjects: int = 2) -> bool:
    """Truth and the methods `SHOWN` side by side, with landmark numbers and lengths in mm, as methods_poses.png.

    Shown are the subjects in which the last of these puts most of Land-GCP's limbs back on their side, of those the
    ones whose error it lowers most. False, and nothing written, if one of the methods has not been measured.
    """
    by_name = {column.method.name: column for column in columns}
    if not all(name in by_name for name in SHOWN):
        return False
    truth = by_name[SHOWN[0]].run.truth
    wrong = [wrong_side_limbs(by_name[name].poses, truth) for name in SHOWN]
    errors = {name: np.where(np.isinf(by_name[name].errors), np.nan, by_name[name].errors) for name in SHOWN}
    gain = np.nanmean(errors["Land-GCP"], axis=1) - np.nanmean(errors[SHOWN[-1]], axis=1)
    order = np.lexsort((-gain, wrong[-1] - wrong[1]))[:subjects]
    figure = Figure(figsize=(4.6 * (1 + len(SHOWN)), 4.8 * subjects), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    for row, subject in enumerate(order):
        body = by_name[SHOWN[0]].run.rows[subject]["name"]
        poses = {f"{body}: truth": truth[subject]} | {name: by_name[name].poses[subject] for name in SHOWN}
        frame = FetalFrame.from_landmarks(truth[subject])
        reach = _plane(frame, np.concatenate(list(poses.values())))
        for i, (name, pose) in enumerate(poses.items()):
            axes = figure.add_subplot(subjects, 1 + len(SHOWN), row * (1 + len(SHOWN)) + i + 1)
            error = "" if i == 0 else f", {np.nanmean(errors[name][subject]):.1f} mm from it"
            sides = "" if i == 0 else f"\nlimbs on the wrong side: {wrong[i - 1][subject]}"
            axes.set_title(name + error + sides, color="white", fontsize=9)
            _draw_pose(axes, _plane(frame, pose), segment_lengths(pose))
            axes.set_xlim(np.nanmin(reach[:, 0]) - 4, np.nanmax(reach[:, 0]) + 4)
            axes.set_ylim(np.nanmin(reach[:, 1]) - 4, np.nanmax(reach[:, 1]) + 4)
    out.figure("methods_poses.png", figure)
    return True


def _plane(frame: FetalFrame, pose: np.ndarray) -> np.ndarray:
    """The pose (16, 3) as seen half from the front and half from its right, (16, 2) mm: neither hides the limbs."""
    right, front, up = (frame.size * frame.to_body(pose)).T
    return np.stack([(front - right) / np.sqrt(2), up], axis=1)


def _draw_pose(axes, flat: np.ndarray, lengths: np.ndarray) -> None:
    axes.set_axis_off()
    axes.set_aspect("equal")
    for segment, length in zip(load_skeleton().segments, lengths, strict=True):
        ends = flat[[segment.start, segment.end]]
        if np.isfinite(ends).all():
            axes.plot(*ends.T, color=segment.color, linewidth=3, solid_capstyle="round")
            axes.text(*ends.mean(axis=0), f"{length:.1f}", color="#7fe07f", fontsize=6, ha="center", va="center",
                      path_effects=_OUTLINE)  # fmt: skip
    for number, point in enumerate(flat, start=1):
        if np.isfinite(point).all():
            axes.plot(*point, "o", color="white", markersize=3)
            axes.annotate(str(number), point, (3, 3), textcoords="offset points", color="#6fb1ff", fontsize=8,
                          path_effects=_OUTLINE)  # fmt: skip
