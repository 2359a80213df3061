"""A subject in its mother, as the acoustic medium that the ultrasound sees."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from FetalPoseLib.simulation.anatomy import paint_cord, paint_fetus, skin_shapes
from FetalPoseLib.simulation.implicit import Canvas, Ellipsoid
from FetalPoseLib.simulation.kinematics import Body
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.tissue import draw_tissues
from FetalPoseLib.simulation.uterus import paint_uterus, roughen

SURROUNDINGS_SPACING = 1.0  # mm
FETUS_SPACING = 0.55  # mm: bones of 0.3 mm radius keep their echo, though not their exact edge


@dataclass(frozen=True)
class Medium:
    """``surroundings`` cover the whole sector; ``fetus`` is a finer, partly transparent canvas laid over them."""

    surroundings: Canvas
    fetus: Canvas

    def sample(self, points: torch.Tensor) -> torch.Tensor:
        """World RAS points (..., 3) mm -> (3, ...): backscatter amplitude, attenuation dB/cm/MHz, impedance MRayl."""
        fetus = self.fetus.sample(points, edge=False)
        return self.surroundings.sample(points, edge=True)[1:] * (1 - fetus[:1]) + fetus[1:]


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


def build_medium(body: Body, sac: Ellipsoid, probe: Probe, rng: np.random.Generator, *, device="cpu") -> Medium:
    """Paint mother, uterus and fetus, all in world coordinates, for a probe that is already in its place."""
    tissues = draw_tissues(rng)
    surroundings = Canvas(*_world_bounds(probe, 2.0), SURROUNDINGS_SPACING, ground=tissues["maternal"], device=device)
    towards_probe = probe.pose[:3, 3] - sac.centre
    cord = paint_uterus(
        surroundings,
        body,
        sac,
        depth=_depth(surroundings, probe),
        tissues=tissues,
        rng=rng,
        towards_probe=towards_probe / np.linalg.norm(towards_probe),
    )
    roughen(surroundings, rng)

    bounds = [shape.bounds() for shape in skin_shapes(body)]
    lower, upper = np.min([b[0] for b in bounds], axis=0) - 3, np.max([b[1] for b in bounds], axis=0) + 3
    fetus = Canvas(lower, upper, FETUS_SPACING, device=device)
    paint_cord(fetus, cord, 0.028 * body.biometry.crl, tissues)
    paint_fetus(fetus, body, tissues, rng)
    roughen(fetus, rng)
    return Medium(surroundings, fetus)
