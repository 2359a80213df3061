"""The pose as a markups node: 16 named control points, and what the estimator said about them.

A landmark that is not visible is a control point without a position, never a guess. What the estimator put in stays on
the node (attribute `FetalPose.Original`), so which landmarks a person placed is a comparison, not a record of events:
undo takes a landmark off the list, and an estimator's own updates are never on it.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import vtk

from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.scene.frame import has_lengths_of_estimate, keep_frame
from FetalPoseLib.scene.markups_file import PREFIX, landmark_name, problems_of
from FetalPoseLib.scene.place_node import kept_place_node

ORIGINAL = PREFIX + "Original"  # local RAS mm of each landmark before a person placed it, as JSON; null: not visible
SKELETON = PREFIX + "Skeleton"
INTERVALS = PREFIX + "LengthIntervals"  # mm, of each segment, as JSON; null where an end is not visible
NOT_VISIBLE = "not visible"  # what is said of a landmark without a position
PROJECTION_OPACITY = 0.35  # of a point in slice views where it is not in the plane
PLACED_MM = 1e-3  # positions are stored to 1e-4 mm


def create_pose(scene, name: str = "Fetal pose"):
    """A new vtkMRMLMarkupsFiducialNode with the skeleton's landmarks, none with a position yet."""
    with kept_place_node(scene):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for landmark in load_skeleton().landmarks:
        node.AddControlPoint(vtk.vtkVector3d(0, 0, 0), landmark)
    _set_points(node, np.full((len(load_skeleton()), 3), np.nan))
    _settle(node)
    return node


def pose_node(scene, estimate, *, name: str = "Fetal pose"):
    """A new pose node from the estimator's `Estimate`: its points, confidence and provenance."""
    node = create_pose(scene, name)
    set_estimate(
        node, estimate.points, estimate.confidence, provenance=estimate.provenance, radius_mm=estimate.radius_mm,
        length_interval_mm=estimate.length_interval_mm,
    )  # fmt: skip
    return node


def set_estimate(
    node,
    points: np.ndarray,
    confidence: Sequence[float] | np.ndarray | None = None,
    *,
    provenance: Mapping[str, str] | None = None,
    corrected: Collection[int] = (),
    radius_mm: Sequence[float] | np.ndarray | None = None,
    length_interval_mm: np.ndarray | None = None,
) -> None:
    """Put the estimator's result into a pose node; this does not count as placed by a person.

    Parameters
    ----------
    points : (16, 3) RAS mm in the world
        NaN rows become points without a position: the landmark is not visible.
    confidence : (16,) in 0..1, optional
        Written into each point's description.
    provenance : dict, optional
        Becomes node attributes, ``Model`` as ``FetalPose.Model``.
    corrected : indices
        Landmarks that a person placed or marked as not visible: they stay so, and `placed_landmarks` names them.
    radius_mm : (16,), optional
        Written into each point's description after the confidence.
    length_interval_mm : (15, 2), optional
        Kept as a node attribute. Without it, that of an earlier estimate goes.
    """
    original = original_of(node)
    free = [i for i in range(len(load_skeleton())) if i not in corrected]
    modifying = node.StartModify()
    _set_points(node, np.asarray(points, dtype=np.float64), free)
    original[free] = _local_points(node)[free]
    if confidence is not None:
        radii = np.full(len(points), np.nan) if radius_mm is None else radius_mm
        for i in free:
            node.SetNthControlPointDescription(i, _description(points[i], confidence[i], radii[i]))
    rows = None if length_interval_mm is None else np.round(length_interval_mm, 2)
    node.SetAttribute(INTERVALS, None if rows is None else json.dumps(rows_of_points(rows)))
    for key, value in (provenance or {}).items():
        node.SetAttribute(key if key.startswith(PREFIX) else PREFIX + key, str(value))
    set_original(node, original)
    keep_frame(node)
    node.EndModify(modifying)


