"""Ultrasound image formation: from an acoustic medium to a 3D B-mode volume, in the probe's own coordinates.

Complex baseband echoes of random scatterers (fully developed speckle: Burckhardt 1978; Wagner et al. 1983; Goodman) and
of impedance steps (specular echoes by angle) are weakened by the tissue above them, blurred by a depth-dependent
point-spread function (PSF), detected, log-compressed and scan-converted, in the order in which a scanner does it.

A medium is any object with `sample(points)`: world RAS mm (..., 3) -> (3, ...): backscatter amplitude (soft tissue of
reference = 1), attenuation (dB/cm/MHz), acoustic impedance (MRayl). Tensors of samples are indexed (R, E, L): depth,
elevational frame, lateral line; complex signals (R, E, 2, L), so that each of the PSF's factors is one matrix product.

Random numbers are drawn on the CPU also for a GPU: the same seed gives the same volume on both, up to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from FetalPoseLib.simulation import NATIVE_SPACING_MM
from FetalPoseLib.simulation.banded import distances, toeplitz
from FetalPoseLib.simulation.clutter import OFF, bands, displacement, haze_amplitude, line_weights, lose_frames
from FetalPoseLib.simulation.display import compress, prefilter, reduce_speckle, scan_convert, volume_to_world
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.settings import Settings
from FetalPoseLib.volume.grid import Volume

PEDESTAL_WIDTH = 6.0  # of the side lobes, in main-lobe widths
TGC_CEILING = 1.5  # dB/cm/MHz: what attenuates more is bone, which no operator compensates
TGC_KNOTS = 8  # sliders on the console
DARK = 200.0  # dB: losses beyond are cut, lest numbers become subnormal
COARSE = 4  # axial samples averaged before surface normals are estimated, about 1.1 mm
NEPER = float(np.log(10) / 20)  # amplitude decibel -> natural logarithm


@dataclass(frozen=True)
class BeamData:
    """Echo envelope (R, E, L) before compression, 1 = rms of reference tissue's speckle, on depths r (R,) mm, frames
    phi (E,) and lines theta (L,) radians; tgc (R,) dB is the compensation that was applied."""

    envelope: torch.Tensor
    r: torch.Tensor
    phi: torch.Tensor
    theta: torch.Tensor
    tgc: torch.Tensor


@dataclass(frozen=True)
class Moment:
    """What differs from one volume of a sequence to the next, where all else is drawn from the sequence's own seed.

    scatterers: from the shape (R, E, L) to complex white noise (R, E, 2, L), once per look. noise_seed: of the
    electronic noise.
    """

    scatterers: Callable[[tuple[int, int, int]], torch.Tensor]
    noise_seed: int


def acquire(
    medium, probe: Probe, settings: Settings, *, spacing=NATIVE_SPACING_MM, seed=0, device="cpu",
    moment: Moment | None = None,
) -> Volume:  # fmt: skip
    """Scan a medium: the uint8 volume (nz, ny, nx) a machine stores, 0 outside the sector and at least 1 inside.

    spacing: voxel size in mm, or one for each axis. Above 0.5 the volume is that of 0.5 mm downsampled with
    anti-aliasing, at its own cost.
    moment: of a sequence over time; None for a single volume.
    seed: int, or a torch.Generator on the CPU. Axes: x lateral, y elevational, z depth; ijk_to_ras by the probe's pose.

    >>> volume = acquire(medium, Probe(), Settings(), spacing=1.25, seed=7)
    """
    data = beam_data(medium, probe, settings, seed=seed, device=device, moment=moment)
    image = reduce_speckle(compress(data.envelope, settings), probe, settings)
    image = prefilter(image, probe, spacing)
    return Volume(scan_convert(image, probe, spacing), volume_to_world(probe, spacing))


def beam_data(
    medium, probe: Probe, settings: Settings, *, seed=0, device="cpu", moment: Moment | None = None
) -> BeamData:
    """Echo envelope on the probe's own samples, before compression. Arguments as for `acquire`."""
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(int(seed))
    clutter = settings.clutter
    r, phi, theta = (axis.to(device) for axis in (probe.depths(), probe.phis(), probe.thetas()))
    points = probe.sample_points(device)
    if clutter.motion:
        points += displacement(len(phi), clutter, generator).to(device)[:, None]
    backscatter, attenuation, impedance = medium.sample(points)
    axial, lateral, elevational = spread = point_spread(probe, settings, r, phi, theta)

    tgc = time_gain(attenuation, probe, settings, generator)
    received = torch.exp(NEPER * (tgc[:, None, None] - two_way_loss(attenuation, probe)))
    # The PSF's rows have unit energy, which keeps speckle even; a surface adds up coherently, which this takes out.
    unit = 1 / (axial.amax() * _row_sum(lateral) * _row_sum(elevational))
    mirror = specular(impedance, probe, settings, r, phi, theta).mul_(unit[:, None, None]).mul_(received)
    strength = backscatter * received
    if clutter.haze > OFF:  # haze is independent speckle, and the energies of independent speckle add up
        strength = torch.hypot(strength, haze_amplitude(strength, clutter, generator))
    if clutter.dropouts:
        weights = line_weights(len(phi), len(theta), clutter, generator).to(device)
        strength, mirror = strength * weights, mirror * weights
    electronic = generator if moment is None else torch.Generator().manual_seed(moment.noise_seed)
    envelope = sum(
        _look(strength, mirror, spread, tgc, r, probe, settings, generator, electronic, moment)
        for _ in range(settings.looks)
    )
    if settings.looks > 1:
        envelope /= settings.looks
    if clutter.missing:
        envelope = lose_frames(envelope, clutter, generator)
    return BeamData(envelope, r, phi, theta, tgc)


