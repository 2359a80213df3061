"""Probe families of version 2 and how they are held: the field that is stored, and what of the fetus lies in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from FetalPoseLib.simulation import NATIVE_SPACING_MM
from FetalPoseLib.simulation.field import in_sector
from FetalPoseLib.simulation.implicit import Ellipsoid
from FetalPoseLib.simulation.kinematics import Body
from FetalPoseLib.simulation.probe import Probe

FAMILIES = ("convex", "endocavitary", "matrix")
#: How many of the 16 landmarks an examiner had in the field: the fewest and the most.
CUTS = {"none": (16, 16), "limbs": (11, 15), "much": (4, 10)}
FIELDS = (56.0, 130.0)  # mm: the smallest and largest edge of a stored volume


@dataclass(frozen=True)
class View:
    """What is stored.

    family: of the probe. cut: a key of `CUTS`. field: edge (mm) of the stored box; fill: if given, the edge relative to
    the fetus's extent instead. gap: tissue (mm) between the probe's face and the field. voxel: (3,) mm as stored.
    """

    family: str = "convex"
    cut: str = "none"
    field: float = 110.0
    fill: float | None = None
    gap: float = 20.0
    voxel: tuple[float, float, float] = (NATIVE_SPACING_MM,) * 3

    @classmethod
    def random(cls, rng: np.random.Generator) -> View:
        """A view of version 2."""
        family = str(rng.choice(FAMILIES, p=[0.45, 0.35, 0.2]))
        voxel = np.exp(rng.uniform(np.log(0.19), np.log(1.0)))
        uneven = np.exp(rng.uniform(-0.5, 0.5, 3)) if rng.random() < 0.3 else np.ones(3)
        return cls(
            family=family,
            cut=str(rng.choice(list(CUTS), p=[0.55, 0.33, 0.12])),
            field=rng.uniform(*FIELDS),
            fill=rng.uniform(0.95, 1.6) if rng.random() < 0.65 else None,
            gap=rng.uniform(3, 14) if family == "endocavitary" else rng.uniform(6, 45),
            voxel=tuple(np.clip(voxel * uneven, 0.19, 1.0).round(3).tolist()),
        )


def draw_probe(family: str, rng: np.random.Generator) -> Probe:
    """A probe of a family with wide and narrow beams; depths and box are set when it is held (`hold`)."""
    common = {
        "fractional_bandwidth": np.exp(rng.uniform(np.log(0.16), np.log(0.7))),
        "axial_sampling": rng.uniform(0.28, 0.42),
        "lateral_f_number": rng.uniform(1.6, 3.2),
        "lines_per_width": 1.5,
    }
    if family == "convex":
        return Probe(
            curvature=rng.uniform(38, 60), pivot=rng.uniform(28, 42), lateral_view=rng.uniform(45, 75),
            sweep=rng.uniform(40, 75), frequency=rng.uniform(2.8, 5.5), lateral_aperture=rng.uniform(15, 26),
            lateral_focus=rng.uniform(40, 95), elevational_aperture=rng.uniform(10, 15),
            elevational_focus=rng.uniform(40, 90), **common,
        )  # fmt: skip
    if family == "endocavitary":
        return Probe(
            curvature=rng.uniform(9.5, 13), pivot=rng.uniform(8.5, 12), lateral_view=rng.uniform(90, 140),
            sweep=rng.uniform(70, 110), frequency=rng.uniform(4.5, 7.0), lateral_aperture=rng.uniform(9, 13),
            lateral_focus=rng.uniform(25, 60), elevational_aperture=rng.uniform(5, 8),
            elevational_focus=rng.uniform(25, 55), **common,
        )  # fmt: skip
    curvature = rng.uniform(35, 60)
    return Probe(
        curvature=curvature, pivot=curvature, lateral_view=rng.uniform(50, 85), sweep=rng.uniform(50, 85),
        frequency=rng.uniform(3.0, 6.0), lateral_aperture=rng.uniform(12, 22), lateral_focus=rng.uniform(40, 80),
        elevational_aperture=rng.uniform(10, 20), elevational_focus=rng.uniform(40, 80), steered=True, **common,
    )  # fmt: skip


def hold(probe: Probe, view: View, body: Body, sac: Ellipsoid, turn: np.ndarray, rng: np.random.Generator) -> Probe:
    """The probe outside the uterus with a stored box that shows as many landmarks as ``view.cut`` says.

    Parameters
    ----------
    turn : (3, 3) rotation, the probe's axes in the world.
    """
    local = body.landmarks @ turn
    extent = np.ptp(local, axis=0) + 0.35 * body.biometry.ofd
    middle = turn @ (0.5 * (local.min(axis=0) + local.max(axis=0)))
    edge = float(np.clip(view.field if view.fill is None else view.fill * extent.max(), *FIELDS))
    fewest, most = CUTS[view.cut]
    along = np.linalg.norm((sac.rotation * sac.radii).T @ turn[:, 2])  # the sac's reach towards the probe
    best, fault = None, np.inf
    for attempt in range(40):
        box = np.clip(edge * rng.uniform(0.85, 1.1, 3), 45, FIELDS[1])
        scatter = {"none": 0.06, "limbs": 0.16, "much": 0.35}[view.cut] * (1 + 0.03 * attempt)
        centre = middle + turn @ (extent * rng.normal(0, scatter, 3))
        start = max(view.gap, along + 4 - (sac.centre - centre) @ turn[:, 2] - box[2] / 2)
        pose = np.eye(4)
        pose[:3, :3] = turn
        pose[:3, 3] = centre - turn @ [0, 0, start + box[2] / 2]
        held = replace(probe, start_depth=start, depth=start + box[2], box=tuple(box), pose=pose)
        inside = int(in_sector(held, body.landmarks, margin=1.0 if view.cut == "none" else 0.0).sum())
        wrong = max(fewest - inside, inside - most, 0)
        if wrong < fault:
            best, fault = held, wrong
        if wrong == 0:
            break
        if view.cut == "none":
            edge = min(1.03 * edge, FIELDS[1])
            probe = replace(probe, lateral_view=min(1.02 * probe.lateral_view, 140), sweep=min(1.02 * probe.sweep, 110))
    return best
