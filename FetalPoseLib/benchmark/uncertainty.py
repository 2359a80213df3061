"""A model's doubt in millimetres: calibrated on the records of some splits, tested on those of the others.

A case is a landmark that the estimator shows, or a length between two of them; a landmark that it shows although the
true one lies outside the scanned sector counts, too. Calibration splits are tested by cross-validation over subjects,
all others with the calibration as it is written. The interval of a coverage is that of a bootstrap over subjects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from FetalPoseLib.benchmark.accuracy import records_path
from FetalPoseLib.benchmark.records import read_records
from FetalPoseLib.benchmark.report import Folder, markdown, origin
from FetalPoseLib.benchmark.run import ENDLESS_SPLITS, SPLITS
from FetalPoseLib.benchmark.tables import Run, bootstrap
from FetalPoseLib.body.estimate import points_of_rows
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.plausibility import crown_rump_length, unsure
from FetalPoseLib.body.uncertainty import COVERAGE, GROUPS, Uncertainty, landmark_groups, segment_groups
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.refinement.options import describe, refinement_named

FOLDS = 6  # of the cross-validation
LEAST_SUBJECTS = 24  # in all calibration splits: each fold leaves 20
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)  # nominal coverages of the figure
LARGE_ERROR_TO_CRL = 0.06  # of a landmark, over the crown-rump length: what a mark should find
SAME = ("model_sha256", "library_sha256", "iterations", "refinement")  # of all records of one calibration
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito


@dataclass(frozen=True, eq=False)
class Poses:
    """Found and true poses (N, 16, 3) in mm with the confidence (N, 16) of the found ones."""

    found: np.ndarray
    truth: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Poses:
        rows = [row for run in runs for row in run.rows]
        truth = np.array([points_of_rows(row["body"]) for row in rows])
        confidence = np.array([row["confidence"] for row in rows], dtype=np.float64)
        return cls(np.concatenate([run.poses("refined") for run in runs]), truth, confidence)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, rows: np.ndarray) -> Poses:
        return Poses(self.found[rows], self.truth[rows], self.confidence[rows])

    @property
    def errors_mm(self) -> np.ndarray:
        """(N, 16), NaN where not visible or without a truth."""
        return np.linalg.norm(self.found - self.truth, axis=-1)

    @property
    def size_mm(self) -> np.ndarray:
        """(N,) as the estimator sees it."""
        return np.array([crown_rump_length(points) for points in self.found])

    @property
    def length_errors_mm(self) -> np.ndarray:
        """(N, 15), NaN where an end is not visible."""
        return segment_lengths(self.found) - segment_lengths(self.truth)

    def fit(self, coverage: float = COVERAGE, refinement: str = "") -> Uncertainty:
        """The calibration on these poses."""
        return Uncertainty.fit(
            self.errors_mm, self.confidence, self.size_mm, length_errors_mm=self.length_errors_mm, coverage=coverage,
            refinement=refinement,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bounds:
    """What a calibration says of poses: radii (N, 16) and half widths of the lengths' intervals (N, 15), in mm."""

    radius: np.ndarray
    half: np.ndarray

    @classmethod
    def of(cls, known: Uncertainty, poses: Poses) -> Bounds:
        pairs = list(zip(poses.found, poses.confidence, strict=True))
        intervals = np.array([known.length_interval_mm(*pair) for pair in pairs])
        return cls(
            np.array([known.radius_mm(*pair) for pair in pairs]), intervals[..., 1] - segment_lengths(poses.found)
        )

    @classmethod
    def cross_validated(cls, poses: Poses, coverage: float = COVERAGE) -> Bounds:
        """Each subject's from the calibration on those of the other folds."""
        radius, half = np.empty((len(poses), 16)), np.empty((len(poses), 15))
        fold = np.arange(len(poses)) % FOLDS
        for k in range(FOLDS):
            bounds = cls.of(poses[fold != k].fit(coverage), poses[fold == k])
            radius[fold == k], half[fold == k] = bounds.radius, bounds.half
        return cls(radius, half)


