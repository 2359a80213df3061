"""A subject in its mother, as the acoustic medium that the ultrasound sees."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.special import ndtri

from FetalPoseLib.simulation.absent import paint_phantom
from FetalPoseLib.simulation.anatomy import head_shapes, skin_shapes
from FetalPoseLib.simulation.carried import TissueMotion
from FetalPoseLib.simulation.contents import loops, paint_loops
from FetalPoseLib.simulation.cord import paint_cord
from FetalPoseLib.simulation.fetus import paint_fetus, paint_head_alone
from FetalPoseLib.simulation.implicit import Canvas, Ellipsoid
from FetalPoseLib.simulation.kinematics import Body
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.scenario import Scenario
from FetalPoseLib.simulation.uterus import carried_along, paint_mother, paint_uterus, roughen, smooth_noise

VERSION_1 = Scenario()
NO_CONTACT_ATTENUATION = 400.0  # dB/cm/MHz: nothing returns through air

SURROUNDINGS_SPACING = 1.0  # mm
FETUS_SPACING = 0.55  # mm: bones of 0.3 mm radius keep their echo, though not their exact edge


@dataclass(frozen=True)
class Medium:
    """``surroundings`` cover the whole sector; ``fetuses`` are finer, partly transparent canvases laid over them."""

    surroundings: Canvas
    fetuses: tuple[Canvas, ...]

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        """World RAS points (..., 3) mm -> (3, ...): backscatter amplitude, attenuation dB/cm/MHz, impedance MRayl."""
        found = self.surroundings.sample(points, edge=True)[1:]
        for canvas in self.fetuses:
            fetus = canvas.sample(points, edge=False)
            found = found * (1 - fetus[:1]) + fetus[1:]
        return found


class NoContact:
    """What a probe sees that has lost the skin: nothing."""

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        """As `Medium.sample`."""
        ground = torch.tensor((0.0, NO_CONTACT_ATTENUATION, 1.5), device=points.device)
        return ground.view(3, *[1] * (points.ndim - 1)).expand(3, *points.shape[:-1]).clone()


@dataclass(frozen=True)
class Stage:
    """What stays the same over a sequence, so that the same draws mean the same at every moment.

    still: the probe that the mother's canvas is laid out for. fetus_bounds: lower and upper corner (3,) mm of the
    fetus's canvas. carried: how the fetus's tissue moved since its texture was laid down, None at first.
    """

    still: Probe
    fetus_bounds: tuple[np.ndarray, np.ndarray]
    carried: TissueMotion | None = None


def _world_bounds(probe: Probe, margin: float) -> tuple[np.ndarray, np.ndarray]:
    corners = np.array(list(product(*zip(*probe.bounds(), strict=True))))
    world = corners @ probe.pose[:3, :3].T + probe.pose[:3, 3]
    return world.min(axis=0) - margin, world.max(axis=0) + margin


def _depth(canvas: Canvas, probe: Probe) -> torch.Tensor:
    """Range (nz, ny, nx) in mm of a canvas's nodes from the probe's face."""
    pose = np.linalg.inv(probe.pose)
    matrix = torch.as_tensor(pose[:3], dtype=torch.float32, device=canvas.device)
    x, y, z = (canvas.points() @ matrix[:, :3].T + matrix[:, 3]).unbind(-1)
    return probe.to_beam(x, y, z)[0]


def build_medium(
    body: Body,
    sac: Ellipsoid,
    probe: Probe,
    rng: np.random.Generator,
    scenario: Scenario = VERSION_1,
    *,
    twin: Body | None = None,
    stage: Stage | None = None,
    device="cpu",
) -> Medium:
    """Paint mother, uterus and fetus, all in world coordinates, for a probe that is already in its place.

    ``stage`` is that of the sequence to which this moment belongs, if it belongs to one.
    """
    looks, contact, contents = scenario.looks, scenario.contact, scenario.contents
    rough = {"decibel": looks.texture, "lengths": looks.texture_lengths}
    tissues = looks.tissues(rng)
    bounds = _world_bounds(probe if stage is None else stage.still, 2.0 if stage is None else 6.0)
    surroundings = Canvas(*bounds, SURROUNDINGS_SPACING, ground=tissues["maternal"], device=device)
    if scenario.kind == "phantom":
        paint_phantom(surroundings, sac.centre, tissues, rng)
        roughen(surroundings, rng, **rough)
        return Medium(surroundings, ())
    towards_probe = probe.pose[:3, 3] - sac.centre
    place = {"depth": _depth(surroundings, probe), "towards_probe": towards_probe / np.linalg.norm(towards_probe)}
    if scenario.kind == "no sac":
        paint_mother(surroundings, sac, tissues=tissues, rng=rng, **place)
        roughen(surroundings, rng, **rough)
        return Medium(surroundings, ())
    cord = paint_uterus(
        surroundings,
        body,
        sac,
        tissues=tissues,
        rng=rng,
        contact=contact,
        contents=contents,
        twin=twin,
        empty=scenario.kind != "fetus",
        near_wall=scenario.view.family != "endocavitary",
        **place,
    )
    roughen(surroundings, rng, **rough)
    if scenario.kind == "empty sac":
        return Medium(surroundings, ())
    if scenario.kind in ("late head", "head alone"):
        head = _canvas(head_shapes(body), device)
        paint_head_alone(head, body, tissues)
        roughen(head, rng, **rough)
        return Medium(surroundings, (head,))

    crl = body.biometry.crl
    fetus = _canvas(skin_shapes(body), device) if stage is None else Canvas(*stage.fetus_bounds, FETUS_SPACING)
    extra = loops(contents, body, rng)
    paint_loops(surroundings, extra, crl, tissues)
    paint_loops(fetus, extra, crl, tissues)
    paint_cord(fetus, cord, 0.028 * crl, tissues)
    gaps = None
    if looks.vault_gaps:
        gaps = smooth_noise(fetus, 0.12 * body.biometry.ofd + 1, rng) - float(ndtri(1 - looks.vault_gaps))
        gaps = carried_along(fetus, gaps, None if stage is None else stage.carried)
    paint_fetus(fetus, body, tissues, rng, skull_gaps=gaps)
    roughen(fetus, rng, **rough, carried=None if stage is None else stage.carried)
    if twin is None:
        return Medium(surroundings, (fetus,))
    other = _canvas(skin_shapes(twin), device)
    paint_fetus(other, twin, tissues, rng)
    roughen(other, rng, **rough)
    return Medium(surroundings, (other, fetus))


def _canvas(shapes, device) -> Canvas:
    """An empty, transparent canvas around shapes."""
    return Canvas(*bounds_of(shapes), FETUS_SPACING, device=device)


def bounds_of(shapes) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner (3,) mm of the canvas that shapes need."""
    bounds = [shape.bounds() for shape in shapes]
    return np.min([b[0] for b in bounds], axis=0) - 3, np.max([b[1] for b in bounds], axis=0) + 3
