"""Pass 1, *locate* and *orient*: find the fetus and its frame in the whole volume, in any orientation.

Both networks mark five points that have no left and right: head, neck, spine, sacrum, and ``front``, half a body unit
before the spine. *Locate* sees the whole volume coarsely; its head and sacrum say where the fetus lies, how large it
is and along which axis (`coarse_frames`). *Orient* looks closer, along that axis and at that size, and need only find
how the fetus is turned about it. Its heatmaps may have several peaks each, above all ``front`` when back and belly
are in doubt: every combination of peaks is fitted with the mean body by a similarity, the best fit gives the frame,
and the best fit that faces elsewhere is kept as a second reading for pass 2 to judge (`read_frames`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.registration import register_points
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.network.heatmaps import peaks
from FetalPoseLib.volume.grid import Grid

POINTS = ("head", "neck", "spine", "sacrum", "front")
#: Say of each point in the fit: the head nods and the front is a construction, the column is the frame.
WEIGHTS = np.array([0.3, 1.0, 0.7, 1.0, 0.7])
FRONT_DISTANCE = 0.5  # body units before the spine
HEADS = 6  # peaks of the head that are looked at for a second fetus
CERTAIN_HEAD = 0.55  # height of a peak: heads of twins reach 0.76 and more, what is no head 0.37
COARSE_PEAKS = 3  # candidates of pass 1's first look
SIZES = (8.0, 50.0)  # mm: body units from the smallest fetus of 10 weeks to the largest of 14, with some room
PEAKS = 2  # candidates a point
PEAK_DISTANCE = 2.5  # voxels between them
FIT_TOLERANCE = 0.15  # body units: the residual that costs as much as a drop of a peak to 1/e of its height
OTHER_READING = 60.0  # degrees from which a frame is another reading, not the same one again
LEAST_SIZE = 1e-3  # mm: a smaller body unit means that the points coincide
HEAD_TO_SACRUM = 1.46  # body units, mean of the simulated bodies (SD 0.13)


@dataclass(frozen=True)
class Reading:
    """One way to read the volume: a frame, the height (5,) of the peaks it rests on, and its score (higher is
    better)."""

    frame: FetalFrame
    confidence: np.ndarray
    score: float


def locator_points(landmarks: np.ndarray) -> np.ndarray:
    """The five points (5, 3) of a pose (16, 3), in mm; a NaN landmark takes along what depends on it."""
    skeleton = load_skeleton()
    landmarks = np.asarray(landmarks, dtype=np.float64)
    column = np.array([landmarks[skeleton.index(name)] for name in POINTS[:4]])
    frame, front = FetalFrame.find(landmarks), np.full(3, np.nan)
    if frame is not None:
        front = landmarks[skeleton.index("spine")] + FRONT_DISTANCE * frame.size * frame.rotation[:, 1]
    return np.concatenate([column, front[None]])


def mean_body(poses: np.ndarray) -> np.ndarray:
    """Mean of the five points (5, 3) over poses (A, 16, 3), in body units of their own frames."""
    return np.mean([FetalFrame.from_landmarks(pose).to_body(locator_points(pose)) for pose in poses], axis=0)


def axis_frame(head: np.ndarray, sacrum: np.ndarray, twist: float = 0.0) -> FetalFrame:
    """The frame that head and sacrum (3,) mm alone give: cranial from sacrum to head, origin midway, front unknown.

    ``twist`` (radians) turns it about its cranial axis. ValueError if the two points coincide.
    """
    axis = head - sacrum
    length = float(np.linalg.norm(axis))
    if not length > 1.0:
        raise ValueError(f"head and sacrum lie {length:.2g} mm apart, which gives no axis")
    cranial = axis / length
    right = np.cross(np.eye(3)[np.argmin(abs(cranial))], cranial)
    right /= np.linalg.norm(right)
    right = np.cos(twist) * right + np.sin(twist) * np.cross(cranial, right)
    rotation = np.stack([right, np.cross(cranial, right), cranial], axis=1)
    return FetalFrame(rotation, (head + sacrum) / 2, length / HEAD_TO_SACRUM)


def coarse_frames(heatmaps, grid: Grid) -> list[FetalFrame]:
    """Where the fetus may lie, likeliest first, from head and sacrum in *locate*'s heatmaps (5, nz, ny, nx) on
    ``grid``.

    Every pair of peaks as far apart as head and sacrum can be at 10 to 14 weeks counts; a front is not known yet.
    Empty if there is no such pair.
    """
    (heads, head_heights), (sacra, sacrum_heights) = (
        peaks(heatmaps[POINTS.index(name)], COARSE_PEAKS, PEAK_DISTANCE) for name in ("head", "sacrum")
    )
    found = []
    for head, h in zip(grid.to_world(heads), head_heights, strict=True):
        for sacrum, s in zip(grid.to_world(sacra), sacrum_heights, strict=True):
            if SIZES[0] <= np.linalg.norm(head - sacrum) / HEAD_TO_SACRUM <= SIZES[1]:
                found.append((h * s, axis_frame(head, sacrum)))
    found.sort(key=lambda pair: -pair[0])
    return [frame for _, frame in found[:COARSE_PEAKS]]


def certain_heads(heatmaps, grid: Grid) -> np.ndarray:
    """Where *locate* is sure of a head, (N, 3) RAS mm; heatmaps (5, nz, ny, nx) on ``grid``."""
    points, heights = peaks(heatmaps[POINTS.index("head")], HEADS, PEAK_DISTANCE)
    return grid.to_world(points)[np.asarray(heights) >= CERTAIN_HEAD]


def read_frames(heatmaps, grid: Grid, template: np.ndarray) -> list[Reading]:
    """The likeliest frame, and where there is one, the likeliest that faces elsewhere.

    Parameters
    ----------
    heatmaps : (5, nz, ny, nx) on ``grid``
    template : (5, 3) body units, from `mean_body`

    Returns
    -------
    list of Reading
        Empty where a point has no peak at all, or where the points of the trunk coincide.
    """
    found = [peaks(heatmap, PEAKS, PEAK_DISTANCE) for heatmap in heatmaps]
    if not all(len(points) for points, _ in found):
        return []
    choices = np.array(list(product(*(range(len(points)) for points, _ in found))))
    world = [grid.to_world(points) for points, _ in found]
    points = np.stack([world[i][choices[:, i]] for i in range(len(POINTS))], axis=1)
    heights = np.stack([found[i][1][choices[:, i]] for i in range(len(POINTS))], axis=1).clip(1e-3, 1.0)
    readings = []
    for frame, residual, height in zip(*_fits(points, template, WEIGHTS * heights), heights, strict=True):
        if frame is not None:
            score = float(WEIGHTS @ np.log(height) - (residual / FIT_TOLERANCE) ** 2)
            readings.append(Reading(frame, height, score))
    return distinct(readings, 2)


def distinct(readings: list[Reading], count: int) -> list[Reading]:
    """The ``count`` best readings that differ from all better ones by more than `OTHER_READING` degrees, best first."""
    kept: list[Reading] = []
    for reading in sorted(readings, key=lambda r: -r.score):
        if len(kept) < count and all(reading.frame.angle_to(k.frame) > OTHER_READING for k in kept):
            kept.append(reading)
    return kept


def _fits(points: np.ndarray, template: np.ndarray, weights: np.ndarray) -> tuple[list[FetalFrame | None], np.ndarray]:
    """Similarities from body units to N sets of points (N, 5, 3) with weights (N, 5), as frames.

    Returns the frames, None where the points coincide, and the weighted residuals (N,) in body units.
    """
    fits = register_points(np.broadcast_to(template, points.shape), points, weights, similarity=True)
    shares = weights / weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        offsets = (points - fits.apply(np.broadcast_to(template, points.shape))) / fits.scale[:, None, None]
        residuals = np.sqrt((shares[..., None] * offsets**2).sum(axis=(1, 2)))
    frames = [
        FetalFrame(rotation, origin, size) if size > LEAST_SIZE else None
        for rotation, origin, size in zip(fits.rotation, fits.translation, fits.scale, strict=True)
    ]
    return frames, residuals