def adopt_pose(node) -> None:
    """Turn any markups node with the 16 names, in any order and spelling, into a pose node like our own.

    Raises
    ------
    FetalPoseError
        Names are missing, stand twice, or belong to no landmark; the first are listed. The node is left as it was.
    """
    landmarks = load_skeleton().landmarks
    labels = [node.GetNthControlPointLabel(i) for i in range(node.GetNumberOfControlPoints())]
    problems = problems_of(labels)
    if problems:
        raise FetalPoseError(
            "The markups '{name}' are not a fetal pose ({problems}). Rename their points.",
            name=listed([node.GetName()]),
            problems=problems,
        )
    labels = [landmark_name(label) for label in labels]
    modifying = node.StartModify()
    for i, label in enumerate(labels):
        node.SetNthControlPointLabel(i, label)
    node.EndModify(modifying)
    points = points_of(node)
    rows = [labels.index(name) for name in landmarks]
    descriptions = [node.GetNthControlPointDescription(i) for i in rows]
    missing = [node.GetNthControlPointPositionStatus(i) == node.PositionMissing for i in rows]
    modifying = node.StartModify()
    for i, name in enumerate(landmarks):
        node.SetNthControlPointLabel(i, name)
        node.SetNthControlPointDescription(i, descriptions[i])
    _set_points(node, points)
    for row in np.flatnonzero(missing):
        node.SetNthControlPointPositionMissing(int(row))
    _settle(node)
    node.EndModify(modifying)


def is_pose(node) -> bool:
    """Whether the node is a pose: one of ours, even with a point renamed by hand, or markups with the 16 names."""
    if node is None or not node.IsA("vtkMRMLMarkupsFiducialNode"):
        return False
    landmarks = load_skeleton().landmarks
    if node.GetAttribute(SKELETON) == load_skeleton().name:
        return True
    count = node.GetNumberOfControlPoints()
    return count == len(landmarks) and {node.GetNthControlPointLabel(i) for i in range(count)} == set(landmarks)


def points_of(node) -> np.ndarray:
    """The landmarks in the skeleton's order, (16, 3) RAS mm in the world, found by their names.

    NaN where a landmark is not visible, and where its name is gone or stands twice.
    """
    points, position = np.full((len(load_skeleton()), 3), np.nan), [0.0, 0.0, 0.0]
    for row, i in _indices(node).items():
        if node.GetNthControlPointPositionStatus(i) == node.PositionDefined:
            node.GetNthControlPointPositionWorld(i, position)
            points[row] = position
    return points


def confidence_of(node) -> np.ndarray:
    """The estimator's confidence in each landmark, (16,) in 0..1, from the descriptions; NaN where none is given."""
    confidence = np.full(len(load_skeleton()), np.nan)
    for row, i in _indices(node).items():
        found = re.match(r"confidence ([01](?:\.\d+)?)(?![\d.])", node.GetNthControlPointDescription(i))
        if found:
            confidence[row] = float(found[1])
    return confidence


def radius_of(node) -> np.ndarray:
    """In 90 % of cases the truth lies within this distance of a landmark, (16,) in mm, from the descriptions.

    NaN where none is given, where a person placed the landmark, and where a transform has changed lengths since.
    """
    radius, placed = np.full(len(load_skeleton()), np.nan), placed_landmarks(node)
    if not has_lengths_of_estimate(node):
        return radius
    for row, i in _indices(node).items():
        found = re.search(r"within ([0-9]{1,4}(?:\.[0-9]+)?) mm", node.GetNthControlPointDescription(i))
        if found and load_skeleton().landmarks[row] not in placed:
            radius[row] = float(found[1])
    return radius


def length_intervals_of(node) -> np.ndarray:
    """In 90 % of cases the true length of a segment lies within, (15, 2) in mm.

    NaN where none is given, where an end is not visible, where a person placed an end, and where a transform has
    changed lengths since.
    """
    skeleton = load_skeleton()
    intervals, unknown = np.full((len(skeleton.segments), 2), np.nan), [np.nan, np.nan]
    try:
        rows = json.loads(node.GetAttribute(INTERVALS) or "[]")
        stored = np.array([unknown if row is None else row for row in rows], dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):  # edited by hand: the points are still good
        return intervals
    if stored.shape != intervals.shape or not has_lengths_of_estimate(node):
        return intervals
    placed = {skeleton.index(name) for name in placed_landmarks(node)}
    for i, segment in enumerate(skeleton.segments):
        if not {segment.start, segment.end} & placed:
            intervals[i] = stored[i]
    return intervals


