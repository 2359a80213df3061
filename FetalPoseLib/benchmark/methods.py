"""The paper's comparison: eight methods and more on the same subjects, its Tables 1 and 2 and its Figures 5 and 6.

Land, RNN, GAN and Pair are single passes over the whole volume, trained on the same 100 subjects in the same 800 views:
all begin with the weights of one Land after 8000 steps, and each, Land too, gets 800 more with a learning rate that
falls to 0. That is 11 epochs of the paper's 20, and with `input_stride` 2, which a CPU can train. SSL is the paper's
refinement of Land, with the weighted L2 that Land was trained with, Consensus is ours of the same weights. R4 is at
1.25 mm, GCP at 1.0 mm. fetal-frame is what ships: two passes, trained on other subjects, and more of them. Errors in mm
are means over the landmarks found, in pairs of methods over those that both found; a missed one counts as wrong in the
AUC.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

from FetalPoseLib.benchmark import paper
from FetalPoseLib.benchmark.accuracy import measure, records_path
from FetalPoseLib.benchmark.records import read_records
from FetalPoseLib.benchmark.report import Folder, markdown, origin_line
from FetalPoseLib.benchmark.tables import Run, landmark_table, overall, paired, subject_changes
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.weights import load_manifest
from FetalPoseLib.refinement.options import CONSENSUS, EstimateOptions
from FetalPoseLib.simulation.fingerprint import FROZEN

SPLITS = ("test", "shifted")
FAMILIES = ("R4", "GCP")
SHIPPED = EstimateOptions.model
WORST = 3  # landmarks in the figure of PCK curves, as in the paper's


@dataclass(frozen=True)
class Method:
    """A column of the tables: of which model's records, and at which stage of their refinement."""

    name: str
    model: str
    refinement: str
    stage: str

    def records(self, output: Path, split: str) -> Path:
        """Those of what ships lie where ``fetalpose benchmark accuracy`` writes them."""
        folder = output if self.model == SHIPPED else output / "methods"
        return records_path(folder, self.model, self.refinement, split)

    @property
    def iterations(self) -> int:
        """What is asked of the estimator: a rival is measured without refinement."""
        return 0 if self.refinement == "none" else EstimateOptions.iterations


def _methods() -> Iterable[Method]:
    for family in FAMILIES:
        model = family.lower()
        yield Method(f"Land-{family}", model, "paper", "unrefined")
        for rival in ("RNN", "GAN", "Pair"):
            yield Method(f"{rival}-{family}", f"{model}-{rival.lower()}", "none", "unrefined")
        yield Method(f"SSL-{family}", model, "paper", "refined")
        yield Method(f"Consensus-{family}", model, CONSENSUS, "refined")
    yield Method("fetal-frame", SHIPPED, CONSENSUS, "unrefined")
    yield Method("fetal-frame refined", SHIPPED, CONSENSUS, "refined")


METHODS = tuple(_methods())


def measure_all(make: Callable, weights: Path, output: Path, **options) -> None:
    """Measure each model and refinement of `METHODS` on test and shifted, as far as there is no record of it yet.

    Parameters
    ----------
    make : called as ``make(model=..., refinement=...)`` for an estimator.
    weights : folder with the rivals' weights, as r4-rnn.safetensors; a model found in neither it nor the manifest, and
        without complete records, is left out, with a line that says so.
    """
    for method in {(m.model, m.refinement): m for m in METHODS}.values():
        fresh = options.get("fresh", False)
        missing = [split for split in SPLITS if fresh or not _is_complete(method.records(output, split), split)]
        if not missing:
            continue
        source = _source(method.model, weights)
        if source is None:
            where = weights / f"{method.model}.safetensors"
            print(f"{method.name} is left out: there are neither records nor weights, {where}", file=sys.stderr)
            continue
        estimator = make(model=source, refinement=method.refinement if method.iterations else CONSENSUS)
        for split in missing:
            folder = method.records(output, split).parent
            measure(
                estimator, split, range(FROZEN[split]), folder, command="methods", model=method.model,
                refinement=method.refinement, iterations=method.iterations, **options,
            )  # fmt: skip


def _source(model: str, weights: Path) -> str | None:
    if load_manifest().get(model, {}).get("file"):
        return model
    path = weights / f"{model}.safetensors"
    return str(path) if path.exists() else None


def _is_complete(path: Path, split: str) -> bool:
    return path.exists() and len(read_records(path)[1]) == FROZEN[split]


@dataclass(frozen=True, eq=False)
class Column:
    """A method on a split: its poses, errors and truth, subject by subject."""

    method: Method
    run: Run

    @property
    def poses(self) -> np.ndarray:
        """(N, 16, 3) RAS mm at the stage of the method."""
        return self.run.poses(self.method.stage)

    @property
    def errors(self) -> np.ndarray:
        """(N, 16) mm at the stage of the method."""
        return self.run.errors(self.method.stage)

    @property
    def length_errors(self) -> np.ndarray:
        """(N, 15) mm, found - true."""
        return segment_lengths(self.poses) - segment_lengths(self.run.truth)


def columns(output: Path, split: str) -> list[Column]:
    """The methods whose records hold every subject of `split`, in the order of `METHODS`."""
    paths = {method: method.records(output, split) for method in METHODS}
    return [Column(m, Run(*read_records(path))) for m, path in paths.items() if _is_complete(path, split)]


# tables


