"""How a case is shown differently each time: other greys, shading, sharpness, speckle, and a field that ends earlier.

A pool holds some thousand simulated pictures, and each is shown many times. What a disturbance changes is what differs
between scanners, and between simulators, and must not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from FetalPoseLib.training.pool import PoolCase


@dataclass(frozen=True)
class Disturbance:
    """Chance of each disturbance, and how strong it is at most.

    shading: smooth bias over the volume, as natural logarithm. blur: Gaussian (voxels, standard deviation).
    speckle: multiplicative noise, relative, correlated over up to a voxel. crop: share of an axis that is cut off.
    """

    shading: tuple[float, float] = (0.4, 0.5)
    blur: tuple[float, float] = (0.25, 1.0)
    speckle: tuple[float, float] = (0.4, 0.35)
    crop: tuple[float, float] = (0.3, 0.4)


USUAL = Disturbance()


def disturbed(case: PoolCase, rng: np.random.Generator, disturbance: Disturbance = USUAL) -> PoolCase:
    """The case with float32 greys, 0 outside the field and above 0 inside, and landmarks NaN where they are cut off."""
    image = torch.from_numpy(case.volume).float()
    inside = image > 0
    if rng.random() < disturbance.blur[0]:
        image = blurred(image, rng.uniform(0.3, disturbance.blur[1]))
    if rng.random() < disturbance.speckle[0]:
        noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
        noise = blurred(noise, width) if (width := rng.uniform(0, 0.9)) > 0.3 else noise
        image = image * (1 + rng.uniform(0.05, disturbance.speckle[1]) * noise / noise.std()).clamp(min=0)
    if rng.random() < disturbance.shading[0]:
        knots = torch.from_numpy(rng.standard_normal((1, 1, 4, 4, 4), dtype=np.float32))
        shading = F.interpolate(knots, size=image.shape, mode="trilinear", align_corners=True)[0, 0]
        image = image * torch.exp(rng.uniform(0.1, disturbance.shading[1]) * shading)
    image = torch.where(inside, regraded(image, rng), 0)
    landmarks = case.landmarks
    if rng.random() < disturbance.crop[0]:
        image, landmarks = cropped(image, case, rng, disturbance.crop[1])
    return replace(case, volume=image.numpy(), landmarks=landmarks, body=case.whole)


def regraded(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Another grey map, 0.004 to 1: gamma, and floor and ceiling moved by up to 12 %, as gain and dynamic range do."""
    low, high = rng.uniform(-0.12, 0.12), rng.uniform(0.88, 1.12)
    return ((image / 255 - low) / (high - low)).clamp(0.004, 1) ** float(np.exp(rng.uniform(-0.5, 0.5)))


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian blur of ``sigma`` voxels."""
    return torch.from_numpy(gaussian_filter(image.numpy(), sigma, mode="nearest", truncate=3.0))


def cropped(image: torch.Tensor, case: PoolCase, rng, most: float) -> tuple[torch.Tensor, np.ndarray]:
    """Field and landmarks without what lies beyond a plane across one axis, at most ``most`` of axis and field."""
    axis, share = int(rng.integers(3)), rng.uniform(0.05, most)
    length = image.shape[2 - axis]
    gone = max(1, int(share * length))
    first, last = (0, gone) if rng.random() < 0.5 else (length - gone, length)
    rest = image.clone()
    rest.narrow(2 - axis, first, last - first).zero_()
    if (rest > 0).sum() < (1 - most) * (image > 0).sum():  # the field lies on that side
        return image, case.landmarks
    place = case.grid.to_voxel(case.landmarks)[:, axis]
    with np.errstate(invalid="ignore"):
        cut = (place < last - 0.5) if first == 0 else (place > first - 0.5)
    return rest, np.where(cut[:, None], np.nan, case.landmarks)
