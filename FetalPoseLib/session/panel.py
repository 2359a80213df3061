"""What a panel shows, as plain data: the rows of its tables, the buttons that can be clicked, its status line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from FetalPoseLib import scene
from FetalPoseLib.body import plausibility
from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.body.measurements import segment_lengths
from FetalPoseLib.body.plausibility import Doubt
from FetalPoseLib.body.skeleton import load_skeleton
from FetalPoseLib.reading.doubts import SENTENCES
from FetalPoseLib.session.corrections import is_marked_not_visible
from FetalPoseLib.worker.protocol import ProgressEvent

Translate = Callable[[str], str]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class LengthRow:
    """A segment in the table of lengths."""

    name: str  #: as in the skeleton
    label: str  #: for people
    color: Point  #: red, green, blue in 0..1
    text: str  #: the length in mm; "-" where an end is not visible; "" without a pose
    mark: str = ""  #: the first reason to check the length, with a warning sign, or ""
    reasons: tuple[str, ...] = ()  #: all of them
    middle: Point | None = None  #: RAS mm, where a click on the row goes
    interval: str = ""  #: in 90 % of cases the true length in mm lies within, "11.0 to 13.6"; "" where not known


@dataclass(frozen=True)
class LandmarkRow:
    """A landmark in the table of landmarks."""

    name: str  #: as in the skeleton
    label: str  #: for people
    description: str  #: where on the body it is
    text: str  #: confidence and, if known, radius: "0.71, 1.9 mm"; or what a person did; "" where nothing is known
    mark: str = ""  #: the first reason to check the landmark, with a warning sign, or ""
    reasons: tuple[str, ...] = ()  #: all of them
    position: Point | None = None  #: RAS mm, where a click on the row goes


@dataclass(frozen=True)
class Buttons:
    """Which buttons can be clicked."""

    estimate: bool = False
    cancel: bool = False
    undo: bool = False
    redo: bool = False
    swap: bool = False  #: arms, legs and the whole body
    reset: bool = False
    not_visible: bool = False
    not_visible_checked: bool = False  #: the selected landmark is marked as not visible
    refine: bool = False
    export: bool = False  #: pose and table
    add_to_library: bool = False
    import_pose: bool = False
    estimate_tip: str = ""  #: what *Estimate Pose* does, or why it cannot be clicked


@dataclass(frozen=True)
class Status:
    """The status line and the progress bar."""

    text: str = ""
    is_warning: bool = False  #: something that a person should not overlook
    step: int = 0  #: done, of ``steps``
    steps: int = 0  #: 0 where nothing is under way: no progress bar


def length_rows(pose, doubts: Sequence[Doubt] = ()) -> tuple[LengthRow, ...]:
    """The 15 rows of the table of lengths; ``pose`` may be None."""
    skeleton, points = load_skeleton(), _points(pose)
    unknown = np.full((len(skeleton.segments), 2), np.nan)
    intervals = scene.length_intervals_of(pose) if pose is not None else unknown
    rows = []
    for i, (segment, length) in enumerate(zip(skeleton.segments, segment_lengths(points, skeleton), strict=True)):
        text = f"{length:.1f}" if np.isfinite(length) else "" if pose is None else "-"
        reasons = tuple(doubt.reason for doubt in doubts if i in doubt.segments)
        middle = _position(points[[segment.start, segment.end]].mean(axis=0))
        color = (float(segment.color[0]), float(segment.color[1]), float(segment.color[2]))
        within = "{:.1f} to {:.1f}".format(*intervals[i]) if np.isfinite(intervals[i]).all() else ""
        rows.append(LengthRow(segment.name, words(segment.name), color, text, _mark(reasons), reasons, middle, within))
    return tuple(rows)


def landmark_rows(pose, doubts: Sequence[Doubt] = (), *, translate: Translate = str) -> tuple[LandmarkRow, ...]:
    """The 16 rows of the table of landmarks; ``pose`` may be None."""
    skeleton, points = load_skeleton(), _points(pose)
    placed = scene.placed_landmarks(pose) if pose is not None else ()
    confidence = scene.confidence_of(pose) if pose is not None else np.full(len(skeleton), np.nan)
    radius = scene.radius_of(pose) if pose is not None else np.full(len(skeleton), np.nan)
    rows = []
    for i, (name, description) in enumerate(zip(skeleton.landmarks, skeleton.descriptions, strict=True)):
        position = _position(points[i])
        text = f"{confidence[i]:.2f}" if np.isfinite(confidence[i]) else ""
        text += f", {radius[i]:.1f} mm" if text and np.isfinite(radius[i]) else ""
        if name in placed:
            text = translate("placed by you") if position is not None else translate("marked not visible")
        elif pose is not None and position is None:
            text = translate("not visible")
        reasons = tuple(doubt.reason for doubt in doubts if i in doubt.landmarks)
        rows.append(LandmarkRow(name, words(name), description, text, _mark(reasons), reasons, position))
    return tuple(rows)


def doubts_text(doubts: Sequence[Doubt], *, translate: Translate = str) -> str:
    """All doubts in a few lines, "" where there are none: the landmarks that the model is unsure of share one line."""
    lines = [doubt.reason for doubt in doubts if doubt.exchange or doubt.segments]
    unsure = [doubt for doubt in doubts if not doubt.exchange and not doubt.segments]
    if unsure:
        names = ", ".join(words(load_skeleton().landmarks[doubt.landmarks[0]]) for doubt in unsure)
        lines.append(translate("The model is unsure of: {names}.").format(names=names))
    return "\n".join(lines)


def buttons(
    pose, volume, selected: str | None, *, running: bool, can_undo: bool, can_redo: bool, translate: Translate = str
) -> Buttons:
    """Which buttons can be clicked.

    Parameters
    ----------
    pose, volume : the nodes that are chosen, or None
    selected : name of the landmark that is selected, or None
    running : whether a run is under way
    can_undo, can_redo : whether the pose's history has a step
    """
    idle = pose is not None and not running
    tip = "Find the 16 landmarks in the volume and refine them against the pose library."
    return Buttons(
        estimate=not running and volume is not None,
        cancel=running,
        undo=idle and can_undo,
        redo=idle and can_redo,
        swap=idle,
        reset=idle and selected is not None,
        not_visible=idle and selected is not None,
        not_visible_checked=pose is not None and selected is not None and is_marked_not_visible(pose, selected),
        refine=idle and volume is not None and bool(scene.placed_landmarks(pose)),
        export=idle,
        add_to_library=idle,
        import_pose=not running,
        estimate_tip=translate(tip) if volume is not None else translate("Choose a volume first."),
    )


def progress_status(event: ProgressEvent, *, translate: Translate = str) -> Status:
    """What a run's progress says."""
    progress, text = event.progress, event.progress.message
    if progress.stage == "refine":
        text = translate("Refinement {iteration} of {iterations}").format(
            iteration=progress.iteration, iterations=progress.iterations
        )
    if event.seconds_left is not None:
        text += translate(", about {seconds:.0f} s left").format(seconds=event.seconds_left)
    done = {"open": 0, "locate": 1, "search": 1, "detect": 2, "refine": 2 + progress.iteration}
    steps = 2 + progress.iterations
    return Status(text, step=min(done.get(progress.stage, 0), steps), steps=steps)


