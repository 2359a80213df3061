"""A movie of a pose over time: the skeleton over a slab of the volume, from the fetus's side and from its front.

The camera does not move: its axes are the fetus's where it is first seen. Volumes without the fetus are shown without a
skeleton.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import FFMpegWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing
from FetalPoseLib.volume.grid import Grid, Volume
from FetalPoseLib.volume.intensity import picture_of
from FetalPoseLib.volume.probe_volume import ProbeVolume
from FetalPoseLib.volume.resampling import resample

SUFFIXES = (".gif", ".webp", ".png", ".mp4")  # .png becomes an animated one
PIXEL_MM = 0.7
MARGIN_MM = 10.0
SLAB_MM = 8.0  # about the trunk
RATES = (1.0, 20.0)  # pictures a second, the least and the most
STILL_RATE = 4.0  # pictures a second where no times are known
_TRUNK = (2, 6, 7)  # neck, spine and sacrum
_INK, _FAINT = "#e8e8e8", "#9a9a9a"


def check_movie(path: str | Path) -> None:
    """FetalPoseError if no movie can be written under this name."""
    if Path(path).suffix.lower() == ".mp4" and not FFMpegWriter.isAvailable():
        raise FetalPoseError(f"To write {path}, the program ffmpeg must be installed. Or choose a name ending in .gif.")


class Camera:
    """What a movie looks at: a box along the axes of the fetus, around all places where it is."""

    def __init__(self, points: np.ndarray, skeleton: Skeleton | None = None):
        seen = points[np.isfinite(points).all(axis=2)]
        if not len(seen):
            raise FetalPoseError("There is nothing to show: the fetus was found in no volume.")
        frames = (FetalFrame.find(pose, skeleton) for pose in points)
        frame = next((frame for frame in frames if frame is not None), None)
        self.rotation = np.eye(3) if frame is None else frame.rotation
        along = seen @ self.rotation
        self.lower = along.min(axis=0) - MARGIN_MM
        size = np.ptp(along, axis=0) + 2 * MARGIN_MM
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = self.rotation * PIXEL_MM, self.rotation @ self.lower
        self.grid = Grid(tuple(np.ceil(size / PIXEL_MM).astype(int) + 1), affine)

    def pictures(self, volume: Volume | ProbeVolume, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean echoes of slabs about a place (3,) in pixels: along the right (up, front), front (up, right)."""
        image = resample(picture_of(volume), self.grid).numpy()
        half = SLAB_MM / 2 / PIXEL_MM
        slabs = [slice(max(int(at - half), 0), max(int(at + half), 0) + 1) for at in middle]
        return image[:, :, slabs[0]].mean(axis=2), image[:, slabs[1]].mean(axis=1)

    def place(self, pose: np.ndarray) -> np.ndarray:
        """Points (16, 3) mm in the pictures' pixels: right, front, up."""
        return (pose @ self.rotation - self.lower) / PIXEL_MM


def draw_movie(
    path: str | Path,
    volume_of: Callable[[int], Volume | ProbeVolume],
    points: np.ndarray,
    times: np.ndarray | None,
    *,
    title: str = "",
    progress: Callable[[int], object] = lambda frame: None,
) -> None:
    """Write a movie of poses (T, 16, 3) over their volumes, which are read one at a time.

    Parameters
    ----------
    volume_of : from a frame, counted from 0, to its volume
    times : (T,) s; the movie runs at the mean rate, between `RATES`
    progress : called with each frame that was drawn

    Raises
    ------
    FetalPoseError
        The fetus was found nowhere, or the file cannot be written.
    """
    check_movie(path)
    camera = Camera(points)
    rate = STILL_RATE if times is None or len(times) < 2 else (len(times) - 1) / (times[-1] - times[0])
    writer_of: Any = FFMpegWriter if Path(path).suffix.lower() == ".mp4" else PillowWriter
    with replacing(path) as temporary:
        figure = Figure(figsize=(7.2, 4.2), facecolor="black")
        FigureCanvasAgg(figure)
        writer = writer_of(fps=float(np.clip(rate, *RATES)))
        with writer.saving(figure, str(temporary), dpi=80):
            for frame, pose in enumerate(points):
                figure.clear()
                clock = f"volume {frame + 1}" if times is None else f"{times[frame]:.2f} s"
                draw_moment(figure, camera, volume_of(frame), pose, f"{title}  {clock}".strip())
                writer.grab_frame(facecolor="black")
                progress(frame)


def draw_strip(
    path: str | Path,
    volume_of: Callable[[int], Volume | ProbeVolume],
    points: np.ndarray,
    times: np.ndarray,
    count: int,
) -> None:
    """Write ``count`` moments of a movie, evenly spaced, as one picture; arguments as of `draw_movie`."""
    camera, chosen = Camera(points), np.linspace(0, len(points) - 1, count).round().astype(int)
    with replacing(path) as temporary:
        figure = Figure(figsize=(3.6 * count, 2.1), facecolor="black")
        FigureCanvasAgg(figure)
        panels = figure.subfigures(1, count, squeeze=False).ravel()
        for panel, frame in zip(panels, chosen, strict=True):
            panel.set_facecolor("black")
            draw_moment(panel, camera, volume_of(int(frame)), points[frame], f"{times[frame]:.2f} s")
        figure.savefig(temporary, dpi=70, facecolor="black")


def draw_moment(
    figure: Figure | SubFigure, camera: Camera, volume: Volume | ProbeVolume, pose: np.ndarray, title: str
) -> None:
    """Draw one volume of a movie into an empty figure, or a part of one."""
    skeleton, found = load_skeleton(), np.isfinite(pose).any()
    place = camera.place(pose)
    trunk = place[list(_TRUNK)]
    trunk = trunk if np.isfinite(trunk).any() else np.array([camera.grid.shape]) / 2
    for number, (picture, across, name) in enumerate(
        zip(
            camera.pictures(volume, np.nanmean(trunk, axis=0)),
            (1, 0),
            ("from its right", "from its front"),
            strict=True,
        )
    ):
        axes = figure.add_axes((0.01 + 0.5 * number, 0.02, 0.48, 0.84))
        top = max(float(np.quantile(picture, 0.998)), 1e-6)
        axes.imshow(picture, cmap="gray", origin="lower", vmin=0, vmax=top)
        axes.set_axis_off()
        axes.set_title(name, color=_FAINT, fontsize=9)
        if across == 0:
            axes.invert_xaxis()
        x, y = place[:, across], place[:, 2]
        for segment in skeleton.segments:
            ends = [segment.start, segment.end]
            axes.plot(x[ends], y[ends], color=segment.color, linewidth=2.5, solid_capstyle="round")
        axes.plot(x, y, "o", color="white", markersize=2.5, markeredgecolor="black", markeredgewidth=0.5)
    figure.text(0.01, 0.94, title if found else f"{title}  no fetus found", color=_INK, fontsize=10)
