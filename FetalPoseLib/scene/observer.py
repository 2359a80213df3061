"""Keeps what is derived from every pose in a scene true, whoever moves a point and whichever module is open."""

import slicer
import vtk

from FetalPoseLib.scene.derived import COLORS_ROLE, MODEL_ROLE, update_derived
from FetalPoseLib.scene.labels import LABELS_ROLE
from FetalPoseLib.scene.ownership import POSE_ROLE
from FetalPoseLib.scene.pose import is_pose
from FetalPoseLib.scene.uncertainty import SPHERES_ROLE

_MARKUPS = "vtkMRMLMarkupsFiducialNode"
_POINT_EVENTS = (  # every change of a position, status or name ends in the first, removing a point in the second
    slicer.vtkMRMLMarkupsNode.PointModifiedEvent,
    slicer.vtkMRMLMarkupsNode.PointRemovedEvent,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
)


class PoseObserver:
    """Updates lengths, provenance and skeleton model of each pose in `scene` while it is started.

    Dragging, undo, taking a position away, transforms and loading a scene all end in the same few events, so a file
    saved from anywhere holds true lengths. The module's logic owns it, because a panel may be closed.

    Example
    -------
    >>> observer = PoseObserver(scene)
    >>> observer.start()
    """

    def __init__(self, scene):
        self.scene = scene
        self._tags = {}  # observed object -> tags of its observers

    def start(self) -> None:
        """Observe the scene, and every markups node that is or will be in it. Does nothing if already started."""
        if self.scene in self._tags:
            return
        self._tags[self.scene] = [
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, self._on_node_added),
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, self._on_node_removed),
            self.scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, self._on_import),
        ]
        for i in range(self.scene.GetNumberOfNodesByClass(_MARKUPS)):
            self._watch(self.scene.GetNthNodeByClass(i, _MARKUPS))

    def stop(self) -> None:
        """Let go of the scene and its nodes."""
        for observed, tags in self._tags.items():
            for tag in tags:
                observed.RemoveObserver(tag)
        self._tags.clear()

    def _watch(self, node) -> None:
        if node not in self._tags:
            self._tags[node] = [node.AddObserver(event, self._on_points) for event in _POINT_EVENTS]
        self._on_points(node)

    def _on_points(self, node, _event=None) -> None:
        if not self.scene.IsImporting() and is_pose(node):
            update_derived(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, _scene, _event, node) -> None:
        if node.IsA(_MARKUPS):
            self._watch(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, _scene, _event, node) -> None:
        for tag in self._tags.pop(node, ()):
            node.RemoveObserver(tag)
        if self.scene.IsClosing():
            return
        for role in (MODEL_ROLE, COLORS_ROLE, LABELS_ROLE, SPHERES_ROLE):
            derived = self.scene.GetNodeByID(node.GetNodeReferenceID(role) or "")
            if derived is not None and derived.GetNodeReferenceID(POSE_ROLE) in (None, node.GetID()):
                self.scene.RemoveNode(derived)

    def _on_import(self, _scene, _event) -> None:
        for node in list(self._tags):
            if node is not self.scene:
                self._on_points(node)
