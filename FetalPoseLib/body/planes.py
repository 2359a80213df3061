"""The standard planes of a fetus, from its pose: where to cut a volume to see what a guideline asks for.

A plane is known by its name; `KINDS` says what is measured in it, which landmarks it takes and after which source. It
carries its place, its axes as they should lie on the screen, and how far it reaches, so that whoever shows it need not
know anatomy. `FetalPoseLib.simulation.standard_planes` holds the true planes of simulated bodies, and
``fetalpose benchmark planes`` measures how far these are from them.

References
----------
ISUOG Practice Guidelines: performance of 11-14-week ultrasound scan. Ultrasound Obstet Gynecol 2023;61:127-143.
L. J. Salomon et al., ISUOG Practice Guidelines: ultrasound assessment of fetal biometry and growth. Ultrasound Obstet
Gynecol 2019;53:715-723: the planes of BPD, HC, AC and FL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from FetalPoseLib.body.parts import (
    PAIRS,
    DegenerateError,
    belly,
    column_mm,
    frame_of,
    half_trunk_mm,
    head,
    occipito_frontal_mm,
    thorax,
    to_the_right,
    unit,
    visible,
)
from FetalPoseLib.body.skeleton import Skeleton

ABOVE_T12 = 0.045  # of the column: the abdomen's plane above T12-L1, through the stomach and above the kidneys
BELLY_FORWARD = 0.66  # of half the trunk's width: the middle of the abdomen before the column
ORBITS_FORWARD = 0.70  # of half the OFD: the orbits before the middle of the head
ORBITS_DOWN = 0.36  # of half the OFD: the orbits below the middle of the head
RUMP_BELOW_SACRUM = 0.13  # of the column
SIDE_WEIGHT = 0.2  # of the directions from side to side against the midline's points, in the mid-sagittal plane
MARGIN = 1.25  # of a plane's extent over the anatomy in it
LEAST_BEND = np.sin(np.radians(12))  # of knee or elbow, from which the bone beyond it turns the plane of a long bone

Landmarks = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through the fetus, in RAS mm.

    Attributes
    ----------
    name : a key of `KINDS`
    origin : (3,), the middle of the picture
    axes : (3, 3), columns: to the right of the screen, up, and towards the viewer; right-handed, orthonormal
    extent_mm : width and height of a picture that holds what the plane is for
    sides : what lies at the left, right, upper and lower edge of the screen: "head", "feet", "front", "back", "left"
        and "right" of the fetus, "near" and "far" of a bone, or ""
    """

    name: str
    origin: np.ndarray
    axes: np.ndarray
    extent_mm: tuple[float, float]
    sides: tuple[str, str, str, str]

    @property
    def normal(self) -> np.ndarray:
        """Direction (3,) towards the viewer."""
        return self.axes[:, 2]

    @property
    def matrix(self) -> np.ndarray:
        """Matrix (4, 4) from plane coordinates (right, up, towards the viewer; mm from the origin) to RAS mm."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.axes, self.origin
        return matrix

    def to_plane(self, points) -> np.ndarray:
        """RAS points (..., 3) in plane coordinates; the third is the distance from the plane, towards the viewer."""
        return (np.asarray(points, dtype=np.float64) - self.origin) @ self.axes

    def moved(self, distance_mm: float) -> Plane:
        """The plane ``distance_mm`` nearer to the viewer."""
        return replace(self, origin=self.origin + distance_mm * self.normal)


@dataclass(frozen=True)
class PlaneLeftOut:
    """A standard plane that a pose does not give.

    Attributes
    ----------
    name : a key of `KINDS`
    missing : landmarks that are not visible; empty where they are visible, but coincide or lie on a line
    """

    name: str
    missing: tuple[str, ...]

    @property
    def reason(self) -> str:
        """As a sentence for the user."""
        what = self.name.replace("_", " ")
        if self.missing:
            return f"No {what} plane; not visible: {', '.join(self.missing)}. Place them."
        return f"No {what} plane: its landmarks coincide or lie on a line. Correct them."


@dataclass(frozen=True)
class Kind:
    """What a standard plane is for: ``measures`` taken in it, what it ``shows``, and the ``landmarks`` that it takes.

    Besides, ``sided`` planes take both shoulders or both hips.
    """

    measures: tuple[str, ...]
    shows: str
    landmarks: tuple[str, ...]
    make: Callable[[str, Landmarks, float], Plane]
    sided: bool = True


def standard_planes(
    points, *, head_turn_deg: float | None = None, skeleton: Skeleton | None = None
) -> tuple[Plane, ...]:
    """All standard planes that a pose (16, 3) in RAS mm gives, in the order of `KINDS`.

    ``head_turn_deg`` is what `measurement.head_turn` found in the volume. Without it the head is taken to look where
    the shoulders do, and the plane of the face errs by as much as it does not.

    `planes_left_out` tells those that it does not give, and why.

    Example
    -------
    >>> [plane.name for plane in standard_planes(estimate.points)][0]
    'mid_sagittal'
    """
    return tuple(made for made in _all(points, skeleton, head_turn_deg) if isinstance(made, Plane))


def planes_left_out(points, skeleton: Skeleton | None = None) -> tuple[PlaneLeftOut, ...]:
    """The standard planes that a pose (16, 3) in RAS mm does not give."""
    return tuple(made for made in _all(points, skeleton) if isinstance(made, PlaneLeftOut))


def _all(points, skeleton: Skeleton | None, turn_deg: float | None = None) -> list[Plane | PlaneLeftOut]:
    at = visible(points, skeleton)
    return [_made(name, kind, at, turn_deg or 0.0) for name, kind in KINDS.items()]


def _made(name: str, kind: Kind, at: Landmarks, turn_deg: float) -> Plane | PlaneLeftOut:
    missing = [landmark for landmark in kind.landmarks if landmark not in at]
    if kind.sided and not any(right in at and left in at for right, left in PAIRS):
        missing += [landmark for landmark in PAIRS[0] if landmark not in at]
    if missing:
        return PlaneLeftOut(name, tuple(missing))
    try:
        return kind.make(name, at, turn_deg)
    except DegenerateError:
        return PlaneLeftOut(name, ())


def _mid_sagittal(name: str, at: Landmarks, _turn_deg: float) -> Plane:
    """The plane nearest to the midline's points, and as square as can be to the lines from side to side."""
    midline = [at[landmark] for landmark in ("head", "neck", "spine", "sacrum")]
    pairs = [(at[right], at[left]) for right, left in PAIRS if right in at and left in at]
    midline += [(right + left) / 2 for right, left in pairs]
    centre = np.mean(midline, axis=0)
    scatter = sum(np.outer(point - centre, point - centre) for point in midline)
    across = sum(np.outer(right - left, right - left) for right, left in pairs)
    normal = np.linalg.eigh(scatter - SIDE_WEIGHT * across)[1][:, 0]
    normal = normal * np.sign(normal @ to_the_right(at))
    axes = frame_of(normal, at["sacrum"] - at["head"])  # to the right of the screen: the feet
    reach, depth = 0.5 * occipito_frontal_mm(at), half_trunk_mm(at)
    column = [at[landmark] for landmark in ("neck", "spine", "sacrum")]
    front, rump = axes[:, 1] * 2 * depth, axes[:, 0] * RUMP_BELOW_SACRUM * column_mm(at)
    held = [*column, *(point + front for point in column), at["sacrum"] + rump]
    held += [at["head"] + sign * reach * axis for axis in axes.T[:2] for sign in (1, -1)]
    return _around(name, np.array(held), centre, axes, ("head", "feet", "front", "back"))


