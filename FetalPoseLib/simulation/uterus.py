"""What surrounds the fetus: amniotic fluid, amnion, yolk sac, placenta, myometrium and the mother up to the probe.

The gestational sac is an ellipsoid that follows the fetus where it presses against the wall, with a slightly uneven
surface. Placental thickness at 10 to 14 weeks is about 10 to 20 mm (one millimetre a week is the usual rule); the
amnion has not yet fused with the chorion, which makes a second thin line inside the sac; the yolk sac lies between
them.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from FetalPoseLib.simulation.anatomy import cranium
from FetalPoseLib.simulation.collision import limb_radius
from FetalPoseLib.simulation.contact import Contact, cut, walls
from FetalPoseLib.simulation.contents import Contents, paint_fluid, paint_wall
from FetalPoseLib.simulation.cord import cord_path, paint_cord
from FetalPoseLib.simulation.implicit import Canvas, Capsule, Ellipsoid, Shell, smooth_union
from FetalPoseLib.simulation.kinematics import Body, random_orientation

FLOATING, USUAL = Contact(), Contents()


def smooth_noise(canvas: Canvas, scale: float, rng: np.random.Generator) -> torch.Tensor:
    """A standard normal random field (nz, ny, nx) that varies over ``scale`` mm."""
    coarse = np.maximum(np.ceil(canvas.shape[::-1] * canvas.spacing / scale).astype(int) + 1, 2)
    values = torch.from_numpy(rng.standard_normal((1, 1, *coarse)).astype(np.float32)).to(canvas.device)
    size = tuple(int(n) for n in canvas.shape[::-1])
    field = torch.nn.functional.interpolate(values, size=size, mode="trilinear", align_corners=True)[0, 0]
    return field / field.std().clamp_min(1e-6)


def carried_along(canvas: Canvas, field: torch.Tensor, carried) -> torch.Tensor:
    """A field (nz, ny, nx) of a canvas that moved with the tissue; ``carried`` is its `TissueMotion`, None for none."""
    if carried is None:
        return field
    laid = Canvas(canvas.lower, canvas.lower + (canvas.shape - 1) * canvas.spacing, canvas.spacing)
    laid.fields[1] = field
    points = canvas.points()
    return laid.sample(points + carried.shift(points), edge=True)[1]


def roughen(
    canvas: Canvas, rng: np.random.Generator, *, decibel: float = 2.0, lengths=(2.0, 9.0), carried=None
) -> None:
    """Vary the backscatter over two ``lengths`` (mm), as no tissue is even.

    ``carried`` is the `TissueMotion` since the texture was laid down, if the tissue moved.
    """
    fine, coarse = lengths
    field = 0.6 * smooth_noise(canvas, fine, rng) + 0.8 * smooth_noise(canvas, coarse, rng)
    field = carried_along(canvas, field, carried)
    canvas.fields[1] *= torch.exp(field * (decibel * np.log(10) / 20))


def sac_shape(body: Body, rng: np.random.Generator, size: float = 1.0) -> Ellipsoid:
    """The sac without the fetus's imprint: mean diameter (mm) some 0.6 CRL plus 34, its long way with the fetus."""
    lower, upper = body.landmarks.min(axis=0), body.landmarks.max(axis=0)
    centre = 0.35 * (lower + upper) + 0.3 * body.landmarks[0] + rng.normal(0, 2.5, 3)
    radius = 0.5 * (0.6 * body.biometry.crl + 34) * rng.uniform(0.9, 1.15)
    stretch = np.array([rng.uniform(1.05, 1.35), rng.uniform(0.85, 1.1), rng.uniform(0.8, 1.0)])
    axes = np.linalg.svd(body.landmarks - body.landmarks.mean(axis=0))[2].T
    axes *= np.sign(np.linalg.det(axes))
    turn = Rotation.from_rotvec(rng.normal(0, 0.3, 3)).as_matrix()
    return Ellipsoid(centre, turn @ axes, size * radius * stretch)


