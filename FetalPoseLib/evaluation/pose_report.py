"""One page about a pose, as HTML or PDF: three sides, the standard planes cut from the volume, tables, provenance.

The HTML page needs no other file; the PDF holds one page. Both say that they are for research only.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec
from matplotlib.patheffects import withStroke

from FetalPoseLib.body.planes import Plane, planes_left_out, standard_planes
from FetalPoseLib.errors import FetalPoseError, printable
from FetalPoseLib.evaluation.pose_picture import VIEWS, draw_views
from FetalPoseLib.files import replacing
from FetalPoseLib.volume.grid import Grid, Volume
from FetalPoseLib.volume.intensity import picture_of
from FetalPoseLib.volume.probe_volume import ProbeVolume
from FetalPoseLib.volume.resampling import resample

SUFFIXES = (".html", ".pdf")
RESEARCH = "Research use only. Not for diagnosis: the bundled model was trained on simulated volumes."
PIXEL_MM = 0.25  # of the planes' pictures
NEAR_MM = 2.0  # from a plane, within which a landmark is drawn in it
A4 = (8.27, 11.69)  # inches
LEAST_HEIGHT = 0.62  # of a plane's picture over its width


@dataclass(frozen=True, eq=False)
class Report:
    """What a report tells.

    Attributes
    ----------
    title : such as the volume's file name
    points : (16, 3) RAS mm, NaN where a landmark is not visible
    lengths, measures : rows of `measurements.length_table` and `clinical.measure_table`
    provenance : where the pose comes from
    placed : landmarks that a person placed
    warnings : sentences
    head_turn_deg : as `measurement.head_turn` found it, or None
    """

    title: str
    points: np.ndarray
    lengths: Sequence[Mapping[str, str]]
    measures: Sequence[Mapping[str, str]]
    provenance: Mapping[str, str] = field(default_factory=dict)
    placed: Sequence[str] = ()
    warnings: Sequence[str] = ()
    head_turn_deg: float | None = None

    @property
    def placed_text(self) -> str:
        """What a person placed, as a sentence."""
        words = ", ".join(name.replace("_", " ") for name in self.placed)
        return f"Placed by a person: {words}." if words else "No landmark was placed by a person."


def write_report(path: str | Path, volume: Volume, report: Report) -> None:
    """Write a report as one page, .html or .pdf by the name of ``path``; an existing file is replaced on success only.

    Raises
    ------
    FetalPoseError
        The name has another ending, no landmark is visible, or the file cannot be written.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise FetalPoseError(f"The report {path} must end in {' or '.join(SUFFIXES)}.")
    if not np.isfinite(report.points).all(axis=1).any():
        raise FetalPoseError("There is no landmark to report: none is visible. Place some, or choose another volume.")
    planes = standard_planes(report.points, head_turn_deg=report.head_turn_deg)
    with replacing(path) as temporary:
        if Path(path).suffix.lower() == ".pdf":
            _page(volume, report, planes).savefig(temporary, format="pdf")
        else:
            temporary.write_text(_html(volume, report, planes), encoding="utf-8")


# pictures


