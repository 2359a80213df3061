"""From the echo envelope to the picture a machine stores: log compression, speckle smoothing, scan conversion."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import ive

from FetalPoseLib.simulation import NATIVE_SPACING_MM
from FetalPoseLib.simulation.banded import toeplitz
from FetalPoseLib.simulation.probe import Probe
from FetalPoseLib.simulation.settings import HEADROOM, Settings
from FetalPoseLib.volume.resampling import FWHM

# voxels^2: the blur of reading a 0.5 mm volume trilinearly. t (1 - t) is 1/6 on average and 1/4 halfway between voxels;
# 1/4 matches the downsampled volumes best, aligned and oblique, because it makes up for coarse lines as well.
INTERPOLATION_VARIANCE = 1 / 4
SLAB = 400_000  # voxels scan-converted at a time: coordinates that stay in the cache


def compress(envelope: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Grey levels in 0..1 (R, E, L): log compression, grey map, the scanner's light speckle smoothing."""
    decibel = envelope.clamp(min=1e-6).log10().mul_(20)
    grey = decibel.add_(settings.gain - HEADROOM).div_(settings.dynamic_range).add_(1).clamp_(0, 1)
    if settings.gamma != 1:
        grey = grey.pow_(settings.gamma)
    if settings.reject:
        grey = torch.where(grey < settings.reject, 0, grey)
    if settings.contrast:
        grey.lerp_(grey.square() * (3 - 2 * grey), settings.contrast)
    if settings.floor:
        grey = grey.mul_(1 - settings.floor).add_(settings.floor)
    for axis in range(3 if settings.smoothing > 0 else 0):
        grey = _three_taps(grey, axis, settings.smoothing)
    return grey


def _three_taps(image, axis, weight):
    length = image.shape[axis]
    out = image.clone()
    inner = out.narrow(axis, 1, length - 2).mul_(1 - 2 * weight)
    inner.add_(image.narrow(axis, 0, length - 2), alpha=weight).add_(image.narrow(axis, 2, length - 2), alpha=weight)
    return out


def reduce_speckle(image: torch.Tensor, probe: Probe, settings: Settings) -> torch.Tensor:
    """The scanner's adaptive filter on grey levels (R, E, L): smooth where the grey varies no more than speckle does,
    unchanged where it varies much more (Lee, IEEE Trans Pattern Anal Mach Intell 1980;2:165-168)."""
    if not settings.reduction:
        return image
    mean = _blur(image, probe, settings.reduction_width)
    variance = (_blur(image.square(), probe, settings.reduction_width) - mean.square()).clamp_(min=1e-6)
    kept = (1 - variance[::4, ::2, ::2].median() / variance).clamp_(min=0)  # most of a volume is speckle
    return mean.lerp(image, 1 - settings.reduction * (1 - kept))


def prefilter(image: torch.Tensor, probe: Probe, spacing) -> torch.Tensor:
    """Anti-aliasing for voxels above 0.5 mm, applied to the samples (R, E, L) along lines, frames and depth.

    The Gaussian is that by which `geometry.resample` brings a 0.5 mm volume to `spacing`, with what its trilinear
    reading loses."""
    size = _mean_size(spacing)
    return image if size <= NATIVE_SPACING_MM else _blur(image, probe, _antialias_sigma(size))


def _mean_size(spacing) -> float:
    """The edge (mm) of the cube with a voxel's volume; exact for cubes."""
    sizes = np.broadcast_to(np.asarray(spacing, float), 3)
    return float(sizes[0]) if np.ptp(sizes) == 0 else float(np.prod(sizes) ** (1 / 3))


def _blur(image, probe, width):
    """Samples (R, E, L) blurred by a Gaussian of standard deviation `width` mm along lines, frames and depth."""
    r, phi, theta = (axis.to(image.device) for axis in (probe.depths(), probe.phis(), probe.thetas()))
    sigma = torch.full_like(r, width)
    image = torch.bmm(image, _blur_matrix(theta, sigma / (probe.curvature + r)).transpose(1, 2))
    image = torch.bmm(_blur_matrix(phi, sigma / (probe.pivot + r)), image)
    return (_blur_matrix(r, sigma[:1])[0] @ image.flatten(1)).view_as(image)