def measure(
    output: Path, splits: Sequence[str], *, model: str, refinement: str, records: Sequence[Path] = ()
) -> list[dict]:
    """Calibrate on the records of ``splits``, test on all other splits that have some; the rows of the table.

    Writes ``uncertainty_MODEL.json``, which `Uncertainty.of_model` reads, and ``uncertainty`` with ``.md``, ``.csv``
    and ``.png``.

    Parameters
    ----------
    records : folders with records of accuracy, beside ``output``

    Raises
    ------
    FetalPoseError
        There are no records of a split, they are of different weights, or they are too few.
    """
    folders, name = [Path(output), *map(Path, records)], Path(model).stem
    runs = {split: _read(folders, name, refinement, split) for split in (*SPLITS, *ENDLESS_SPLITS)}
    for split in splits:
        if runs[split] is None:
            command = f"fetalpose benchmark accuracy --model {model} --refinement {refinement} --split {split}"
            raise FetalPoseError(f"There are no records of the split {split} to calibrate on. Run '{command}' first.")
    known = {split: run for split, run in runs.items() if run is not None}
    first = known[splits[0]]
    for split in splits:
        for key in SAME:
            if known[split].header.get(key) != first.header.get(key):
                raise FetalPoseError(f"The records of {split} and {splits[0]} differ in {key}. Measure them again.")
    calibration = Poses.of([known[split] for split in splits])
    if len(calibration) < LEAST_SUBJECTS:
        raise FetalPoseError(
            f"{len(calibration)} subjects are too few to calibrate on and to cross-validate, which takes "
            f"{LEAST_SUBJECTS}. Measure more with 'fetalpose benchmark accuracy'."
        )
    fitted = calibration.fit(refinement=describe(refinement_named(refinement)))
    others = [
        split
        for split, run in known.items()
        if split not in splits and all(run.header.get(key) == first.header.get(key) for key in SAME)
    ]
    tested = {f"{' and '.join(splits)} (cross-validated)": (calibration, Bounds.cross_validated(calibration))}
    tested |= {split: (poses := Poses.of([known[split]]), Bounds.of(fitted, poses)) for split in others}
    _write_json(
        Path(output) / f"uncertainty_{name}.json", fitted, first.header, {s: len(known[s].rows) for s in splits}
    )
    about = origin(f"uncertainty --model {name} --refinement {refinement} --split {' '.join(splits)}")
    used = [known[split].header for split in (*splits, *others)]
    table = [row for label, (poses, bounds) in tested.items() for row in coverage_rows(label, poses, bounds)]
    marks = [mark_row(label, poses, bounds.radius) for label, (poses, bounds) in tested.items()]
    out = Folder(output, [about, *used])
    out.csv("uncertainty.csv", table)
    out.csv("uncertainty_marks.csv", marks)
    out.figure("uncertainty.png", reliability_figure(calibration, list(tested), [Poses.of([known[s]]) for s in others]))
    out.markdown(
        "uncertainty.md", "Doubt in millimetres", " ".join(__doc__.split("\n\n")[1].split()), *_chosen(fitted),
        "## Coverage of radii and intervals", markdown(table), "## Marks: landmarks with a large radius",
        f"*Far off* is a landmark with an error of more than {100 * LARGE_ERROR_TO_CRL:g} % of the crown-rump length.",
        markdown(marks), "![Reliability](uncertainty.png)",
    )  # fmt: skip
    return table


def coverage_rows(label: str, poses: Poses, bounds: Bounds) -> list[dict]:
    """Coverage and size of radii and of intervals, by group and over all."""
    rows = []
    for what, error, bound, groups in (
        ("landmarks", poses.errors_mm, bounds.radius, landmark_groups()),
        ("lengths", np.abs(poses.length_errors_mm), bounds.half, segment_groups()),
    ):
        for index, name in [(None, "all"), *enumerate(GROUPS)]:
            columns = slice(None) if index is None else groups == index
            rows.append(
                {"split": label, "what": what, "group": name, **_coverage(error[:, columns], bound[:, columns])}
            )
    return rows


def _coverage(error: np.ndarray, bound: np.ndarray) -> dict:
    counted = np.isfinite(error) & np.isfinite(bound)
    within, shown = (error <= bound) & counted, counted.any(axis=1)
    share = within[shown].sum(axis=1) / counted[shown].sum(axis=1)
    low, high = bootstrap(100 * share) if share.size else (None, None)
    return {
        "subjects": int(shown.sum()),
        "cases": int(counted.sum()),
        "coverage_percent": 100 * float(within.sum() / counted.sum()) if counted.any() else None,
        "low_percent": low,
        "high_percent": high,
        "mean_mm": float(bound[counted].mean()) if counted.any() else None,
        "median_mm": float(np.median(bound[counted])) if counted.any() else None,
    }


