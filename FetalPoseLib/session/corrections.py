"""What a person may do to a pose, and what of it steers the next refinement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from FetalPoseLib import scene
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.session.history import put, snapshot


@dataclass(frozen=True, eq=False)
class Corrections:
    """What a person decided about a pose, for `WorkerClient.estimate`."""

    corrected: tuple[int, ...]  #: landmarks that a person placed or marked as not visible
    placed: dict[int, np.ndarray]  #: of these the placed ones, landmark to (3,) RAS mm
    start: np.ndarray  #: (16, 3) RAS mm, NaN where a landmark is not visible


def swap_sides(pose, limb: str | None = None) -> None:
    """Exchange left and right of a limb ("left_arm": both arms) or, with None, of the whole body.

    A landmark whose control point, or whose partner's, is gone stays as it is.
    """
    skeleton = load_skeleton()
    order = skeleton.mirror if limb is None else skeleton.exchange([limb])
    landmarks = skeleton.landmarks
    index = {name: pose.GetControlPointIndexByLabel(name) for name in landmarks}
    state = snapshot(pose)
    points = {name: state[pose.GetNthControlPointID(i)] for name, i in index.items() if i >= 0}
    for row, source in enumerate(order):
        here, there = landmarks[row], landmarks[source]
        if here != there and here in points and there in points:
            put(pose, index[here], points[there])


def reset_landmark(pose, name: str) -> None:
    """Put a landmark back where the estimator, or the file, had it."""
    scene.reset_landmarks(pose, [load_skeleton().index(name)])


def set_visible(pose, name: str, visible: bool) -> None:
    """Mark a landmark as not visible in the volume, or bring it back to its place.

    A landmark that is not visible keeps its place, but is not shown and measures nothing. Does nothing if its control
    point is gone.
    """
    index = pose.GetControlPointIndexByLabel(name)
    if index < 0:
        return
    if not visible:
        pose.SetNthControlPointPositionMissing(index)
    elif pose.GetNthControlPointPositionStatus(index) == pose.PositionMissing:
        pose.RestoreNthControlPointPosition(index)


def is_marked_not_visible(pose, name: str) -> bool:
    """Whether a person marked the landmark as not visible; False where its control point is gone."""
    index = pose.GetControlPointIndexByLabel(name)
    return index >= 0 and pose.GetNthControlPointPositionStatus(index) == pose.PositionMissing


def corrections_of(pose, mirror: np.ndarray, *, translate: Callable[[str], str] = str) -> Corrections:
    """What a person decided about a pose, in the coordinates that the network gets.

    Parameters
    ----------
    mirror : (4, 4) from the world to those coordinates: a reflection, or the identity

    Raises
    ------
    FetalPoseError
        The node is no pose with all its landmarks, or a person changed none of them.
    """
    if pose is None or not scene.is_pose(pose) or not scene.is_whole(pose):
        raise FetalPoseError(translate("Choose a pose with all its landmarks first."))
    names = scene.placed_landmarks(pose)
    if not names:
        raise FetalPoseError(translate("No landmark was placed yet. Drag the wrong ones to their places first."))
    corrected = tuple(load_skeleton().index(name) for name in names)
    points = scene.points_of(pose) @ mirror[:3, :3].T + mirror[:3, 3]
    return Corrections(corrected, {i: points[i] for i in corrected if np.isfinite(points[i]).all()}, points)