def cavity_field(
    canvas: Canvas, body: Body, sac: Ellipsoid, contact: Contact, rng, twin: Body | None = None
) -> torch.Tensor:
    """Signed distance (nz, ny, nx) to the sac's wall; the fetus keeps fluid about it but where it touches something.

    A ``twin`` has a sac of its own, which is joined to the first.
    """
    # so smooth a field is worked out on every third node and interpolated, at a tenth of the cost
    upper = canvas.lower + (canvas.shape - 1) * canvas.spacing
    coarse = Canvas(canvas.lower, upper, 3 * canvas.spacing, device=canvas.device)
    points = coarse.points()
    distance = sac.distance(points)
    for shape in _imprint(body, contact.room):
        distance = smooth_union(distance, shape.distance(points), 8.0)
    if twin is not None:
        for shape in [sac_shape(twin, rng, 0.7), *_imprint(twin, 2.0)]:
            distance = smooth_union(distance, shape.distance(points), 8.0)
    coarse.fields[0] = cut(distance, points, walls(body, contact))
    return coarse.sample(canvas.points(), edge=True)[0] + 0.8 * smooth_noise(canvas, 14.0, rng)


def _imprint(body: Body, room: float) -> list:
    """A body with ``room`` mm about it."""
    skull, half = cranium(body), 0.5 * body.biometry.trunk_width
    column = [p + r[:, 1] * 0.66 * half for p, r in body.vertebrae[0:20:6]]
    shapes = [Ellipsoid(skull.centre, skull.rotation, skull.radii + room + 1)]
    shapes += [Capsule(a, b, half + room) for a, b in zip(column[:-1], column[1:], strict=True)]
    shapes += [
        Capsule(bone.start, bone.end, limb_radius(body.biometry, name.split("_", 1)[1]) + room)
        for name, bone in body.bones.items()
    ]
    return shapes


def _paint_abdominal_wall(canvas: Canvas, depth: torch.Tensor, tissues, rng) -> None:
    """Fat, fascia, muscle and fascia again, at ranges (mm) from the probe's face."""
    fat = rng.uniform(6, 22)
    muscle = fat + rng.uniform(4, 9)
    canvas.paint_distance(depth - muscle - 0.5, tissues["fascia"])
    canvas.paint_distance(depth - muscle + 0.5, tissues["muscle"])
    canvas.paint_distance(depth - fat - 0.5, tissues["fascia"])
    canvas.paint_distance(depth - fat + 0.5, tissues["fat"])
    for _ in range(rng.integers(1, 4)):
        layer = rng.uniform(3, fat)
        canvas.paint_distance((depth - layer).abs() - 0.4, tissues["fascia"])


def _paint_neighbours(canvas: Canvas, sac: Ellipsoid, towards_probe: np.ndarray, tissues, rng) -> None:
    """A maternal bladder between probe and uterus in two of five mothers; bowel around the uterus."""
    reach = float(sac.radii.max()) + 12
    for _ in range(rng.integers(3, 9)):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        size = rng.uniform(4, 14, 3)
        tissue = tissues[("bowel", "fascia", "fat", "muscle")[rng.integers(4)]]
        centre = sac.centre + direction * (reach + rng.uniform(5, 30))
        canvas.paint(Ellipsoid(centre, random_orientation(rng), size), tissue)
    if rng.random() < 0.4:
        aside = np.cross(towards_probe, rng.normal(size=3))
        centre = sac.centre + (reach + 4) * towards_probe + aside / np.linalg.norm(aside) * rng.uniform(8, 25)
        canvas.paint(Ellipsoid(centre, random_orientation(rng), rng.uniform(8, 20, 3)), tissues["fluid"])


