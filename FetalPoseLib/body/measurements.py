"""What the clinician reads off a pose: the lengths of its segments, and the table of them."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError

Z90 = 1.645  # standard deviations that hold 90 %


def segment_lengths(points, skeleton: Skeleton | None = None) -> np.ndarray:
    """Length in mm of each segment of a pose (..., 16, 3): (..., 15), NaN where an end is not visible."""
    skeleton, points = skeleton or load_skeleton(), np.asarray(points, dtype=np.float64)
    start = points[..., [segment.start for segment in skeleton.segments], :]
    end = points[..., [segment.end for segment in skeleton.segments], :]
    return np.linalg.norm(end - start, axis=-1)


def length_table(
    points, skeleton: Skeleton | None = None, *, interval_mm=None, checks: Sequence[str] | None = None
) -> list[dict]:
    """One row per segment: name, the landmarks it joins, length in mm to 0.01 or "" where an end is not visible.

    With ``interval_mm`` (15, 2), `Estimate.length_interval_mm`, also ``low_mm`` and ``high_mm``, if any is known; with
    ``checks`` (15 texts) a last column ``check``, the reasons to look at a length twice.
    """
    skeleton = skeleton or load_skeleton()
    rows = [
        {
            "segment": segment.name,
            "from": skeleton.landmarks[segment.start],
            "to": skeleton.landmarks[segment.end],
            "length_mm": _cell(length),
        }
        for segment, length in zip(skeleton.segments, segment_lengths(points, skeleton), strict=True)
    ]
    if interval_mm is not None and np.isfinite(interval_mm).any():
        for row, (low, high) in zip(rows, interval_mm, strict=True):
            row |= {"low_mm": _cell(low), "high_mm": _cell(high)}
    if checks is not None:
        for row, check in zip(rows, checks, strict=True):
            row["check"] = " ".join(check.split())
    return rows


def _cell(length_mm: float) -> str:
    return f"{length_mm:.2f}" if np.isfinite(length_mm) else ""


def write_csv(path: str | Path, rows: Sequence[dict]) -> None:
    """Write rows with the same keys as a CSV table with a header line.

    The table is complete before the file is touched, so an error leaves an existing file as it was. FetalPoseError if
    the file cannot be written; ValueError if there are no rows or their keys differ.
    """
    if not rows:
        raise ValueError("a table needs at least one row")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        Path(path).write_text(text.getvalue(), encoding="utf-8", newline="")
    except OSError as error:
        raise FetalPoseError(f"Cannot write the table {path}: {error.strerror}. Choose another place.") from error
