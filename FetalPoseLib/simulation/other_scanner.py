"""A scanner and a build of bodies that no training draws: what a model is adapted to in `benchmark adapting`.

One scanner with one preset, so that its volumes resemble each other more than those of a training do, as those of one
clinic would. Every value given here lies outside the range of version 2's training subjects.
"""

from __future__ import annotations

import numpy as np

from FetalPoseLib.simulation.build import Build
from FetalPoseLib.simulation.clutter import Clutter
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.settings import HEADROOM, Settings

#: Slender bodies with tall heads; `Build.random` draws limbs of 0.77 and more, and the others within 0.80 to 1.25.
OTHER_BUILD = Build(limb_thickness=0.65, head_height=1.28, belly=0.78)


def other_probe(rng: np.random.Generator) -> Probe:
    """A convex probe of 2.5 MHz and narrow band, with a large aperture: `families.draw_probe` has 2.8 MHz and more, a
    bandwidth of 0.16 and more, and apertures up to 26 mm."""
    return Probe(
        curvature=50, pivot=35, lateral_view=rng.uniform(60, 75), sweep=rng.uniform(55, 75), frequency=2.5,
        lateral_aperture=28, lateral_focus=rng.uniform(50, 85), elevational_aperture=16,
        elevational_focus=rng.uniform(50, 80), fractional_bandwidth=0.14, axial_sampling=0.35, lateral_f_number=1.8,
        lines_per_width=1.5,
    )  # fmt: skip


def other_settings(rng: np.random.Generator, clutter: Clutter) -> Settings:
    """One hard preset of 32 dB with strong surfaces and a dark grey map, beyond `Settings.varied` (36 to 75 dB,
    surfaces of 22 to 44 dB, gamma 0.7 to 1.7). Gain and errors of the examination vary a little."""
    return Settings(
        dynamic_range=32.0, gain=HEADROOM - 32.0 * (1 - rng.uniform(0.55, 0.7)), gamma=2.0,
        tgc_error=rng.uniform(1.0, 3.0), specular_gain=rng.uniform(46, 52), specular_exponent=3.0, side_lobes=-30.0,
        reverberation=rng.uniform(-18, -8), reverberation_length=10.0, noise=rng.uniform(-28, -18), smoothing=0.2,
        clutter=clutter,
    )  # fmt: skip
