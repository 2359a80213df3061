"""A pose under a transform as one without: for a markups file, which knows of no transform."""

import numpy as np
import slicer
import vtk

from FetalPoseLib.scene.derived import update_derived
from FetalPoseLib.scene.frame import carry_frame
from FetalPoseLib.scene.pose import original_of, set_original


def world_copy(node, scene):
    """A copy of a pose in ``scene``, an empty vtkMRMLScene, with its parent transform applied to its points.

    What the estimator said of the points is kept; a landmark that nobody moved does not count as moved.
    """
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    copy = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", node.GetName())
    copy.CopyContent(node)
    for i in range(copy.GetNumberOfControlPoints()):
        status = copy.GetNthControlPointPositionStatus(i)
        if status == copy.PositionUndefined:
            continue
        copy.SetNthControlPointPosition(i, *to_world.TransformPoint(copy.GetNthControlPointPosition(i)))
        if status == copy.PositionMissing:
            copy.SetNthControlPointPositionMissing(i)
    set_original(copy, np.array([to_world.TransformPoint(row) for row in original_of(node)]))
    carry_frame(node, copy)
    if node.GetDisplayNode() is not None:
        display = scene.AddNewNodeByClass(node.GetDisplayNode().GetClassName())
        display.CopyContent(node.GetDisplayNode())
        copy.SetAndObserveDisplayNodeID(display.GetID())
    update_derived(copy)
    return copy
