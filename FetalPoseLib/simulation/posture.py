"""The posture of a fetus before it is drawn joint by joint: curled or extended, and what its limbs do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Spine, by name: (lower limit, upper limit, mean, SD) in degrees for the joints that differ from the habit. Embryos of
#: 9 to 10 weeks lie curled in a C with the chin on the chest; from 11 weeks on the neck extends.
SPINES = {
    "habit": {},
    "curled": {
        "lumbar_flexion": (10, 65, 36, 10), "thoracic_flexion": (20, 65, 42, 10), "cervical_flexion": (15, 70, 45, 12),
    },
    "extended": {
        "lumbar_flexion": (-20, 15, -2, 8), "thoracic_flexion": (-10, 20, 4, 7), "cervical_flexion": (-45, 10, -15, 14),
    },
}  # fmt: skip
#: Arms and legs likewise.
ARMS = {
    "habit": {},
    "face": {
        "shoulder_flexion": (50, 150, 95, 20), "shoulder_abduction": (-5, 60, 18, 14),
        "shoulder_rotation": (10, 80, 48, 16), "elbow_flexion": (80, 145, 122, 14),
    },
    "chest": {
        "shoulder_flexion": (10, 80, 42, 14), "shoulder_abduction": (-5, 50, 14, 10),
        "shoulder_rotation": (20, 80, 60, 12), "elbow_flexion": (70, 140, 105, 16),
    },
}  # fmt: skip
LEGS = {
    "habit": {},
    "crossed": {
        "hip_flexion": (30, 125, 80, 18), "hip_abduction": (-12, 30, 6, 10), "hip_rotation": (-35, 10, -16, 10),
        "knee_flexion": (50, 140, 95, 18),
    },
    "buttocks": {
        "hip_flexion": (60, 130, 104, 14), "hip_abduction": (-5, 50, 18, 12), "knee_flexion": (115, 145, 135, 7),
    },
    "straight": {
        "hip_flexion": (-5, 110, 50, 30), "knee_flexion": (5, 45, 18, 10),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Posture:
    """What the joints' angles are drawn from.

    spine, right_arm, left_arm, right_leg, left_leg: keys of `SPINES`, `ARMS` and `LEGS`.
    free_limb: chance that a limb is drawn evenly over its joints' limits instead.
    asymmetry: standard deviation of a limb bone's length relative to the other side's.
    exact_head: whether hands and feet keep out of the head's own surface, not only out of a capsule in it.
    """

    spine: str = "habit"
    right_arm: str = "habit"
    left_arm: str = "habit"
    right_leg: str = "habit"
    left_leg: str = "habit"
    free_limb: float = 0.25
    asymmetry: float = 0.0
    exact_head: bool = False

    @classmethod
    def random(cls, rng: np.random.Generator, weeks: float) -> Posture:
        """A posture of version 2 at ``weeks`` of gestation."""
        curled = float(np.interp(weeks, [9.0, 10.5, 12.0, 14.0], [0.8, 0.5, 0.3, 0.2]))
        spine = str(rng.choice(["curled", "habit", "extended"], p=[curled, 0.8 * (1 - curled), 0.2 * (1 - curled)]))
        arms = [str(rng.choice(["habit", "face", "chest"], p=[0.4, 0.4, 0.2])) for _ in range(2)]
        if rng.random() < 0.5:
            arms[1] = arms[0]
        legs = [str(rng.choice(list(LEGS), p=[0.35, 0.25, 0.25, 0.15])) for _ in range(2)]
        if rng.random() < 0.6:
            legs[1] = legs[0]
        return cls(spine, *arms, *legs, free_limb=0.15, asymmetry=0.02, exact_head=True)

    def limits(self, limits: dict, part: str) -> dict:
        """``limits`` with what this posture changes for ``part``: "spine", "right_arm", "left_leg" and so on."""
        table = SPINES if part == "spine" else ARMS if part.endswith("arm") else LEGS
        return {**limits, **table[getattr(self, part)]}
