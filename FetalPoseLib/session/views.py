"""The standard planes of a pose in the slice views: which can be chosen, and what a click shows.

All of it is plain data and calls on slice nodes, so that 3D Slicer and a page in a browser do the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.plane_views import ViewCut, three_cuts, title_of
from FetalPoseLib.body.planes import KINDS, Plane, planes_left_out, standard_planes
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.measurement.head_turn import head_turn_deg

SAME_MM = 1e-3  # from a plane: the view is in it
MOST_MM = 30.0  # from a plane, by steps along its normal
ALIGNED = ("mid_sagittal", "abdomen_transverse", "head_transverse")  # shown after an estimate: the first that there is
CAMERA_AWAY, LEAST_AWAY_MM = 2.2, 60.0  # of the camera from the middle: of the pose's extent, and at least
HEAD_PLANES = ("head_transverse", "face_coronal")  # which turn with the head

Translate = Callable[[str], str]


@dataclass(frozen=True)
class PlaneRow:
    """A standard plane in the list of those that can be shown."""

    name: str  #: a key of `body.planes.KINDS`
    label: str  #: for people, short
    tip: str  #: what it shows and is for, or why this pose does not give it
    available: bool  #: whether a click shows it


@dataclass(frozen=True)
class CameraPlace:
    """Where a 3D camera is; all (3,) in RAS mm, the last without unit."""

    position: tuple[float, ...]
    looks_at: tuple[float, ...]
    up: tuple[float, ...]


def camera_from_right(points) -> CameraPlace | None:
    """The camera looks at a pose (16, 3) in RAS mm from the fetus's right, its head up; None without its trunk."""
    plane = _plane(points, "mid_sagittal", None)
    if plane is None:
        return None
    seen = points[np.isfinite(points).all(axis=1)]
    lower, upper = seen.min(axis=0), seen.max(axis=0)
    middle, extent = (lower + upper) / 2, float(np.linalg.norm(upper - lower))
    position = middle + plane.normal * max(CAMERA_AWAY * extent, LEAST_AWAY_MM)
    return CameraPlace(*(tuple(map(float, value)) for value in (position, middle, -plane.axes[:, 0])))


def plane_rows(points, *, translate: Translate = str) -> tuple[PlaneRow, ...]:
    """A row for each standard plane; ``points`` (16, 3) in RAS mm, or None without a pose."""
    given = np.full((16, 3), np.nan) if points is None else points
    left_out = {plane.name: plane.reason for plane in planes_left_out(given)}
    rows = []
    for name, kind in KINDS.items():
        measures = f" ({', '.join(kind.measures)})" if kind.measures else ""
        tip = f"{translate(title_of(name))}: {translate(kind.shows)}{measures}"
        if points is None:
            tip = translate("Estimate or choose a pose first.")
        elif name in left_out:
            tip = translate(left_out[name])
        short = title_of(name.removesuffix("_transverse").removesuffix("_coronal"))
        rows.append(PlaneRow(name, translate(short), tip, points is not None and name not in left_out))
    return tuple(rows)


def head_turn(volume, points) -> float | None:
    """How far the head of a pose is turned, as its volume node shows; None where that is not seen.

    The head then is taken to look where the shoulders do. ``volume`` may be None.
    """
    try:
        return None if volume is None else head_turn_deg(mrml.volume_from_node(volume), points)
    except FetalPoseError:  # the volume was changed since
        return None


class PlaneViews:
    """The slice views of a scene, turned to one standard plane at a time.

    Attributes
    ----------
    shown : tuple of ViewCut
        What the views were turned to last; empty while they are along the patient's axes.
    name : str
        Of the plane in the first view, a key of `KINDS`; "" while there is none.

    Example
    -------
    >>> views = PlaneViews(scene)
    >>> views.show(points, "mid_sagittal")
    >>> views.step_to(-2.0)
    >>> views.back()
    """

    def __init__(self, scene):
        self.scene = scene
        self.shown: tuple[ViewCut, ...] = ()
        self.name = ""
        self._whole = False

    @property
    def distance_mm(self) -> float | None:
        """How far the first view is from its plane, towards the viewer; None where it shows none any more."""
        return mrml.distance_shown(self.scene, self.shown[0]) if self.shown else None

    def show(self, points, name: str, *, head_turn_deg: float | None = None, whole: bool = False) -> bool:
        """Turn the views to a plane of a pose (16, 3) in RAS mm; False, and nothing turned, if it does not give it.

        ``whole``: the pictures hold all landmarks, and not only what the plane is for.
        """
        plane = _plane(points, name, head_turn_deg)
        if plane is None:
            return False
        self._whole = whole
        self.shown, self.name = three_cuts(plane, points if whole else None), name
        mrml.turn_views(self.scene, self.shown)
        return True

    def align(self, points) -> bool:
        """Turn the views to the fetus after an estimate: mid-sagittal, transverse, coronal; False if it is not seen."""
        return any(self.show(points, name, whole=True) for name in ALIGNED)

    def follow(self, points) -> None:
        """Turn the views again to the plane that they show, of a pose whose points have changed.

        Does nothing where a person has turned or moved them meanwhile.
        """
        if self.distance_mm is not None and abs(self.distance_mm) < SAME_MM:
            self.show(points, self.name, whole=self._whole)

    def step_to(self, distance_mm: float) -> None:
        """Move the first view to this distance from its plane, at most `MOST_MM`, towards the viewer."""
        if self.shown:
            mrml.move_view(self.scene, self.shown[0], float(np.clip(distance_mm, -MOST_MM, MOST_MM)))

    def back(self) -> None:
        """Turn the views back to the patient's axes."""
        mrml.turn_back(self.scene)
        self.shown, self.name = (), ""


def _plane(points, name: str, head_turn_deg: float | None) -> Plane | None:
    planes = standard_planes(points, head_turn_deg=head_turn_deg)
    return next((plane for plane in planes if plane.name == name), None)
