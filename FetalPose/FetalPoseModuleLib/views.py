"""Slice views and 3D cameras: where they look, and which volume they show."""

import numpy as np
import slicer

from FetalPoseLib.session import CameraPlace


def firstVolume():
    """The first scalar volume in the scene that is no label map, or None."""
    for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLScalarVolumeNode")
        if node.GetClassName() == "vtkMRMLScalarVolumeNode":
            return node
    return None


def showVolume(volume) -> None:
    """Show the volume in the slice views, unless it is there already: the user's arrangement stays."""
    for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        shown = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLSliceCompositeNode")
        if volume.GetID() in (shown.GetBackgroundVolumeID(), shown.GetForegroundVolumeID()):
            return
    slicer.util.setSliceViewerLayers(background=volume, fit=True)


def centreViews(points: np.ndarray) -> None:
    """Move slices and 3D cameras to the middle of a pose, (16, 3) RAS mm, and change nothing else about them."""
    seen = points[np.isfinite(points).all(axis=1)]
    if not len(seen):
        return
    x, y, z = (float(value) for value in (seen.min(axis=0) + seen.max(axis=0)) / 2)
    jumpTo(x, y, z, centred=True)
    extent = float(np.linalg.norm(seen.max(axis=0) - seen.min(axis=0)))
    for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLCameraNode")):
        camera = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLCameraNode")
        direction = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
        length = np.linalg.norm(direction) or 1.0
        camera.SetFocalPoint(x, y, z)
        camera.SetPosition(*((x, y, z) + direction / length * max(2.2 * extent, 60.0)))
        camera.ResetClippingRange()


def lookFrom(place: CameraPlace) -> None:
    """Put the 3D cameras there."""
    for i in range(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLCameraNode")):
        camera = slicer.mrmlScene.GetNthNodeByClass(i, "vtkMRMLCameraNode")
        camera.SetFocalPoint(*place.looks_at)
        camera.SetPosition(*place.position)
        camera.SetViewUp(*place.up)
        camera.ResetClippingRange()


def jumpTo(x: float, y: float, z: float, *, centred: bool = False) -> None:
    """Move all slices through a point, RAS mm; `centred` also brings it to the middle of each view."""
    node = slicer.vtkMRMLSliceNode
    node.JumpAllSlices(slicer.mrmlScene, x, y, z, node.CenteredJumpSlice if centred else node.OffsetJumpSlice)