def _look(strength, mirror, spread, tgc, r, probe, settings, generator, electronic, moment):
    """One look's echo envelope (R, E, L) from the amplitudes of speckle and of surfaces, both as received."""
    device, (_, frames, lines) = strength.device, strength.shape
    axial, lateral, elevational = spread
    if moment is None:
        signal = _complex_noise(strength.shape, generator, device)
    else:
        signal = moment.scatterers(tuple(strength.shape)).to(device)
    signal *= strength[:, :, None]
    signal += mirror[:, :, None] * _phase_screen(frames, lines, generator, device)
    signal = _focus(signal, lateral, elevational)
    _add_reverberation(signal, probe, settings, generator)
    if settings.clutter.bands:
        signal += bands(r, frames, lines, settings.clutter, generator)
    signal += noise_level(tgc, settings)[:, None, None, None] * _complex_noise(strength.shape, electronic, device)
    signal = (axial @ signal.flatten(1)).view_as(signal)
    return (signal[:, :, 0].square() + signal[:, :, 1].square()).sqrt_()


def two_way_loss(attenuation: torch.Tensor, probe: Probe) -> torch.Tensor:
    """dB lost to and from each sample (R, E, L): 2 f times the attenuation summed along the beam from the face."""
    return attenuation.cumsum(0).mul_(2 * probe.frequency * probe.axial_sampling / 10).clamp_(max=DARK)


