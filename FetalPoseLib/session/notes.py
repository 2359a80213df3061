"""What a person has done to a pose in Slicer's own modules: points added, deleted or renamed, lists that are locked."""

from __future__ import annotations

from collections.abc import Callable

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import listed


def notes_of(pose, *, translate: Callable[[str], str] = str) -> tuple[str, ...]:
    """Sentences, none where the pose holds its 16 landmarks and nothing else, all free to be dragged."""
    points = range(pose.GetNumberOfControlPoints())
    labels = [pose.GetNthControlPointLabel(i) for i in points]
    known, found = load_skeleton().landmarks, []
    gone = [name.replace("_", " ") for name in known if name not in labels]
    twice = [name.replace("_", " ") for name in known if labels.count(name) > 1]
    others = [  # a point that follows the mouse is not there yet
        labels[i] or str(i + 1)
        for i in points
        if labels[i] not in known and pose.GetNthControlPointPositionStatus(i) != pose.PositionPreview
    ]
    if gone:
        text = translate(
            "No point is named {names}: it was deleted or renamed, and measures nothing. Rename it, or estimate again."
        )
        found.append(text.format(names=listed(gone)))
    if twice:
        text = translate("Two points are named {names}, so neither is measured. Delete one in the module Markups.")
        found.append(text.format(names=listed(twice)))
    if others:
        text = translate("Points that are no landmarks are not measured: {names}. Delete them in the module Markups.")
        found.append(text.format(names=listed(others)))
    locked = [labels[i].replace("_", " ") for i in points if pose.GetNthControlPointLocked(i)]
    if pose.GetLocked():
        found.append(translate("The pose is locked, so no landmark can be dragged. Unlock it in the module Markups."))
    elif locked:
        text = translate("Locked, and not to be dragged: {names}. Unlock them in the module Markups.")
        found.append(text.format(names=listed(locked)))
    return tuple(found)
