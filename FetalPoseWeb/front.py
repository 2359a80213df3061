"""Brings what the session says to the page, and what a person does on the page to the session."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any

import slicer
import vtk
from trame_server import Server

from FetalPoseLib import scene as mrml
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.reading.names import plain
from FetalPoseLib.resources import resource_path
from FetalPoseLib.session import PoseShown, Question, Status
from FetalPoseWeb.choices import Choices
from FetalPoseWeb.desk import Desk
from FetalPoseWeb.exports import export
from FetalPoseWeb.folder import Kept, SessionFolder
from FetalPoseWeb.uploads import Upload, in_their_words, suffix_of
from FetalPoseWeb.views import RemoteView

TICK_S = 0.04  # between two looks at what the network's process has said, and two updates of the tables
DOUBTS_S = 0.3  # after the last move
KEEP_S = 1.0  # after the last move, the pose goes to the disk
SAMPLE = "SimulatedFetus.nrrd"
RESEARCH_USE = (
    "Research use only. The bundled models were trained on simulated volumes of 10 to 14 weeks and have never seen a "
    "patient: not for diagnosis, twins or malformations. Volumes stay on the computer that runs this server."
)
_Markups = slicer.vtkMRMLMarkupsNode


class Front:
    """The page's state on the server.

    Parameters
    ----------
    server : Server
        trame's, whose state the page shows.
    desk : Desk
    remote_views : of the desk's views.
    folder : SessionFolder
    choices : Choices
        The settings.
    """

    def __init__(
        self, server: Server, desk: Desk, remote_views: list[RemoteView], folder: SessionFolder, choices: Choices
    ):
        self.server, self.state, self.desk, self.session = server, server.state, desk, desk.session
        self.remote_views, self.folder, self.choices = remote_views, folder, choices
        self.selected: str | None = None
        self._doubts: list = []
        self._stale = True  # the tables do not show the points any more
        self._doubts_at = self._keep_at = float("inf")  # when they are due, by time.monotonic
        self._watched: Any = None  # the pose whose points are followed
        self._tags: list[int] = []
        self._left: Kept | None = None
        self._set_up()

    def _set_up(self) -> None:
        session, state = self.session, self.state
        state.update(
            {
                "research_use": RESEARCH_USE, "status": asdict(Status()), "lengths": [], "landmarks": [], "doubts": "",
                "buttons": {}, "selected": "", "volume": "", "geometry": "", "pose": "", "question": "", "left": None,
                "slices": {}, "tab": "lengths", "big": "", "sending": None, "showing_settings": False,
                "has_library": bool(self.choices.library_folder), "unsaved": False,
            }
        )  # fmt: skip
        state.trame__client_only += ["tab", "big", "sending", "showing_settings"]
        session.status_changed.connect(lambda status: self._set("status", asdict(status)))
        session.pose_shown.connect(self._on_pose_shown)
        session.corrected.connect(lambda _pose: self._set("unsaved", True))
        for signal in (session.finished, session.failed, session.cancelled, session.corrected):
            signal.connect(self._on_ended)
        session.asks.connect(self._on_question)
        session.devices_known.connect(self.choices.show_devices)
        self.choices.changed.connect(self._on_settings)
        self._on_settings(self.choices.settings)

    async def run(self) -> None:
        """Follow the session until the server ends."""
        self.find_left_behind()
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        """Bring the page up to date."""
        now = time.monotonic()
        with self.state:
            self.session.poll()
            if now >= self._doubts_at and not self.session.running:
                self._doubts_at = float("inf")
                self._update_doubts()
            if self._stale:
                self._update_tables()
            self._update_slices()
        if now >= self._keep_at and not self.session.running:
            self._keep_at = float("inf")
            self._keep()

    def close(self) -> None:
        """The server ends: a pose that was about to be kept is kept now."""
        if self._keep_at < float("inf"):
            self._keep()

    # a page comes and goes

    def on_open(self) -> None:
        """A page has connected: nobody holds a landmark, and it has no picture yet."""
        self.let_go()
        for view in self.remote_views:
            view.refresh()

    def let_go(self) -> None:
        """A release of the mouse that never came: what was being dragged goes back to its place."""
        self.session.abandon()
        for view in self.remote_views:
            view.release()

    # opening

    async def open_volume(self, upload: Upload) -> str:
        """Read an upload as the volume; the name that the person knows. FetalPoseError if it cannot be used."""
        path, name = upload.settle()
        try:
            node = await self._read(path, name)
        except FetalPoseError as error:
            raise FetalPoseError(in_their_words(str(error), upload)) from error
        return self._show(node, name)

    async def open_file(self, path, name: str) -> str:
        """Read a file of this computer as the volume; its name."""
        return self._show(await self._read(path, name), name)

    async def open_sample(self) -> None:
        """Show the bundled volume."""
        await self.open_file(resource_path("sample", "sample.nrrd"), SAMPLE)

    async def open_pose(self, upload: Upload) -> str:
        """Read an upload as a pose; its name. FetalPoseError if it is none."""
        path, name = upload.settle()
        try:
            pose = self.session.import_pose(path)
        except FetalPoseError as error:
            raise FetalPoseError(in_their_words(str(error), upload)) from error
        pose.SetName(plain(name[: len(name) - len(suffix_of(name))]) or "Pose")
        self._take(pose)
        self.desk.centre(mrml.points_of(pose))
        text, absent = f"Read {name}.", pose.GetAttribute(mrml.ABSENT)
        if absent:
            text += f" Not in the file, and so not visible: {absent.replace(' ', ', ')}."
        self.say(text)
        return name

    async def _read(self, path, name: str):
        if self.session.running:
            raise FetalPoseError("A pose is being estimated. Wait for it, or cancel it first.")
        self._set("status", asdict(Status(f"Reading {name} ...", steps=1)))
        await asyncio.sleep(2 * TICK_S)  # the page says so first: reading keeps this thread busy
        try:
            return self.desk.add_volume(path)
        finally:
            self.say("")

    def _show(self, node, name: str) -> str:
        self._take(None)
        self.desk.show_volume(node, name)
        with self.state:
            self.state.volume = name
            self.state.geometry = self.session.geometry_warning(node)
        self.say(f"Read {name}.")
        self._stale = True
        return name

    # the pose

    def _take(self, pose) -> None:
        """Show and follow this pose, or none; the one before leaves the scene."""
        former = self.desk.pose
        if former is not None and former is not pose and self.desk.scene.IsNodePresent(former):
            self.desk.scene.RemoveNode(former)
        for tag in self._tags:
            self._watched.RemoveObserver(tag)
        self._watched, self._tags, self._doubts, self.selected = pose, [], [], None
        self.desk.pose = pose
        if pose is not None:
            self._tags = [
                pose.AddObserver(_Markups.PointModifiedEvent, self._on_points),
                pose.AddObserver(_Markups.PointRemovedEvent, self._on_points),
                pose.AddObserver(_Markups.PointStartInteractionEvent, self._on_grabbed),
            ]
        with self.state:
            self.state.pose = pose.GetName() if pose is not None else ""
            self.state.unsaved = False
        self._on_points()

    def _on_points(self, _node=None, _event=None) -> None:
        self._stale = True
        self._doubts_at = time.monotonic() + DOUBTS_S
        if self.desk.pose is not None:
            self._keep_at = time.monotonic() + KEEP_S

    @vtk.calldata_type(vtk.VTK_INT)
    def _on_grabbed(self, node, _event, index=-1) -> None:
        if index >= 0:
            self.selected = node.GetNthControlPointLabel(index)
            self._stale = True

    def choose(self, name: str) -> None:
        """Select a landmark by its name in the skeleton."""
        self.selected, self._stale = name, True

    def _on_pose_shown(self, shown: PoseShown) -> None:
        if shown.pose is not self.desk.pose:
            if self.desk.volume is not None:  # one pose a page: the scene need not number them
                shown.pose.SetName(f"{self.desk.volume.GetName()} pose")
            self._take(shown.pose)
        if shown.recentre:
            self.desk.centre(shown.points)
        self._stale = True

    def _on_ended(self, _result) -> None:
        self._set("question", "")
        self._on_points()

    def _on_question(self, question: Question) -> None:
        self._set("question", question.text)

    def _on_settings(self, settings) -> None:
        self.session.settings = settings
        if self.desk.pose is not None:
            self.session.show(self.desk.pose)
            self._on_points()

    # what the page shows

    def say(self, text: str, *, is_warning: bool = False) -> None:
        """Show a sentence in the status line."""
        self._set("status", asdict(Status(text, is_warning=is_warning)))

    def _set(self, name: str, value) -> None:
        with self.state:
            self.state[name] = value

    def _update_tables(self) -> None:
        self._stale, pose, state = False, self.desk.pose, self.state
        if pose is not None and not self.desk.scene.IsNodePresent(pose):
            self._take(None)
            pose = None
        state.lengths = [_row(row) for row in self.session.length_rows(pose, self._doubts)]
        state.landmarks = [_row(row) for row in self.session.landmark_rows(pose, self._doubts)]
        state.buttons = asdict(self.session.buttons(pose, self.desk.volume, self.selected))
        state.selected = self.selected or ""

    def _update_doubts(self) -> None:
        pose = self.desk.pose
        is_there = pose is not None and self.desk.scene.IsNodePresent(pose)
        self._doubts = self.session.doubts(pose) if is_there else []
        self.state.doubts = self.session.doubts_text(self._doubts)
        self._stale = True

    def _update_slices(self) -> None:
        values = {}
        for view in self.desk.slices:
            low, high = view.get_slice_range()
            step, value = view.get_slice_step(), view.get_slice_value()
            values[view.get_singleton_tag()] = [round(number, 3) for number in (low, high, step, value)]
        if values != self.state.slices:
            self.state.slices = values

    # what is kept

    def find_left_behind(self) -> None:
        """Offer the pose of a server that ended before it was exported."""
        left = self.folder.left_behind()
        self._left = left[0] if left else None
        self._set("left", {"volume": self._left.volume, "when": self._left.when} if self._left else None)

    def restore(self) -> None:
        """Show the pose that was left behind; it is now this server's to keep."""
        if self._left is not None:
            pose = self.session.import_pose(self._left.path)
            pose.SetName(f"{self._left.volume.split('.')[0] or 'Restored'} pose")
            self._take(pose)
            self.desk.centre(mrml.points_of(pose))
            self.session.export_pose(pose, self.folder.pose)
            self.folder.keep(self._left.volume)
            self.drop_left()
            self.say("The pose is back. Open its volume again to compare it.")

    def drop_left(self) -> None:
        """Delete what was left behind, and offer what else there is."""
        if self._left is not None:
            self.folder.drop(self._left)
            self.find_left_behind()

    def _keep(self) -> None:
        pose = self.desk.pose
        if pose is not None and self.desk.scene.IsNodePresent(pose):
            self.session.export_pose(pose, self.folder.pose)
            self.folder.keep(self.desk.volume_name or pose.GetName())

    async def export(self, what: str, folder):
        """Write what the person wants to download into a folder; its path."""
        path = await export(what, self.session, self.desk, folder)
        if what == "pose":
            self._keep_at = float("inf")
            self.folder.discard()
            self._set("unsaved", False)
        self.say(f"Sent {path.name} to your browser's downloads.")
        return path


def _row(row) -> dict:
    values = asdict(row)
    values["reasons"] = "\n".join(row.reasons)
    if "color" in values:
        values["color"] = "rgb({})".format(", ".join(str(round(255 * part)) for part in row.color))
    return values
