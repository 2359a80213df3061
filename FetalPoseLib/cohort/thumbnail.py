"""A small picture of a pose over its volume, by which a person finds the poses to look at: from the side and the front.

`evaluation.pose_picture` draws one that a person judges by; it takes as long as the estimate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.files import replacing
from FetalPoseLib.volume.grid import Volume

PIXELS = (150, 190)  # of each of the two views, width and height
MARGIN_MM = 8.0
DEPTHS = 24  # layers through the fetus, of which each pixel shows the brightest
_VIEWS = ((0, 1, 1), (1, 0, -1))  # axis of sight, axis across, its direction: from the right side, from the front
_BRIGHTEST = 200
_QUALITY = 80  # of the JPEG


def draw_thumbnail(path: Path, volume: Volume, points: np.ndarray) -> None:
    """Write the thumbnail of a pose (16, 3) in RAS mm, of which at least one landmark is visible, as JPEG.

    Raises
    ------
    FetalPoseError
        The file cannot be written.
    """
    frame = FetalFrame.find(points)
    rotation = np.eye(3) if frame is None else frame.rotation
    local = points @ rotation
    visible = local[np.isfinite(local).all(axis=1)]
    width, height = PIXELS
    picture = Image.new("RGB", (2 * width, height))
    for column, view in enumerate(_VIEWS):
        picture.paste(_view(volume, rotation, local, visible, view), (column * width, 0))
    with replacing(path) as temporary:
        picture.save(temporary, quality=_QUALITY)


def _view(volume: Volume, rotation, local, visible, view: tuple[int, int, int]) -> Image.Image:
    along, across, direction = view
    width, height = PIXELS
    low, high = visible.min(axis=0), visible.max(axis=0)
    middle = (low + high) / 2
    mm = max((high[across] - low[across] + 2 * MARGIN_MM) / width, (high[2] - low[2] + 2 * MARGIN_MM) / height)
    x = middle[across] + direction * mm * (np.arange(width) - (width - 1) / 2)
    y = middle[2] - mm * (np.arange(height) - (height - 1) / 2)
    depth = np.linspace(low[along], high[along], DEPTHS)
    at = np.zeros((DEPTHS, height, width, 3))
    at[..., along] = depth[:, None, None]
    at[..., across] = x
    at[..., 2] = y[:, None]
    grey = _grey(_nearest(volume, at @ rotation.T).max(axis=0))
    picture = Image.fromarray(grey).convert("RGB")
    pixel = np.stack([(local[:, across] - x[0]) / (direction * mm), (y[0] - local[:, 2]) / mm], axis=1)
    draw = ImageDraw.Draw(picture)
    for segment in load_skeleton().segments:
        ends = pixel[[segment.start, segment.end]]
        if np.isfinite(ends).all():
            color = tuple(round(255 * part) for part in segment.color)
            draw.line([tuple(end) for end in ends], fill="black", width=5)
            draw.line([tuple(end) for end in ends], fill=color, width=3)
    for px, py in pixel[np.isfinite(pixel).all(axis=1)]:
        draw.ellipse([px - 2, py - 2, px + 2, py + 2], fill="white", outline="black")
    return picture


def _nearest(volume: Volume, world: np.ndarray) -> np.ndarray:
    """The voxels nearest to points (..., 3) in RAS mm, as float32; 0 outside, and where a voxel is not finite."""
    inverse = np.linalg.inv(volume.ijk_to_ras)
    index = np.rint(world @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int32)
    inside = ((index >= 0) & (index < volume.array.shape[::-1])).all(axis=-1)
    i, j, k = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
    values = volume.array[k, j, i].astype(np.float32)
    floor = np.float32(np.nanmin(values[np.isfinite(values)], initial=0))
    return np.where(inside & np.isfinite(values), values, floor)


def _grey(values: np.ndarray) -> np.ndarray:
    """Values as greys, the brightest 0.5 % all at `_BRIGHTEST`, so that the skeleton stands out."""
    low, high = values.min(), np.quantile(values, 0.995)
    return (_BRIGHTEST * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
