"""Choosing the refinement on the validation subjects: every option on the same ones, and on no others."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from FetalPoseLib.benchmark.cases import CASES, open_case
from FetalPoseLib.benchmark.observed import as_rows, trace
from FetalPoseLib.benchmark.records import Records
from FetalPoseLib.benchmark.report import Folder, markdown, model_origin, origin
from FetalPoseLib.benchmark.tables import Run, overall, paired
from FetalPoseLib.body.fetal_frame import TRUNK
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.estimator import REFINEMENTS
from FetalPoseLib.refinement.online_ssl import Refinement
from FetalPoseLib.simulation.fingerprint import FROZEN

#: What is varied unless asked otherwise, each about the preset of its method; iterations are read off every run.
AXES = {
    "jointly": (False,),
    "looks": (2, 6),
    "k": (1, 5, 20, 50),
    "library_size": (10, 50, 100, 200),
    "subset": ("all", "trunk"),
    "similarity": (True,),
    "lr": (1e-4, 1e-3),
    "weighting": ("residual",),
    "parameters": ("decoder",),
    "sides": (True,),
    "trust": (0.2, 0.5),
}
RECORDS = Path("build/benchmark")  # too many to keep with the results
_NOT_OPTIONS = {"net", "library", "_", "grid", "sigma", "iterations", "fixed", "bfloat16", "foreground"}
_SSL = {f.name: f.default for f in fields(Refinement) if f.name not in _NOT_OPTIONS}
_LIBRARY = {"library_size": None, "subset": "paper"}  # ours, of the benchmark alone: None is all atlases
_CONSENSUS = {name: value for name, value in REFINEMENTS["consensus"].items() if name != "method"}
_DEFAULTS = {**_CONSENSUS, **_SSL, **_LIBRARY}
_SUBSETS = {"trunk": TRUNK}


def parse_axes(words: Iterable[str]) -> dict[str, tuple]:
    """``["lr=1e-4,5e-4", "similarity=true"]`` as values by option; FetalPoseError for what is no option."""
    axes = {}
    for word in words:
        name, _, values = word.partition("=")
        if name not in _DEFAULTS or not values:
            raise FetalPoseError(f"'{word}' varies nothing: write NAME=VALUE,VALUE with one of {', '.join(_DEFAULTS)}.")
        axes[name] = tuple(_value(name, text) for text in values.split(","))
    return axes


def _value(name: str, text: str):
    """What a word says, of the type that the option has; FetalPoseError if it says nothing of the kind."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        value = words[text.lower()]
    else:
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
    default = _DEFAULTS[name]
    kinds = {type(default)} if default is not None else {type(None), int, float}
    kinds |= {int} if isinstance(default, float) else set()
    if type(value) not in kinds:
        raise FetalPoseError(f"'{text}' is no value of {name}, whose default is {default}. Give one of its kind.")
    return value


def combinations(axes: Mapping[str, Sequence], *, full: bool = False) -> list[dict]:
    """Options to compare: every preset, then one thing varied at a time about the preset of its method.

    What consensus has is varied about *consensus*, all else about the *paper*'s; with `full`, the latter in every
    combination.
    """
    ssl = {name: values for name, values in axes.items() if name not in _CONSENSUS}
    if full:
        varied = [dict(zip(ssl, values, strict=True)) for values in itertools.product(*ssl.values())]
    else:
        varied = [{name: value} for name, values in ssl.items() for value in values]
    presets = [*REFINEMENTS.values()]
    own = [{**REFINEMENTS["consensus"], name: v} for name in _CONSENSUS for v in axes.get(name, ())]
    options, distinct = [*presets, *own, *({**REFINEMENTS["paper"], **v} for v in varied)], {}
    for option in options:
        distinct.setdefault(_label(option), option)
    return list(distinct.values())


def _label(options: Mapping) -> str:
    """All that makes an option what it is, the same whether a default is written out or not."""
    full = {**(_CONSENSUS if options["method"] == "consensus" else {**_SSL, **_LIBRARY}), **options}
    return " ".join(f"{name}={full[name]}" for name in sorted(full))


