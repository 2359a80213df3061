"""Where tissue was before it moved: each part of the fetus carries what is around it along, as a rigid body.

Texture and speckle belong to tissue. A point near a bone moves with that bone; between bones the movements are blended
by distance, and beyond a few millimetres of fluid nothing moves with the fetus.
"""

from __future__ import annotations

import numpy as np
import torch

from FetalPoseLib.simulation.implicit import Canvas
from FetalPoseLib.simulation.kinematics import Body

FIELD_SPACING = 2.0  # mm between nodes of the field of displacements: it varies slowly
STILL_AT = 2.5  # mm outside a part, where what stands still weighs as much as the part
VERTEBRA_STEP = 3  # vertebrae between two parts of the column


class TissueMotion:
    """The displacement (mm) from each point of now to where its tissue was, on a canvas around the body.

    Parameters
    ----------
    now, before : the same fetus, posed twice in the world.
    """

    def __init__(self, now: Body, before: Body, *, device="cpu"):
        parts = list(zip(_parts(now), _parts(before), strict=True))
        ends = np.array([end for (start, stop, _, _), _ in parts for end in (start, stop)])
        self._canvas = Canvas(ends.min(axis=0) - 12, ends.max(axis=0) + 12, FIELD_SPACING, device=device)
        points = self._canvas.points()
        total = torch.full(points.shape[:-1], (STILL_AT + 0.5) ** -4, device=device)
        shift = torch.zeros_like(points)
        for (start, stop, radius, rotation), (before_start, _, _, before_rotation) in parts:
            turn = torch.as_tensor(before_rotation @ rotation.T, dtype=torch.float32, device=device)
            origin = torch.as_tensor(start, dtype=torch.float32, device=device)
            moved = (points - origin) @ turn.T + torch.as_tensor(before_start, dtype=torch.float32, device=device)
            weight = ((_distance(points, start, stop) - radius).clamp_min(0) + 0.5) ** -4
            shift += weight[..., None] * (moved - points)
            total += weight
        self._canvas.fields[1:] = (shift / total[..., None]).permute(3, 0, 1, 2)

    def shift(self, points: torch.Tensor) -> torch.Tensor:
        """Displacement (..., 3) in mm of the tissue at the points (..., 3) back to where it was."""
        return self._canvas.sample(points, edge=False)[1:].movedim(0, -1)


def _parts(body: Body) -> list[tuple[np.ndarray, np.ndarray, float, np.ndarray]]:
    """(start, end, radius, rotation) of the parts that move as rigid bodies, mm."""
    size = body.biometry
    half, vertebrae = 0.5 * size.trunk_width, body.vertebrae[::VERTEBRA_STEP]
    found = [(bone.start, bone.end, 0.03 * size.crl, bone.rotation) for bone in body.bones.values()]
    found.append((body.landmarks[0], body.landmarks[0] + 0.01 * body.head[:, 2], 0.5 * size.bpd, body.head))
    for place, rotation in vertebrae:
        belly = place + 0.7 * half * rotation[:, 1]
        found.append((place, belly, 0.45 * half, rotation))
    return found


def _distance(points: torch.Tensor, start: np.ndarray, stop: np.ndarray) -> torch.Tensor:
    """Distance (...) in mm of points (..., 3) from a line segment."""
    origin, axis = (torch.as_tensor(v, dtype=torch.float32, device=points.device) for v in (start, stop - start))
    offset = points - origin
    along = (offset @ axis / (axis @ axis).clamp_min(1e-9)).clamp(0, 1)
    return (offset - along[..., None] * axis).norm(dim=-1)
