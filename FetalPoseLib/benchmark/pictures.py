"""The pictures of the README: what the simulator makes, and the best and the worst that refinement does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from FetalPoseLib.benchmark.cases import BenchmarkCase, open_case
from FetalPoseLib.benchmark.records import read_records
from FetalPoseLib.benchmark.tables import Run
from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.simulation.datasets import Case, simulate_subject
from FetalPoseLib.volume.grid import grid_in_frame
from FetalPoseLib.volume.resampling import resample

PIXEL_MM = 0.4
SAMPLE_SEED = 1000029  # of the bundled sample volume: `fetalpose simulate --seed 1000029`


def draw_all(records: Path, output: Path) -> None:
    """Write simulated.png, refinement_best.png and refinement_worst.png into ``output``.

    The refinement's are the validation subjects whose error it lowers and raises most, by the records of ``fetalpose
    benchmark accuracy``; FetalPoseError if these are missing.
    """
    draw_simulated(output / "simulated.png", simulate_subject(SAMPLE_SEED, 0.5))
    if not records.exists():
        raise FetalPoseError(f"There are no records {records}. Run 'fetalpose benchmark accuracy' first.")
    run = Run(*read_records(records))
    before, after = (run.errors(stage) for stage in ("unrefined", "refined"))  # infinite where not found
    both = np.isfinite(before) & np.isfinite(after)
    change = np.array([np.mean((a - b)[known]) for a, b, known in zip(after, before, both, strict=True)])
    for name, row in (("best", np.nanargmin(change)), ("worst", np.nanargmax(change))):
        case = open_case("validation", int(run.rows[row]["name"].split("-")[1]))
        poses = (run.poses(stage)[row] for stage in ("unrefined", "refined"))
        draw_refinement(output / f"refinement_{name}.png", case, *poses)


def draw_simulated(path: Path, case: Case) -> None:
    """Three planes of a simulated volume as the probe sees it, and the fetus's own median plane."""
    array = case.volume.array  # stored along the probe's own axes: x lateral, y elevational, z depth
    x, y, z = np.round(case.volume.grid.to_voxel(np.nanmean(case.landmarks, axis=0))).astype(int)
    figure = _figure(16, 5.6)
    planes = {
        "lateral and depth": array[:, y],
        "elevation and depth": array[:, :, x],
        "lateral and elevation (C-plane)": array[z],
    }
    for column, (title, plane) in enumerate(planes.items()):
        _panel(figure, 1, 4, column + 1, title).imshow(plane, cmap="gray", vmin=0, vmax=255)
    frame = FetalFrame.from_landmarks(case.landmarks)
    grid = grid_in_frame(frame, (-0.1, -1.0, -1.6), (0.1, 1.7, 1.7), frame.size / PIXEL_MM, multiple=1)
    plane = resample(case.volume, grid).numpy()[:, :, grid.shape[0] // 2]
    axes = _panel(figure, 1, 4, 4, f"the fetus's median plane ({case.biometry.weeks:.1f} weeks)")
    axes.imshow(plane, cmap="gray", vmin=0, vmax=255, origin="lower")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, facecolor="black")


def draw_refinement(path: Path, case: BenchmarkCase, unrefined: np.ndarray, refined: np.ndarray) -> None:
    """Truth, detection and refined pose over the fetus, from its front and its right side; mean errors in the
    titles."""
    frame = FetalFrame.from_landmarks(case.body)
    grid = grid_in_frame(frame, (-1.5, -0.7, -1.6), (1.5, 1.5, 1.6), frame.size / PIXEL_MM, multiple=1)
    image = resample(case.volume, grid).numpy()
    figure = _figure(14, 10)
    poses = (("truth", case.body), ("detected", unrefined), ("refined", refined))
    for column, (name, points) in enumerate(poses):
        errors = np.linalg.norm(points - case.body, axis=1)
        title = f"{case.name}: truth" if name == "truth" else f"{name}: {np.nanmean(errors):.2f} mm from truth"
        voxels = grid.to_voxel(points)
        for row, (along, across, up) in enumerate(((1, 0, 2), (0, 1, 2))):
            axes = _panel(figure, 2, 3, 3 * row + column + 1, title if row == 0 else "")
            reach = grid.to_voxel(case.body)[:, along]  # the brightest echoes, no deeper than the fetus
            slab = np.moveaxis(image, 2 - along, 0)[max(int(reach.min()), 0) : int(reach.max()) + 1]
            axes.imshow(slab.max(axis=0), cmap="gray", origin="lower")
            for segment in load_skeleton().segments:
                ends = voxels[[segment.start, segment.end]]
                axes.plot(ends[:, across], ends[:, up], color=segment.color, linewidth=3, marker="o", markersize=4)
            if along == 1:
                axes.invert_xaxis()  # seen from the front, the fetus's right is at the left
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=70, facecolor="black")


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _panel(figure: Figure, rows: int, columns: int, index: int, title: str):
    axes = figure.add_subplot(rows, columns, index)
    axes.set_axis_off()
    axes.set_title(title, color="#e8e8e8", fontsize=12)
    return axes