def _draw_planes(figure: Figure, layout, volume: Volume, report: Report, planes: Sequence[Plane]) -> None:
    picture = picture_of(volume)
    for place, plane in zip(layout, planes, strict=False):
        axes = figure.add_subplot(place)
        width, height = plane.extent_mm
        height = max(height, LEAST_HEIGHT * width)
        cut = _cut(picture, plane, width, height)
        box = (-width / 2, width / 2, -height / 2, height / 2)
        axes.imshow(cut, cmap="gray", origin="lower", extent=box, vmin=0, vmax=max(float(np.quantile(cut, 0.995)), 1))
        local = plane.to_plane(report.points)
        with np.errstate(invalid="ignore"):
            near = np.abs(local[:, 2]) < NEAR_MM
            near &= (np.abs(local[:, 0]) < width / 2) & (np.abs(local[:, 1]) < height / 2)
        axes.plot(local[near, 0], local[near, 1], "o", color="#ffb000", markersize=2.5)
        axes.plot([-width / 2 + 1, -width / 2 + 6], [-height / 2 + 1] * 2, color="#ffffff", linewidth=2)  # 5 mm
        axes.set_axis_off()
        axes.set_xlim(box[:2])
        axes.set_ylim(box[2:])
        axes.set_title(plane.name.replace("_", " "), fontsize=8, color="black", pad=2)
        for side, (h, v) in zip(plane.sides, ((0.02, 0.5), (0.98, 0.5), (0.5, 0.96), (0.5, 0.04)), strict=True):
            across = "left" if h < 0.3 else "right" if h > 0.7 else "center"
            up = "top" if v > 0.7 else "bottom" if v < 0.3 else "center"
            axes.text(
                h, v, side, transform=axes.transAxes, fontsize=6.5, color="#ffe4a8", ha=across, va=up,
                path_effects=[withStroke(linewidth=1.8, foreground="black")],
            )  # fmt: skip


def _cut(picture: Volume | ProbeVolume, plane: Plane, width: float, height: float) -> np.ndarray:
    """The greys in a plane, (rows from below, columns)."""
    shape = (int(np.ceil(width / PIXEL_MM)), int(np.ceil(height / PIXEL_MM)), 1)
    affine = np.eye(4)
    affine[:3, :3] = plane.axes * PIXEL_MM
    middle = (np.array(shape) - 1) / 2
    affine[:3, 3] = plane.origin - affine[:3, :3] @ middle
    return resample(picture, Grid(shape, affine)).numpy()[0]


def _places(layout: GridSpec) -> list[SubplotSpec]:
    return [layout[row, column] for row in range(layout.nrows) for column in range(layout.ncols)]


