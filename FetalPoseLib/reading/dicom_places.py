"""Where DICOM images lie: their order along the slice normal, the step between them, and whether one is missing."""

from collections.abc import Sequence

import numpy as np

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.image import LPS_TO_RAS, check_spacing, matrix_of
from FetalPoseLib.reading.refusals import NotStatedError, damaged, moving_frames

UNEVEN = 0.25  # of a step: scanners round positions, and a missing slice makes two steps of one
SAME_PLACE = 0.02  # of a step
_PARALLEL = 1e-3  # of 1 - cosine: 2.6 degrees


def stacks(positions: np.ndarray, orientation: Sequence[float]) -> list[list[int]]:
    """Indices of the images of each volume over time, ordered along the normal.

    Parameters
    ----------
    positions : (n, 3) LPS mm
        In the order of acquisition, which tells the volumes apart where several images lie at one place.
    orientation : six numbers
        Directions of rows and columns.

    Raises
    ------
    FetalPoseError
        All lie at one place, some lie twice at theirs, or one is missing.
    """
    normal = np.cross(orientation[:3], orientation[3:])
    places = positions @ (normal / np.linalg.norm(normal))
    order = np.argsort(places, kind="stable")
    gaps = np.diff(places[order])
    apart = gaps[gaps > 1e-4]
    if not len(apart):
        raise moving_frames(len(positions))
    new_place = np.concatenate([[True], gaps > max(1e-4, SAME_PLACE * float(np.median(apart)))])
    groups = np.split(order, np.flatnonzero(new_place)[1:])
    counts = {len(group) for group in groups}
    if len(counts) > 1:
        raise FetalPoseError(
            f"It is a 4D series with images missing, or holds slices twice: of {len(groups)} places, some have "
            f"{min(counts)} and some {max(counts)} images. Keep one image a place."
        )
    volumes = [[int(group[i]) for group in groups] for i in range(counts.pop())]
    if min(len(volume) for volume in volumes) > 2:
        _check_even(places[volumes[0]])
    return volumes


def volume_matrix(
    positions: np.ndarray, orientation: Sequence[float], spacing: Sequence[float]
) -> tuple[np.ndarray, tuple]:
    """IJK-to-RAS (4, 4) of ordered slices, and doubts about its spacing.

    Parameters
    ----------
    positions : (n, 3) LPS mm, ordered
    orientation : six numbers
    spacing : (between columns, between rows) mm

    Raises
    ------
    FetalPoseError
        The slices do not lie on a line.
    """
    index = np.arange(len(positions))
    (step, first) = np.polyfit(index, positions, 1)
    off = np.linalg.norm(positions - (first + np.outer(index, step)), axis=1).max()
    if off > 2 * UNEVEN * np.linalg.norm(step):
        raise NotStatedError(
            f"Its slices do not lie evenly on a line: one is {off:.3g} mm off. They come from a moving probe, or "
            "slices are missing. Export the 3D volume."
        )
    doubts = check_spacing([*spacing, float(np.linalg.norm(step))])
    columns = np.column_stack([np.array(orientation[:3]) * spacing[0], np.array(orientation[3:]) * spacing[1], step])
    return matrix_of(LPS_TO_RAS @ columns, LPS_TO_RAS @ first), doubts


def check_orientation(orientation: Sequence[float]) -> np.ndarray:
    """Six numbers as two unit vectors; FetalPoseError unless they are perpendicular."""
    rows, columns = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(rows), np.linalg.norm(columns)
    if not all(lengths) or abs(rows @ columns) > 0.01 * lengths[0] * lengths[1]:
        raise damaged("the directions of its rows and columns are not perpendicular")
    return np.concatenate([rows / lengths[0], columns / lengths[1]])


def turned(orientations: np.ndarray) -> np.ndarray:
    """Which images (n,) are turned against most of the others, of orientations (n, 6)."""
    candidates = orientations[:: max(len(orientations) // 40, 1)]
    like = [
        (orientations[:, :3] @ other[:3] > 1 - _PARALLEL) & (orientations[:, 3:] @ other[3:] > 1 - _PARALLEL)
        for other in candidates
    ]
    return ~max(like, key=np.count_nonzero)


def _check_even(places: np.ndarray) -> None:
    steps = np.diff(places)
    step = float(np.median(steps))
    if np.abs(steps - step).max() > UNEVEN * step:
        where = int(np.argmax(np.abs(steps - step))) + 1
        raise FetalPoseError(
            f"Slices are missing in it: they lie {steps.min():.3g} to {steps.max():.3g} mm apart, with a gap after "
            f"slice {where} of {len(places)}. Export the whole series."
        )
