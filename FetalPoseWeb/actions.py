"""What the page's buttons and keys do. Each is a trigger of its name, which the page calls."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable

from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.errors import FetalPoseError
from FetalPoseWeb.front import Front

LIMBS = {"arms": "left_arm", "legs": "left_leg", "body": None}


class Actions:
    """Connects each trigger with what it does to what is shown at that moment.

    Parameters
    ----------
    front : Front
    """

    def __init__(self, front: Front):
        self.front, self.session, self.desk = front, front.session, front.desk
        for name, action in (
            ("sample", front.open_sample),
            ("estimate", self.estimate),
            ("cancel", self.session.cancel),
            ("answer", self.answer),
            ("undo", lambda: self.session.undo(self.pose())),
            ("redo", lambda: self.session.redo(self.pose())),
            ("swap", self.swap),
            ("reset", lambda: self.session.reset_landmark(self.pose(), self.landmark())),
            ("not_visible", self.toggle_visible),
            ("refine", self.refine),
            ("add_to_library", self.add_to_library),
            ("select", self.select),
            ("step", self.step),
            ("go", self.go_to_segment),
            ("slice", self.slice),
            ("reset_views", self.desk.reset_views),
            ("restore", front.restore),
            ("drop_left", front.drop_left),
            ("let_go", front.let_go),
        ):
            front.server.controller.trigger(name)(self._safe(action))

    def _safe(self, action: Callable) -> Callable:
        """Do it; what a person can mend becomes a message, what we got wrong goes to the log, too."""

        async def act(*args) -> None:
            front = self.front
            try:
                with front.state:
                    result = action(*args)
                if inspect.isawaitable(result):
                    await result
            except FetalPoseError as error:
                front.say(str(error), is_warning=True)
            except Exception:
                logging.exception("FetalPose")
                front.say("FetalPose failed. The details are in the server's log.", is_warning=True)
            front.tick()

        return act

    def pose(self):
        """The pose that is shown; FetalPoseError if there is none."""
        if self.desk.pose is None:
            raise FetalPoseError("There is no pose yet. Click Estimate Pose, or import one.")
        return self.desk.pose

    def landmark(self) -> str:
        """The name of the landmark to act on; FetalPoseError if none is selected."""
        if self.front.selected is None:
            raise FetalPoseError("Select a landmark in the table first.")
        return self.front.selected

    # estimating

    def estimate(self) -> None:
        """Find the pose in the volume."""
        if self.desk.volume is None:
            raise FetalPoseError("Choose a volume first.")
        self.session.estimate(self.desk.volume, self.desk.pose)

    def refine(self) -> None:
        """Keep what the person placed, and refine the rest."""
        volume = self.session.volume_of(self.pose()) or self.desk.volume
        if volume is None:
            raise FetalPoseError("Choose the volume that the pose belongs to first.")
        self.session.estimate(volume, self.desk.pose, refine=True)

    def answer(self, yes: bool) -> None:
        """The person's answer to the open question."""
        self.front.state.question = ""
        self.session.answer(bool(yes))

    # correcting

    def swap(self, what: str) -> None:
        """Exchange left and right of the arms, the legs or the whole body."""
        if what in LIMBS:
            self.session.swap_sides(self.pose(), LIMBS[what])

    def toggle_visible(self) -> None:
        """Mark the selected landmark as not visible, or bring it back."""
        buttons = self.session.buttons(self.pose(), self.desk.volume, self.landmark())
        self.session.set_visible(self.pose(), self.landmark(), buttons.not_visible_checked)

    def add_to_library(self) -> None:
        """Put the pose into the person's own library."""
        count = self.session.add_to_library(self.pose())
        self.front.say(f"Your library now holds {count} poses.")

    # looking

    def select(self, name: str) -> None:
        """Select a landmark, and move the slices there."""
        rows = {row.name: row for row in self.session.landmark_rows(self.desk.pose)}
        if name in rows:
            self.front.choose(name)
            if rows[name].position is not None:
                self.desk.jump_to(rows[name].position)

    def step(self, by: int) -> None:
        """Select the next landmark (1) or the one before (-1)."""
        landmarks = load_skeleton().landmarks
        now = landmarks.index(self.front.selected) if self.front.selected in landmarks else (-1 if by > 0 else 0)
        self.select(landmarks[(now + (1 if by > 0 else -1)) % len(landmarks)])

    def go_to_segment(self, name: str) -> None:
        """Move the slices to the middle of a segment."""
        middle = next((row.middle for row in self.session.length_rows(self.desk.pose) if row.name == name), None)
        if middle is not None:
            self.desk.jump_to(middle)

    def slice(self, name: str, value: float) -> None:
        """Move a slice view to an offset in mm."""
        view = next((view for view in self.desk.slices if view.get_singleton_tag() == name), None)
        if view is not None:
            view.set_slice_value(float(value))
