"""Left and right, decided once for a whole sequence.

The network says in each volume which limb is on which side, and sometimes exchanges two. A limb does not jump to the
other side between two volumes, so a path through the sequence is sought (by dynamic programming) that says for each
volume which pairs of limbs are exchanged: it costs what the limbs jump, and the confidence of what it takes against the
network's word. All exchanged throughout is a path, too, so most of the sequence decides.
"""

from __future__ import annotations

import numpy as np

from FetalPoseLib.body.skeleton import Skeleton, load_skeleton
from FetalPoseLib.tracking.options import JoinOptions


def sides_over_time(
    points: np.ndarray, confidence: np.ndarray, options: JoinOptions, skeleton: Skeleton | None = None
) -> np.ndarray:
    """Permutations (T, 16) of the landmarks that put the limbs on the sides where they are throughout.

    Parameters
    ----------
    points : (T, 16, 3) mm, NaN where a landmark is not visible
    confidence : (T, 16) in 0..1
    """
    skeleton = skeleton or load_skeleton()
    readings = np.array(skeleton.exchanged_limbs())  # (S, 16)
    cost = np.zeros(len(readings))
    choices = np.zeros((len(points), len(readings)), dtype=int)
    last: np.ndarray | None = None  # (S, 16, 3): where each landmark was seen last, in each reading
    for t, (pose, sure) in enumerate(zip(points, confidence, strict=True)):
        moved = readings != np.arange(len(skeleton))
        visible = np.isfinite(pose).all(axis=1)
        own = options.exchange * (moved * np.where(visible, sure, 0.0)).sum(axis=1)
        here = pose[readings]
        if last is None:
            choices[t], cost, last = np.arange(len(readings)), own, here
            continue
        with np.errstate(invalid="ignore"):
            apart = ((here[:, None] - last[None]) ** 2).sum(axis=3)  # (S now, S before, 16)
        limit = options.jump_mm**2
        jump = np.where(np.isfinite(apart), np.minimum(apart, limit) / limit, 0.0).sum(axis=2) * options.jump
        total = cost[None] + jump
        choices[t] = total.argmin(axis=1)
        cost = total.min(axis=1) + own
        last = np.where(np.isfinite(here), here, last[choices[t]])
    path = [int(cost.argmin())]
    for t in reversed(range(1, len(points))):
        path.append(int(choices[t, path[-1]]))
    return readings[path[::-1]]
