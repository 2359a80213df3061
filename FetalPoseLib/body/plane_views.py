"""Three cuts at right angles for the three slice views: a standard plane, and the two that cross it in its middle.

The crossing cuts of a plane of the trunk or head lie on the screen as in textbooks: a sagittal cut with the head at the
left and the front up, seen from the fetus's right; a transverse cut with the front up, seen from the feet; a coronal
cut with the head up, seen from the front. Those of a long bone follow the bone: along it from above, and across it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.body.planes import Plane

HELD = 1.1  # of the extent of the points that a picture holds
SHOWN_MM = 10.0  # least width of a view: the picture of a short bone is not blown up further

_BODY = {"right": (0, 1), "left": (0, -1), "front": (1, 1), "back": (1, -1), "head": (2, 1), "feet": (2, -1)}


@dataclass(frozen=True, eq=False)
class ViewCut:
    """What one slice view shows.

    Attributes
    ----------
    title : for people, such as "Mid sagittal"
    matrix : (4, 4) from the view (right, up, towards the viewer; mm from the middle of the picture) to RAS mm
    extent_mm : width and height that must be seen
    """

    title: str
    matrix: np.ndarray
    extent_mm: tuple[float, float]

    def moved(self, distance_mm: float) -> ViewCut:
        """The cut ``distance_mm`` nearer to the viewer."""
        matrix = self.matrix.copy()
        matrix[:3, 3] += distance_mm * matrix[:3, 2]
        return ViewCut(self.title, matrix, self.extent_mm)


def title_of(plane: Plane | str) -> str:
    """A plane's name for people: "Mid sagittal"."""
    name = plane if isinstance(plane, str) else plane.name
    return name.replace("_", " ").capitalize()


def three_cuts(plane: Plane, held=None) -> tuple[ViewCut, ViewCut, ViewCut]:
    """The plane, and the two that cross it at right angles in the middle of its picture, all at one scale.

    Each picture is as large as that of the plane and, if ``held`` is given, holds these RAS points (N, 3), too.

    Example
    -------
    >>> [cut.title for cut in three_cuts(plane)]
    ['Mid sagittal', 'Fetal transverse', 'Fetal coronal']
    """
    side = max(*plane.extent_mm, SHOWN_MM)
    if held is not None:
        side = max(side, HELD * 2 * float(np.nanmax(np.abs(plane.to_plane(held)))))
    body = _body(plane)
    crossing = _along_bone(plane) if body is None else _anatomical(plane, body)
    cuts = [(title_of(plane), plane.axes), *crossing]
    made = [ViewCut(title, _matrix(axes, plane.origin), (side, side)) for title, axes in cuts]
    return made[0], made[1], made[2]


def _body(plane: Plane) -> np.ndarray | None:
    """Columns right, front and head of the fetus, from what lies at the plane's edges; None for a bone's plane."""
    found: dict[int, np.ndarray] = {}
    right, up = plane.axes[:, 0], plane.axes[:, 1]
    for side, axis in zip(plane.sides, (-right, right, up, -up), strict=True):
        if side in _BODY:
            which, sign = _BODY[side]
            found[which] = sign * axis
    if len(found) != 2:
        return None
    (missing,) = {0, 1, 2} - set(found)
    found[missing] = np.cross(found[(missing + 1) % 3], found[(missing + 2) % 3])
    return np.stack([found[i] for i in range(3)], axis=1)


def _anatomical(plane: Plane, body: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The two of the sagittal, transverse and coronal cut that the plane itself is not."""
    right, front, head = body.T
    cuts = {  # not the names of orientations that a view has already
        "Fetal sagittal": np.stack([-head, front, right], axis=1),
        "Fetal transverse": np.stack([-right, front, -head], axis=1),
        "Fetal coronal": np.stack([-right, head, front], axis=1),
    }
    return [(title, axes) for title, axes in cuts.items() if abs(axes[:, 2] @ plane.normal) < 0.5]


def _along_bone(plane: Plane) -> list[tuple[str, np.ndarray]]:
    right, up, viewer = plane.axes.T
    title = title_of(plane)
    return [
        (f"{title} from above", np.stack([right, -viewer, up], axis=1)),
        (f"{title} across", np.stack([-viewer, up, right], axis=1)),
    ]


def _matrix(axes: np.ndarray, origin: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, origin
    return matrix
