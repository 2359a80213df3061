"""How far the head is turned about its own long axis, which no landmark tells: where it looks like its mirror image.

A head is nearly the same on both sides of its mid-sagittal plane. The plane is turned about the head's long axis, and
the greys on one side are compared with those on the other by their correlation. Heads are rarely turned far, and a head
is nearly the same in front and behind, too, so large turns must be much more alike to be believed. All constants are
those that were best on validation subjects.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from FetalPoseLib.body import parts
from FetalPoseLib.measurement.greys import Greys
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume

TURNS_DEG = np.arange(-60.0, 61.0, 4.0)
TILTS_DEG = (-6.0, 0.0, 6.0)  # of the plane about the axis from back to front: the neck's direction is not exact
USUAL_DEG = 18.0  # standard deviation of the turns of simulated heads
TURN_COST = 0.08  # of the correlation, of a turn by `USUAL_DEG`; it grows with the square
TILT_COST = 0.01  # of the correlation, of a tilt by 4 degrees; it grows with the square
LEAST_ALIKE = 0.3  # correlation, less its cost, from which a turn is believed
LEAST_SEEN = 0.4  # share of the pairs of points that must lie in the sector
POINTS = 17  # along each axis of the lattice that is compared
REACH = (0.85, 1.15, 1.05)  # of half the OFD, to the side, to front and back, up and down: what is compared


def head_turn_deg(volume: Volume | ProbeVolume, points) -> float | None:
    """Turn in degrees of the head of a pose (16, 3) in RAS mm, positive to the fetus's left; None where not seen.

    It is counted from where the shoulders look, as `parts.head` takes the head to do, whose argument it is.
    """
    at = parts.visible(points)
    if any(landmark not in at for landmark in ("head", "neck", "spine")):
        return None
    try:
        frame = parts.head(at)
    except (parts.DegenerateError, ValueError):
        return None
    greys, local = Greys.of(volume), 0.5 * parts.occipito_frontal_mm(at) * _one_side()
    best, found = LEAST_ALIKE, None
    for turn in TURNS_DEG:
        for tilt in TILTS_DEG:
            turned = frame @ Rotation.from_euler("ZY", [turn, tilt], degrees=True).as_matrix()
            cost = TURN_COST * (turn / USUAL_DEG) ** 2 + TILT_COST * (tilt / 4.0) ** 2
            alike = _alike(greys, at["head"], turned, local) - cost
            if alike > best:
                best, found = alike, float(turn)
    return found


def _one_side() -> np.ndarray:
    """Points (N, 3) of the head's right half, in half the OFD, without its very middle."""
    line = np.linspace(-1.25, 1.25, POINTS)
    lattice = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    depth = np.linalg.norm(lattice / REACH, axis=1)
    return lattice[(depth < 1.05) & (depth > 0.15) & (lattice[:, 0] > 0.02)]


def _alike(greys: Greys, centre: np.ndarray, frame: np.ndarray, local: np.ndarray) -> float:
    """Correlation of the greys at points (N, 3) of a head's frame and at their mirror images; -1 where too few."""
    one, other = (greys.at(centre + side @ frame.T) for side in (local, local * [-1, 1, 1]))
    seen = np.isfinite(one) & np.isfinite(other)
    if seen.mean() < LEAST_SEEN:
        return -1.0
    one, other = one[seen], other[seen]
    middle = (one.mean() + other.mean()) / 2
    one, other = one - middle, other - middle
    power = one @ one + other @ other
    return float(2 * (one @ other) / power) if power > 0 else -1.0
