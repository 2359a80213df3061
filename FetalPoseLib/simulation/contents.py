"""What else a sac and its wall hold: an amnion of its own, loops of cord, a clot, fibroids, a second fetus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.simulation.cord import paint_cord
from FetalPoseLib.simulation.implicit import Canvas, Ellipsoid, Shell
from FetalPoseLib.simulation.kinematics import Body, random_orientation


@dataclass(frozen=True)
class Contents:
    """What is drawn besides the fetus.

    amnion: radius of the amnion, an arc around the fetus, relative to the sac's; 0 for one along the sac's wall, or
        none.
    cord_loops: free loops of cord beside the body. clot: whether blood lies in the fluid along the wall.
    fibroids: in the wall. twin: whether a second fetus lies at the edge of the field or beyond.
    sac: the sac's size relative to the usual.
    """

    amnion: float = 0.0
    cord_loops: int = 0
    clot: bool = False
    fibroids: int = 0
    twin: bool = False
    sac: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> Contents:
        """What a subject has besides the fetus, drawn."""
        return cls(
            amnion=float(rng.choice([0.0, rng.uniform(0.6, 0.98)], p=[0.4, 0.6])),
            cord_loops=int(rng.choice([0, 1, 2, 3], p=[0.5, 0.25, 0.15, 0.1])),
            clot=bool(rng.random() < 0.12),
            fibroids=int(rng.choice([0, 1, 2, 3], p=[0.7, 0.15, 0.1, 0.05])),
            twin=bool(rng.random() < 0.06),
            sac=rng.uniform(0.78, 1.12),
        )


def paint_wall(canvas: Canvas, contents: Contents, sac: Ellipsoid, tissues, rng: np.random.Generator) -> None:
    """Fibroids: dark, whorled balls with a bright rim, in the wall and beyond."""
    for _ in range(contents.fibroids):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        size = rng.uniform(4, 16)
        centre = sac.centre + direction * (sac.radii.mean() + size + rng.uniform(0, 8))
        ball = Ellipsoid(centre, random_orientation(rng), size * rng.uniform(0.8, 1.2, 3))
        canvas.paint(ball, tissues[("myometrium", "brain", "muscle", "cartilage")[rng.integers(4)]])
        canvas.paint(Shell(ball, rng.uniform(0.6, 1.2)), tissues["fascia"])


def paint_fluid(canvas: Canvas, contents: Contents, sac: Ellipsoid, cavity, tissues, rng) -> None:
    """What lies in the fluid: amnion and clot; ``cavity`` (nz, ny, nx) is the signed distance to the sac's wall."""
    if contents.amnion:
        aside = 0.06 * sac.radii.mean() * rng.normal(size=3)
        radii = contents.amnion * sac.radii * rng.uniform(0.92, 1.08, 3)
        amnion = Shell(Ellipsoid(sac.centre + aside, sac.rotation, radii), rng.uniform(0.1, 0.4))
        canvas.paint(amnion, tissues["membrane"], within=cavity)
    if contents.clot:
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        size = sac.radii.mean() * rng.uniform(0.2, 0.5, 3)
        clot = Ellipsoid(sac.centre + sac.radii.mean() * direction, random_orientation(rng), size)
        canvas.paint(clot, tissues[("blood", "bowel", "cord", "brain")[rng.integers(4)]], within=cavity)


def loops(contents: Contents, body: Body, rng: np.random.Generator) -> list[np.ndarray]:
    """Closed-looking paths (n, 3) mm of cord beside limbs, trunk and neck."""
    found, crl = [], body.biometry.crl
    for _ in range(contents.cord_loops):
        near = body.landmarks[rng.integers(len(body.landmarks))]
        direction = rng.normal(size=3)
        centre = near + direction / np.linalg.norm(direction) * rng.uniform(0.12, 0.3) * crl
        u, v, w = random_orientation(rng).T
        angle = np.linspace(0, rng.uniform(1.0, 2.2) * np.pi, 30)[:, None]
        radius = rng.uniform(0.07, 0.2) * crl
        found.append(centre + radius * (np.cos(angle) * u + np.sin(angle) * v) + 0.03 * crl * angle * w)
    return found


def paint_loops(canvas: Canvas, found: list[np.ndarray], crl: float, tissues) -> None:
    """Paint loops of the cord along the paths (count, 3) mm of `loops`."""
    for path in found:
        paint_cord(canvas, path, 0.028 * crl, tissues)
