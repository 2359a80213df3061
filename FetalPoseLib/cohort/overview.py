"""The overview of a study: pages of thumbnails, the most doubtful first, distributions, failures. Plain HTML.

The pages load nothing from a network and run no script; every text in them is escaped. A pose is the more doubtful the
more warnings it has, and with as many, the lower its mean confidence is.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.cohort.jobs import KINDS
from FetalPoseLib.cohort.measured import measure_columns
from FetalPoseLib.cohort.tables import Tables
from FetalPoseLib.files import replacing

PER_PAGE = 200
BINS = 20  # of a distribution
_PLOT = (184, 60)  # width and height of a distribution
_STYLE = """
body{margin:0 auto;max-width:1360px;padding:16px;background:#16181b;color:#e4e6e8;font:14px/1.45 system-ui,sans-serif}
h1{font-size:22px;margin:8px 0}h2{font-size:17px;margin:24px 0 8px}a{color:#8ab8ff}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(316px,1fr));gap:12px}
.card{background:#202327;border-radius:6px;padding:8px;overflow-wrap:anywhere}.card img{display:block;width:300px;
height:190px;margin:0 auto;background:#000}.card b{font-weight:600}.quiet{color:#9aa0a6}.doubt{color:#ffb000}
.plots{display:flex;flex-wrap:wrap;gap:12px}figure{margin:0;background:#202327;border-radius:6px;padding:8px}
figcaption{font-size:12px}table{border-collapse:collapse}td,th{padding:4px 10px;text-align:left;vertical-align:top;
border-bottom:1px solid #33373c}details{margin-top:4px}ul{margin:4px 0;padding-left:18px}
"""
_POLICY = "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'"


def write_overview(folder: Path, tables: Tables) -> Path:
    """Write ``overview.html``, and ``overview-2.html`` and so on where there are more volumes than a page takes.

    Parameters
    ----------
    folder : of the study
    tables : its rows

    Raises
    ------
    FetalPoseError
        A page cannot be written.
    """
    rows = sorted(tables.volumes, key=lambda row: (-row["warning_count"], row["mean_confidence"] or 0, row["name"]))
    pages = [rows[start : start + PER_PAGE] for start in range(0, len(rows), PER_PAGE)] or [[]]
    for number, page in enumerate(pages, start=1):
        parts = [_head(folder.name, tables), _links(number, len(pages))]
        if number == 1:
            parts += [_distributions(rows), _failures(tables.failures)]
        parts += ["<h2>Poses, the most doubtful first</h2>", '<div class="cards">', *map(_card, page), "</div>"]
        parts.append(_links(number, len(pages)))
        with replacing(folder / _page(number)) as temporary:
            temporary.write_text(_document(folder.name, "\n".join(parts)), encoding="utf-8")
    _remove_further(folder, len(pages))
    return folder / _page(1)


def _document(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _page(number: int) -> str:
    return "overview.html" if number == 1 else f"overview-{number}.html"


def _remove_further(folder: Path, pages: int) -> None:
    """Remove pages of an earlier, longer overview."""
    number = pages + 1
    while (folder / _page(number)).exists():
        (folder / _page(number)).unlink()
        number += 1


def _head(title: str, tables: Tables) -> str:
    warned = sum(row["warning_count"] > 0 for row in tables.volumes)
    files = ", ".join(
        f'<a href="{name}.{kind}">{name}.{kind}</a>' for name in ("volumes", "failures") for kind in ("csv", "parquet")
    )
    return (
        f"<h1>{escape(title)}</h1><p>{len(tables.volumes)} poses, {warned} of them with warnings; "
        f"{len(tables.failures)} failures. Tables: {files}.</p>"
        '<p class="quiet">Research use only: the bundled model was trained on simulated volumes. Each thumbnail shows '
        "the fetus from its right side and from its front.</p>"
    )


def _links(number: int, pages: int) -> str:
    if pages == 1:
        return ""
    links = [f"<b>{i}</b>" if i == number else f'<a href="{_page(i)}">{i}</a>' for i in range(1, pages + 1)]
    return f"<p>Page {' '.join(links)}</p>"


def _card(row: dict) -> str:
    name = row["name"]
    about = ", ".join(filter(None, (row["date"], row["age_by_dates"])))
    pose = f"poses/{quote(name)}.mrk.json"
    crl = row["crown_rump_length_mm"]
    size = "" if crl is None else f", crown-rump length {crl:.0f}&nbsp;mm"
    confidence = "-" if row["mean_confidence"] is None else f"{row['mean_confidence']:.2f}"
    warnings = ""
    if row["warning_count"]:
        count = row["warning_count"]
        summary = f"{count} warning{'s' if count > 1 else ''}"
        warnings = f'<details><summary class="doubt">{summary}</summary>{escape(row["warnings"])}</details>'
    return (
        f'<div class="card"><a href="{pose}"><img src="thumbnails/{quote(name)}.jpg" loading="lazy" width="300" '
        f'height="190" alt="pose of {escape(name)}"></a><b>{escape(name)}</b> <span class="quiet">{escape(about)}'
        f"</span><br>confidence {confidence}, {row['visible_landmarks']} landmarks{size} "
        f'<a href="{pose}">pose</a>{warnings}</div>'
    )


def _failures(rows: Sequence[dict]) -> str:
    if not rows:
        return ""
    lines = [
        f"<tr><td>{escape(row['name'])}</td><td>{escape(KINDS.get(row['kind'], row['kind']))}</td>"
        f"<td>{escape(row['reason'])}</td></tr>"
        for row in rows[:PER_PAGE]
    ]
    more = f"<p>The other {len(rows) - PER_PAGE} stand in failures.csv.</p>" if len(rows) > PER_PAGE else ""
    return f"<h2>Failures</h2><table><tr><th>volume</th><th>what</th><th>reason</th></tr>{''.join(lines)}</table>{more}"


def _distributions(rows: Sequence[dict]) -> str:
    names = {"mean_confidence": "mean confidence"}
    names |= {name: _words(name) for name in measure_columns()}
    names |= {f"{segment.name}_mm": _words(f"{segment.name}_mm") for segment in load_skeleton().segments}
    plots = [_plot(title, [row[name] for row in rows if row[name] is not None]) for name, title in names.items()]
    joined = "".join(plots)
    return f'<h2>Distributions</h2><div class="plots">{joined}</div>' if joined else ""


def _words(column: str) -> str:
    words = column.replace("_", " ")
    return f"{words.removesuffix(' mm')} (mm)" if words.endswith(" mm") else words


def _plot(title: str, values: Sequence[float]) -> str:
    """A histogram as SVG with the least, the median and the greatest value below it; "" without values."""
    if not values:
        return ""
    width, height = _PLOT
    low, middle, high = np.min(values), np.median(values), np.max(values)
    counts, _ = np.histogram(values, bins=BINS, range=(low, high) if high > low else (low - 0.5, low + 0.5))
    step = width / BINS
    bars = "".join(
        f'<rect x="{i * step + 0.5:.1f}" y="{height - count / counts.max() * height:.1f}" width="{step - 1:.1f}" '
        f'height="{count / counts.max() * height:.1f}" fill="#6ea8fe"/>'
        for i, count in enumerate(counts)
        if count
    )
    axis = "".join(
        f'<text x="{x}" y="{height + 14}" text-anchor="{anchor}" font-size="11" fill="#9aa0a6">{value:.3g}</text>'
        for x, anchor, value in ((0, "start", low), (width / 2, "middle", middle), (width, "end", high))
    )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg width="{width}" height="{height + 18}" role="img" aria-label="{escape(title)}: least {low:.4g}, median '
        f'{middle:.4g}, greatest {high:.4g}">{bars}{axis}</svg></figure>'
    )