def arrange(estimator, option: Mapping, library: PoseLibrary) -> None:
    """Have the estimator refine by ``option``, with its part of ``library`` and its registration subset.

    FetalPoseError if there is no such subset.
    """
    subset, size = option.get("subset", "paper"), option.get("library_size")
    skeleton = library.skeleton
    if subset != "paper":
        if subset not in ("all", *_SUBSETS):
            raise FetalPoseError(f"There is no subset '{subset}'. Choose paper, all or {', '.join(_SUBSETS)}.")
        chosen = skeleton.landmarks if subset == "all" else _SUBSETS[subset]
        skeleton = replace(skeleton, registration_subset=tuple(skeleton.index(name) for name in chosen))
    estimator.library = PoseLibrary(library.poses[:size], library.names[:size], skeleton=skeleton)
    estimator.refinement = {name: value for name, value in option.items() if name not in _LIBRARY}


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
    """Run each of `options` on validation subjects; write refinement_MODEL.csv and .md.

    One row an option and iteration, and one for the iteration of best evidence, the highest AUC first; `change` is
    against the unrefined detection. A run that was stopped goes on.
    """
    subjects = list(subjects)
    only = f" --subjects {len(subjects)}" * (len(subjects) < FROZEN["validation"])
    header = origin(f"refinement --model {Path(model).stem}{only}") | model_origin(estimator, model)
    header |= {"refinement": None, "split": "validation", "spacing_mm": spacing, "iterations": iterations}
    Path(records).mkdir(parents=True, exist_ok=True)
    done = Records(Path(records) / f"refinement_{header['model']}.jsonl", header, fresh=fresh)
    for index in tqdm(subjects, desc="validation", unit="volume", file=sys.stderr, leave=False):
        _try_all(estimator, options, index, done, spacing=spacing, iterations=iterations, cases=cases)
    table = _table(options, done)
    out = Folder(output, [done.header])
    name = f"refinement_{header['model']}"
    out.csv(f"{name}.csv", table)
    out.markdown(f"{name}.md", "Choices of refinement, on validation", markdown(table))
    return table


def _try_all(estimator, options, index: int, done: Records, *, spacing: float, iterations: int, cases: Path) -> None:
    name = f"validation-{index:03d}"
    todo = [option for option in options if f"{name} {_label(option)}" not in done]
    if not todo:
        return
    case = open_case("validation", index, spacing=spacing, folder=cases)
    truth = {"body": as_rows(case.body), "seen": np.asarray(case.seen, dtype=int).tolist()}
    library = estimator.library
    for option in todo:
        arrange(estimator, option, library)
        found = trace(estimator, case.volume, iterations=iterations)
        done.append({"name": f"{name} {_label(option)}", "option": _label(option), **truth, **found})
    estimator.library = library


def _table(options: list[dict], done: Records) -> list[dict]:
    names, rows = ["method", *dict.fromkeys(name for option in options for name in option if name != "method")], []
    for option in options:
        run = Run(done.header, [row for row in done.rows if row["option"] == _label(option)])
        seconds = [s for row in run.rows if not row["failure"] for s in row["seconds"]["refine"][1:]]
        defaults = _CONSENSUS if option["method"] == "consensus" else {**_SSL, **_LIBRARY}
        for stage in (*range(max(len(row["steps"]) for row in run.rows)), "best evidence"):
            found = overall(run, stage)
            change = paired(run.errors("unrefined"), run.errors(stage))
            rows.append({
                **{name: {**defaults, **option}.get(name) for name in names}, "iteration": stage, **found,
                "change_mm": change["error_mm_change"], "change_low": change["error_mm_low"],
                "change_high": change["error_mm_high"], "worst_mm": change["worst_mm"],
                "seconds_per_iteration": float(np.median(seconds)) if seconds else None,
            })  # fmt: skip
    return sorted(rows, key=lambda row: -row["auc"])
