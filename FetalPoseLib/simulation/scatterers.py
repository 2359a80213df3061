"""Speckle over time: scatterers that stay where they are in the beam keep their echo, others are exchanged.

In a single volume, the echoes of scatterers are complex white noise (`ultrasound`). From one volume to the next, the
noise of each sample keeps the share by which two resolution cells overlap whose centres are as far apart as the tissue
moved through the beam: a displacement of one cell's width leaves a quarter of the correlation, as that of a Gaussian
point-spread function does (Wagner et al., IEEE Trans. Sonics Ultrason. 30:156-163, 1983). Displacements add up along
the path, so that the volume rate does not matter: exp(-2 ln 2 path / width). A single volume has the statistics that
it has without movement.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from FetalPoseLib.simulation.probe import Probe

Noise = Callable[[tuple[int, int, int]], torch.Tensor]
DECAY = 2 * np.log(2)  # per width of the resolution cell


class MovingScatterers:
    """The scatterers of a sequence. They are drawn on the CPU, from ``seed``."""

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)
        self._looks: list[torch.Tensor] = []

    def frame(self, kept: torch.Tensor | None) -> Noise:
        """The noise of the next volume: each call gives that of one more look, of the shape (R, E, L) asked for.

        ``kept`` (R, E, L) is the correlation with the volume before, see `kept_of`; None for the first volume.
        """
        count = 0

        def noise(shape: tuple[int, int, int]) -> torch.Tensor:
            nonlocal count
            depths, frames, lines = shape
            fresh = torch.randn((depths, frames, 2, lines), generator=self._generator).mul_(0.5**0.5)
            if count == len(self._looks):
                self._looks.append(fresh)
            elif kept is not None:
                share = kept.to(fresh)[:, :, None]
                self._looks[count] = share * self._looks[count] + (1 - share.square()).clamp_min(0).sqrt() * fresh
            count += 1
            return self._looks[count - 1].clone()

        return noise


def kept_of(shift: torch.Tensor, probe: Probe) -> torch.Tensor:
    """Correlation (R, E, L) after the tissue at each sample moved by ``shift`` (R, E, L, 3) mm.

    The shift is along the probe's axes: lateral, elevational, depth.
    """
    depths = probe.depths().to(shift)
    lateral = probe.lateral_width(depths)[:, None, None]
    elevational = probe.elevational_width(depths)[:, None, None]
    path = (shift[..., 0] / lateral).square() + (shift[..., 1] / elevational).square()
    return torch.exp(-DECAY * (path + (shift[..., 2] / probe.axial_width()).square()).sqrt())
