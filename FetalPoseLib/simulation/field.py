"""What of a subject lies in the field that was scanned."""

import numpy as np
import torch

from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.volume.grid import transform_points


def in_sector(probe: Probe, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Whether world points (n, 3) lie inside the scanned sector and the stored box, ``margin`` mm from their edges."""
    local = transform_points(np.linalg.inv(probe.pose), points)
    depth, phi, theta = (axis.numpy() for axis in probe.to_beam(*torch.from_numpy(local).unbind(-1)))
    turn = margin / (probe.curvature + probe.mid_depth)
    lower, upper = probe.bounds()
    return (
        (abs(theta) <= np.radians(probe.lateral_view / 2) - turn)
        & (abs(phi) <= np.radians(probe.sweep / 2) - turn)
        & (depth >= probe.start_depth + margin)
        & (depth <= probe.depth - margin)
        & (local >= lower + margin).all(axis=1)
        & (local <= upper - margin).all(axis=1)
    )
