"""The lengths in the views: a small text beside the middle of each segment, kept true like everything derived.

A markups point list of its own holds them, because MRML labels points and not the lines between them. It is locked,
not listed and not saved, nor is its display: it can be made again from the pose at any time. Nobody places a point in
it: the number of its points is fixed, and the list that the next point goes into stays what it was.
"""

import numpy as np
import slicer
import vtk

from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.scene.ownership import own, owned
from FetalPoseLib.scene.place_node import kept_place_node
from FetalPoseLib.scene.pose import points_of

LABELS_ROLE = "FetalPose.LengthLabels"  # node reference from the pose to its labels


def show_lengths(node):
    """The vtkMRMLMarkupsFiducialNode that shows a pose's lengths in the views, made if there is none."""
    labels = owned(node, LABELS_ROLE)
    if labels is None:
        scene = node.GetScene()
        labels = scene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
        labels.UnRegister(None)
        labels.SetName(scene.GenerateUniqueName(f"{node.GetName()} lengths"))
        labels.SetHideFromEditors(True)  # before it is in the scene, or the Data module lists it
        with kept_place_node(scene):
            scene.AddNode(labels)
        labels.SetSaveWithScene(False)
        labels.SetSelectable(False)
        labels.SetLocked(True)
        for _ in load_skeleton().segments:
            labels.AddControlPoint(vtk.vtkVector3d(0, 0, 0), "")
        labels.SetFixedNumberOfControlPoints(True)
        labels.CreateDefaultDisplayNodes()
        _style(labels.GetDisplayNode())
        own(node, labels, LABELS_ROLE)
        update_labels(node)
    return labels


def update_labels(node, points: np.ndarray | None = None) -> None:
    """Make the labels of a pose, if it has any, agree with its points (16, 3) RAS mm."""
    labels = owned(node, LABELS_ROLE)
    if labels is None:
        return
    points = points_of(node) if points is None else points
    skeleton = load_skeleton()
    modifying = labels.StartModify()
    for i, (segment, length) in enumerate(zip(skeleton.segments, segment_lengths(points, skeleton), strict=True)):
        if np.isfinite(length):
            labels.SetNthControlPointPositionWorld(i, *points[[segment.start, segment.end]].mean(axis=0))
            labels.SetNthControlPointLabel(i, f"  {length:.1f}")  # clear of the point itself
        elif labels.GetNthControlPointPositionStatus(i) == labels.PositionDefined:
            labels.UnsetNthControlPointPosition(i)
    labels.EndModify(modifying)


def _style(display) -> None:
    display.SetSaveWithScene(False)  # without its list it would stay in every scene that is loaded
    display.SetGlyphType(slicer.vtkMRMLMarkupsDisplayNode.Vertex2D)
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(0.01)  # mm: only the text is to be shown
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(True)
    display.SetTextScale(2.2)
    display.SetSelectedColor(1.0, 1.0, 1.0)
    display.SetOccludedVisibility(True)
    display.SetOccludedOpacity(1.0)
