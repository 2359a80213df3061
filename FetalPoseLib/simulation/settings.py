"""The scanner's knobs and the imperfections of its image, with the ranges from which training draws."""

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.simulation.clutter import Clutter

HEADROOM = 25.0  # dB between the mean speckle of reference tissue and white, at gain 0


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
    looks: independent looks whose envelopes are averaged (spatial or frequency compounding).
    reduction, reduction_width: strength 0 to 1 of the adaptive speckle filter, and its width (mm, standard deviation).
    contrast: weight 0 to 1 of an S-shaped grey map; floor: grey (0 to 1) of what is black otherwise; reject: grey below
        which echoes are shown as black.
    clutter: haze, bands, motion and missing lines.

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
    looks: int = 1
    reduction: float = 0.0
    reduction_width: float = 0.6
    contrast: float = 0.0
    floor: float = 0.0
    reject: float = 0.0
    clutter: Clutter = Clutter()

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Settings":
        """Settings as they vary between examinations; the ranges of training."""
        return cls(**_common(rng), dynamic_range=rng.uniform(45, 70), gain=rng.uniform(-5, 5))

    @classmethod
    def varied(cls, rng: np.random.Generator, clutter: Clutter) -> "Settings":
        """Settings of version 2. Ranges follow what real volumes show: grey medians of 95 to 136, lower quartiles of 17
        to 88, a local contrast of 0.26 to 0.34, and skulls that are only weakly bright (see `statistics`)."""
        dynamic_range = rng.uniform(36, 75)
        grey = rng.uniform(0.46, 0.88)  # of reference tissue: the operator sets the gain by the eye, not by the decibel
        return cls(
            dynamic_range=dynamic_range,
            gain=HEADROOM - dynamic_range * (1 - grey),
            gamma=np.exp(rng.uniform(-0.35, 0.55)),
            tgc_error=rng.uniform(0.5, 3.5),
            specular_gain=rng.uniform(22, 44),
            specular_exponent=rng.uniform(1.5, 10),
            side_lobes=rng.uniform(-45, -26),
            reverberation=rng.uniform(-28, -4),
            reverberation_length=rng.uniform(3, 16),
            noise=rng.uniform(-42, -14),
            smoothing=float(rng.choice([0.0, rng.uniform(0, 0.15)])),
            looks=int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])),
            reduction=float(rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.6, 0.4])),
            reduction_width=rng.uniform(0.4, 1.2),
            contrast=float(rng.choice([0.0, rng.uniform(0.0, 0.7)])),
            floor=float(rng.choice([0.0, rng.uniform(0.0, 0.15)], p=[0.7, 0.3])),
            reject=float(rng.choice([0.0, rng.uniform(0.0, 0.1)], p=[0.7, 0.3])),
            clutter=clutter,
        )

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
