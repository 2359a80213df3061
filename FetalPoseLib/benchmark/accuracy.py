"""Accuracy on Sim-152: run an estimator over subjects and record all it says; the tables are made from the records."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from FetalPoseLib.benchmark.cases import CASES, open_case
from FetalPoseLib.benchmark.observed import as_rows, frame_errors, trace
from FetalPoseLib.benchmark.records import Records
from FetalPoseLib.benchmark.report import make_folder, model_origin, origin
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.simulation import DEFAULT_SPACING_MM


def measure(
    estimator,
    split: str,
    subjects: Iterable[int],
    output: Path,
    *,
    model: str,
    refinement: str = EstimateOptions.refinement,
    spacing: float = DEFAULT_SPACING_MM,
    iterations: int = EstimateOptions.iterations,
    cases: Path = CASES,
    fresh: bool = False,
    command: str | None = None,
) -> Records:
    """Estimate the subjects of `split` that have no record yet, one JSON line each in ``output/accuracy_*.jsonl``.

    Parameters
    ----------
    model : what the estimator was made from; its stem names the file and the columns of the tables.
    refinement : what the estimator's refinement is called.
    command : of ``fetalpose benchmark``, that leads here; ``accuracy`` with its options if None.
    spacing : mm of the volumes, as a user's file would have it.
    """
    name = Path(model).stem
    if command is None:
        command = f"accuracy --model {name} --split {split} --refinement {refinement}"
        command += f" --iterations {iterations}" * (iterations != EstimateOptions.iterations)
        command += f" --spacing {spacing:g}" * (spacing != DEFAULT_SPACING_MM)
        k = getattr(estimator.refinement, "k", EstimateOptions.k)
        command += f" --k {k}" * (k != EstimateOptions.k)
        command += f" --spacing-mm {estimator.spacing_mm:g}" * (estimator.spacing_mm != estimator.own_spacing_mm)
    header = origin(command) | model_origin(estimator, model)
    header |= {"split": split, "spacing_mm": spacing, "iterations": iterations, "refinement_name": refinement}
    records = Records(records_path(make_folder(output), name, refinement, split), header, fresh=fresh)
    todo = [index for index in subjects if f"{split}-{index:03d}" not in records]
    for index in tqdm(todo, desc=split, unit="volume", file=sys.stderr, leave=False):
        case = open_case(split, index, spacing=spacing, folder=cases)
        found = trace(estimator, case.volume, iterations=iterations)
        truth = {"body": as_rows(case.body), "seen": np.asarray(case.seen, dtype=int).tolist()}
        records.append({"name": case.name, **truth, **found, "frames": frame_errors(estimator, case.body)})
    return records


def records_path(folder: Path, model: str, refinement: str, split: str) -> Path:
    """Where `measure` writes."""
    return Path(folder) / f"accuracy_{model}_{refinement}_{split}.jsonl"
