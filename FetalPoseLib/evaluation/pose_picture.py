"""A picture by which a person can judge a pose: the skeleton over the volume, along the axes of the fetus.

Upper row: the brightest echoes along the line of sight, no deeper than the fetus, with the whole skeleton. Lower row:
thin sections through the trunk with the landmarks in them, and circles that hold a landmark's true place in 90 % of
cases. The right side lists the lengths in the colours of the segments, and the confidence per landmark.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.plausibility import unsure
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.volume.grid import Grid, Volume
from FetalPoseLib.volume.intensity import picture_of
from FetalPoseLib.volume.resampling import resample

PIXEL_MM = 0.5
MARGIN_MM = 12.0
SECTION_MM = 4.0  # thickness of the sections; landmarks within it are drawn in full

_INK, _FAINT, _WARN = "#e8e8e8", "#9a9a9a", "#ffb000"
_OUTLINE = [withStroke(linewidth=2.5, foreground="black")]


@dataclass(frozen=True)
class _View:
    title: str
    along: int  # axis of the line of sight: 0 right, 1 anterior, 2 cranial
    across: int
    up: int
    flipped: bool  # the picture's left is the positive end of `across`
    sides: tuple[str, str]  # what lies at the picture's left and right


VIEWS = (
    _View("from its right side", 0, 1, 2, False, ("back", "front")),
    _View("from its front", 1, 0, 2, True, ("right", "left")),
    _View("from its feet", 2, 0, 1, True, ("right", "left")),
)


def draw_pose(
    path: str | Path,
    volume: Volume,
    points,
    *,
    confidence=None,
    radius_mm=None,
    length_interval_mm=None,
    title: str = "",
    note: str = "",
    skeleton: Skeleton | None = None,
) -> None:
    """Write the picture of a pose (16, 3) in RAS mm over its volume; .png, .pdf or .svg by the name of `path`.

    Parameters
    ----------
    confidence : (16,) in 0..1, optional
        Listed beside the landmarks; those of which the model is unsure are set apart.
    radius_mm, length_interval_mm : (16,) and (15, 2), optional
        As `Estimate` has them; listed, the radii also drawn as circles in the sections.
    title, note : str
        The line above the picture, and the small print below it.

    Raises
    ------
    FetalPoseError
        No landmark is set, or the file cannot be written.
    """
    skeleton, points = skeleton or load_skeleton(), np.asarray(points, dtype=np.float64)
    if not np.isfinite(points).all(axis=1).any():
        raise FetalPoseError("There is no landmark to draw: none is visible. Place some, or choose another volume.")
    figure = Figure(figsize=(16, 9.2), facecolor="black")
    FigureCanvasAgg(figure)
    layout = figure.add_gridspec(2, 4, left=0.01, right=0.99, top=0.9, bottom=0.05, wspace=0.04, hspace=0.1)
    rotation, named = _axes(points, skeleton)
    grid = _grid_around(points, rotation)
    image = resample(picture_of(volume), grid).numpy()
    local = grid.to_voxel(points)
    for column, view in enumerate(VIEWS):
        for row, section in enumerate((False, True)):
            axes = figure.add_subplot(layout[row, column])
            _draw_view(axes, image, local, view, skeleton, section=section, named=named)
            if section and radius_mm is not None:
                _draw_radii(axes, local, np.asarray(radius_mm), view)
    _draw_tables(figure.add_subplot(layout[:, 3]), points, confidence, radius_mm, length_interval_mm, skeleton)
    figure.text(0.01, 0.95, title, color=_INK, fontsize=17)
    figure.text(0.01, 0.015, note, color=_FAINT, fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, facecolor="black")


def draw_views(figure: Figure, places, volume: Volume, points, *, ink: str = _INK) -> None:
    """Draw the pose (16, 3) in RAS mm from its three sides over the brightest echoes, each into one of the places.

    ``ink`` is the colour of the titles.
    """
    skeleton, points = load_skeleton(), np.asarray(points, dtype=np.float64)
    rotation, named = _axes(points, skeleton)
    grid = _grid_around(points, rotation)
    image, local = resample(picture_of(volume), grid).numpy(), grid.to_voxel(points)
    for place, view in zip(places, VIEWS, strict=True):
        axes = figure.add_subplot(place)
        _draw_view(axes, image, local, view, skeleton, section=False, named=named)
        axes.set_title(axes.get_title(), color=ink, fontsize=8, pad=2)


def _axes(points: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, bool]:
    """The fetus's axes as columns, and whether they are: without its trunk they are those of the world."""
    frame = FetalFrame.find(points, skeleton)
    return (np.eye(3), False) if frame is None else (frame.rotation, True)


def _grid_around(points: np.ndarray, rotation: np.ndarray) -> Grid:
    along = points[np.isfinite(points).all(axis=1)] @ rotation
    lower, upper = along.min(axis=0) - MARGIN_MM, along.max(axis=0) + MARGIN_MM
    affine = np.eye(4)
    affine[:3, :3] = rotation * PIXEL_MM
    affine[:3, 3] = rotation @ lower
    return Grid(tuple(np.ceil((upper - lower) / PIXEL_MM).astype(int) + 1), affine)


