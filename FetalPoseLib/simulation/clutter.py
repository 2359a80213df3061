"""What a volume shows that is not there: haze, bands under the probe, motion between planes, missing lines.

Haze is the sum of echoes that reach the receiver on other ways than the straight one (side lobes, aberration, multiple
scattering). It is speckle like any other, fills fluid and shadows, and is strongest where strong echoes are near.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

OFF = -200.0  # dB


@dataclass(frozen=True)
class Clutter:
    """Levels in dB relative to the mean speckle of reference soft tissue; lengths in mm.

    haze: level of the haze; `OFF` for none.
    haze_follows: 0 for an even haze, 1 for one that is as strong as the echoes in its neighbourhood.
    bands, band_level, band_spacing: echoes that run to and fro between the probe and a layer: how many, the level of
        the first, and their distance in depth.
    motion: standard deviation of the body's displacement from frame to frame of the sweep, smooth over the sweep.
    missing: share of frames that were lost and are shown as their neighbour.
    dropouts: sectors of lines without contact, from the probe down.
    """

    haze: float = OFF
    haze_follows: float = 0.0
    bands: int = 0
    band_level: float = -10.0
    band_spacing: float = 6.0
    motion: float = 0.0
    missing: float = 0.0
    dropouts: int = 0

    @classmethod
    def random(cls, rng: np.random.Generator, haze: str) -> "Clutter":
        """Clutter of version 2; ``haze`` is one of `HAZE`."""
        low, high = HAZE[haze]
        return cls(
            haze=rng.uniform(low, high),
            haze_follows=rng.uniform(0, 1),
            bands=int(rng.integers(0, 5)) if rng.random() < 0.5 else 0,
            band_level=rng.uniform(-14, 6),
            band_spacing=rng.uniform(2.5, 11),
            motion=float(rng.choice([0.0, rng.uniform(0.05, 0.5)], p=[0.6, 0.4])),
            missing=float(rng.choice([0.0, rng.uniform(0.01, 0.1)], p=[0.85, 0.15])),
            dropouts=int(rng.choice([0, 1, 2], p=[0.85, 0.1, 0.05])),
        )


#: Range (dB) of the haze by its name. Between 45 and 85 dB of dynamic range, -30 dB is nearly black, -8 dB as grey as
#: tissue.
HAZE = {"clear": (-60.0, -32.0), "light": (-32.0, -20.0), "heavy": (-20.0, -8.0)}


def haze_amplitude(strength: torch.Tensor, clutter: Clutter, generator: torch.Generator) -> torch.Tensor:
    """Amplitude (R, E, L) of the haze over echoes of amplitude ``strength`` (R, E, L)."""
    shape = strength.shape
    size = [max(2, n // k) for n, k in zip(shape, (24, 6, 10), strict=True)]
    nearby = F.adaptive_avg_pool3d(strength.clamp(max=3.0)[None, None], size)
    nearby = F.avg_pool3d(F.pad(nearby, (1,) * 6, mode="replicate"), 3, stride=1)
    uneven = torch.randn((1, 1, *(max(2, n // 3) for n in size)), generator=generator).to(strength)
    uneven = F.interpolate(uneven, size=size, mode="trilinear", align_corners=True)
    level = (1 - clutter.haze_follows) + clutter.haze_follows * 1.5 * nearby
    level = level * torch.exp(0.3 * uneven) * 10 ** (clutter.haze / 20)
    return F.interpolate(level, size=shape, mode="trilinear", align_corners=True)[0, 0]


def band_profile(depths: torch.Tensor, clutter: Clutter) -> torch.Tensor:
    """Amplitude (R,) of the bands at depths (R,) mm: each half as strong as the one above it."""
    profile = torch.zeros_like(depths)
    for k in range(1, clutter.bands + 1):
        width = 0.12 * clutter.band_spacing
        at = (depths - depths[0] - k * clutter.band_spacing) / width
        profile += 10 ** ((clutter.band_level - 6 * (k - 1)) / 20) * torch.exp(-0.5 * at.square())
    return profile


def bands(depths: torch.Tensor, frames: int, lines: int, clutter: Clutter, generator) -> torch.Tensor:
    """Complex echoes (R, E, 2, L) of the bands, of a phase and strength that vary slowly along the face."""
    coarse = torch.randn((1, 2, frames // 16 + 2, lines // 16 + 2), generator=generator).to(depths)
    field = F.interpolate(coarse, size=(frames, lines), mode="bilinear", align_corners=True)[0].transpose(0, 1)
    return band_profile(depths, clutter)[:, None, None, None] * field


def displacement(frames: int, clutter: Clutter, generator) -> torch.Tensor:
    """Where the body has moved to (E, 3) mm in each frame of the sweep, relative to its mean."""
    knots = torch.randn((1, 3, max(3, frames // 8)), generator=generator)
    path = F.interpolate(knots, size=frames, mode="linear", align_corners=True)[0].T
    return clutter.motion * (path - path.mean(dim=0))


def line_weights(frames: int, lines: int, clutter: Clutter, generator) -> torch.Tensor:
    """Weight (E, L) of each line: near 0 in sectors without contact."""
    weights = torch.ones((frames, lines))
    for _ in range(clutter.dropouts):
        centre, width = torch.rand(2, generator=generator).tolist()
        distance = (torch.linspace(0, 1, lines) - centre).abs() / (0.02 + 0.06 * width)
        weights *= 1 - 0.9 * torch.exp(-(distance**4))
    return weights


def lose_frames(envelope: torch.Tensor, clutter: Clutter, generator) -> torch.Tensor:
    """The envelope (R, E, L) with lost frames shown as the frame before."""
    lost = torch.rand(envelope.shape[1], generator=generator) < clutter.missing
    lost[0] = False
    source = torch.arange(envelope.shape[1])
    source = torch.where(lost, 0, source).cummax(0).values
    return envelope[:, source]