def _antialias_sigma(spacing):
    """mm"""
    return ((spacing**2 - NATIVE_SPACING_MM**2) / FWHM**2 + NATIVE_SPACING_MM**2 * INTERPOLATION_VARIANCE) ** 0.5


def _blur_matrix(positions, sigma):
    """(R, N, N): Gaussians whose standard deviation `sigma` (R,) may be less than the distance between the samples.

    exp(-t) I_n(t) has the variance t exactly, however small; a sampled Gaussian has not (Lindeberg 1990)."""
    variance = (sigma / (positions[1] - positions[0])).square()
    half = torch.from_numpy(ive(np.arange(len(positions)), variance.cpu().numpy()[:, None])).to(sigma)
    half[half < 1e-12] = 0  # no subnormal numbers in the products
    matrix = toeplitz(torch.cat([half[:, 1:].flip(1), half], dim=1))
    return matrix / matrix.sum(-1, keepdim=True)


def volume_to_world(probe: Probe, spacing) -> np.ndarray:
    """ijk_to_ras (4, 4) of the stored volume with voxels of ``spacing`` mm, one number or three: voxel (0, 0, 0) is
    centred half a voxel inside the box's corner."""
    spacing = np.broadcast_to(np.asarray(spacing, float), 3)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = probe.bounds()[0] + spacing / 2
    return np.asarray(probe.pose, float) @ matrix


def scan_convert(image: torch.Tensor, probe: Probe, spacing) -> np.ndarray:
    """Trilinear interpolation of samples in 0..1 (R, E, L) at the voxels: uint8 (nz, ny, nx), 0 outside the sector and
    1..255 inside. Above 0.5 mm the sector's rim fades out, as downsampling makes it."""
    lower, upper = probe.bounds()
    sizes = np.broadcast_to(np.asarray(spacing, float), 3).tolist()
    x, y, z = (_centres(*edge, image.device) for edge in zip(lower, upper, sizes, strict=True))
    out = torch.empty((len(z), len(y), len(x)), dtype=torch.uint8)
    step = max(1, SLAB // (len(x) * len(y)))
    for first in range(0, len(z), step):
        rows = slice(first, first + step)
        r, phi, theta = probe.to_beam(x, y[:, None], z[rows, None, None])
        grey = _read(image, probe, r, phi, theta).mul_(254).add_(1)
        grey *= _coverage(probe, r, phi, theta, _mean_size(spacing))
        out[rows] = grey.add_(0.5).to(torch.uint8).cpu()
    return out.numpy()


def _centres(low, high, spacing, device):
    count = int(round((high - low) / spacing))
    return low + spacing / 2 + spacing * torch.arange(count, dtype=torch.float32, device=device)


def _read(image, probe, r, phi, theta):
    """Samples (R, E, L) at beam coordinates; beyond the outermost samples their values hold."""
    reach = (image.shape[0] - 1) * probe.axial_sampling
    axes = (
        theta / float(np.radians(probe.lateral_view / 2)),
        (phi / float(np.radians(probe.sweep / 2))).expand_as(theta),
        (r - probe.start_depth) * (2 / reach) - 1,
    )
    where = torch.stack(axes, dim=-1)
    return F.grid_sample(image[None, None], where[None], padding_mode="border", align_corners=True)[0, 0]


def _coverage(probe, r, phi, theta, spacing):
    """Share of a voxel that lies in the sector: 0 or 1 in stored voxels, a blurred step in larger ones."""
    radius = (probe.curvature + r) * torch.cos(theta) - probe.curvature + probe.pivot
    margins = (
        (float(np.radians(probe.lateral_view / 2)) - theta.abs()) * (probe.curvature + r),
        (float(np.radians(probe.sweep / 2)) - phi.abs()) * radius,
        r - probe.start_depth,
        probe.depth - r,
    )
    if spacing <= NATIVE_SPACING_MM:
        return torch.stack([margin >= 0 for margin in margins]).all(0)
    share = torch.ones_like(r)
    for margin in margins:
        share *= torch.special.ndtr(margin / _antialias_sigma(spacing))
    return share