def _head_transverse(name: str, at: Landmarks, turn_deg: float) -> Plane:
    right, anterior, cranial = head(at, turn_deg).T
    size = MARGIN * occipito_frontal_mm(at)
    axes = np.stack([-anterior, -right, -cranial], axis=1)
    return Plane(name, at["head"], axes, (size, size), ("front", "back", "left", "right"))


def _abdomen_transverse(name: str, at: Landmarks, _turn_deg: float) -> Plane:
    right, anterior, cranial = belly(at).T
    half = half_trunk_mm(at)
    origin = at["spine"] + ABOVE_T12 * column_mm(at) * cranial + BELLY_FORWARD * half * anterior
    axes, size = np.stack([-right, anterior, -cranial], axis=1), MARGIN * 2.2 * half
    return Plane(name, origin, axes, (size, size), ("right", "left", "front", "back"))


def _face_coronal(name: str, at: Landmarks, turn_deg: float) -> Plane:
    right, anterior, cranial = head(at, turn_deg).T
    diameter = occipito_frontal_mm(at)
    origin = at["head"] + 0.5 * diameter * (ORBITS_FORWARD * anterior - ORBITS_DOWN * cranial)
    axes = np.stack([-right, cranial, anterior], axis=1)
    return Plane(name, origin, axes, (MARGIN * diameter,) * 2, ("right", "left", "head", "feet"))