def _png(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return base64.b64encode(data.getvalue()).decode("ascii")


def _pictures(volume: Volume, report: Report, planes: Sequence[Plane]) -> list[str]:
    """The three sides and the planes as PNG in base64."""
    sides = Figure(figsize=(10, 3.6))
    FigureCanvasAgg(sides)
    layout = sides.add_gridspec(1, len(VIEWS), left=0.01, right=0.99, top=0.9, bottom=0.01, wspace=0.03)
    draw_views(sides, _places(layout), volume, report.points, ink="black")
    cuts = Figure(figsize=(10, 5.2))
    FigureCanvasAgg(cuts)
    layout = cuts.add_gridspec(2, 4, left=0.01, right=0.99, top=0.94, bottom=0.01, wspace=0.05, hspace=0.12)
    _draw_planes(cuts, _places(layout), volume, report, planes)
    return [_png(sides), _png(cuts)]


# text


def _rows(report: Report) -> tuple[list[tuple[str, str]], list[tuple[str, str]], list[tuple[str, str]]]:
    """Rows of two cells: lengths, measures, provenance."""
    lengths = []
    for row in report.lengths:
        within = f" ({row['low_mm']} to {row['high_mm']})" if row.get("low_mm") else ""
        lengths.append((_words(row["segment"]), f"{row['length_mm'] or '-'} mm{within}"))
    measures = []
    for row in report.measures:
        unit = {"1": "", "d": "days", "deg": "°"}.get(row["unit"], row["unit"])
        value = f"{row['value']} {unit}".strip() if row["value"] else "-"
        within = f" ({row['low']} to {row['high']})" if row["low"] else ""
        measures.append((_words(row["measure"]), f"{value}{within}" + (f"; {row['note']}" if row["note"] else "")))
    hidden = ("Original", "LengthIntervals", "CrownRump", "HeadTurn", "Warnings")
    told = [(name.removeprefix("FetalPose."), printable(value)) for name, value in report.provenance.items()]
    return lengths, measures, [(name, value) for name, value in told if value and name not in hidden]


def _left_out(report: Report) -> list[str]:
    return [entry.reason for entry in planes_left_out(report.points)]


def _html(volume: Volume, report: Report, planes: Sequence[Plane]) -> str:
    sides, cuts = _pictures(volume, report, planes)
    lengths, measures, provenance = (
        "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
        for rows in _rows(report)
    )
    notes = "".join(f"<li>{escape(printable(text))}</li>" for text in (*report.warnings, *_left_out(report)))
    title = escape(printable(report.title))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Fetal pose: {title}</title>
<style>
body {{ font: 13px/1.35 sans-serif; max-width: 1000px; margin: 1em auto; color: #111; background: #fff; }}
h1 {{ font-size: 20px; margin: 0; }} h2 {{ font-size: 15px; margin: 0.8em 0 0.2em; }}
img {{ width: 100%; }} .research {{ background: #ffe9b8; padding: 0.4em 0.6em; font-weight: bold; }}
.columns {{ display: flex; gap: 2em; flex-wrap: wrap; }} .columns > div {{ flex: 1 1 300px; }}
table {{ border-collapse: collapse; }} td {{ border-bottom: 1px solid #ddd; padding: 1px 8px 1px 0; vertical-align: top;
overflow-wrap: anywhere; }}
td:first-child {{ white-space: nowrap; }}
@page {{ size: A4; margin: 10mm; }}
</style></head><body>
<h1>Fetal pose: {title}</h1>
<p class="research">{escape(RESEARCH)}</p>
<img alt="The pose from three sides" src="data:image/png;base64,{sides}">
<h2>Standard planes</h2>
<img alt="The standard planes" src="data:image/png;base64,{cuts}">
<div class="columns">
<div><h2>Size, age, posture</h2><table>{measures}</table></div>
<div><h2>Lengths</h2><table>{lengths}</table></div>
<div><h2>Provenance</h2><table>{provenance}</table><p>{escape(report.placed_text)}</p></div>
</div>
{f"<h2>To check</h2><ul>{notes}</ul>" if notes else ""}
</body></html>
"""


def _page(volume: Volume, report: Report, planes: Sequence[Plane]) -> Figure:
    """The same on one A4 page."""
    figure = Figure(figsize=A4)
    FigureCanvasAgg(figure)
    figure.text(0.05, 0.965, f"Fetal pose: {_short(printable(report.title), 70)}", fontsize=14)
    figure.text(0.05, 0.948, RESEARCH, fontsize=8, weight="bold", color="#a05000")
    layout = figure.add_gridspec(1, len(VIEWS), left=0.05, right=0.95, top=0.925, bottom=0.735, wspace=0.03)
    draw_views(figure, _places(layout), volume, report.points, ink="black")
    layout = figure.add_gridspec(2, 4, left=0.05, right=0.95, top=0.715, bottom=0.42, wspace=0.05, hspace=0.13)
    _draw_planes(figure, _places(layout), volume, report, planes)
    lengths, measures, provenance = _rows(report)
    _table(figure, 0.05, 0.40, "Size, age, posture", measures, name_width=0.17, characters=74)
    _table(figure, 0.70, 0.40, "Lengths", lengths, name_width=0.15, characters=26)
    _table(figure, 0.05, 0.165, "Provenance", provenance, name_width=0.17, characters=40)
    notes = [report.placed_text, *report.warnings, *_left_out(report)]
    _table(figure, 0.50, 0.165, "To check", [("", printable(note)) for note in notes], name_width=0.0, characters=78)
    return figure


def _table(figure: Figure, x: float, top: float, title: str, rows, *, name_width: float, characters: int) -> None:
    figure.text(x, top, title, fontsize=8, weight="bold", va="top")
    y = top - 0.014
    for name, value in rows:
        figure.text(x, y, name, fontsize=5.8, va="top")
        for line in _wrapped(value, characters):
            figure.text(x + name_width, y, line, fontsize=5.8, va="top")
            y -= 0.0098


def _wrapped(text: str, characters: int) -> list[str]:
    lines = [""]
    for word in text.split():
        word = _short(word, characters)
        if len(lines[-1]) + len(word) + 1 > characters and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:3]


def _short(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _words(name: str) -> str:
    return name.replace("_", " ")
