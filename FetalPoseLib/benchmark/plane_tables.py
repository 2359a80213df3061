"""The tables of planes, crown-rump length, age and posture, from the records of `planes`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from FetalPoseLib.benchmark.records import read_records
from FetalPoseLib.benchmark.report import Folder, markdown
from FetalPoseLib.body.age import weeks_and_days
from FetalPoseLib.body.planes import KINDS
from FetalPoseLib.body.posture import HINGES, HIPS, Posture
from FetalPoseLib.errors import FetalPoseError

LANDMARKS = ("true", "estimated")
WEEKS = (9.0, 11.0, 12.0, 13.0, 14.01)  # edges of the groups by gestational age
BONES = tuple(name for name in KINDS if name.endswith(("femur", "humerus")))
PLANES = {**{name: (name,) for name in KINDS if name not in BONES}, "long bones": BONES}
POSTURE = {
    "head_trunk": ("head_trunk",),
    "cranial_dorsal_hip": ("cranial_dorsal_hip",),
    "elbows and knees": tuple(HINGES),
    "hips": HIPS,
}
TRUTH = ("weeks", "cranial_dorsal_hip_deg")  # what a record tells of the body itself
ABOUT = """\
Refined poses of volumes in which a fetus counts as found, beside true landmarks within the sector. A plane's angle is
that between it and the true plane, or between it and the bone that should lie in it; its offset is the distance of the
true plane's middle. The head's turn is measured in the volume. Lengths are measured there where both ends are seen
(`in_volume`), else they follow from the landmarks (`pose`). `held` counts truths within the interval, which should hold
90 %. Ages are those of neutral postures by INTERGROWTH-21st, whose chart the simulator draws sizes from, so their
errors hold the chart's own scatter."""
STATES = ("flexed", "neutral", "extended")


def plane_table(records: dict[str, list[dict]]) -> list[dict]:
    """A row per split, kind of landmarks and plane: errors in degrees and mm, median and 90 % quantile."""

    def row(rows: list[dict], names: Sequence[str]) -> dict:
        errors = [one["planes"][name] for one in rows for name in names if name in one["planes"]]
        angle, offset = np.reshape(errors, (-1, 2)).T
        counts = {"planes": len(errors), "left_out": len(names) * len(rows) - len(errors)}
        return counts | _quantiles({"angle_deg": angle, "offset_mm": offset})

    return [
        {**which, "plane": name, **row(rows, names)}
        for which, rows in _groups(records)
        for name, names in PLANES.items()
    ]


def crown_rump_table(records: dict[str, list[dict]]) -> list[dict]:
    """A row per split, kind of landmarks and group of gestational age: errors of both lengths in mm, and of the age."""
    table = []
    for low, high in [*zip(WEEKS[:-1], WEEKS[1:], strict=True), (WEEKS[0], WEEKS[-1])]:
        chosen = {split: [r for r in rows if low <= r["weeks"] < high] for split, rows in records.items()}
        weeks = f"{weeks_and_days(7 * low)} to {weeks_and_days(7 * high)}"
        for which, rows in _groups(chosen):
            by_pose, by_volume = ([row[key] for row in rows if row[key] is not None] for key in ("pose", "volume"))
            seen = [length for length in by_volume if length[2] == "volume"]
            ages = [row["age"] for row in rows if row["age"] is not None]
            table.append({**which, "weeks": weeks, "subjects": len(rows), "in_volume": len(seen)} | {
                "pose_median_mm": _median(by_pose), "measured_median_mm": _median(by_volume),
                "in_volume_median_mm": _median(seen), "measured_bias_mm": _mean(by_volume),
                "measured_held_percent": _percent(by_volume), "dated": len(ages), "age_median_days": _median(ages),
                "age_bias_days": _mean(ages), "age_held_percent": _percent(ages),
            })  # fmt: skip
    return sorted(table, key=lambda row: (row["split"], LANDMARKS.index(row["landmarks"])))


def posture_table(records: dict[str, list[dict]]) -> list[dict]:
    """A row per split, kind of landmarks and angle: absolute errors in degrees, median and 90 % quantile, and bias."""
    table = []
    for which, rows in _groups(records):
        for name, keys in POSTURE.items():
            errors = np.array([row["posture"][key] for row in rows for key in keys if key in row["posture"]])
            bias = float(errors.mean()) if len(errors) else None
            table.append({**which, "angle": name, "angles": len(errors)} | _quantiles({"error_deg": np.abs(errors)}))
            table[-1]["bias_deg"] = bias
    return table


def state_table(records: dict[str, list[dict]]) -> list[dict]:
    """A row per split, kind of landmarks and true state of the posture: how often each state is told."""
    table = []
    for which, rows in _groups(records):
        for true in STATES:
            told = [row["state"] for row in rows if true_state(row) == true]
            table.append({**which, "true_state": true} | {state: told.count(state) for state in (*STATES, "unknown")})
    return table


def true_state(row: dict) -> str:
    """The state of the posture that a record's true angle has."""
    return Posture(np.nan, row["cranial_dorsal_hip_deg"], {}).state


def write_tables(folder: Path) -> dict[str, list[dict]]:
    """Write all tables from the records in ``folder``; returns that of the planes.

    Raises
    ------
    FetalPoseError
        The folder holds no records of planes.
    """
    read = [read_records(path) for path in sorted(Path(folder).glob("planes_*.jsonl"))]
    records = {header["split"]: rows for header, rows in read if rows}
    if not records:
        raise FetalPoseError(f"{folder} holds no records of planes. Run 'fetalpose benchmark planes' first.")
    out = Folder(folder, [header for header, rows in read if rows])
    tables = {
        "planes": ("Standard planes", plane_table(records)),
        "planes_crown_rump": (
            "Crown-rump length and gestational age, by true gestational age",
            crown_rump_table(records),
        ),
        "planes_posture": ("Angles of posture", posture_table(records)),
        "planes_states": ("Posture: what is told of which true state", state_table(records)),
    }
    parts = [ABOUT]
    for name, (title, rows) in tables.items():
        out.csv(f"{name}.csv", rows)
        parts += [f"## {title}", markdown(rows)]
    out.markdown("planes.md", "Standard planes, size and posture on simulated volumes", *parts)
    return {name: rows for name, (_, rows) in tables.items()}


def _groups(records: dict[str, list[dict]]) -> Iterator[tuple[dict, list[dict]]]:
    for split, rows in records.items():
        for landmarks in LANDMARKS:
            own = [{key: row[key] for key in TRUTH} | row[landmarks] for row in rows if landmarks in row]
            yield {"split": split, "landmarks": landmarks}, own


def _quantiles(errors: dict[str, np.ndarray]) -> dict[str, float | None]:
    """Median and 90 % quantile by name; None of no errors."""
    found: dict[str, float | None] = {}
    for name, values in errors.items():
        known = bool(len(values))
        found[f"{name}_median"] = float(np.median(values)) if known else None
        found[f"{name}_90_percent"] = float(np.quantile(values, 0.9)) if known else None
    return found


def _median(rows: list[list]) -> float | None:
    return float(np.median([abs(row[0]) for row in rows])) if rows else None


def _mean(rows: list[list]) -> float | None:
    return float(np.mean([row[0] for row in rows])) if rows else None


def _percent(rows: list[list]) -> float | None:
    return 100 * float(np.mean([row[1] for row in rows])) if rows else None
