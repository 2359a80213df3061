"""The umbilical cord: its path from the belly to the placenta, and what it looks like."""

from __future__ import annotations

from math import comb

import numpy as np

from FetalPoseLib.simulation.anatomy import cord_insertion
from FetalPoseLib.simulation.implicit import Canvas, Capsule
from FetalPoseLib.simulation.kinematics import Body


def cord_path(body: Body, placenta: np.ndarray, rng: np.random.Generator, count: int = 36) -> np.ndarray:
    """A slack Bezier curve (count, 3) mm from the cord's insertion in the belly to ``placenta`` (3,)."""
    start, outward = cord_insertion(body)
    slack = 0.45 * body.biometry.crl
    control = np.stack(
        [
            start - 0.6 * outward,
            start + 0.5 * slack * outward,
            start + slack * (outward + 0.8 * rng.normal(size=3)),
            0.5 * (start + placenta) + 0.4 * slack * rng.normal(size=3),
            placenta,
        ]
    )
    t = np.linspace(0, 1, count)[:, None]
    return sum(comb(4, k) * t**k * (1 - t) ** (4 - k) * point for k, point in enumerate(control))


def paint_cord(canvas: Canvas, path: np.ndarray, radius: float, tissues) -> None:
    """The cord along a path (n, 3): Wharton's jelly around a vein, with two arteries winding about it."""
    for a, c in zip(path[:-1], path[1:], strict=True):
        canvas.paint(Capsule(a, c, radius), tissues["cord"])
    side = np.cross(np.gradient(path, axis=0), [0.577, 0.577, 0.577])
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    other = np.cross(np.gradient(path, axis=0), side)
    other /= np.linalg.norm(other, axis=1, keepdims=True) + 1e-9
    turn = np.linspace(0, 6 * np.pi, len(path))[:, None]
    for phase, size in ((0.0, 0.42), (2.4, 0.26), (3.9, 0.26)):
        vessel = path + 0.5 * radius * (np.cos(turn + phase) * side + np.sin(turn + phase) * other)
        for a, c in zip(vessel[:-1], vessel[1:], strict=True):
            canvas.paint(Capsule(a, c, size * radius), tissues["blood"])
