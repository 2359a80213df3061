"""The paper's tables and figure from the records of `accuracy`, and what it leaves out: sides, lengths, intervals.

Errors in mm are means over the landmarks found; a landmark missed counts as wrong in the AUC, and in `missed`. A
landmark outside the scanned sector does not count.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from FetalPoseLib.benchmark import paper
from FetalPoseLib.benchmark.records import read_records
from FetalPoseLib.benchmark.report import Folder, markdown
from FetalPoseLib.body.estimate import points_of_rows
from FetalPoseLib.body.plausibility import holds_fetus
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.evaluation.metrics import auc, landmark_errors, pck, summary
from FetalPoseLib.refinement.options import CONSENSUS

STAGES = ("unrefined", "refined")
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito: told apart by the colour-blind too
_MISSED = [None] * 16
TURNED_MM = 8.0  # mean error of a pose in the wrong frame; in the right one it is less
NEAR_MM = 4.0  # mean error of a pose that would have been of use


@dataclass(frozen=True, eq=False)
class Run:
    """The records of one model on one split."""

    header: dict
    rows: list[dict]

    @property
    def name(self) -> dict:
        """What tells it from the others in a table."""
        refinement = self.header.get("refinement_name", CONSENSUS)  # which the first records do not name
        model = self.header["model"] + (f" {refinement}" if refinement != CONSENSUS else "")
        return {"model": model, "split": self.header["split"]}

    @property
    def label(self) -> str:
        """The name in one line."""
        return " ".join(self.name.values())

    @property
    def truth(self) -> np.ndarray:
        """(N, 16, 3) RAS mm, NaN outside the sector."""
        body, seen = self._poses(row["body"] for row in self.rows), np.array([row["seen"] for row in self.rows])
        return np.where(seen[..., None] > 0, body, np.nan)

    def poses(self, stage: str | int) -> np.ndarray:
        """(N, 16, 3) RAS mm "unrefined", "refined", after an iteration, or after that with the "best evidence", which
        is the highest mean confidence; all NaN where the estimator failed."""
        return self._poses(_pose(row, stage) for row in self.rows)

    def errors(self, stage: str | int) -> np.ndarray:
        """(N, 16) mm, see `metrics.landmark_errors`."""
        return landmark_errors(self.poses(stage), self.truth)

    @staticmethod
    def _poses(rows) -> np.ndarray:
        return np.array([points_of_rows(row) for row in rows]).reshape(-1, 16, 3)


def _pose(row: dict, stage: str | int) -> list:
    if row["failure"]:
        return _MISSED
    if stage == "unrefined" or not row["steps"]:
        return row["unrefined"]
    last = len(row["steps"]) - 1  # refinement ends early where the library can't be registered
    if stage == "best evidence":
        return row["steps"][int(np.argmax(row["evidence"]))]
    return row["steps"][last if stage == "refined" else min(stage, last)]


def load_runs(folder: Path) -> list[Run]:
    """All runs recorded in a folder that hold a subject; FetalPoseError if there is none."""
    runs = [Run(*read_records(path)) for path in sorted(Path(folder).glob("accuracy_*.jsonl"))]
    runs = [run for run in runs if run.rows]
    if not runs:
        raise FetalPoseError(f"{folder} holds no records of accuracy. Run 'fetalpose benchmark accuracy' first.")
    return runs


def landmark_table(poses: dict[str, tuple[np.ndarray, np.ndarray]], measure: str) -> list[dict]:
    """Table 1 ("mean_mm") or Table 2 ("auc"): one row per landmark and one for all, the paper's columns beside ours.

    ``poses`` holds for each column of ours the poses found and the truth, (N, 16, 3) RAS mm each.
    """
    names = load_skeleton().landmarks
    rows: list[dict] = [{"landmark": f"L{i} {name}"} for i, name in enumerate(names, start=1)]
    rows.append({"landmark": "mean"})
    theirs = {"mean_mm": paper.ERROR_MM, "auc": paper.AUC}[measure]
    columns: dict[str, Sequence[float | None]] = {f"paper {method}": numbers for method, numbers in theirs.items()}
    for label, (found, truth) in poses.items():
        measured = summary(found, truth)
        columns[label] = [measured["landmarks"][name][measure] for name in names] + [measured[measure]]
    for label, numbers in columns.items():
        for row, number in zip(rows, numbers, strict=True):
            row[label] = number
    return rows


def _by_stage(runs: list[Run]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {f"{run.label} {stage}": (run.poses(stage), run.truth) for run in runs for stage in STAGES}


def summary_table(runs: list[Run]) -> list[dict]:
    """One row a run and stage."""
    return [{**run.name, "stage": stage, **overall(run, stage)} for run in runs for stage in STAGES]


def overall(run: Run, stage: str | int) -> dict:
    """The measures of a run that a table's row holds."""
    found = summary(run.poses(stage), run.truth)
    return {
        "volumes": found["volumes"],
        "failed": sum(bool(row["failure"]) for row in run.rows),
        "mean_mm": found["mean_mm"],
        "median_mm": found["median_mm"],
        "auc": found["auc"],
        "missed": found["missed"],
        "wrong_side_limbs_percent": 100 * found["wrong_side_limbs"] / found["limbs"],
        "length_error_mm": found["lengths"]["mean_absolute_mm"],
        "length_bias_mm": found["lengths"]["bias_mm"],
    }