def mark_row(label: str, poses: Poses, radius: np.ndarray) -> dict:
    """How many landmarks are marked by their radius, how many of the large errors that finds; and by confidence."""
    row: dict = {"split": label}
    errors, size = poses.errors_mm, poses.size_mm
    far = errors > LARGE_ERROR_TO_CRL * np.where(np.isfinite(size), size, np.nanmean(size))[:, None]
    row |= {"landmarks": int(np.isfinite(errors).sum()), "far_off": int(far.sum())}
    for by, radii in (("radius", radius), ("confidence", np.full_like(radius, np.nan))):
        cases = zip(poses.found, poses.confidence, radii, strict=True)
        marked = np.array([unsure(*case) for case in cases])
        row[f"marked_by_{by}_percent"] = 100 * float(marked.sum() / max(np.isfinite(errors).sum(), 1))
        row[f"poses_with_a_mark_by_{by}_percent"] = 100 * float(marked.any(axis=1).mean())
        row[f"far_off_found_by_{by}_percent"] = 100 * float(marked[far].mean()) if far.any() else None
    return row


def reliability_figure(calibration: Poses, labels: Sequence[str], others: Sequence[Poses]) -> Figure:
    """Measured over nominal coverage, and the errors' 90 % quantile over the radius that was given for them."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    tests: list[tuple[Poses, Callable[[float], Bounds]]] = [
        (calibration, lambda level: Bounds.cross_validated(calibration, level))
    ]
    fits = {level: calibration.fit(level) for level in LEVELS}
    tests += [(poses, lambda level, poses=poses: Bounds.of(fits[level], poses)) for poses in others]  # type: ignore[misc]
    for label, colour, (poses, bounds_at) in zip(labels, _COLOURS, tests, strict=False):
        bounds = {level: bounds_at(level) for level in LEVELS}
        errors, lengths = poses.errors_mm, np.abs(poses.length_errors_mm)
        measured = [_coverage(errors, bounds[level].radius)["coverage_percent"] for level in LEVELS]
        left.plot(100 * np.array(LEVELS), measured, "o-", color=colour, markersize=3, label=f"{label}, landmarks")
        measured = [_coverage(lengths, bounds[level].half)["coverage_percent"] for level in LEVELS]
        left.plot(100 * np.array(LEVELS), measured, "o--", color=colour, markersize=3, label=f"{label}, lengths")
        counted = np.isfinite(errors)
        radii, found = bounds[COVERAGE].radius[counted], errors[counted]
        bins = np.array_split(np.argsort(radii), max(len(radii) // 60, 1))
        right.loglog(
            [radii[i].mean() for i in bins], [np.quantile(found[i], COVERAGE) for i in bins], "o-", color=colour,
            markersize=3, label=label,
        )  # fmt: skip
    left.plot([50, 95], [50, 95], ":", color="grey")
    left.set(xlabel="nominal coverage (%)", ylabel="measured coverage (%)")
    low, high = right.get_xlim()
    right.plot([low, high], [low, high], ":", color="grey")
    right.set(xlabel="radius, mean of 60 landmarks (mm)", ylabel="90 % quantile of their errors (mm)")
    right.xaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    return figure


def _chosen(fitted: Uncertainty) -> list[str]:
    quantiles = zip(GROUPS, fitted.landmark_quantiles, fitted.segment_quantiles, strict=True)
    rows = [{"group": name, "landmarks": own, "lengths": length} for name, own, length in quantiles]
    return [
        f"Calibrated on {fitted.subjects} subjects with the refinement *{fitted.refinement}*. The score of a landmark "
        f"is {fitted.landmark_share:g} times its own confidence and {1 - fitted.landmark_share:g} times the pose's "
        f"mean. Radii grow with the size of the fetus to the power {fitted.size_power:g}.",
        "Quantiles of error over difficulty, and of a length's error over the radii of its ends:",
        markdown(rows),
    ]


def _read(folders: Sequence[Path], model: str, refinement: str, split: str) -> Run | None:
    """The records of a split in the first folder that has some."""
    for folder in folders:
        path = records_path(folder, model, refinement, split)
        if path.exists() and (run := Run(*read_records(path))).rows:
            return run
    return None


def _write_json(path: Path, fitted: Uncertainty, header: dict, subjects: dict[str, int]) -> None:
    about = {"model": header["model"], "model_sha256": header["model_sha256"], "calibrated_on": subjects}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({**about, **fitted.to_dict()}, indent=1) + "\n", encoding="utf-8")