def paint_mother(
    canvas: Canvas, sac: Ellipsoid, *, depth: torch.Tensor, towards_probe: np.ndarray, tissues, rng: np.random.Generator
) -> None:
    """A mother without a gestational sac: abdominal wall, bladder, bowel, and a few cysts or follicles."""
    _paint_neighbours(canvas, sac, towards_probe, tissues, rng)
    _paint_abdominal_wall(canvas, depth, tissues, rng)
    for _ in range(rng.integers(0, 6)):
        centre = sac.centre + rng.normal(0, 0.7, 3) * sac.radii.mean()
        tissue = tissues[("fluid", "blood", "bowel", "myometrium", "fat")[rng.integers(5)]]
        canvas.paint(Ellipsoid(centre, random_orientation(rng), rng.uniform(2, 18, 3)), tissue)


def paint_uterus(
    canvas: Canvas,
    body: Body,
    sac: Ellipsoid,
    *,
    depth: torch.Tensor,
    towards_probe: np.ndarray,
    tissues,
    rng: np.random.Generator,
    contact: Contact = FLOATING,
    contents: Contents = USUAL,
    twin: Body | None = None,
    empty: bool = False,
    near_wall: bool = True,
) -> np.ndarray:
    """Paint everything but the fetus on a canvas that is filled with maternal tissue.

    Parameters
    ----------
    depth : (nz, ny, nx) mm, range of the canvas's nodes from the probe's face.
    towards_probe : (3,) unit vector from the sac to the probe.
    twin : a second fetus, which has a sac of its own.
    empty : whether there is no fetus, so that the sac has no imprint and no cord.
    near_wall : whether an abdominal wall lies under the probe.

    Returns
    -------
    (n, 3) mm, the path of the umbilical cord from the belly to the placenta, already painted here.
    """
    _paint_neighbours(canvas, sac, towards_probe, tissues, rng)
    if near_wall:
        _paint_abdominal_wall(canvas, depth, tissues, rng)
    paint_wall(canvas, contents, sac, tissues, rng)
    cavity = sac.distance(canvas.points()) if empty else cavity_field(canvas, body, sac, contact, rng, twin)

    site = rng.normal(size=3)
    if contact.on_placenta:
        site = walls(body, contact)[0].normal + 0.25 * site
    site /= np.linalg.norm(site)
    offset = canvas.points() - torch.as_tensor(sac.centre, dtype=torch.float32, device=canvas.device)
    axis = torch.as_tensor(site, dtype=torch.float32, device=canvas.device)
    cosine = (offset @ axis) / offset.norm(dim=-1).clamp_min(1e-6)
    edge = np.cos(np.radians(rng.uniform(45, 75)))
    thickness = rng.uniform(0.8, 1.4) * body.biometry.weeks * ((cosine - edge) / 0.25).clamp(0, 1)
    canvas.paint_distance(cavity - thickness - rng.uniform(7, 14), tissues["myometrium"])
    canvas.paint_distance(cavity - thickness - 0.6, tissues["fascia"])  # decidua, a bright rim
    canvas.paint_distance(cavity - thickness, tissues["placenta"])
    canvas.paint_distance(cavity, tissues["membrane"])  # chorion
    canvas.paint_distance(cavity + 0.6, tissues["fluid"])
    paint_fluid(canvas, contents, sac, cavity, tissues, rng)
    if not contents.amnion and rng.random() < 0.6:
        canvas.paint_distance((cavity + rng.uniform(1.0, 5.0)).abs() - 0.15, tissues["membrane"])  # amnion
    if body.biometry.weeks < 12.5 and rng.random() < 0.6:
        radius = rng.uniform(1.8, 2.8)
        aside = rng.normal(size=3)
        aside /= np.linalg.norm(aside)
        yolk = Ellipsoid(sac.centre + 0.9 * sac.radii.min() * aside, np.eye(3), np.full(3, radius))
        canvas.paint(Shell(yolk, 0.5), tissues["membrane"])

    if empty:
        return np.empty((0, 3))
    path = cord_path(body, sac.centre + site * (sac.radii.min() + 1.0), rng)
    paint_cord(canvas, path, 0.028 * body.biometry.crl, tissues)
    return path