def found_table(runs: list[Run]) -> list[dict]:
    """One row per run: volumes in which a fetus counts as found, and how right their refined poses are.

    ``turned`` are poses with a mean error of more than `TURNED_MM`; ``near`` are poses that were not accepted although
    their mean error is less than `NEAR_MM`. Of the landmarks of found poses that lie outside the sector, ``invented``
    were given a place; of those ``inside``, ``missed`` were not.
    """
    rows = []
    for run in runs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a volume that shows no landmark
            errors = run.errors("refined")
            errors = np.nanmean(np.where(np.isinf(errors), np.nan, errors), axis=1)  # infinite where not found
        found = np.array([counts_as_found(row) for row in run.rows])
        inside = np.isfinite(run.truth).all(axis=2)[found]
        placed = np.isfinite(run.poses("refined")).all(axis=2)[found]
        rows.append(
            {
                **run.name,
                "volumes": len(found),
                "found": int(found.sum()),
                "mean_mm": float(np.nanmean(errors[found])) if found.any() else None,
                "median_mm": float(np.nanmedian(errors[found])) if found.any() else None,
                "turned": int((errors[found] > TURNED_MM).sum()),
                "not_found": int((~found).sum()),
                "near": int((errors[~found] < NEAR_MM).sum()),
                "outside": int((~inside).sum()),
                "invented": int((~inside & placed).sum()),
                "inside": int(inside.sum()),
                "missed": int((inside & ~placed).sum()),
            }
        )
    return rows


def counts_as_found(row: dict) -> bool:
    """Whether a fetus counts as found in the volume of a record."""
    return not row["failure"] and holds_fetus(row["confidence"], two_passes=row["seconds"].get("locate") is not None)


def length_table(runs: list[Run]) -> list[dict]:
    """Mean absolute error and bias (found - true) of the segments' lengths, of refined poses, and over all segments."""
    rows = [{"segment": segment.name} for segment in load_skeleton().segments] + [{"segment": "all"}]
    for run in runs:
        found = summary(run.poses("refined"), run.truth)
        for row, numbers in zip(rows, [*found["segments"].values(), found["lengths"]], strict=True):
            row[f"{run.label} error mm"], row[f"{run.label} bias mm"] = numbers["mean_absolute_mm"], numbers["bias_mm"]
    return rows


def iteration_table(runs: list[Run]) -> list[dict]:
    """What each iteration of refinement brings."""
    shown = ("mean_mm", "auc", "missed", "wrong_side_limbs_percent", "length_error_mm")
    rows = []
    for run in runs:
        for iteration in range(max(len(row["steps"]) for row in run.rows)):
            found = overall(run, iteration)
            rows.append({**run.name, "iteration": iteration, **{key: found[key] for key in shown}})
    return rows


def difference_table(runs: list[Run]) -> list[dict]:
    """Refined - unrefined, paired by subject."""
    return [{**run.name, **paired(*(run.errors(stage) for stage in STAGES))} for run in runs]


