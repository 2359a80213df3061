"""Crown and rump looked for in the volume, and the crown-rump length between them.

Parallel lines run from the middle of the head to the crown and from the sacrum to the rump, both along the line from
sacrum to head. Where the body ends, the picture grows darker: the skin is where the mean over the lines falls most,
near the place that landmarks suggest. An end counts as seen where the fall is large enough and lies within the sector;
it is not where the body touches the wall there, or the field cuts it off. Unless both ends are seen the length follows
from the landmarks: on validation subjects a single end that is seen made it no better. All constants are of these
subjects.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from FetalPoseLib.body.crown_rump import CrownRump, crown_rump_of_pose
from FetalPoseLib.body.parts import (
    DegenerateError,
    column_mm,
    frame_of,
    half_trunk_mm,
    occipito_frontal_mm,
    to_the_right,
    unit,
    visible,
)
from FetalPoseLib.measurement.greys import Greys
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume

STEP_MM = 0.25  # along a line
BESIDE_MM = (0.25, 2.0)  # before and behind an edge, where greys are compared
LEAST_FALL = 0.12  # of ranks, from before to behind, from which an end is seen
WITHIN = 2.5  # standard deviations of where landmarks suggest an end, in which it is looked for
LEAST_LINES = 0.8  # share of the lines that must lie in the sector
CROWN = (0.79, 0.04)  # of the distance from head to neck, and of the column: where landmarks suggest the crown's skin
RUMP = 0.13  # of the column: where they suggest the rump's skin, below the sacrum
SUGGESTED_SD = 0.025  # of the length: standard deviation of where landmarks suggest an end
LEAST_SD_MM = 1.0  # the same at least: landmarks of small bodies are no nearer to the truth
SEEN_ERROR_MM = 1.1  # of a length between ends that were seen: in 90 % of cases it is smaller
BLUR_MM = (0.1, 0.35)  # by which the steepest fall lies outside the skin of crown and rump


def crown_rump_length(volume: Volume | ProbeVolume, points) -> CrownRump | None:
    """The crown-rump length of a pose (16, 3) in RAS mm: from the volume if both ends are seen there.

    Where one is not, or a landmark of the midline or both sides are not visible, it is `crown_rump_of_pose`.
    """
    by_pose, at = crown_rump_of_pose(points), visible(points)
    if by_pose is None or by_pose.source != "head and trunk":
        return by_pose
    try:
        axis = unit(at["head"] - at["sacrum"])
        right, anterior, _ = frame_of(axis, to_the_right(at)).T
    except (DegenerateError, ValueError):
        return by_pose
    greys, length = Greys.of(volume), float(np.linalg.norm(at["head"] - at["sacrum"]))
    for (starts, direction, suggested), blur in zip(_bundles(at, axis, right, anterior), BLUR_MM, strict=True):
        found = edge_mm(greys, starts, direction, suggested, max(SUGGESTED_SD * by_pose.length_mm, LEAST_SD_MM))
        if found is None:
            return by_pose
        length += found - blur
    return CrownRump(length, (length - SEEN_ERROR_MM, length + SEEN_ERROR_MM), "volume")


def edge_mm(
    greys: Greys, starts: np.ndarray, direction: np.ndarray, suggested_mm: float, spread_mm: float
) -> float | None:
    """How far along parallel lines a body ends, in mm; None where it is not seen to.

    Parameters
    ----------
    starts : (N, 3) RAS mm, where the lines begin
    direction : (3,) of all lines
    suggested_mm, spread_mm : where the end is to be expected, and the standard deviation of that
    """
    reach = np.arange(0, suggested_mm + WITHIN * spread_mm + 2 * BESIDE_MM[1], STEP_MM)
    ranks = greys.at(starts[:, None] + reach[None, :, None] * direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no line of the bundle is in the sector there
        profile = np.nanmean(ranks, axis=0)
    profile[np.isfinite(ranks).mean(axis=0) < LEAST_LINES] = np.nan
    first, last = (round(mm / STEP_MM) for mm in BESIDE_MM)
    steps = np.arange(first, last + 1)
    here = np.arange(last, len(reach) - last)
    fall = np.array([profile[i - steps].mean() - profile[i + steps].mean() for i in here])
    off = (reach[here] - suggested_mm) / spread_mm
    likely = np.where((np.abs(off) <= WITHIN) & np.isfinite(fall), fall * np.exp(-0.5 * off**2), -np.inf)
    if not likely.size or not fall[best := int(np.argmax(likely))] >= LEAST_FALL:
        return None
    return float(reach[here[best]])


def _bundles(at: Mapping[str, np.ndarray], axis, right, anterior):
    """For crown and rump: where lines start (N, 3), their direction (3,), and how far along them the end is, in mm."""
    column, half, diameter = column_mm(at), half_trunk_mm(at), occipito_frontal_mm(at)
    crown = CROWN[0] * float(np.linalg.norm(at["head"] - at["neck"])) + CROWN[1] * column
    about = [(x, y) for x in np.linspace(-1, 1, 5) for y in np.linspace(-1, 1, 5)]
    head = at["head"] + np.array([diameter * (0.12 * x * right + 0.15 * y * anterior) for x, y in about])
    about = [(x, y) for x in np.linspace(-1, 1, 5) for y in np.linspace(0.1, 0.9, 7)]
    rump = at["sacrum"] + np.array([half * (0.12 * x * right + y * anterior) for x, y in about])
    return (head, axis, crown), (rump, -axis, RUMP * column)