def question_before_showing(step: Progress | Estimate, *, translate: Translate = str) -> str:
    """What a person decides before a pose is shown: whether a fetus is there, or of an age that the model knows; or
    "".
    """
    if not step.holds_fetus and step.confidence is not None:
        text = translate(
            "This volume may hold no fetus, or the fetus was not found: the mean confidence of its landmarks is only "
            "{mean:.2f}. Check the volume's spacing and that the whole fetus is in it. Show the pose all the same?"
        )
        return text.format(mean=float(np.mean(step.confidence)))
    crl_mm = plausibility.crown_rump_length(step.points)
    if np.isfinite(crl_mm) and not plausibility.crown_rump_length_is_known(crl_mm):
        low, high = plausibility.CRL_RANGE
        text = translate(
            "The crown-rump length seems to be {crl:.0f} mm. The model knows fetuses of {low:.0f} to {high:.0f} mm, "
            "which is 10 to 14 weeks; for others its answer cannot be trusted. Check the volume's spacing, too. "
            "Show the pose all the same?"
        )
        return text.format(crl=crl_mm, low=low, high=high)
    return ""


def geometry_warning(volume, *, translate: Translate = str, instance_file: scene.InstanceFile | None = None) -> str:
    """What the file of a volume does not confirm, one line each, or "".

    These are the doubts that the command line prints. A volume of which no file is known, and one whose voxels measure
    exactly 1 mm, have a line of their own unless a doubt has said it.
    """
    doubts = scene.doubts_of(volume, instance_file)
    codes = {doubt.code for doubt in doubts}
    lines = [translate(SENTENCES[doubt.code]).format(value=doubt.value) for doubt in doubts]
    spacing = ", ".join(f"{value:.3g}" for value in volume.GetSpacing())
    if not scene.is_confirmed(volume, instance_file) and not codes & {"sides", "orientation"}:
        lines.append(
            translate(
                "Nothing confirms this volume's geometry: it was computed, or read by an importer such as that of GE "
                ".vol files. Compare the spacing ({spacing} mm) with a distance that you know; if the fetus's left and "
                "right are exchanged, tick 'Volume is mirrored'."
            ).format(spacing=spacing)
        )
    elif tuple(volume.GetSpacing()) == (1.0, 1.0, 1.0) and not codes & {"unit", "spacing"}:
        lines.append(
            translate(
                "The volume says that its voxels measure exactly 1 mm on each side, as importers do that do not know "
                "it. All lengths depend on it: check it in the module Volumes."
            )
        )
    return "\n".join(lines)


def words(name: str) -> str:
    """A name of the skeleton for people: "left upper arm"."""
    return name.replace("_", " ")


def _points(pose) -> np.ndarray:
    return scene.points_of(pose) if pose is not None else np.full((len(load_skeleton()), 3), np.nan)


def _position(point: np.ndarray) -> Point | None:
    return (float(point[0]), float(point[1]), float(point[2])) if np.isfinite(point).all() else None


def _mark(reasons: tuple[str, ...]) -> str:
    return "⚠ " + reasons[0] if reasons else ""