def time_gain(attenuation, probe, settings, generator) -> torch.Tensor:
    """TGC (R,) dB: the mean loss through soft tissue and fluid in the middle half of the sector, which is what an
    operator evens out with the sliders, plus a smooth error."""
    _, frames, lines = attenuation.shape
    middle = attenuation[:, frames // 4 : frames - frames // 4, lines // 4 : lines - lines // 4]
    mean = middle.clamp(max=TGC_CEILING).mean(dim=(1, 2))
    error = settings.tgc_error * torch.randn(1, 1, TGC_KNOTS, generator=generator).to(mean)
    error = F.interpolate(error, size=len(mean), mode="linear", align_corners=True)[0, 0]
    return two_way_loss(mean, probe) + error


def specular(impedance, probe, settings, r, phi, theta) -> torch.Tensor:
    """Coherent reflectivity (R, E, L) of each sample: dZ / 2Z along the beam times |cos(incidence)|^n."""
    reflection = torch.zeros_like(impedance)
    reflection[1:] = 0.5 * torch.diff(impedance.log(), dim=0)
    angle = incidence(impedance, probe, r, phi, theta) ** (settings.specular_exponent / 2)
    rows = angle.repeat_interleave(COARSE, 0)[: len(reflection)]
    return reflection.mul_(rows).mul_(10 ** (settings.specular_gain / 20))


def incidence(impedance, probe, r, phi, theta) -> torch.Tensor:
    """cos^2 of the angle between beam and surface normal (ceil(R / COARSE), E, L), from the gradient of log Z in mm.

    Gradients are taken of an about isotropically smoothed field and their energies are averaged over a neighbourhood,
    so that the two faces of a thin bone, with opposite gradients, agree on its orientation."""
    short = -len(impedance) % COARSE
    padded = torch.cat([impedance, impedance[-1:].expand(short, -1, -1)]) if short else impedance
    depth = F.pad(r, (0, short), value=float(r[-1])).view(-1, COARSE).mean(1)
    field = _smooth(padded.view(-1, COARSE, *impedance.shape[1:]).mean(1).log())
    along, frames, lines = torch.gradient(field)
    along /= probe.axial_sampling * COARSE
    frames /= (phi[1] - phi[0]) * probe.elevational_radius(depth, theta)
    lines /= (theta[1] - theta[0]) * (probe.curvature + depth)[:, None, None]
    normal = _smooth(along.square())
    across = _smooth(frames.square() + lines.square())
    return normal / (normal + across + 1e-12)


def point_spread(probe, settings, r, phi, theta) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The PSF as banded matrices: axial (R, R), lateral (R, L, L), elevational (R, E, E). Rows have unit energy.

    Elevational angles are those of the central line (rho = r): off it, the width in mm shrinks with cos(theta), by a
    sixth at the rim."""
    axial = _unit_energy(toeplitz(_gaussian(r, torch.full_like(r[:1], probe.axial_width()))))[0]
    lateral = _beam(theta, probe.lateral_width(r) / (probe.curvature + r), settings.side_lobes)
    elevational = _beam(phi, probe.elevational_width(r) / (probe.pivot + r), settings.side_lobes)
    return axial, lateral, elevational


def _beam(angles, width, level):
    """Unit-energy rows (R, N, N) of a Gaussian main lobe on its pedestal of side lobes, `level` dB in energy."""
    amplitude = 10 ** (level / 20) / PEDESTAL_WIDTH**0.5
    return _unit_energy(toeplitz(_gaussian(angles, width) + amplitude * _gaussian(angles, PEDESTAL_WIDTH * width)))


def _gaussian(positions, width):
    """Gaussians of full width at half maximum `width` (R,) at all distances of `positions` (N,): (R, 2 N - 1)."""
    exponent = (-4 * np.log(2) / width.square())[:, None] * distances(positions).square()
    return torch.exp(exponent.clamp(min=-30))  # far below, subnormal numbers make the products ten times slower


def _unit_energy(matrix):
    return matrix / matrix.square().sum(-1, keepdim=True).sqrt()


def _row_sum(matrix):
    return matrix[:, matrix.shape[1] // 2].sum(-1)


def _focus(signal, lateral, elevational):
    shape = signal.shape
    signal = torch.bmm(signal.flatten(1, 2), lateral.transpose(1, 2)).view(shape)
    return torch.bmm(elevational, signal.flatten(2)).view(shape)


def _complex_noise(shape, generator, device):
    """Circular complex white noise (R, E, 2, L) of unit mean power."""
    depths, frames, lines = shape
    return torch.randn((depths, frames, 2, lines), generator=generator).to(device).mul_(0.5**0.5)


def _phase_screen(frames, lines, generator, device):
    """Unit phasors (E, 2, L) that vary smoothly from line to line, as tissue near the probe delays the beams."""
    coarse = torch.randn((1, 2, frames // 4 + 2, lines // 4 + 2), generator=generator).to(device)
    screen = F.interpolate(coarse, size=(frames, lines), mode="bilinear", align_corners=True)[0]
    return F.normalize(screen, dim=0).transpose(0, 1)


def _add_reverberation(signal, probe, settings, generator):
    """Add, in place, echoes that run to and fro between the probe and the layers under it: a haze, layered along the
    face, that dies out with depth."""
    depths, frames, _, lines = signal.shape
    near = min(depths, int(5 * settings.reverberation_length / probe.axial_sampling))
    coarse = torch.randn((near, 2, frames // 8 + 2, lines // 8 + 2), generator=generator).to(signal)
    layers = F.interpolate(coarse, size=(frames, lines), mode="bilinear", align_corners=True).transpose(1, 2)
    decay = torch.arange(near, device=signal.device) * (-probe.axial_sampling / settings.reverberation_length)
    signal[:near] += layers * (10 ** (settings.reverberation / 20) * torch.exp(decay))[:, None, None, None]


def noise_level(tgc: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Amplitude (R,) of the electronic noise: constant at the receiver, so it grows with the gain that follows."""
    return torch.exp(NEPER * (settings.noise + tgc - tgc[-1]))


def _smooth(field):
    """Binomial (1 2 1) / 4 smoothing along the three axes; edges repeat."""
    for axis in range(field.ndim):
        length = field.shape[axis]
        first, last = field.narrow(axis, 0, 1), field.narrow(axis, length - 1, 1)
        padded = torch.cat([first, field, last], axis)
        field = (padded.narrow(axis, 0, length) + padded.narrow(axis, 2, length)).mul_(0.25).add_(field, alpha=0.5)
    return field
