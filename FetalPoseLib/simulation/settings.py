"""The scanner's knobs and the imperfections of its image, with the ranges from which training draws."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Settings:
    """How the echoes become a picture. Levels in dB relative to the mean speckle of reference soft tissue.

    dynamic_range, gain, gamma: log compression; 45-70 dB is what obstetric presets show.
    tgc_error: standard deviation (dB) of the time-gain compensation's smooth error along depth.
    specular_gain: echo of a perfect plane reflector at normal incidence. Tissue with a backscatter coefficient of some
        1e-3 /(cm sr) at 3-5 MHz returns 40-50 dB less than such a plane (coefficient x pulse length x aperture's solid
        angle); rough surfaces lower it further.
    specular_exponent: n in |cos(incidence)|^n of the echo's amplitude, a smooth surface having a large n.
    side_lobes: energy of the wide pedestal under each of the lateral and the elevational beam profile, re main lobe.
    reverberation, reverberation_length: haze in front of the probe and the depth (mm) over which it falls to 1/e.
    noise: electronic noise at the deepest sample, where TGC amplifies it most.
    smoothing: weight of each neighbour in the scanner's three-tap speckle smoothing, 0 (off) to 0.25.

    >>> settings = Settings.random(np.random.default_rng(1))
    """

    dynamic_range: float = 60.0
    gain: float = 0.0
    gamma: float = 1.0
    tgc_error: float = 1.5
    specular_gain: float = 40.0
    specular_exponent: float = 6.0
    side_lobes: float = -36.0
    reverberation: float = -12.0
    reverberation_length: float = 9.0
    noise: float = -26.0
    smoothing: float = 0.1

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Settings":
        """Settings as they vary between examinations; the ranges of training."""
        return cls(**_common(rng), dynamic_range=rng.uniform(45, 70), gain=rng.uniform(-5, 5))

    @classmethod
    def shifted(cls, rng: np.random.Generator) -> "Settings":
        """Dynamic range and gain outside the ranges of training, for the shifted test. They go together as an operator
        would have it, who opens the gain when a small dynamic range darkens the picture."""
        if rng.random() < 0.5:
            return cls(**_common(rng), dynamic_range=rng.uniform(36, 42), gain=rng.uniform(6, 9))
        return cls(**_common(rng), dynamic_range=rng.uniform(76, 90), gain=rng.uniform(-9, -6))


def _common(rng):
    return {
        "gamma": np.exp(rng.uniform(-0.22, 0.22)),
        "tgc_error": rng.uniform(0.5, 3.0),
        "specular_gain": rng.uniform(35, 44),
        "specular_exponent": rng.uniform(3, 10),
        "side_lobes": rng.uniform(-45, -30),
        "reverberation": rng.uniform(-25, -5),
        "reverberation_length": rng.uniform(5, 14),
        "noise": rng.uniform(-40, -16),
        "smoothing": rng.uniform(0, 0.2),
    }
