"""Scene, views and session: all of the server that is no page. It works without trame's server, in tests too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import slicer
import vtk

from FetalPoseLib import scene as mrml
from FetalPoseLib.reading.names import plain
from FetalPoseLib.session import PoseSession
from FetalPoseLib.worker.client import WorkerClient

if sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # or VTK looks for a display, and warns

from trame_slicer.core import SlicerApp, VolumeWindowLevel  # noqa: E402
from trame_slicer.views import IViewFactory, SliceView, ThreeDView, ViewLayoutDefinition  # noqa: E402

AXIAL, CORONAL, SAGITTAL, THREED = "Red", "Green", "Yellow", "ThreeD"  # the views' names, as in 3D Slicer
BACKGROUND = "#101418"
LAYOUT = (
    ViewLayoutDefinition.axial_view(AXIAL),
    ViewLayoutDefinition.coronal_view(CORONAL),
    ViewLayoutDefinition.sagittal_view(SAGITTAL),
    ViewLayoutDefinition.threed_view(name=THREED, background_color=(BACKGROUND, BACKGROUND)),
)


class Desk:
    """One scene with its four views and the session of its poses.

    Parameters
    ----------
    factory : makes the views.
    client : the network's process; the desk closes it.

    Attributes
    ----------
    session : PoseSession
    volume : vtkMRMLScalarVolumeNode or None
        What the slices show.
    volume_name : str
        Its file's name, as the person knows it.
    pose : vtkMRMLMarkupsFiducialNode or None
        What is shown, measured and corrected.
    """

    def __init__(self, factory: IViewFactory, client: WorkerClient):
        mrml.silence_log()
        self.app = SlicerApp()
        self.scene = self.app.scene
        self.app.view_manager.register_factory(factory)
        vtk.vtkObject.GlobalWarningDisplayOff()  # VTK 9.6 announces what 9.7 changes, once a view
        self.views = {view.singleton_tag: self.app.view_manager.create_view(view) for view in LAYOUT}
        vtk.vtkObject.GlobalWarningDisplayOn()
        self.session = PoseSession(self.scene, client)
        self.volume, self.volume_name, self.pose = None, "", None

    @property
    def slices(self) -> list[SliceView]:
        """The slice views."""
        return [view for view in self.views.values() if isinstance(view, SliceView)]

    @property
    def threed(self) -> ThreeDView:
        """The 3D view."""
        return self.views[THREED]

    def close(self) -> None:
        """Let go of the process and of the scene."""
        self.session.close()
        self.scene.Clear(0)

    # volumes and poses

    def show_volume(self, node, name: str) -> None:
        """Show this volume instead of the one before, which leaves the scene with its poses."""
        self.clear(keep=node)
        node.SetName(plain(name.split(".")[0]) or "Volume")
        if node.GetDisplayNode() is None:
            node.CreateDefaultDisplayNodes()
        VolumeWindowLevel.set_volume_node_display_min_max_range(
            node, *VolumeWindowLevel.get_volume_auto_min_max_range(node)
        )
        self.volume, self.volume_name = node, name
        self.app.display_manager.show_volume_in_slice_background(node)
        for view in self.slices:
            view.fit_view_to_content()
        self._look_at_volume()

    def clear(self, keep=None) -> None:
        """Take the volume and all poses out of the scene, but not the volume ``keep``."""
        self.app.display_manager.show_volume_in_slice_background(None)
        kind, gone = slicer.vtkMRMLScalarVolumeNode, []
        for i in range(self.scene.GetNumberOfNodes()):
            node = self.scene.GetNthNode(i)
            if (isinstance(node, kind) and node is not keep) or (node.IsA(_MARKUPS) and mrml.is_pose(node)):
                gone.append(node)
        for node in gone:
            storage = node.GetStorageNode()
            self.scene.RemoveNode(node)
            if storage is not None:
                self.scene.RemoveNode(storage)
        self.volume, self.volume_name, self.pose = None, "", None

    def add_volume(self, path: Path):
        """Read a file into the scene; its node. FetalPoseError if it is not one to estimate a pose in."""
        node = mrml.read_volume(self.scene, path)
        try:
            mrml.volume_from_node(node)
        except BaseException:
            self.scene.RemoveNode(node)
            raise
        return node

    # where the views look

    def jump_to(self, point, *, centred: bool = False) -> None:
        """Move all slices through a point (3,) RAS mm; ``centred`` also brings it to the middle of each view."""
        node = slicer.vtkMRMLSliceNode
        mode = node.CenteredJumpSlice if centred else node.OffsetJumpSlice
        node.JumpAllSlices(self.scene, *(float(value) for value in point), mode)

    def centre(self, points: np.ndarray) -> None:
        """Move slices and the 3D camera to the middle of a pose (16, 3) RAS mm, and change nothing else of them."""
        seen = points[np.isfinite(points).all(axis=1)]
        if not len(seen):
            return
        middle = (seen.min(axis=0) + seen.max(axis=0)) / 2
        self.jump_to(middle, centred=True)
        self._look(middle, max(2.2 * float(np.linalg.norm(np.ptp(seen, axis=0))), 60.0))

    def reset_views(self) -> None:
        """Show the whole volume, and the pose from the front."""
        for view in self.slices:
            view.fit_view_to_content()
        self._look_at_volume()
        if self.pose is not None:
            self.centre(mrml.points_of(self.pose))

    def _look_at_volume(self) -> None:
        if self.volume is None:
            return
        bounds = [0.0] * 6
        self.volume.GetRASBounds(bounds)
        low, high = np.array(bounds[0::2]), np.array(bounds[1::2])
        self._look((low + high) / 2, 1.5 * float(np.linalg.norm(high - low)))

    def _look(self, middle: np.ndarray, distance_mm: float) -> None:
        camera = self.threed.get_camera_node()
        direction = np.subtract(camera.GetPosition(), camera.GetFocalPoint())
        direction = direction / (np.linalg.norm(direction) or 1.0)
        camera.SetFocalPoint(*middle)
        camera.SetPosition(*(middle + direction * distance_mm))
        camera.ResetClippingRange()


_MARKUPS = "vtkMRMLMarkupsFiducialNode"
