"""A head that the pose does not explain: a second fetus, as with twins, or a pose in the wrong place."""

import numpy as np

from FetalPoseLib.body.fetal_frame import FetalFrame
from FetalPoseLib.body.skeleton import Skeleton, load_skeleton

APART = 0.7  # body units from the nearest segment; the pose's own head never has a peak beyond 0.4


def second_head_warning(heads: np.ndarray, points: np.ndarray, *, skeleton: Skeleton | None = None) -> str:
    """A sentence for the user if one of the heads lies beside the pose, else "".

    Parameters
    ----------
    heads : (N, 3) RAS mm
        Where the network is sure of a head, see `locate.certain_heads`.
    points : (16, 3) RAS mm
        The pose; NaN where a landmark is not visible.
    """
    skeleton, frame = skeleton or load_skeleton(), FetalFrame.find(points)
    if frame is None or not len(heads):
        return ""
    ends = np.array([points[[segment.start, segment.end]] for segment in skeleton.segments])
    ends = ends[np.isfinite(ends).all(axis=(1, 2))]
    apart = np.array([_distance(head, ends) for head in heads])
    if apart.max() < APART * frame.size:
        return ""
    return (
        f"There seems to be another head, {apart.max():.0f} mm from this pose: a second fetus, or the pose lies wrong. "
        "Only one fetus is measured. Look which one it is; for the other, crop the volume to it."
    )


def _distance(point: np.ndarray, ends: np.ndarray) -> float:
    """Distance in mm of a point (3,) from the nearest of the segments (N, 2, 3)."""
    along = ends[:, 1] - ends[:, 0]
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((point - ends[:, 0]) * along).sum(axis=1) / length, 0, 1)
    return float(np.linalg.norm(point - ends[:, 0] - share[:, None] * along, axis=1).min())
