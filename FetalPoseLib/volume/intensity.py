"""Grey values of any scale, brought to the one that machines store and the networks know.

A machine stores greys of 0 to 255, with 0 outside what it scanned. Tools write the same picture with an offset or a
scale, in decibels, as z-scores, through a gamma or a logarithm, in 16 bits or as fractions, and with other values
outside. `picture_of` undoes what can be undone; `normalise_intensity` then removes gain and offset. A picture that is
stored as machines store it stays as it is.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import label, uniform_filter1d

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.volume.grid import Volume
from FetalPoseLib.volume.probe_volume import ProbeVolume
from FetalPoseLib.volume.sector import lost_in_sector

WHITE = 255  # the brightest grey of a machine's picture
OUTSIDE_SHARE = 0.1  # of the voxels on the faces of the box: a value that often is what lies outside the sector
SAMPLE_VOXELS = 300_000  # that are looked at where looking at all of them takes seconds
LEVEL_TOLERANCE = 0.2  # of the step between greys: rounding of 32 bits far from 0
MISSING_LEVELS = 0.1  # share of greys that are not there, from which a curve was applied to the picture
SLOPE_WINDOW = 9  # steps between greys over which a curve's slope is averaged
STEEP = 1.1  # slope from which a curve leaves whole numbers out
MOST_MERGED = 16.0  # greys that became one number
TAILS = (0.001, 0.999)  # quantiles of the voxels between which greys are counted
BRIGHTEST_MEDIAN = 0.68  # of the range; in pictures of machines the median lies at 0.01 to 0.65
USUAL_MEDIAN = 0.4
DARKEST_MEDIAN = 0.02  # of the range; an amplitude without log compression has a lower one
FLOOR_SHARE = 0.05  # of voxels at the lowest value: a picture that was clipped there, and no amplitude
DYNAMIC_RANGE = 1e-3  # 60 dB, the usual range of log compression, as an amplitude


def picture_of(volume: Volume | ProbeVolume) -> Volume | ProbeVolume:
    """The volume with greys as machines store them: whole numbers, 0 outside the sector, 1 to 255 inside.

    What lies outside is 0 where values are 0 to 255; else voxels without a finite value, and the value that fills
    `OUTSIDE_SHARE` or more of the box's faces. Where the values inside are at most 255 different ones, they are the
    steps of an 8-bit picture, whatever increasing function was applied to it, and are numbered. Others are stretched,
    a logarithm is undone by a power, and an amplitude is log-compressed. A volume in a probe's coordinates stays as it
    is.

    Example
    -------
    >>> image = resample(picture_of(volume), canonical_grid(volume, 1.25))
    """
    if isinstance(volume, ProbeVolume):
        return volume
    array = volume.array
    inside = _inside(array)
    values = array[inside]
    if not values.size:
        return volume
    levels = _levels(values)
    if levels is not None and _is_stored_picture(levels, values, outside_is_zero=not array[~inside].any()):
        picture = array.astype(np.uint8)
    else:
        picture = np.zeros(array.shape, dtype=np.uint8)
        picture[inside] = _stretched(values) if levels is None else _numbered(values, levels)
        if levels is not None and _is_whole(levels) and _curved(levels, values):
            picture[_between(inside) & ~inside] = 1  # the curve made dark greys the same as what lies outside
    return Volume(picture, volume.ijk_to_ras)


def normalise_intensity(tensor: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit standard deviation over the sector; exactly 0 everywhere else.

    The sector is what lies above 0, with the holes in it: voxels of 0 that no path of such voxels leads to from the
    box's faces returned no echo, and count as the darkest. So do all in its hull where dark greys were lost, see
    `sector.lost_in_sector`.

    Raises
    ------
    FetalPoseError
        There is no picture in the volume: no voxel above 0, or all of them equal.
    """
    tensor = _without_holes(tensor)
    lost = lost_in_sector((tensor > 0).cpu().numpy())
    if lost.any():
        tensor = torch.where(torch.from_numpy(lost).to(tensor.device), tensor[tensor > 0].min(), tensor)
    sector = tensor > 0
    values = tensor[sector].double()
    if values.numel() < 2 or not values.std() > 1e-5 * values.mean():
        value = f"all {values[0].item():g}" if values.numel() else "none above 0"
        raise FetalPoseError(f"The volume holds no picture: its values are {value}. Choose an ultrasound volume.")
    normalised = (tensor - values.mean()) / values.std()
    return torch.where(sector, normalised, 0).to(torch.float32)


def exchanged_greys(image: torch.Tensor) -> torch.Tensor:
    """A normalised image (nz, ny, nx) with dark and bright exchanged in the sector."""
    return -image