def summary_rows(by_split: dict[str, list[Column]]) -> list[dict]:
    """One row a method and split, with the limits of agreement (bias -+ 1.96 SD) of all lengths."""
    rows = []
    for split, found in by_split.items():
        for column in found:
            low, high = agreement(column.length_errors)
            rows.append({"split": split, "method": column.method.name, **overall(column.run, column.method.stage),
                         "length_low_mm": low, "length_high_mm": high})  # fmt: skip
    return rows


def agreement(deviations: np.ndarray) -> tuple[float, float]:
    """Limits of agreement of deviations in mm: 95 % of them lie between, were they normal (Bland and Altman 1986)."""
    known = deviations[np.isfinite(deviations)]
    return known.mean() - 1.96 * known.std(ddof=1), known.mean() + 1.96 * known.std(ddof=1)


def length_rows(found: list[Column]) -> list[dict]:
    """One row a method and segment: mean absolute error, bias and limits of agreement in mm."""
    rows = []
    for column in found:
        deviations = column.length_errors
        for i, segment in enumerate(load_skeleton().segments):
            known = deviations[np.isfinite(deviations[:, i]), i]
            low, high = agreement(known)
            rows.append({"method": column.method.name, "segment": segment.name, "error_mm": float(np.abs(known).mean()),
                         "bias_mm": float(known.mean()), "low_mm": low, "high_mm": high})  # fmt: skip
    return rows


def difference_rows(found: list[Column]) -> list[dict]:
    """Methods against each other, paired by subject, with Holm's correction over all rows.

    SSL against each rival of its own spacing, GCP against R4, Consensus against SSL, and what ships before and after
    its refinement. Wilcoxon's signed-rank test of the subjects' mean errors, two-sided.
    """
    by_name = {column.method.name: column for column in found}
    pairs = [(f"SSL-{f}", f"{rival}-{f}") for f, rival in product(FAMILIES, ("Land", "RNN", "GAN", "Pair"))]
    pairs += [(f"{m}-GCP", f"{m}-R4") for m in ("Land", "SSL")]
    pairs += [(f"Consensus-{f}", f"{m}-{f}") for f, m in product(FAMILIES, ("Land", "SSL"))]
    pairs += [("fetal-frame refined", "fetal-frame"), ("fetal-frame refined", "SSL-GCP")]
    rows = []
    for one, other in pairs:
        if one in by_name and other in by_name:
            before, after = by_name[other].errors, by_name[one].errors
            p = _signed_rank(before, after)
            rows.append({"method": one, "against": other, **paired(before, after), "p": p})
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
    return rows


def _signed_rank(before: np.ndarray, after: np.ndarray) -> float:
    changes = subject_changes(before, after)
    return float(wilcoxon(changes).pvalue) if np.any(changes) else 1.0


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction: p-values that may be read one by one, in the order given."""
    order, corrected, largest = np.argsort(p_values), np.empty(len(p_values)), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected.tolist()


def _by_landmark(found: list[Column], measure: str) -> list[dict]:
    return landmark_table({column.method.name: (column.poses, column.run.truth) for column in found}, measure)


def worst_landmarks(found: list[Column], count: int = WORST) -> list[int]:
    """The landmarks (0-based) that the first method, Land, finds worst, worst first."""
    errors = found[0].errors
    return np.argsort(-np.nanmean(np.minimum(errors, 1e3), axis=0))[:count].tolist()


def write_methods(output: Path) -> list[dict]:
    """Write methods.md, its CSV tables and figures from the records in `output`; returns the summary's rows.

    FetalPoseError if no method has been measured on all test subjects.
    """
    from FetalPoseLib.benchmark.method_figures import draw_pck, draw_poses

    by_split = {split: columns(output, split) for split in SPLITS}
    test = by_split["test"]
    if not test:
        raise FetalPoseError(f"{output} holds no complete records of a method. Run 'fetalpose benchmark methods'.")
    headers = [column.run.header for found in by_split.values() for column in found]
    out = Folder(output, list({origin_line(header): header for header in headers}.values()))
    tables = {
        "summary": ("All landmarks", summary_rows(by_split)),
        "differences": ("Paired by subject, on test", difference_rows(test)),
        "error": ("Error by landmark in mm, on test (Table 1)", _by_landmark(test, "mean_mm")),
        "auc": ("AUC in %, PCK from 0 to 10 mm, on test (Table 2)", _by_landmark(test, "auc")),
        "lengths": ("Lengths, on test", length_rows(test)),
    }
    if shifted := by_split["shifted"]:
        tables |= {
            "differences_shifted": ("Paired by subject, on shifted", difference_rows(shifted)),
            "error_shifted": ("Error by landmark in mm, on shifted", _by_landmark(shifted, "mean_mm")),
            "auc_shifted": ("AUC in %, on shifted", _by_landmark(shifted, "auc")),
        }
    parts = [" ".join(__doc__.split("\n\n")[1].split())]
    for name, (title, rows) in tables.items():
        if rows:
            out.csv(f"methods_{name}.csv", rows)
            note = [paper.CAVEAT] if name in ("error", "auc", "error_shifted", "auc_shifted") else []
            parts += [f"## {title}", *note, markdown(rows)]
    out.figure("methods_pck.png", draw_pck(test, worst_landmarks(test)))
    parts += ["## PCK of the worst landmarks (Fig. 5)", "![PCK](methods_pck.png)"]
    if draw_poses(out, test):
        parts += ["## Poses (Fig. 6)", "![Poses](methods_poses.png)"]
    out.markdown("methods.md", "The paper's methods on Sim-152", *parts)
    return tables["summary"][1]