def placed_landmarks(node) -> tuple[str, ...]:
    """Names of the landmarks that a person placed or marked as not visible since the estimate or the reading."""
    before, now = original_of(node), _local_points(node)
    with np.errstate(invalid="ignore"):
        placed = (np.abs(now - before) > PLACED_MM).any(axis=1)
    placed |= np.isnan(now).any(axis=1) != np.isnan(before).any(axis=1)
    return tuple(name for name, flag in zip(load_skeleton().landmarks, placed, strict=True) if flag)


def reset_landmarks(node, rows: Collection[int]) -> None:
    """Put landmarks (indices in the skeleton) back where the estimator, or the file, had them."""
    indices, original = _indices(node), original_of(node)
    modifying = node.StartModify()
    for row in rows:
        if row not in indices:
            continue
        if np.isfinite(original[row]).all():
            node.SetNthControlPointPosition(indices[row], *map(float, original[row]))
        else:
            node.UnsetNthControlPointPosition(indices[row])
    node.EndModify(modifying)


def is_whole(node) -> bool:
    """Whether the node's control points are the skeleton's, all and in order: `set_estimate` needs that."""
    landmarks = load_skeleton().landmarks
    count = node.GetNumberOfControlPoints()
    return tuple(node.GetNthControlPointLabel(i) for i in range(count)) == landmarks


def provenance_of(node) -> dict[str, str]:
    """All node attributes of FetalPose, ``{"FetalPose.Model": "fetal-frame", ...}``."""
    return {name: node.GetAttribute(name) for name in sorted(node.GetAttributeNames()) if name.startswith(PREFIX)}


def _description(point: np.ndarray, confidence: float, radius_mm: float) -> str:
    """What is said of a landmark, "confidence 0.71, within 1.9 mm"; `confidence_of` and `radius_of` read it."""
    if not np.isfinite(point).all():
        return NOT_VISIBLE
    within = f", within {radius_mm:.1f} mm" if np.isfinite(radius_mm) else ""
    return f"confidence {confidence:.2f}{within}"


def _settle(node) -> None:
    """What makes a markups node with the right points a pose node."""
    node.SetFixedNumberOfControlPoints(True)
    node.SetAttribute(SKELETON, load_skeleton().name)
    if node.GetAttribute(ORIGINAL) is None:
        set_original(node, _local_points(node))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetPropertiesLabelVisibility(False)  # 15 lengths as one block of text would hide the fetus
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(2.0)  # mm; the default is a part of the screen
    display.SetTextScale(2.2)
    display.SetSliceProjection(True)  # points beside a slice are shown in it, faintly
    display.SetSliceProjectionOpacity(PROJECTION_OPACITY)
    display.SetSelectedColor(1.0, 1.0, 0.6)
    display.SetColor(1.0, 0.45, 0.0)  # of points not selected, by which doubtful ones are marked


def _set_points(node, world: np.ndarray, indices: Collection[int] | None = None) -> None:
    for i in range(len(world)) if indices is None else indices:
        if np.isfinite(world[i]).all():
            node.SetNthControlPointPositionWorld(i, *map(float, world[i]))
        else:
            node.UnsetNthControlPointPosition(i)


def _local_points(node) -> np.ndarray:
    """As `points_of`, before the node's parent transform: a transform moves a pose, but corrects nothing in it."""
    points, position = np.full((len(load_skeleton()), 3), np.nan), [0.0, 0.0, 0.0]
    for row, i in _indices(node).items():
        if node.GetNthControlPointPositionStatus(i) == node.PositionDefined:
            node.GetNthControlPointPosition(i, position)
            points[row] = position
    return points


def _indices(node) -> dict[int, int]:
    """Row in the skeleton to index of the control point; without names that are gone or not unique."""
    labels = [node.GetNthControlPointLabel(i) for i in range(node.GetNumberOfControlPoints())]
    landmarks = load_skeleton().landmarks
    return {row: labels.index(name) for row, name in enumerate(landmarks) if labels.count(name) == 1}


def original_of(node) -> np.ndarray:
    """What `set_original` stored; the points as they are where that is missing or damaged."""
    try:
        original = np.array(json.loads(node.GetAttribute(ORIGINAL) or ""), dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return _local_points(node)
    return original if original.shape == (len(load_skeleton()), 3) else _local_points(node)


def set_original(node, points: np.ndarray) -> None:
    rows = [[round(x, 4) for x in point] if np.isfinite(point).all() else [None] * 3 for point in points.tolist()]
    node.SetAttribute(ORIGINAL, json.dumps(rows))