def _inside(array: np.ndarray) -> np.ndarray:
    """Which voxels were scanned, as far as the values tell."""
    finite = np.isfinite(array)
    low, high = (array.min(), array.max()) if finite.all() else (np.nan, np.nan)
    if 0 <= low <= 1 < high <= WHITE:
        return array > 0
    faces = np.concatenate([np.take(array, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    known = faces[np.isfinite(faces)]
    if len(known) < (1 - OUTSIDE_SHARE) * len(faces):
        return finite
    candidates, counts = np.unique(known, return_counts=True)
    if counts.max() < OUTSIDE_SHARE * len(faces):
        return finite
    return finite & (array != candidates[np.argmax(counts)])


def _levels(values: np.ndarray) -> np.ndarray | None:
    """The different values, lowest first; None if there are more than an 8-bit picture has."""
    some = np.unique(values[:: max(1, len(values) // SAMPLE_VOXELS)])
    if len(some) > WHITE:
        return None
    found = np.unique(values)
    return found if len(found) <= WHITE else None


def _is_stored_picture(levels: np.ndarray, values: np.ndarray, *, outside_is_zero: bool) -> bool:
    """Whether these are greys as a machine stores them: whole numbers of 1 to 255, none of them left out."""
    of_8_bits = _is_whole(levels) and 1 <= levels[0] and 1 < levels[-1] <= WHITE
    return outside_is_zero and of_8_bits and not _curved(levels, values)


def _is_whole(levels: np.ndarray) -> bool:
    return bool((levels == np.round(levels)).all())


def _between(inside: np.ndarray) -> np.ndarray:
    """Voxels with scanned ones on both sides along all three axes: a sector has no bays."""
    result = np.ones(inside.shape, dtype=bool)
    for axis in range(3):
        result &= np.logical_or.accumulate(inside, axis=axis)
        result &= np.flip(np.logical_or.accumulate(np.flip(inside, axis), axis=axis), axis)
    return result


def _curved(levels: np.ndarray, values: np.ndarray, step: float = 1.0) -> bool:
    """Whether many steps between the levels are wider than ``step``, as after a curve was applied to whole numbers."""
    low, high = np.quantile(values[:: max(1, len(values) // SAMPLE_VOXELS)], TAILS)
    used = levels[(levels >= low) & (levels <= high)]
    return len(used) > 1 and len(used) - 1 < (1 - MISSING_LEVELS) * (float(used[-1]) - float(used[0])) / step


def _numbered(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The values as greys of 1 to 255: even steps keep their distances, others are counted."""
    distances = levels.astype(np.float64) - float(levels[0])
    numbers = np.arange(len(levels), dtype=np.float64)
    if len(levels) > 1:
        step = np.diff(distances).min()
        steps = distances / step
        even = np.abs(steps - np.round(steps)).max() < LEVEL_TOLERANCE and steps[-1] < WHITE
        curved = _curved(levels, values, step)
        if even and not curved:
            numbers = np.round(steps)
        elif curved and _is_whole(levels):
            numbers = _before_curve(np.append(0.0, levels) if levels[0] > 0 else levels.astype(np.float64))[
                -len(levels) :
            ]
    last = max(numbers[-1], 1)
    numbers *= (WHITE - 1) // last or (WHITE - 1) / last  # a whole factor where there is one: all steps stay equal
    return np.round(1 + numbers).astype(np.uint8)[np.searchsorted(levels, values)]


def _before_curve(levels: np.ndarray) -> np.ndarray:
    """Numbers, from 0, of whole numbers (N,) that a curve made of greys.

    Where the curve is steep, it leaves numbers out, and each of those there is one grey. Where it is flat, several
    greys became one number; how many says the curve's slope, a power or an exponential fitted to where it is steep.
    """
    gaps, middles = np.diff(levels), (levels[1:] + levels[:-1]) / 2
    slopes = uniform_filter1d(gaps, SLOPE_WINDOW, mode="nearest")
    steep = slopes > STEEP
    if steep.all() or steep.sum() < SLOPE_WINDOW or middles[0] <= 0:
        return np.arange(len(levels), dtype=np.float64)
    fits = []
    for place in (np.log(middles), middles):
        line = np.polyfit(place[steep], np.log(slopes[steep]), 1)
        fitted = np.polyval(line, place)
        fits.append((np.abs(fitted - np.log(slopes))[steep].mean(), np.exp(fitted)))
    slope = min(fits, key=lambda fit: fit[0])[1]
    steps = np.where(steep, 1.0, np.clip(gaps / slope, 1.0, MOST_MERGED))
    return np.append(0.0, np.cumsum(steps))


def _stretched(values: np.ndarray) -> np.ndarray:
    """Values of a fine scale as greys of 1 to 255."""
    values = values.astype(np.float64)
    some = np.sort(values[:: max(1, len(values) // SAMPLE_VOXELS)])
    low, high = _range(some)
    scaled = np.clip((values - low) / (high - low), 0, 1)
    median = float(np.clip((np.median(some) - low) / (high - low), 0, 1))
    if median > BRIGHTEST_MEDIAN:
        scaled **= np.log(USUAL_MEDIAN) / np.log(min(median, 0.999))
    elif median < DARKEST_MEDIAN and (some <= some[0]).mean() < FLOOR_SHARE:
        scaled = 1 - np.log(np.maximum(scaled, DYNAMIC_RANGE)) / np.log(DYNAMIC_RANGE)
    return np.round(1 + (WHITE - 1) * scaled).astype(np.uint8)


def _range(ordered: np.ndarray) -> tuple[float, float]:
    """Lowest and highest of sorted values, without the few that lie far from all others."""
    low, high = np.quantile(ordered, TAILS)
    width = max(high - low, np.finfo(float).tiny)
    return max(ordered[0], low - width), min(ordered[-1], high + width)


def _without_holes(tensor: torch.Tensor) -> torch.Tensor:
    dark = (tensor <= 0).cpu().numpy()
    parts, _ = label(dark)
    faces = np.concatenate([np.take(parts, end, axis).ravel() for axis in range(3) for end in (0, -1)])
    holes = dark & ~np.isin(parts, np.unique(faces))
    if not holes.any() or dark.all():
        return tensor
    return torch.where(torch.from_numpy(holes).to(tensor.device), tensor[tensor > 0].min(), tensor)
