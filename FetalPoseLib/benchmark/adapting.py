"""Adapting to a scanner that no training saw: errors there and at home, before and after 4, 8 and 16 volumes.

The volumes to learn from are the first subjects of the split *scanner2* that show enough, written as a user's files. A
quarter of them is held out to choose the steps by, as the command does by itself. The error is measured on subjects
from 1000 on, which are in none of these, and at home on *validation2*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from itertools import islice
from pathlib import Path

import numpy as np

from FetalPoseLib.benchmark.accuracy import measure
from FetalPoseLib.benchmark.report import Folder, markdown, origin
from FetalPoseLib.benchmark.tables import Run, overall
from FetalPoseLib.body.fetal_frame import frame_obstacle
from FetalPoseLib.refinement.options import EstimateOptions

SPLIT, HOME = "scanner2", "validation2"
MEASURED_FROM = 1000  # index of the first subject to measure on; far beyond those to learn from
BUILD = Path("build/adapting")  # files, trainings and records: too many to keep with the results
TURNED_MM = 8.0  # mean error of a pose in the wrong frame


@dataclass(frozen=True, kw_only=True)
class AdaptingOptions:
    """What is measured."""

    volumes: Sequence[int] = (4, 8, 16)  #: to adapt to, of each model
    subjects: int = 24  #: of the scanner to measure on, and at home at most so many
    steps: int | None = None  #: of each network; None: the training's own
    spacing: float = 0.5  #: of the volumes, mm
    fresh: bool = False  #: measure again what was measured before


def measure_adapting(
    make: Callable[..., object], options: AdaptingOptions, output: Path, *, estimate: EstimateOptions
) -> list[dict]:
    """Adapt, measure, and write adapting.csv and adapting.md; what was done before is not done again.

    Parameters
    ----------
    make : from a model's name or path to the estimator that is measured
    estimate : the model to begin with, and its refinement
    """
    models = {0: estimate.model}
    hours = {0: 0.0}
    for count in options.volumes:
        path, hours[count] = _adapted(count, options, estimate.model)
        models[count] = str(path)
    rows, headers = [], []
    for count, model in models.items():
        estimator = None
        for split, first in ((SPLIT, MEASURED_FROM), (HOME, 0)):
            subjects = range(first, first + min(options.subjects, 24 if split == HOME else options.subjects))
            estimator = estimator or make(model=model)
            records = measure(
                estimator, split, subjects, BUILD, model=model, refinement=estimate.refinement, spacing=options.spacing,
                iterations=estimate.iterations, fresh=options.fresh,
            )  # fmt: skip
            wanted = {f"{split}-{index:03d}" for index in subjects}
            run = Run(records.header, [row for row in records.rows if row["name"] in wanted])
            headers.append(records.header)
            rows.append({"volumes": count, "hours": hours[count], **_row(run)})
    command = f"adapting --volumes {' '.join(map(str, options.volumes))}"
    command += f" --subjects {options.subjects}" + (f" --steps {options.steps}" if options.steps else "")
    out = Folder(output, [origin(command) | {"model": Path(estimate.model).stem,
                          "model_sha256": headers[0]["model_sha256"]}])  # fmt: skip
    about = " ".join((__doc__ or "").split("\n\n")[1].split())
    out.csv("adapting.csv", rows)
    networks = [row for count in options.volumes for row in _networks(count, BUILD / f"run-{count}")]
    out.csv("adapting_networks.csv", networks)
    parts = (about, markdown(rows), "## Each network on the volumes held out", markdown(networks))
    out.markdown("adapting.md", "Adapting to another scanner", *parts)
    return rows


def _networks(count: int, folder: Path) -> list[dict]:
    """What each network's own validation said, before and at its best, of the adapting to ``count`` volumes."""
    from FetalPoseLib.training.kept import LOG, read_rows

    table = []
    for task in ("locate", "orient", "detect"):
        rows = read_rows(folder / task / LOG)
        best = [row for row in rows if row["best"]][-1]
        table.append({"volumes": count, "network": task, "steps": rows[-1]["step"], "best_step": best["step"],
                      "before_mm": rows[0]["mean_mm"], "best_mm": best["mean_mm"]})  # fmt: skip
    return table


def _adapted(count: int, options: AdaptingOptions, start: str) -> tuple[Path, float]:
    """The model adapted to so many volumes, and the hours that its training took."""
    from FetalPoseLib.network.weights import open_model
    from FetalPoseLib.training.options import TrainingOptions
    from FetalPoseLib.training.run import train

    path = BUILD / f"adapted-{count}.safetensors"
    if not path.exists():
        data = _write_volumes(count, options.spacing)
        train(TrainingOptions(model="fetal-frame", start=start, data=data, output=path, steps=options.steps,
                              folder=BUILD / f"run-{count}"))  # fmt: skip
    _, metadata = open_model(path)
    return path, round(sum(history["hours"] for history in metadata["trained"].values()), 2)


def _write_volumes(count: int, spacing: float) -> Path:
    """The first subjects of the split that can be learnt from as a user's files, a folder for each number of them."""
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.simulation.files import SimulationOptions, simulate_files

    mrml.silence_log()
    folder = BUILD / f"volumes-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    for index in islice(filter(_usable, count_from(0)), count):
        volume, markups = folder / f"{SPLIT}-{index:03d}.nrrd", folder / f"{SPLIT}-{index:03d}.mrk.json"
        if not (volume.exists() and markups.exists()):
            simulate_files(
                SimulationOptions(output=volume, landmarks=markups, split=SPLIT, subject=index, spacing=spacing)
            )
    return folder


def _usable(index: int) -> bool:
    """Whether enough of the subject lies in the scan: fetal-frame learns from no other volumes of a user."""
    from FetalPoseLib.simulation.datasets import draw_subject

    landmarks = draw_subject(SPLIT, index).landmarks
    return not frame_obstacle(landmarks) and bool(np.isfinite(landmarks[0]).all())


def _row(run: Run) -> dict:
    """The measures of one model on one split, after refinement."""
    measured = overall(run, "refined")
    errors = run.errors("refined")
    errors = np.where(np.isinf(errors), np.nan, errors)
    shown = np.isfinite(errors).any(axis=1)
    means = np.nanmean(errors[shown], axis=1)
    right = means[means < TURNED_MM]
    return {
        "split": run.header["split"],
        "measured": measured["volumes"],
        "failed": measured["failed"],
        "mean_mm": measured["mean_mm"],
        "median_mm": measured["median_mm"],
        "auc": measured["auc"],
        "turned": int((means >= TURNED_MM).sum()),
        "mean_mm_of_the_others": float(right.mean()) if right.size else None,
    }
