"""The tables of a study: a row per volume with all that was measured, and a row per failure with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from FetalPoseLib.body.age import weeks_and_days
from FetalPoseLib.body.estimate import points_of_rows
from FetalPoseLib.body.measurements import segment_lengths, write_csv
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cohort.jobs import KINDS
from FetalPoseLib.cohort.measured import measure_columns
from FetalPoseLib.files import replacing
from FetalPoseLib.worker.codec import ARRAYS

DIGITS = 4  # after the point, of mm and of confidence
_TEXT = ("name", "pseudonym", "date", "age_by_dates", "warnings", "model", "refinement", "version", "kind", "reason")


@dataclass(frozen=True)
class Tables:
    """Rows of a study; those of a table have the same keys."""

    volumes: list[dict]  #: the volumes that have a pose
    failures: list[dict]  #: those that have none


def rows_of(records: Iterable[dict]) -> Tables:
    """The rows that records of a study make."""
    volumes: list[dict] = []
    failures: list[dict] = []
    for record in records:
        (failures if record.get("kind") else volumes).append(_failure(record) if record.get("kind") else _row(record))
    return Tables(volumes, failures)


def write_tables(folder: Path, tables: Tables) -> None:
    """Write ``volumes`` and ``failures``, each as .csv and .parquet; a table without rows has its columns.

    Raises
    ------
    FetalPoseError
        A file cannot be written.
    """
    for name, rows, empty in (("volumes", tables.volumes, _row(_NOTHING)), ("failures", tables.failures, _failure({}))):
        _write_parquet(folder / f"{name}.parquet", rows, empty)
        with replacing(folder / f"{name}.csv") as temporary:
            if rows:
                write_csv(temporary, [{key: "" if v is None else v for key, v in row.items()} for row in rows])
            else:
                temporary.write_text(",".join(empty) + "\n", encoding="utf-8")


def _write_parquet(path: Path, rows: list[dict], empty: dict) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    fields = [pa.field(name, _type(name)) for name in empty]
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    with replacing(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")


def _type(name: str):
    import pyarrow as pa

    if name in _TEXT:
        return pa.string()
    return pa.int64() if name in ("frame", "warning_count", "visible_landmarks") else (
        pa.bool_() if name == "mirrored" else pa.float64()
    )  # fmt: skip


_NOTHING: dict = {"points": [None] * 16, "confidence": [None] * 16, "measures": {}, "warnings": [], "provenance": {}}


def _about(record: dict) -> dict:
    told = record.get("volume", {})
    age = told.get("age_days")
    return {
        "name": record.get("name", ""),
        "pseudonym": told.get("pseudonym") or None,
        "date": told.get("date") or None,
        "age_by_dates": None if age is None else weeks_and_days(age),
        "frame": told.get("frame"),
        "mirrored": bool(told.get("mirrored", False)),
    }


def _failure(record: dict) -> dict:
    kind = record.get("kind", "")
    what = KINDS.get(kind, "")
    return {**_about(record), "kind": kind, "reason": record.get("reason") or what, "seconds": record.get("seconds")}


def _row(record: dict) -> dict:
    skeleton = load_skeleton()
    points = points_of_rows(record["points"])
    confidence = np.array([np.nan if c is None else c for c in record["confidence"]], dtype=np.float64)
    radius = ARRAYS["radius_mm"].decode(record.get("radius_mm"))
    intervals = ARRAYS["length_interval_mm"].decode(record.get("length_interval_mm"))
    provenance = record["provenance"]
    row = _about(record) | {
        "mean_confidence": _number(confidence.mean()),
        "visible_landmarks": int(np.isfinite(points).all(axis=1).sum()),
        "warning_count": len(record["warnings"]),
        "warnings": " ".join(record["warnings"]),
        **{column: record.get("measures", {}).get(column) for column in measure_columns()},
    }
    for i, (segment, length) in enumerate(zip(skeleton.segments, segment_lengths(points), strict=True)):
        low, high = (np.nan, np.nan) if intervals is None else intervals[i]
        row |= {
            f"{segment.name}_mm": _number(length),
            f"{segment.name}_low_mm": _number(low),
            f"{segment.name}_high_mm": _number(high),
        }
    for i, landmark in enumerate(skeleton.landmarks):
        row |= {f"{landmark}_{axis}_mm": _number(points[i, j]) for j, axis in enumerate("xyz")}
        row |= {
            f"{landmark}_confidence": _number(confidence[i]),
            f"{landmark}_radius_mm": None if radius is None else _number(radius[i]),
        }
    names = {"model": "Model", "refinement": "Refinement", "version": "Version"}
    return row | {column: provenance.get(key) for column, key in names.items()}


def _number(value: float) -> float | None:
    return round(float(value), DIGITS) if np.isfinite(value) else None
