"""Slice views that look at the fetus: turned to three cuts, moved along their normal, and turned back.

Each cut becomes an orientation of its view, named after the plane, as *Axial* is one: so the name stands in the view's
bar, and Slicer lists it with the others. Steps of the arrow keys are `STEP_MM` while a view is turned. Both are kept
with the slice node, so a scene that is saved and loaded can be turned back, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk

from FetalPoseLib.body.plane_views import ViewCut

VIEWS = ("Red", "Yellow", "Green")  # the cuts go to these, in their order
FORMER = "FetalPose.FormerOrientation"  # of a slice node that is turned: its orientation before
TITLE = "FetalPose.Plane"  # of a slice node that is turned: the name of the orientation that was added
STEP_MM = 1.0  # of the arrow keys in a turned view
_PATIENT = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


def slice_nodes(scene) -> dict[str, Any]:
    """The vtkMRMLSliceNode of each of `VIEWS` that the scene has, by its name."""
    found = {name: scene.GetSingletonNode(name, "vtkMRMLSliceNode") for name in VIEWS}
    return {name: node for name, node in found.items() if node is not None}


def turn_views(scene, cuts: Sequence[ViewCut]) -> None:
    """Turn the slice views to the cuts: each in the middle of its view, as large as fits, with its title as name."""
    for (name, node), cut in zip(slice_nodes(scene).items(), cuts, strict=False):
        _turn(node, name, cut)


def turn_back(scene) -> None:
    """Turn the views back to the patient's axes, as they were; the middle of each view stays where it is."""
    for name, node in slice_nodes(scene).items():
        former = node.GetAttribute(FORMER)
        if former is None:
            continue
        modifying = node.StartModify()
        node.SetOrientation(former if node.HasSliceOrientationPreset(former) else _PATIENT[name])
        _forget(node)
        node.SetSliceSpacingModeToAutomatic()
        node.RemoveAttribute(FORMER)
        node.EndModify(modifying)


def are_turned(scene) -> bool:
    """Whether a view is turned to the fetus."""
    return any(node.GetAttribute(FORMER) is not None for node in slice_nodes(scene).values())


def orientation_name(cut: ViewCut) -> str:
    """The name of a cut as an orientation of its view: "Mid-sagittal".

    A scene file has it within the name of an XML attribute, so with a space the file could not be read again.
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", cut.title)


def distance_shown(scene, cut: ViewCut) -> float | None:
    """How far the first view is from this cut, in mm towards the viewer; None where it is turned to something else."""
    node = slice_nodes(scene).get(VIEWS[0])
    if node is None or not np.allclose(_axes(node), cut.matrix[:3, :3], atol=1e-6):
        return None
    return node.GetSliceOffset() - _offset(cut)


def move_view(scene, cut: ViewCut, distance_mm: float) -> None:
    """Move the first view to ``distance_mm`` from its cut, towards the viewer; place and zoom in the view stay."""
    node = slice_nodes(scene).get(VIEWS[0])
    if node is not None:
        node.SetSliceOffset(_offset(cut) + distance_mm)


def _turn(node, name: str, cut: ViewCut) -> None:
    modifying = node.StartModify()
    if node.GetAttribute(FORMER) is None:
        orientation = node.GetOrientation()
        known = node.HasSliceOrientationPreset(orientation)
        node.SetAttribute(FORMER, orientation if known else _PATIENT.get(name, "Axial"))
    _forget(node)
    preset, to_ras = vtk.vtkMatrix3x3(), node.GetSliceToRAS()
    for row in range(3):
        for column in range(3):
            preset.SetElement(row, column, float(cut.matrix[row, column]))
        for column in range(4):
            to_ras.SetElement(row, column, float(cut.matrix[row, column]))
    node.AddSliceOrientationPreset(orientation_name(cut), preset)
    node.SetAttribute(TITLE, orientation_name(cut))
    node.SetXYZOrigin(0.0, 0.0, 0.0)
    node.UpdateMatrices()
    width, height = node.GetDimensions()[:2]
    per_pixel = max(cut.extent_mm[0] / max(width, 1), cut.extent_mm[1] / max(height, 1))
    node.SetFieldOfView(per_pixel * max(width, 1), per_pixel * max(height, 1), node.GetFieldOfView()[2])
    node.SetSliceSpacingModeToPrescribed()
    node.SetPrescribedSliceSpacing(STEP_MM, STEP_MM, STEP_MM)
    node.EndModify(modifying)


def _forget(node) -> None:
    """Take the orientation that was added off the node's list."""
    title = node.GetAttribute(TITLE)
    if title is not None and node.HasSliceOrientationPreset(title):
        node.RemoveSliceOrientationPreset(title)
    node.RemoveAttribute(TITLE)


def _offset(cut: ViewCut) -> float:
    return float(cut.matrix[:3, 2] @ cut.matrix[:3, 3])


def _axes(node) -> np.ndarray:
    matrix = node.GetSliceToRAS()
    return np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)])
