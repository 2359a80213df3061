"""From training folders to the one file that the estimator opens: averaged weights, made small, and their history."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.network.quantisation import packed4, packed8
from FetalPoseLib.network.weights import save_model
from FetalPoseLib.training.kept import BEST, LOG, STATE, read_rows, read_state, read_weights
from FetalPoseLib.training.options import PRECISIONS
from FetalPoseLib.training.tasks import Task

KINDS = {("locate", "orient", "detect"): "fetal-frame", ("whole",): "single-pass"}


def _half(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value.half() if value.ndim > 1 else value for key, value in state.items()}


_PACKED = dict(zip(PRECISIONS, (_half, packed8, packed4), strict=True))


def export_model(
    passes: Mapping[str, Path], output: str | Path, *, precision: str = "float16",
    before: Mapping[str, Path] | None = None, last: bool = False,
) -> dict:  # fmt: skip
    """Write trained passes as one safetensors file that `Estimator` opens; returns its metadata, with its "sha256".

    Parameters
    ----------
    passes : name of the pass (``locate``, ``orient`` and ``detect``, or ``whole``) to the folder its `Trainer` wrote
        The weights are those with the least validation error, or the last ones where nothing was validated.
    precision : of `PRECISIONS`; "int8" is half and "int4" a quarter as large as "float16", see `quantisation`
        Of the kernels, which are nearly all of the file; batch norm and biases stay float32.
    last : take the last weights whatever their validation error, as where trainings of equal length are compared.
    before : name to the folder of each training that one of these went on from; its history is kept, too.

    Raises
    ------
    FetalPoseError
        A pass has not been trained, or the file cannot be written.
    """
    tensors, networks, trained = {}, {}, {}
    for name, folder in passes.items():
        state = _read(folder, STATE, name)
        rows, best = _logged(folder)
        if last and best is not None:
            best = rows[-1]
        weights = _read(folder, BEST, name) if best and not last else state["average"]
        tensors |= {f"{name}.{key}": value for key, value in weights.items()}
        task = Task(**state["task"]).metadata()
        task |= {"foreground": state["recipe"]["foreground"], "normalisation": "volume"}  # as `Trainer.validate` does
        networks[name] = {"network": state["config"], "task": task}
        trained[name] = _history(state, rows, best)
    for name, folder in (before or {}).items():
        trained[name] = _history(_read(folder, STATE, name), *_logged(folder))
    main = networks["detect" if "detect" in networks else "whole"]
    metadata = {
        "kind": KINDS[tuple(passes)],
        "spacing_mm": main["task"]["spacing_mm"],
        "networks": networks,
        "trained": trained,
    }
    with replacing(output) as temporary:
        return metadata | {"sha256": save_model(temporary, _PACKED[precision](tensors), metadata)}


def _logged(folder: Path) -> tuple[list[dict], dict | None]:
    """All rows of a training's log, and the one whose weights are the best, if the error on validation was measured.

    Logs from before a row said so: the one with the least error.
    """
    rows = read_rows(folder / LOG)
    measured = [row for row in rows if row.get("mean_mm") is not None and math.isfinite(row["mean_mm"])]
    best = [row for row in measured if row.get("best")]
    return rows, best[-1] if best else min(measured, key=lambda row: row["mean_mm"], default=None)


def _history(state: dict, rows: list[dict], best: dict | None) -> dict:
    kept = {
        "steps": best["step"] if best else state["step"],
        "hours": round(state["seconds"] / 3600, 2),
        "cases": rows[-1]["cases"] if rows else None,
        "seed": state["recipe"]["seed"],
        "recipe": state["recipe"],
    }
    validation = {key: value for key, value in (best or {}).items() if key.endswith("mm")}
    if best and rows[0]["step"] == 0:  # of a training that began with trained weights
        validation["before_mm"] = rows[0].get("mean_mm")
    return kept | {"validation": validation}


def _read(folder: Path, file: str, name: str) -> dict:
    try:
        return read_state(folder / file) if file == STATE else read_weights(folder / file)
    except FileNotFoundError as error:
        reason = f"there is no {folder / file}"
        raise FetalPoseError(
            f"The pass '{name}' cannot be exported: {reason}. Train it before it is exported."
        ) from error
