"""Two pose files of one fetus compared, as a table and a file of it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.comparison import comparison_table
from FetalPoseLib.body.measurements import write_csv
from FetalPoseLib.errors import printable
from FetalPoseLib.files import check_writable, replacing

NOTE = "Research use only. The errors of both poses add up."


def compare_files(first: Path, second: Path, output: Path | None = None) -> list[dict]:
    """The rows of `comparison.comparison_table` of two pose files, the earlier one first; written to ``output``, too.

    Raises
    ------
    FetalPoseError
        A file is no pose, or ``output`` is neither .csv nor .html or cannot be written.
    """
    if output is not None:
        check_writable(output, ".csv", ".html")
    mrml.silence_log()
    scene = mrml.new_scene()
    poses = [mrml.load_pose(scene, path) for path in (first, second)]
    measures = mrml.measures_of(poses[0]), mrml.measures_of(poses[1])
    rows = comparison_table(mrml.points_of(poses[0]), mrml.points_of(poses[1]), measures)
    if output is not None:
        with replacing(output) as temporary:
            if output.suffix.lower() == ".csv":
                write_csv(temporary, rows)
            else:
                temporary.write_text(_html(first, second, rows), encoding="utf-8")
    return rows


def _html(first: Path, second: Path, rows: list[dict]) -> str:
    head = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row.values()) + "</tr>" for row in rows)
    title = f"{escape(printable(first.name))} and {escape(printable(second.name))}"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 13px sans-serif; }} td, th {{ padding: 1px 10px; text-align: right;
border-bottom: 1px solid #ddd; }}
td:first-child {{ text-align: left; }}</style></head><body>
<h1>{title}</h1><p><b>{NOTE}</b></p><table><tr>{head}</tr>{body}</table></body></html>
"""
