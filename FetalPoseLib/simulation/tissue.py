"""Acoustic properties of the tissues of a first-trimester volume.

Attenuation and impedance are typical values of Duck, Physical Properties of Tissue (1990), and of Szabo, Diagnostic
Ultrasound Imaging (2004), appendix B. Fetal bone is woven and thin, so its impedance lies well below adult cortical
bone. Backscatter levels (dB about the reference tissue of the gain setting) are our reading of first-trimester B-mode
images: they set the order of greys, and are varied from subject to subject.
"""

from __future__ import annotations

#: name: (backscatter dB, attenuation dB/cm/MHz, impedance MRayl)
TISSUES = {
    "fluid": (-45.0, 0.005, 1.52),
    "blood": (-30.0, 0.18, 1.60),
    "soft": (-9.0, 0.45, 1.63),
    "skin": (-4.0, 0.60, 1.68),
    "brain": (-20.0, 0.25, 1.57),
    "ventricle": (-26.0, 0.05, 1.53),
    "choroid": (0.0, 0.50, 1.63),
    "membrane": (4.0, 0.50, 1.66),
    "cartilage": (-16.0, 0.80, 1.70),
    "bone": (17.0, 9.0, 3.20),
    "lung": (-6.0, 0.50, 1.61),
    "heart": (-12.0, 0.50, 1.66),
    "liver": (-10.0, 0.45, 1.65),
    "bowel": (-3.0, 0.60, 1.64),
    "kidney": (-8.0, 0.45, 1.63),
    "cord": (-8.0, 0.40, 1.62),
    "placenta": (-3.0, 0.45, 1.64),
    "myometrium": (-7.0, 0.60, 1.66),
    "maternal": (-5.0, 0.55, 1.63),
    "fat": (-8.0, 0.50, 1.45),
    "muscle": (-4.0, 0.60, 1.68),
    "fascia": (5.0, 0.80, 1.75),
}
#: Standard deviation (dB) with which a subject's tissues differ from the table.
SUBJECT_DB = 2.0


def draw_tissues(rng, spread: float = SUBJECT_DB) -> dict[str, tuple[float, float, float]]:
    """Properties (backscatter *amplitude*, attenuation, impedance) of one subject's tissues, by name."""
    drawn = {}
    for name, (level, attenuation, impedance) in TISSUES.items():
        decibel = level + spread * rng.normal()
        drawn[name] = (10 ** (decibel / 20), attenuation * rng.uniform(0.85, 1.15), impedance)
    return drawn