def _draw_view(axes, image, local, view: _View, skeleton: Skeleton, *, section: bool, named: bool) -> None:
    """One picture: `image` (nz, ny, nx) along the axes, `local` (16, 3) the landmarks in its voxels."""
    slices = np.moveaxis(image, 2 - view.along, 0)  # the other two axes keep the order (up, across)
    depth, half = local[:, view.along], SECTION_MM / 2 / PIXEL_MM
    middle = np.nanmedian(depth)
    lower, upper = (middle, middle) if section else (np.nanmin(depth), np.nanmax(depth))
    slices = slices[max(int(lower - half), 0) : int(upper + half) + 1]
    near = _in_section(depth) if section else np.isfinite(depth)
    picture = slices.mean(axis=0) if section else slices.max(axis=0)
    axes.imshow(picture, cmap="gray", origin="lower", vmin=0, vmax=max(float(np.quantile(picture, 0.998)), 1e-6))
    axes.set_axis_off()
    if view.flipped:
        axes.invert_xaxis()
    x, y = local[:, view.across], local[:, view.up]
    for segment in skeleton.segments:
        ends = [segment.start, segment.end]
        strength = 1.0 if near[ends].all() else 0.35
        axes.plot(x[ends], y[ends], color=segment.color, linewidth=3, alpha=strength, solid_capstyle="round")
    for i in np.flatnonzero(np.isfinite(x) & near):
        axes.plot(x[i], y[i], "o", color="white", markersize=4, markeredgecolor="black")
        axes.annotate(
            str(i + 1), (x[i], y[i]), (5, 4), textcoords="offset points", color=_INK, fontsize=9, path_effects=_OUTLINE
        )
    kind = f"section of {SECTION_MM:g} mm" if section else "brightest echoes"
    axes.set_title(f"{view.title if named else 'along ' + 'RAS'[view.along]}: {kind}", color=_INK, fontsize=11)
    for position, side in zip((0.02, 0.98), view.sides if named else ("", ""), strict=True):
        align = "left" if position < 0.5 else "right"
        axes.text(
            position, 0.02, side, color=_INK, fontsize=10, ha=align, transform=axes.transAxes, path_effects=_OUTLINE
        )
    _draw_scale(axes, picture.shape)


def _draw_scale(axes, shape: tuple[int, int]) -> None:
    """A bar of 10 mm at the lower edge's middle."""
    half, middle, height = 5 / PIXEL_MM, shape[1] / 2, 0.03 * shape[0]
    axes.plot([middle - half, middle + half], [height, height], color=_INK, linewidth=2, path_effects=_OUTLINE)
    style = {"color": _INK, "fontsize": 9, "ha": "center", "path_effects": _OUTLINE}
    axes.annotate("10 mm", (middle, height), (0, 4), textcoords="offset points", **style)


def _draw_radii(axes, local: np.ndarray, radius_mm: np.ndarray, view: _View) -> None:
    """Circles of the radius about the landmarks (voxels) that lie in a section."""
    for i in np.flatnonzero(_in_section(local[:, view.along]) & (radius_mm > 0)):
        centre = (float(local[i, view.across]), float(local[i, view.up]))
        axes.add_patch(Circle(centre, radius_mm[i] / PIXEL_MM, fill=False, edgecolor=_INK, linewidth=0.8, alpha=0.6))


def _in_section(depth: np.ndarray) -> np.ndarray:
    """Whether a landmark at the depth (16,) in voxels, NaN where not visible, lies in the middle section."""
    return np.abs(depth - np.nanmedian(depth)) <= 1.5 * SECTION_MM / 2 / PIXEL_MM


def _draw_tables(axes, points, confidence, radius_mm, length_interval_mm, skeleton: Skeleton) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    lines = len(skeleton.segments) + len(skeleton) + 4
    height = iter(np.linspace(0.99, 0.01, lines))

    def write(left: str, right: str, color: str = _INK, *, swatch=None, number: str = "") -> None:
        y = next(height)
        if swatch is not None:
            axes.plot([0.03, 0.09], [y, y], color=swatch, linewidth=4, solid_capstyle="round")
        axes.text(0.09, y, number, color=color, fontsize=11, va="center", ha="right")
        axes.text(0.13, y, left, color=color, fontsize=11, va="center")
        axes.text(0.98, y, right, color=color, fontsize=11, va="center", ha="right")

    write("segment", "length (mm)" if length_interval_mm is None else "length (90 % interval, mm)", _FAINT)
    for i, (segment, length) in enumerate(zip(skeleton.segments, segment_lengths(points, skeleton), strict=True)):
        value = f"{length:.1f}" if np.isfinite(length) else "-"
        if length_interval_mm is not None and np.isfinite(length_interval_mm[i]).all():
            value += " ({:.1f} to {:.1f})".format(*length_interval_mm[i])
        write(_words(segment.name), value, swatch=segment.color)
    write("", "")
    head = "" if confidence is None else "confidence" if radius_mm is None else "confidence, 90 % within"
    write("landmark", head, _FAINT)
    doubtful = unsure(points, confidence, radius_mm)
    for i, name in enumerate(skeleton.landmarks):
        visible = np.isfinite(points[i]).all()
        value = "not visible" if not visible else "" if confidence is None else f"{confidence[i]:.2f}"
        if value and radius_mm is not None and np.isfinite(radius_mm[i]):
            value += f", {radius_mm[i]:.1f} mm"
        write(_words(name), value, _INK if visible and not doubtful[i] else _WARN, number=str(i + 1))


def _words(name: str) -> str:
    return name.replace("_", " ")
