"""Where the fetus lies against the wall or the placenta: over part of its back, head, side, front or rump.

In all real first-trimester volumes that were looked at, the fetus touches or lies on something. A wall is a cup of
tissue that cuts the sac where it touches the fetus; the fetus is painted over it, so that it is pressed into the cup.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from FetalPoseLib.simulation.anatomy import skin_shapes
from FetalPoseLib.simulation.implicit import Canvas, Capsule
from FetalPoseLib.simulation.kinematics import Body

#: place: (the part of `Body` whose frame is meant, direction in it: right, anterior, cranial)
PLACES = {
    "back": ("thorax", (0, -1, 0)),
    "occiput": ("head", (0, -0.8, 0.6)),
    "crown": ("head", (0, 0, 1)),
    "rump": ("pelvis", (0, -0.5, -0.9)),
    "right": ("thorax", (1, 0, 0)),
    "left": ("thorax", (-1, 0, 0)),
    "front": ("thorax", (0, 1, 0)),
}
CHANCES = {"back": 0.36, "occiput": 0.14, "crown": 0.12, "rump": 0.08, "right": 0.1, "left": 0.1, "front": 0.1}


@dataclass(frozen=True)
class Touch:
    """One contact: at ``place``, tilted by ``tilt`` (3,), ``press`` (of half the trunk's width) deep, in a cup of
    radius ``cup`` (of the crown-rump length)."""

    place: str
    tilt: tuple[float, float, float]
    press: float
    cup: float

    @classmethod
    def random(cls, rng: np.random.Generator, place: str) -> Touch:
        """A contact of the body part ``place``, drawn."""
        return cls(place, tuple(rng.normal(0, 0.3, 3).tolist()), rng.uniform(0.08, 0.7), rng.uniform(0.6, 2.0))


@dataclass(frozen=True)
class Contact:
    """All contacts; none is a fetus that floats freely.

    room: fluid (mm) that the fetus keeps where it touches nothing. on_placenta: whether the first contact is with it.
    """

    touches: tuple[Touch, ...] = ()
    room: float = 3.0
    on_placenta: bool = False

    @classmethod
    def random(cls, rng: np.random.Generator) -> Contact:
        """Three of four fetuses touch something, half of these in more than one place."""
        count = int(rng.choice([0, 1, 2, 3], p=[0.25, 0.4, 0.25, 0.1]))
        places = rng.choice(list(CHANCES), size=count, replace=False, p=list(CHANCES.values()))
        touches = tuple(Touch.random(rng, str(place)) for place in places)
        return cls(touches, room=rng.uniform(0.5, 4.0), on_placenta=bool(touches and rng.random() < 0.5))

    @property
    def name(self) -> str:
        """The first contact's place, or "floating"."""
        return self.touches[0].place if self.touches else "floating"


@dataclass(frozen=True)
class Wall:
    """A cup of tissue: fluid lies where `distance` is negative. ``point`` (3,) mm is its lowest, ``normal`` outward."""

    point: np.ndarray
    normal: np.ndarray
    radius: float

    def distance(self, points: torch.Tensor) -> torch.Tensor:
        """Signed distance in mm of points (..., 3); negative on the side of the fluid."""
        offset = points - torch.as_tensor(self.point, dtype=torch.float32, device=points.device)
        along = offset @ torch.as_tensor(self.normal, dtype=torch.float32, device=points.device)
        across = offset.square().sum(dim=-1) - along.square()
        return along + self.radius - (self.radius**2 - across).clamp(min=0.0).sqrt()


def farthest_point(shape, direction: np.ndarray) -> np.ndarray:
    """The point (3,) of a shape's surface that lies farthest along a unit vector (3,)."""
    if isinstance(shape, Capsule):
        last = shape.radius if shape.end_radius is None else shape.end_radius
        ends = [shape.start + shape.radius * direction, shape.end + last * direction]
        return max(ends, key=lambda point: point @ direction)
    axes = shape.rotation * shape.radii
    reach = axes.T @ direction
    return shape.centre + axes @ reach / max(np.linalg.norm(reach), 1e-9)


def walls(body: Body, contact: Contact) -> list[Wall]:
    """The cups that touch a body, in world coordinates."""
    shapes = skin_shapes(body)
    head, trunk = shapes[:4], shapes[: -(len(body.bones) + 4)]  # bones, shoulders and buttocks come last
    found = []
    for touch in contact.touches:
        part, direction = PLACES[touch.place]
        normal = getattr(body, part) @ (np.array(direction, dtype=float) + touch.tilt)
        normal /= np.linalg.norm(normal)
        middle = body.landmarks[0] if part == "head" else body.landmarks[[2, 6, 7]].mean(axis=0)
        cup = Wall(middle, normal, touch.cup * body.biometry.crl)

        def depth(some, cup=cup, normal=normal) -> float:
            points = np.array([farthest_point(shape, normal) for shape in some])
            return float(cup.distance(torch.as_tensor(points, dtype=torch.float32)).max())

        press = touch.press * 0.5 * body.biometry.trunk_width
        # a limb may be pressed in deeper than the trunk, but does not vanish in the wall
        level = max(depth(head if part == "head" else trunk) - press, depth(shapes) - press - 0.08 * body.biometry.crl)
        found.append(Wall(middle + level * normal, normal, cup.radius))
    return found


def cut(distance: torch.Tensor, points: torch.Tensor, found: list[Wall], fillet: float = 3.0) -> torch.Tensor:
    """The distance field of a cavity, cut by walls with a fillet (mm)."""
    for wall in found:
        other = wall.distance(points)
        h = (fillet - (distance - other).abs()).clamp_min(0) / fillet
        distance = torch.maximum(distance, other) + 0.25 * fillet * h * h
    return distance


def touching(canvas: Canvas, skin: torch.Tensor, cavity: torch.Tensor) -> float:
    """Share of a body's skin that lies against tissue rather than fluid, from signed distances on a canvas."""
    surface = skin.abs() < 0.5 * canvas.spacing
    return float((cavity[surface] > -0.5).float().mean())
