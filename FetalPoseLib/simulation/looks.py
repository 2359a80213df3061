"""How a subject's tissues echo: as physics and age have it, or at random beyond it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from FetalPoseLib.simulation.tissue import draw_tissues

FLUIDS = ("fluid", "ventricle", "blood")


@dataclass(frozen=True)
class Looks:
    """What is drawn about tissues beyond the table in `tissue`.

    spread: standard deviation (dB) with which a subject's tissues differ from the table.
    ossification: 1 for bones as the table has them, 0 for bones that are cartilage still.
    vault: the same for the skull's vault; vault_gaps: share of the vault that is not ossified at all.
    placenta, membranes: brightness (dB) of the placenta, and of chorion and amnion, beyond the table's.
    texture, texture_lengths: standard deviation (dB) of the backscatter within a tissue, and over what lengths (mm).
    synthetic: whether brightness and attenuation of every tissue are drawn at random, whatever the tissue.
    """

    spread: float = 2.0
    ossification: float = 1.0
    vault: float = 1.0
    vault_gaps: float = 0.0
    placenta: float = 0.0
    membranes: float = 0.0
    texture: float = 2.0
    texture_lengths: tuple[float, float] = (2.0, 9.0)
    synthetic: bool = False

    @classmethod
    def random(cls, rng: np.random.Generator, weeks: float, *, synthetic: bool) -> Looks:
        """Looks of version 2: bones ossify from 9 to 13 weeks, and real skulls are weakly bright with broken outlines.

        Synthetic looks follow SynthSeg (Billot et al., Medical Image Analysis 2023;86:102789).
        """
        ripe = float(np.interp(weeks, [9.0, 13.0], [0.15, 0.85]))
        return cls(
            spread=3.5,
            ossification=float(np.clip(ripe + rng.uniform(-0.3, 0.3), 0.05, 1)),
            vault=float(np.clip(ripe + rng.uniform(-0.5, 0.2), 0.0, 1)),
            vault_gaps=float(rng.choice([0.0, rng.uniform(0.1, 0.6)], p=[0.4, 0.6])),
            placenta=rng.uniform(-8, 10),
            membranes=rng.uniform(-16, 0),
            texture=rng.uniform(1.0, 4.5) * (1.4 if synthetic else 1.0),
            texture_lengths=(rng.uniform(1.2, 3.5), rng.uniform(5, 14)),
            synthetic=synthetic,
        )

    def tissues(self, rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
        """Properties (backscatter amplitude, attenuation dB/cm/MHz, impedance MRayl) of a subject's tissues, by name.

        "skull" is the bone of the vault.
        """
        drawn = draw_tissues(rng, self.spread)
        if self.synthetic:
            for name, (_, attenuation, impedance) in drawn.items():
                level = rng.uniform(-45, -8) if name in FLUIDS else rng.uniform(-26, 8)
                drawn[name] = (10 ** (level / 20), attenuation * rng.uniform(0.3, 1.2), impedance)
        for name, change in (("placenta", self.placenta), ("membrane", self.membranes)):
            amplitude, *others = drawn[name]
            drawn[name] = (amplitude * 10 ** (change / 20), *others)
        drawn["skull"] = _soften(drawn["bone"], drawn["cartilage"], self.vault)
        drawn["bone"] = _soften(drawn["bone"], drawn["cartilage"], self.ossification)
        return drawn


def _soften(bone, cartilage, share: float) -> tuple[float, float, float]:
    """Between cartilage (share 0) and bone (1), on a logarithmic scale."""
    if share == 1:
        return bone
    return tuple(float(np.exp((1 - share) * np.log(c) + share * np.log(b)))
                 for b, c in zip(bone, cartilage, strict=True))  # fmt: skip
