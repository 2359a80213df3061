"""The buttons of the standard planes, the step along the normal, and the way back to the patient's axes."""

import numpy as np
import qt
import vtk

from FetalPoseLib import scene
from FetalPoseLib.session import Finished, PoseSession
from FetalPoseLib.session.views import MOST_MM, camera_from_right
from FetalPoseModuleLib.views import lookFrom

COLUMNS = 4  # of buttons


class PlanesPanel:
    """One button per standard plane: a click turns the slice views to it. `PoseSession.plane_views` does the turning.

    Attributes
    ----------
    buttons : dict
        The QPushButton of each plane by its name, a key of `body.planes.KINDS`.
    """

    def __init__(self, ui, session: PoseSession):
        self.ui, self.session, self._pose = ui, session, None
        self.buttons = {}
        for i, row in enumerate(session.plane_rows(None)):
            button = qt.QPushButton(row.label)
            button.setCheckable(True)
            button.clicked.connect(lambda *_checked, name=row.name: self._onPlane(name))
            ui.planesLayout.addWidget(button, i // COLUMNS, i % COLUMNS)
            self.buttons[row.name] = button
        ui.planeStepSpinBox.setRange(-MOST_MM, MOST_MM)
        ui.planeStepSpinBox.valueChanged.connect(self._onStep)
        ui.patientAxesButton.clicked.connect(lambda *_checked: self._onBack())
        self._observed: list[tuple] = []  # slice nodes, each with the tag of its observer
        self.update(None)

    def close(self) -> None:
        """Follow the views no more."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []

    def update(self, pose) -> None:
        """Let be clicked what this pose, or None, gives; the tool tips say why not."""
        self._pose = pose
        for row in self.session.plane_rows(pose):
            button = self.buttons[row.name]
            button.enabled, button.toolTip = row.available, row.tip
        self._observe()
        self._updateShown()

    def align(self, points: np.ndarray) -> bool:
        """Turn slices and camera to a pose (16, 3) in RAS mm that was found just now; False if too little is seen."""
        aligned = self.session.plane_views.align(points)
        place = camera_from_right(points)
        if aligned and place is not None:
            lookFrom(place)
        self._updateShown()
        return aligned

    def follow(self, result: Finished) -> None:
        """Keep the views on the fetus after the refinement."""
        self.session.plane_views.follow(scene.points_of(result.pose))

    def _onPlane(self, name: str) -> None:
        if self._pose is not None:
            self.session.show_plane(self._pose, name)
        self._updateShown()

    def _onStep(self, distance: float) -> None:
        self.session.plane_views.step_to(distance)

    def _onBack(self) -> None:
        self.session.plane_views.back()
        self._updateShown()

    def _observe(self) -> None:
        """Follow the red view, so that the distance shown here is true when a person moves it there."""
        node = scene.slice_nodes(self.session.scene).get("Red")
        if [observed for observed, _tag in self._observed] != [node]:
            self.close()
            if node is not None:
                self._observed = [(node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._updateShown))]

    def _updateShown(self, _node=None, _event=None) -> None:
        """Mark the plane that is shown, without moving the views."""
        views, box = self.session.plane_views, self.ui.planeStepSpinBox
        distance = views.distance_mm
        for name, button in self.buttons.items():
            button.checked = distance is not None and name == views.name
        blocked = box.blockSignals(True)
        box.value = distance or 0.0
        box.blockSignals(blocked)
        box.enabled = distance is not None
        self.ui.patientAxesButton.enabled = scene.are_turned(self.session.scene)
