"""What the tests of the simulator share: body parts, distance fields and the subjects that they look at."""

import numpy as np
import torch

from FetalPoseLib.simulation.biometry import VERTEBRAE, draw_biometry
from FetalPoseLib.simulation.fingerprint import FROZEN
from FetalPoseLib.simulation.kinematics import LIMITS
from FetalPoseLib.simulation.splits import SPLITS

RIGHT, ANTERIOR, CRANIAL = 0, 1, 2
FLUID, LIVER, HEART, CARTILAGE, BONE = 1.52, 1.65, 1.66, 1.70, 3.20  # MRayl: impedance tells tissues apart
BONY = 2.2  # MRayl: a third of a voxel and more is bone
T12, C7 = VERTEBRAE["lumbar"], VERTEBRAE["lumbar"] + VERTEBRAE["thoracic"]

NEUTRAL_SPINE = {
    f"{part}_{angle}": LIMITS[f"{part}_{angle}"][2] for part in VERTEBRAE for angle in ("flexion", "bend", "twist")
}
#: Limbs stretched away from the trunk, so that nothing but the trunk is where the trunk is measured.
SPREAD_LIMBS = {
    "shoulder_flexion": 0,
    "shoulder_abduction": 95,
    "shoulder_rotation": 0,
    "elbow_flexion": 10,
    "hip_flexion": 20,
    "hip_abduction": 55,
    "hip_rotation": 0,
    "knee_flexion": 10,
}
VERSION_1 = {name: count for name, count in FROZEN.items() if SPLITS[name].version == 1}
FINGERPRINTED = (
    *(("train", 99), ("validation", 0), ("test", 0), ("test", 51), ("shifted", 23)),
    *(("test2", 51), ("shifted2", 23), ("validation2-standard", 0), ("absent2", 99)),
)


def _tensor(points):
    return torch.as_tensor(np.asarray(points), dtype=torch.float32)


def _layer(medium, layer, points):
    return medium.sample(_tensor(points))[layer].numpy()


def average_body(weeks):
    return draw_biometry(np.random.default_rng(3), weeks=weeks, size_z=0.0)


def sphere(count):
    """Unit vectors (count, 3) spread evenly (Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z**2) * np.cos(turn), np.sqrt(1 - z**2) * np.sin(turn), z], axis=1)


def part_of(name):
    return name.split("_", 1)[1]


def along(bone, first=0.0, count=21):
    return bone.start + (bone.end - bone.start) * np.linspace(first, 1, count)[:, None]
