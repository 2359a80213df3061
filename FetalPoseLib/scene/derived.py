"""What follows from the 16 points: measurements and provenance on the markups node, the skeleton as a tube model.

Lengths are static measurements, because MRML has no kind that measures between two control points of sixteen. A
markups file keeps measurements but no node attributes; so the provenance travels in it as the description of one more
measurement, which is disabled and has no value.
"""

import json

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.scene.labels import update_labels
from FetalPoseLib.scene.markups_file import PROVENANCE, provenance_in
from FetalPoseLib.scene.measures import update_measures
from FetalPoseLib.scene.ownership import own, owned
from FetalPoseLib.scene.pose import PREFIX, SKELETON, placed_landmarks, points_of, provenance_of
from FetalPoseLib.scene.uncertainty import update_uncertainty

PLACED = PREFIX + "MovedLandmarks"  # the name in all files
MODEL_ROLE = "FetalPose.SkeletonModel"  # node reference from the pose to its model
COLORS_ROLE = "FetalPose.SkeletonColors"  # node reference from the pose to the table of its model's colours
SEGMENT = "Segment"  # point data of the model: index of the segment
TUBE_RADIUS_MM = 0.8
PROJECTION_OPACITY = 0.25  # of the skeleton in slice views where it is not in the plane


def update_derived(node) -> None:
    """Make lengths, provenance and, if there is one, the skeleton model of a pose node agree with its points."""
    points = points_of(node)
    _update_lengths(node, points)
    update_measures(node, points)
    _update_provenance(node)
    model = owned(node, MODEL_ROLE)
    if model is not None:
        model.SetAndObservePolyData(_tubes(points))
    update_labels(node, points)
    update_uncertainty(node, points)


def show_skeleton(node):
    """The pose's vtkMRMLModelNode, made if there is none: one tube per segment, in the segment's colour."""
    model = owned(node, MODEL_ROLE)
    if model is None:
        model = node.GetScene().AddNewNodeByClass("vtkMRMLModelNode", f"{node.GetName()} skeleton")
        model.SetAndObservePolyData(_tubes(points_of(node)))
        model.SetSelectable(False)  # clicks and drags belong to the points
        model.CreateDefaultDisplayNodes()
        display = model.GetDisplayNode()
        display.SetVisibility2D(True)
        display.SetSliceIntersectionThickness(3)
        own(node, model, MODEL_ROLE)
    if model.GetNumberOfDisplayNodes() == 1:  # that of a scene of an earlier version lacks it, too
        _project(model)
    if owned(node, COLORS_ROLE) is None:  # after a scene was loaded, too
        _color(node, model)
    return model


def _project(model) -> None:
    """Show the model in slice views faintly where it is not in the plane: one more display node, of its projection.

    One display node shows either what the plane cuts or the projection.
    """
    shown = model.GetDisplayNode()
    display = model.GetScene().AddNewNodeByClass("vtkMRMLModelDisplayNode")
    display.SetVisibility(shown.GetVisibility())
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)
    display.SetSliceDisplayModeToProjection()
    display.SetSliceIntersectionOpacity(PROJECTION_OPACITY)
    model.AddAndObserveDisplayNodeID(display.GetID())


def _color(node, model) -> None:
    """Show each tube in its segment's colour, by a table of colours.

    MRML's direct mapping of red, green and blue has an empty range, of which VTK complains at each rendering.
    """
    segments = load_skeleton().segments
    table = slicer.vtkMRMLColorTableNode()
    table.SetName(f"{node.GetName()} colours")
    table.SetHideFromEditors(True)  # before it is in the scene, or it is offered for volumes
    table.SetSaveWithScene(False)
    table.SetTypeToUser()
    table.SetNumberOfColors(len(segments))
    for i, segment in enumerate(segments):
        table.SetColor(i, segment.name, *map(float, segment.color), 1.0)
    node.GetScene().AddNode(table)
    own(node, table, COLORS_ROLE)
    for i in range(model.GetNumberOfDisplayNodes()):
        display = model.GetNthDisplayNode(i)
        modifying = display.StartModify()
        display.SetAndObserveColorNodeID(table.GetID())
        display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
        display.SetScalarRange(-0.5, len(segments) - 0.5)
        display.SetActiveScalar(SEGMENT, vtk.vtkAssignAttribute.POINT_DATA)
        display.SetScalarVisibility(True)
        display.EndModify(modifying)


def restore_provenance(node) -> None:
    """Turn the measurement that carried the provenance through a file back into node attributes."""
    measurement = node.GetMeasurement(PROVENANCE)
    stored = provenance_in(measurement.GetDescription() if measurement is not None else "{}")
    for name, value in stored.items():
        node.SetAttribute(name, value)


def _update_lengths(node, points: np.ndarray) -> None:
    skeleton = load_skeleton()
    for segment, length in zip(skeleton.segments, segment_lengths(points, skeleton), strict=True):
        measurement = node.GetMeasurement(segment.name)
        if measurement is None:
            ends = (skeleton.landmarks[end].replace("_", " ") for end in (segment.start, segment.end))
            measurement = _add_measurement(node, segment.name, "from {} to {}".format(*ends))
        if np.isfinite(length):
            measurement.SetValue(float(length))
        else:
            measurement.ClearValue()


def _add_measurement(node, name: str, description: str):
    measurement = slicer.vtkMRMLStaticMeasurement()
    measurement.SetName(name)
    measurement.SetUnits("mm")
    measurement.SetPrintFormat("%.1f %s")
    measurement.SetDescription(description)
    node.AddMeasurement(measurement)
    return measurement


def _update_provenance(node) -> None:
    if node.GetAttribute(SKELETON) is None:
        restore_provenance(node)  # our file, read by someone else's loader
    if node.GetAttribute(SKELETON) is None:
        return  # someone else's points: they get lengths, but no claim of where they come from
    placed = " ".join(placed_landmarks(node))
    if node.GetAttribute(PLACED) != placed:
        node.SetAttribute(PLACED, placed)
    measurement = node.GetMeasurement(PROVENANCE)
    if measurement is None:
        measurement = _add_measurement(node, PROVENANCE, "")
        measurement.SetUnits("")
        measurement.SetEnabled(False)
    measurement.SetDescription(json.dumps(provenance_of(node)))


def _tubes(points: np.ndarray) -> vtk.vtkPolyData:
    """Tubes along the segments whose two ends are set, with the segment's index as point data."""
    shown = [i for i, s in enumerate(load_skeleton().segments) if np.isfinite(points[[s.start, s.end]]).all()]
    segments = [load_skeleton().segments[i] for i in shown]
    lines = vtk.vtkPolyData()
    ends = vtk.vtkPoints()
    cells = vtk.vtkCellArray()
    for segment in segments:
        cells.InsertNextCell(2)
        cells.InsertCellPoint(ends.InsertNextPoint(points[segment.start]))
        cells.InsertCellPoint(ends.InsertNextPoint(points[segment.end]))
    lines.SetPoints(ends)
    lines.SetLines(cells)
    scalars = numpy_to_vtk(np.repeat(shown, 2).astype(np.uint8), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    scalars.SetName(SEGMENT)
    lines.GetPointData().SetScalars(scalars)
    tube = vtk.vtkTubeFilter()
    tube.SetInputData(lines)
    tube.SetRadius(TUBE_RADIUS_MM)
    tube.SetNumberOfSides(12)
    tube.CappingOn()
    tube.Update()
    return tube.GetOutput()
