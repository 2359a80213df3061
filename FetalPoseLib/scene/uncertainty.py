"""How sure the estimator is of each landmark, in the views: a translucent sphere within which it lies in 90 % of cases.

A model node of its own holds the spheres, kept true like everything derived. A landmark that a person placed has none,
nor one of which no radius is known. It is not saved: it can be made again from the pose at any time.
"""

from __future__ import annotations

import numpy as np
import vtk

from FetalPoseLib.scene.ownership import own, owned
from FetalPoseLib.scene.pose import points_of, radius_of

SPHERES_ROLE = "FetalPose.UncertaintySpheres"  # node reference from the pose to its model
SPHERES = "FetalPose.Uncertainty"  # of the model: it holds spheres
COLOR, OPACITY = (1.0, 0.85, 0.4), 0.25
SIDES = 20  # of a sphere, around and from pole to pole


def show_uncertainty(node, visible: bool = True):
    """The pose's vtkMRMLModelNode of spheres, shown or hidden; made when it is shown first, None before."""
    model = _model(node)
    if model is None:
        if not visible:
            return None
        scene = node.GetScene()
        model = scene.CreateNodeByClass("vtkMRMLModelNode")
        model.UnRegister(None)
        model.SetName(scene.GenerateUniqueName(f"{node.GetName()} uncertainty"))
        model.SetHideFromEditors(True)  # before it is in the scene, or the Data module lists it
        model.SetSaveWithScene(False)
        model.SetAttribute(SPHERES, "1")
        scene.AddNode(model)
        model.SetSelectable(False)  # clicks and drags belong to the points
        model.CreateDefaultDisplayNodes()
        display = model.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetColor(*COLOR)
        display.SetOpacity(OPACITY)
        display.SetVisibility2D(True)
        display.SetSliceIntersectionThickness(1)
        own(node, model, SPHERES_ROLE)
        update_uncertainty(node)
    model.GetDisplayNode().SetVisibility(visible)
    return model


def update_uncertainty(node, points: np.ndarray | None = None) -> None:
    """Make the spheres of a pose, if it has any, agree with its points (16, 3) RAS mm."""
    model = _model(node)
    if model is not None:
        model.SetAndObservePolyData(_spheres(points_of(node) if points is None else points, radius_of(node)))


def _model(node):
    """The spheres of this pose, None if there are none; another model may have got the ID since the scene was saved."""
    model = node.GetNodeReference(SPHERES_ROLE)
    return owned(node, SPHERES_ROLE) if model is not None and model.GetAttribute(SPHERES) else None


def _spheres(points: np.ndarray, radius_mm: np.ndarray) -> vtk.vtkPolyData:
    """A sphere for each landmark that has a position and a radius."""
    append = vtk.vtkAppendPolyData()
    append.AddInputData(vtk.vtkPolyData())  # a filter without input complains
    for point, radius in zip(points, radius_mm, strict=True):
        if np.isfinite(point).all() and np.isfinite(radius):
            sphere = vtk.vtkSphereSource()
            sphere.SetCenter(*map(float, point))
            sphere.SetRadius(float(radius))
            sphere.SetThetaResolution(SIDES)
            sphere.SetPhiResolution(SIDES)
            append.AddInputConnection(sphere.GetOutputPort())
    append.Update()
    return append.GetOutput()