def _long_bone(name: str, at: Landmarks, _turn_deg: float) -> Plane:
    """Through both joints of the bone, turned about it so that the bone beyond the far joint hangs down."""
    near, far, beyond = (at.get(landmark) for landmark in _CHAIN[name])
    assert near is not None and far is not None  # `Kind.landmarks` asks for them
    along = unit(far - near)
    down = np.zeros(3)
    if beyond is not None and np.linalg.norm(beyond - far) > 0:
        down = unit(beyond - far)
        down = down - along * (down @ along)
    if np.linalg.norm(down) < LEAST_BEND:  # a straight limb: seen from the fetus's side
        down = _posterior(at)
    axes = np.roll(frame_of(along, -down), 1, axis=1)  # along the bone, up, towards the viewer
    length = float(np.linalg.norm(far - near))
    return Plane(name, (near + far) / 2, axes, (MARGIN * 1.6 * length,) * 2, ("near", "far", "", ""))


def _posterior(at: Landmarks) -> np.ndarray:
    """The back's direction, or any where the trunk does not give it."""
    try:
        return -thorax(at)[:, 1]
    except (KeyError, DegenerateError):
        raise DegenerateError("A straight limb without its trunk has no front.") from None


def _around(name: str, held: np.ndarray, origin: np.ndarray, axes: np.ndarray, sides) -> Plane:
    """A plane through ``origin`` whose picture holds the points (N, 3)."""
    local = (held - origin) @ axes[:, :2]
    lower, upper = local.min(axis=0), local.max(axis=0)
    width, height = MARGIN * (upper - lower)
    return Plane(name, origin + axes[:, :2] @ ((lower + upper) / 2), axes, (float(width), float(height)), sides)


_CHAIN = {
    f"{side}_{bone}": tuple(f"{side}_{joint}" for joint in joints)
    for side in ("right", "left")
    for bone, joints in (("femur", ("hip", "knee", "ankle")), ("humerus", ("shoulder", "elbow", "wrist")))
}
_TRUNK = ("neck", "spine", "sacrum")

#: All standard planes by name.
KINDS: dict[str, Kind] = {
    "mid_sagittal": Kind(
        ("CRL", "NT"),
        "the fetus from crown to rump in profile",
        ("head", *_TRUNK),
        _mid_sagittal,
    ),
    "head_transverse": Kind(
        ("BPD", "HC"),
        "the cranium at its largest, the midline echo across the screen",
        ("head", "neck", "spine"),
        _head_transverse,
    ),
    "abdomen_transverse": Kind(
        ("AC",),
        "a round abdomen with the stomach, above the kidneys",
        _TRUNK,
        _abdomen_transverse,
    ),
    "face_coronal": Kind(
        (),
        "both orbits and the jaws from the front",
        ("head", "neck", "spine"),
        _face_coronal,
    ),
    **{
        name: Kind(
            ("FL",) if name.endswith("femur") else ("HL",),
            f"the {name.replace('_', ' ')} in its full length",
            chain[:2],
            _long_bone,
            sided=False,
        )
        for name, chain in _CHAIN.items()
    },
}
