"""Whether a limb passes through trunk, head or another limb: capsules, and the exact surface of the head."""

from __future__ import annotations

import numpy as np

from FetalPoseLib.simulation.biometry import VERTEBRAE, Biometry


def limb_radius(body: Biometry, part: str) -> float:
    """Radius (mm) of the flesh around a limb's part, in proportion to CRL."""
    share = {"thigh": 0.050, "shank": 0.036, "foot": 0.026, "upper_arm": 0.038, "forearm": 0.031, "hand": 0.026}[part]
    return body.build.limb_thickness * body.crl * share


def segment_distance(a0, a1, b0, b1) -> float:
    """Smallest distance (mm) between two line segments (Ericson, Real-Time Collision Detection, section 5.1.9)."""
    u, v, w = a1 - a0, b1 - b0, a0 - b0
    a, b, c, d, e = u @ u, u @ v, v @ v, u @ w, v @ w
    det = a * c - b * b
    s = np.clip((b * e - c * d) / det, 0, 1) if det > 1e-9 else 0.0
    t = np.clip((b * s + e) / c, 0, 1) if c > 1e-9 else 0.0
    s = np.clip((b * t - d) / a, 0, 1) if a > 1e-9 else 0.0
    return float(np.linalg.norm(w + s * u - t * v))


def obstacles(body: Biometry, vertebrae, head_centre, head) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Capsules (start, end, radius) of trunk and head that limbs must not enter."""
    depth = 0.5 * body.trunk_width
    ventral = [p + r[:, 1] * 0.75 * depth for p, r in vertebrae]
    lumbar, thoracic = VERTEBRAE["lumbar"], VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"]
    face = head_centre + head[:, 1] * 0.3 * body.ofd - head[:, 2] * 0.12 * body.ofd
    back = head_centre - head[:, 1] * 0.12 * body.ofd
    return [
        (ventral[1], ventral[lumbar], 0.88 * depth),
        (ventral[lumbar], ventral[thoracic - 3], 0.88 * depth),
        (back, face, 0.42 * body.bpd),
    ]


def head_ellipsoids(body: Biometry, head_centre: np.ndarray, head: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Centre (3,) and radii (3,) mm, along the columns of ``head``, of the skull with its skin and of the face."""
    build, flesh, half = body.build, 0.03 * body.ofd, 0.5 * body.ofd
    skull = np.array([0.5 * body.bpd, half, 0.45 * body.ofd]) * [build.head_width, 1, build.head_height] + flesh
    face = half * build.face * np.array([0.50, 0.50, 0.55])
    return [(head_centre, skull), (head_centre + head @ (half * np.array([0, 0.52, -0.52])), face)]


def enters_head(limb: dict, body: Biometry, head_centre, head) -> bool:
    """Whether a hand or foot with its fingers, or the bone before it, reaches into the surface of the head."""
    for name, bone in list(limb.items())[1:]:
        radius = limb_radius(body, name.split("_", 1)[1])
        reach = 1.0 if not name.endswith(("hand", "foot")) else 1.05
        along = bone.start + np.linspace(0, reach, 7)[:, None] * (bone.end - bone.start)
        wide = 1.5 * radius * bone.rotation[:, 0] if name.endswith("hand") else 0 * radius * bone.rotation[:, 0]
        points = np.concatenate([along - wide, along, along + wide])
        for centre, radii in head_ellipsoids(body, head_centre, head):
            if (np.linalg.norm((points - centre) @ head / (radii + 0.7 * radius), axis=1) < 1).any():
                return True
    return False


def clear(limb: dict, obstacles, body: Biometry) -> bool:
    """Whether the limb's parts beyond its first joint keep out of every obstacle."""
    for index, (name, bone) in enumerate(limb.items()):
        radius = limb_radius(body, name.split("_", 1)[1])
        start = bone.start if index else bone.start + 0.75 * (bone.end - bone.start)
        for a, b, other in obstacles:
            if segment_distance(start, bone.end, a, b) < 0.9 * (radius + other):
                return False
    return True
