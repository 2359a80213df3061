"""How a body is built beyond its size: factors on the proportions that charts and anatomy give."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Build:
    """Factors on a body's proportions; 1 is the anatomy of `anatomy` and `kinematics`.

    limb_thickness: radius of the flesh of all limbs. hand_foot: length of hands and feet.
    head_width, head_height: of the cranium, relative to its length. face: size of face, nose and chin.
    neck: thickness of the neck. shoulders, hips: distance between the joints. belly, chest: cross-section.
    """

    limb_thickness: float = 1.0
    hand_foot: float = 1.0
    head_width: float = 1.0
    head_height: float = 1.0
    face: float = 1.0
    neck: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0
    belly: float = 1.0
    chest: float = 1.0

    @classmethod
    def random(cls, rng: np.random.Generator, spread: float) -> "Build":
        """Every factor log-uniform between exp(-spread) and exp(spread); limbs vary twice as much.

        Between two healthy fetuses of one size, proportions differ by some 5 %; a spread of 0.25 goes far beyond
        physics, as SynthSeg does with shapes (Billot et al., Medical Image Analysis 2023;86:102789).
        """
        drawn = {field.name: float(np.exp(rng.uniform(-spread, spread))) for field in fields(cls)}
        drawn["limb_thickness"] = float(np.exp(rng.uniform(-1.2 * spread, 2.0 * spread)))
        return cls(**drawn)
