"""Choosing the refinement on the validation subjects: every option on all of them, and on no others."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from FetalPoseLib.benchmark.cases import CASES, open_case
from FetalPoseLib.benchmark.observed import as_rows, trace
from FetalPoseLib.benchmark.records import Records
from FetalPoseLib.benchmark.report import Folder, markdown, model_origin, origin
from FetalPoseLib.benchmark.tables import Run, overall, paired
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement import Refinement

#: What is varied unless asked otherwise; the number of iterations is read off every run.
AXES = {
    "lr": (1e-4, 2.5e-4, 5e-4, 1e-3),
    "k": (5, 10, 20),
    "similarity": (False, True),
    "weighting": ("mean", "residual"),
    "normalisation": ("volume", "running"),
    "parameters": ("all", "decoder"),
    "trust": (None, 0.3, 0.5, 0.7),
}
RECORDS = Path("build/benchmark")  # too many to keep with the results
_NOT_OPTIONS = {"net", "library", "_", "grid", "sigma", "iterations", "fixed"}
_DEFAULTS = {f.name: f.default for f in fields(Refinement) if f.name not in _NOT_OPTIONS}


def parse_axes(words: Iterable[str]) -> dict[str, tuple]:
    """``["lr=1e-4,5e-4", "similarity=true"]`` as values by option; FetalPoseError for what is no option."""
    axes = {}
    for word in words:
        name, _, values = word.partition("=")
        if name not in _DEFAULTS or not values:
            raise FetalPoseError(f"'{word}' varies nothing: write NAME=VALUE,VALUE with one of {', '.join(_DEFAULTS)}.")
        axes[name] = tuple(_value(text) for text in values.split(","))
    return axes


def _value(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def combinations(axes: Mapping[str, Sequence], base: Mapping, *, full: bool = False) -> list[dict]:
    """Options to compare: the paper's, then `base`, one thing of it varied at a time, with `full` every combination."""
    paper = {name: _DEFAULTS[name] for name in {*axes, *base}}
    base = {**paper, **base}
    if full:
        varied = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    else:
        varied = ({name: value} for name, values in axes.items() for value in values)
    return list({_label(options): options for options in (paper, base, *({**base, **v} for v in varied))}.values())


def _label(options: Mapping) -> str:
    return " ".join(f"{name}={options[name]}" for name in sorted(options))


def choose(
    estimator,
    options: list[dict],
    subjects: Iterable[int],
    output: Path,
    *,
    model: str,
    spacing: float = 0.5,
    iterations: int = 6,
    cases: Path = CASES,
    records: Path = RECORDS,
    fresh: bool = False,
) -> list[dict]:
    """Run each of `options` (arguments of `Refinement`) on validation subjects; write validation_choices.csv and .md.

    One row an option and iteration, the highest AUC first; `change` is against the same option's iteration 0, which
    with another `normalisation` is another detection. A run that was stopped goes on.
    """
    estimator.refinement = {}
    header = origin(f"refinement --model {Path(model).stem}") | model_origin(estimator, model)
    header |= {"split": "validation", "spacing_mm": spacing, "iterations": iterations}
    Path(records).mkdir(parents=True, exist_ok=True)
    done = Records(Path(records) / f"refinement_{header['model']}.jsonl", header, fresh=fresh)
    for index in tqdm(list(subjects), desc="validation", unit="volume", file=sys.stderr, leave=False):
        _try_all(estimator, options, index, done, spacing=spacing, iterations=iterations, cases=cases)
    table = _table(options, done)
    out = Folder(output, [done.header])
    out.csv("validation_choices.csv", table)
    out.markdown("validation_choices.md", "Choices of refinement, on validation", markdown(table))
    return table


def _try_all(estimator, options, index: int, done: Records, *, spacing: float, iterations: int, cases: Path) -> None:
    name = f"validation-{index:03d}"
    todo = [option for option in options if f"{name} {_label(option)}" not in done]
    if not todo:
        return
    case = open_case("validation", index, spacing=spacing, folder=cases)
    truth = {"body": as_rows(case.body), "seen": np.asarray(case.seen, dtype=int).tolist()}
    for option in todo:
        estimator.refinement = option
        found = trace(estimator, case.volume, iterations=iterations)
        done.append({"name": f"{name} {_label(option)}", "option": _label(option), **truth, **found})


def _table(options: list[dict], done: Records) -> list[dict]:
    names, rows = sorted(set().union(*options)), []
    for option in options:
        run = Run(done.header, [row for row in done.rows if row["option"] == _label(option)])
        seconds = [s for row in run.rows if not row["failure"] for s in row["seconds"]["refine"][1:]]
        for iteration in range(done.header["iterations"] + 1):
            found = overall(run, iteration)
            change = paired(run.errors(0), run.errors(iteration))
            rows.append({
                **{name: option.get(name) for name in names}, "iteration": iteration, **found,
                "change_mm": change["error_mm_change"], "change_low": change["error_mm_low"],
                "change_high": change["error_mm_high"], "worst_mm": change["worst_mm"],
                "seconds_per_iteration": float(np.median(seconds)) if seconds else None,
            })  # fmt: skip
    return sorted(rows, key=lambda row: -row["auc"])
