"""What is scanned where there is no fetus of the first trimester: a late head, or a phantom's rods and arcs.

A late head that is shrunk to the size of an early one is a head alone: its centre is visible, and nothing else.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from FetalPoseLib.simulation.implicit import Canvas, Capsule, Ellipsoid
from FetalPoseLib.simulation.kinematics import Body, random_orientation

LATE_BPD = (38.0, 60.0)  # mm: 17 to 25 weeks
EARLY_BPD = (14.0, 28.0)  # mm: what a head alone is shrunk to


def late_body(body: Body, rng: np.random.Generator) -> Body:
    """The body with a head of 17 to 25 weeks amidst the field; its landmarks are where they would be in proportion."""
    bpd = rng.uniform(*LATE_BPD)
    biometry = replace(body.biometry, bpd=bpd, ofd=bpd * rng.uniform(1.2, 1.35), crl=150.0)
    scale = biometry.ofd / body.biometry.ofd
    landmarks = body.landmarks.mean(axis=0) + scale * (body.landmarks - body.landmarks[0])
    return replace(body, biometry=biometry, landmarks=landmarks)


def paint_phantom(canvas: Canvas, centre: np.ndarray, tissues, rng: np.random.Generator) -> None:
    """Tissue-mimicking ground or water, with rods through it or a row of bony arcs like vertebrae."""
    ground = tissues[("fluid", "soft", "maternal", "brain")[rng.integers(4)]]
    canvas.fields[1:] = torch.tensor(ground, device=canvas.device)[:, None, None, None]
    axes = random_orientation(rng).T
    if rng.random() < 0.5:
        for _ in range(rng.integers(3, 12)):
            place = centre + rng.uniform(-30, 30, 3)
            along = 60 * axes[rng.integers(2)]
            canvas.paint(Capsule(place - along, place + along, rng.uniform(0.3, 1.5)), tissues["bone"])
        return
    count, pitch = int(rng.integers(3, 7)), rng.uniform(6, 14)
    for k in range(count):
        place = centre + (k - count / 2) * pitch * axes[0]
        canvas.paint(Ellipsoid(place, axes.T, pitch * rng.uniform(0.25, 0.5, 3)), tissues["bone"])
        for sign in (1, -1):
            tip = place + pitch * (sign * 0.9 * axes[1] + 0.5 * axes[2])
            canvas.paint(Capsule(place, tip, 0.12 * pitch), tissues["bone"])
