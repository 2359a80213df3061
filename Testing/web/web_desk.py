"""A desk without a server, and a mouse in its views that speaks as a browser does."""

import json

import fake_worker
import numpy as np
from trame_slicer.views import DirectViewFactory, NoScheduleRendering
from vtkmodules.vtkWebCore import vtkRemoteInteractionAdapter

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.resources import resource_path
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseWeb.desk import Desk
from FetalPoseWeb.views import settle

SIZE = 400
SKELETON = load_skeleton()


def truth() -> np.ndarray:
    return mrml.points_of(mrml.load_pose(mrml.new_scene(), resource_path("sample", "sample.mrk.json")))


def fake_client(**plan) -> WorkerClient:
    known = {"points": rows_of_points(truth()), "confidence": [0.9] * 16}
    return WorkerClient(command=fake_worker.command(known | plan))


class QuietViewFactory(DirectViewFactory):
    """Views off screen that are rendered only when a test asks for it."""

    def __init__(self):
        super().__init__(do_render_offscreen=True)

    def _create_view(self, view, scene, app_logic):
        made = super()._create_view(view, scene, app_logic)
        settle(made.slicer_view)
        made.slicer_view.set_scheduled_render(NoScheduleRendering())
        made.slicer_view.interactor().EnableRenderOff()
        return made


def make_desk() -> Desk:
    desk = Desk(QuietViewFactory(), fake_client())
    for view in desk.views.values():
        view.interactor().UpdateSize(SIZE, SIZE)
    return desk


def lay_out(desk: Desk) -> None:
    desk.show_volume(desk.add_volume(resource_path("sample", "sample.nrrd")), "sample.nrrd")
    desk.pose = desk.session.import_pose(resource_path("sample", "sample.mrk.json"))
    desk.centre(mrml.points_of(desk.pose))


class Mouse:
    """A mouse in one view: the events are those that the page sends."""

    def __init__(self, view):
        self.view = view
        self.view.render_window().Render()

    def event(self, kind: str, at, *, down: bool) -> None:
        x, y = (int(round(float(value))) for value in at)
        event = {
            "type": kind, "action": "down" if down else "up", "x": x, "y": y, "w": SIZE, "h": SIZE,
            "buttonLeft": int(down), "buttonMiddle": 0, "buttonRight": 0,
            "shiftKey": 0, "altKey": 0, "ctrlKey": 0, "metaKey": 0,
        }  # fmt: skip
        vtkRemoteInteractionAdapter.ProcessEvent(self.view.interactor(), json.dumps(event))

    def press(self, at) -> None:
        self.event("MouseMove", at, down=False)
        self.event("LeftButtonPress", at, down=True)

    def move(self, at) -> None:
        self.event("MouseMove", at, down=True)

    def release(self, at) -> None:
        self.event("LeftButtonRelease", at, down=False)

    def drag(self, start, end, steps: int = 4) -> None:
        start, end = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
        self.press(start)
        for part in np.linspace(0, 1, steps + 1)[1:]:
            self.move(start + part * (end - start))
        self.release(end)


def in_slice(view, point) -> np.ndarray:
    """Where a point (3,) RAS mm is in a slice view, in pixels from below."""
    import slicer.util

    xy_to_ras = slicer.util.arrayFromVTKMatrix(view.get_view_node().GetXYToRAS())
    return (np.linalg.inv(xy_to_ras) @ [*point, 1.0])[:2]


def in_threed(view, point) -> np.ndarray:
    """Where a point (3,) RAS mm is in the 3D view, in pixels from below."""
    renderer = view.renderer()
    renderer.SetWorldPoint(*point, 1.0)
    renderer.WorldToDisplay()
    return np.array(renderer.GetDisplayPoint()[:2])