def paired(before: np.ndarray, after: np.ndarray) -> dict:
    """After - before, errors (N, 16) in mm, by subject: means, 95 % intervals, and the subject that lost most.

    A subject's error is the mean over the landmarks found both times; its AUC counts the others, too.
    """
    millimetres = subject_changes(before, after)
    percent = np.array([auc(a) - auc(b) for b, a in zip(before, after, strict=True) if not np.isnan(b).all()])
    return {
        "subjects": len(millimetres),
        **_interval("error_mm", millimetres),
        "worst_mm": float(millimetres.max()) if millimetres.size else None,
        "worse_by_1_mm": int((millimetres > 1).sum()),
        **_interval("auc", percent),
    }


def subject_changes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """After - before of errors (N, 16) in mm: by subject, the mean over the landmarks found both times, if any."""
    both = np.isfinite(before) & np.isfinite(after)
    return np.array([a[ok].mean() - b[ok].mean() for b, a, ok in zip(before, after, both, strict=True) if ok.any()])


def _interval(name: str, values: np.ndarray) -> dict:
    low, high = bootstrap(values) if values.size else (None, None)
    return {f"{name}_change": float(values.mean()) if values.size else None, f"{name}_low": low, f"{name}_high": high}


def bootstrap(values: np.ndarray, *, level: float = 0.95, resamples: int = 10000) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (N,) over resampled subjects; the same every time."""
    if len(values) == 1:  # which scipy refuses
        return float(values[0]), float(values[0])
    interval = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=resamples, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(interval.low), float(interval.high)


def frame_table(runs: list[Run]) -> list[dict]:
    """Errors of pass 1's frame: of its first reading, and of the best of its readings; no rows without a pass 1."""
    rows = []
    for run in runs:
        found = [row["frames"] for row in run.rows if row["frames"]]
        for which, frames in (("first", [f[0] for f in found]), ("best", [min(f) for f in found])):
            if frames:
                degrees, shift, size = np.abs(np.array(frames)).T
                rows.append({
                    **run.name, "reading": which, "volumes": len(frames),
                    "degrees_median": float(np.median(degrees)), "degrees_90_percent": float(np.quantile(degrees, 0.9)),
                    "over_60_degrees": int((degrees > 60).sum()), "shift_body_units_median": float(np.median(shift)),
                    "log_size_median": float(np.median(size)),
                })  # fmt: skip
    return rows


def pck_figure(runs: list[Run]) -> Figure:
    """PCK over all landmarks, 0 to 10 mm, before and after refinement."""
    figure, thresholds = Figure(figsize=(6.4, 4.8), layout="constrained"), np.linspace(0, 10, 101)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="distance (mm)", ylabel="landmarks within it (%)", xlim=(0, 10), ylim=(0, 100))
    for i, run in enumerate(runs):
        for stage, style in zip(STAGES, ("--", "-"), strict=True):
            errors = run.errors(stage)
            label = f"{run.label}, {stage}: AUC {auc(errors):.1f} %"
            axes.plot(thresholds, 100 * pck(errors, thresholds), style, color=_COLOURS[i % len(_COLOURS)], label=label)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    return figure


def write_tables(folder: Path) -> list[Run]:
    """Write all tables and the figure from the records in `folder`; returns the runs they show."""
    runs = load_runs(folder)
    out = Folder(folder, [run.header for run in runs])
    tables = {
        "summary": ("All landmarks", summary_table(runs)),
        "found": ("Volumes in which a fetus counts as found, refined; means per volume", found_table(runs)),
        "difference": ("Refined - unrefined, by subject, with 95 % bootstrap intervals", difference_table(runs)),
        "error": ("Error by landmark in mm (Table 1)", landmark_table(_by_stage(runs), "mean_mm")),
        "auc": ("AUC in %, PCK from 0 to 10 mm (Table 2)", landmark_table(_by_stage(runs), "auc")),
        "lengths": ("Lengths of the segments, refined", length_table(runs)),
        "iterations": ("Error by iteration of refinement", iteration_table(runs)),
        "frames": ("Pass 1: error of the fetus's frame", frame_table(runs)),
    }
    parts = [" ".join(__doc__.split("\n\n")[1].split())]
    for name, (title, rows) in tables.items():
        if rows:
            out.csv(f"accuracy_{name}.csv", rows)
            caveat = [paper.CAVEAT] if name in ("error", "auc") else []
            parts += [f"## {title}", *caveat, markdown(rows)]
    out.figure("accuracy_pck.png", pck_figure(runs))
    out.markdown("accuracy.md", "Accuracy on simulated volumes", *parts, "![PCK](accuracy_pck.png)")
    return runs
