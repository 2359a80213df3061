"""Choosing the refinement on the validation subjects: every option on the same ones, and on no others."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from FetalPoseLib.benchmark.cases import CASES, open_case
from FetalPoseLib.benchmark.observed import as_rows, trace
from FetalPoseLib.benchmark.records import Records
from FetalPoseLib.benchmark.report import NAME_OF, Folder, markdown, model_origin, named, origin
from FetalPoseLib.benchmark.tables import Run, overall, paired
from FetalPoseLib.body.fetal_frame import TRUNK
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.refinement.options import (
    CONSENSUS,
    REFINEMENTS,
    ConsensusOptions,
    OnlineSslOptions,
    RefinementOptions,
)
from FetalPoseLib.simulation import DEFAULT_SPACING_MM
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
FIELD_OF = {name: field for field, name in NAME_OF.items()}
_SUBSETS = {"trunk": TRUNK}


@dataclass(frozen=True)
class Choice:
    """A refinement to measure, and the part of the pose library that it is given."""

    refinement: RefinementOptions
    library_size: int | None = None  #: the first so many atlases; None: all
    subset: str = "paper"  #: landmarks that register the atlases: "paper", "all" or "trunk"

    def values(self) -> dict:
        """All options by the names of the tables; ``method`` is `CONSENSUS` or "ssl"."""
        consensus = isinstance(self.refinement, ConsensusOptions)
        found = named(asdict(self.refinement))
        library = {} if consensus else {"library_size": self.library_size, "subset": self.subset}
        return {"method": CONSENSUS if consensus else "ssl", **found, **library}

    @property
    def label(self) -> str:
        """All that makes the choice what it is, as the records tell it."""
        return " ".join(f"{name}={value}" for name, value in sorted(self.values().items()))


_CONSENSUS = Choice(ConsensusOptions()).values()
_SSL = Choice(OnlineSslOptions()).values()
_DEFAULTS = {name: value for name, value in {**_CONSENSUS, **_SSL}.items() if name != "method"}


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
    words: dict[str, bool | None] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        value: object = words[text.lower()]
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


def combinations(axes: Mapping[str, Sequence], *, full: bool = False) -> list[Choice]:
    """What to compare: every preset, then one thing varied at a time about the preset of its method.

    What consensus has is varied about *consensus*, all else about the *paper*'s; with `full`, the latter in every
    combination.
    """
    ssl = {name: values for name, values in axes.items() if name not in _CONSENSUS}
    if full:
        varied = [dict(zip(ssl, values, strict=True)) for values in itertools.product(*ssl.values())]
    else:
        varied = [{name: value} for name, values in ssl.items() for value in values]
    own = [{name: value} for name in _CONSENSUS for value in axes.get(name, ())]
    choices = [Choice(preset) for preset in REFINEMENTS.values()]
    choices += [_varied(CONSENSUS, values) for values in own] + [_varied("paper", values) for values in varied]
    return list(dict.fromkeys(choices))  # frozen dataclasses: equal ones are one


def _varied(preset: str, values: Mapping) -> Choice:
    library = {name: value for name, value in values.items() if name in ("library_size", "subset")}
    rest = {FIELD_OF.get(name, name): value for name, value in values.items() if name not in library}
    return Choice(replace(REFINEMENTS[preset], **rest), **library)


def arranged(estimator, choice: Choice):
    """The estimator with the choice's refinement, part of its library, and registration subset.

    FetalPoseError if there is no such subset.
    """
    library, skeleton = estimator.library, estimator.library.skeleton
    if choice.subset != "paper":
        if choice.subset not in ("all", *_SUBSETS):
            raise FetalPoseError(f"There is no subset '{choice.subset}'. Choose paper, all or {', '.join(_SUBSETS)}.")
        chosen = skeleton.landmarks if choice.subset == "all" else _SUBSETS[choice.subset]
        skeleton = replace(skeleton, registration_subset=tuple(skeleton.index(name) for name in chosen))
    size = choice.library_size
    part = PoseLibrary(library.poses[:size], library.names[:size], skeleton=skeleton)
    return estimator.with_options(refinement=choice.refinement, library=part)


def choose(
    estimator,
    choices: list[Choice],
    subjects: Iterable[int],
    output: Path,
    *,
    model: str,
    spacing: float = DEFAULT_SPACING_MM,
    iterations: int,
    cases: Path = CASES,
    records: Path = RECORDS,
    fresh: bool = False,
) -> list[dict]:
    """Run each of `choices` on validation subjects; write refinement_MODEL.csv and .md.

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
        _try_all(estimator, choices, index, done, spacing=spacing, iterations=iterations, cases=cases)
    table = _table(choices, done)
    out = Folder(output, [done.header])
    name = f"refinement_{header['model']}"
    out.csv(f"{name}.csv", table)
    out.markdown(f"{name}.md", "Choices of refinement, on validation", markdown(table))
    return table


def _try_all(
    estimator, choices: list[Choice], index: int, done: Records, *, spacing: float, iterations: int, cases: Path
) -> None:
    name = f"validation-{index:03d}"
    todo = [choice for choice in choices if f"{name} {choice.label}" not in done]
    if not todo:
        return
    case = open_case("validation", index, spacing=spacing, folder=cases)
    truth = {"body": as_rows(case.body), "seen": np.asarray(case.seen, dtype=int).tolist()}
    for choice in todo:
        found = trace(arranged(estimator, choice), case.volume, iterations=iterations)
        done.append({"name": f"{name} {choice.label}", "option": choice.label, **truth, **found})


def _table(choices: list[Choice], done: Records) -> list[dict]:
    names, rows = list(dict.fromkeys(name for choice in choices for name in choice.values())), []
    for choice in choices:
        run = Run(done.header, [row for row in done.rows if row["option"] == choice.label])
        seconds = [s for row in run.rows if not row["failure"] for s in row["seconds"]["refine"][1:]]
        values = choice.values()
        for stage in (*range(max(len(row["steps"]) for row in run.rows)), "best evidence"):
            found = overall(run, stage)
            change = paired(run.errors("unrefined"), run.errors(stage))
            rows.append({
                **{name: values.get(name) for name in names}, "iteration": stage, **found,
                "change_mm": change["error_mm_change"], "change_low": change["error_mm_low"],
                "change_high": change["error_mm_high"], "worst_mm": change["worst_mm"],
                "seconds_per_iteration": float(np.median(seconds)) if seconds else None,
            })  # fmt: skip
    return sorted(rows, key=lambda row: -row["auc"])
