"""Landmark heatmaps: Gaussian maps of points, and the points and confidences of maps.

Points are in voxels (x, y, z) of the maps' grid, maps are indexed [landmark, z, y, x], sigma is in voxels.
"""

import numpy as np
import torch


def render(points, array_shape: tuple[int, int, int], sigma: float, device="cpu") -> torch.Tensor:
    """A Gaussian of peak 1 about each point: (16, 3) voxels to (16, nz, ny, nx) float32; a NaN row gives a zero map."""
    x, y, z = _profiles(points, array_shape, sigma, device)
    return (z[..., :, None, None] * y[..., None, :, None]) * x[..., None, None, :]


def render_mean(points, array_shape: tuple[int, int, int], sigma: float, device="cpu") -> torch.Tensor:
    """The mean map over A bodies: (A, 16, 3) voxels to (16, nz, ny, nx) float32.

    This is the label proxy of the paper (section 2.2). A body without the landmark (NaN) does not count in its map.
    """
    x, y, z = (profile.transpose(0, 1) for profile in _profiles(points, array_shape, sigma, device))
    seen = (x.amax(dim=-1) > 0).sum(dim=1).clamp(min=1)
    planes = (z[..., :, None] * y[..., None, :]).flatten(2) / seen[:, None, None]
    return torch.bmm(planes.transpose(1, 2), x).unflatten(1, array_shape[:2])


def decode(heatmaps, *, separation: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """The most likely point of each map, to a fraction of a voxel.

    Parameters
    ----------
    heatmaps : (16, nz, ny, nx)
    separation : float
        Distance in voxels from which a second maximum is a second reading and lowers the confidence.

    Returns
    -------
    points : (16, 3) float64, voxels
        NaN where a map has no positive value.
    confidence : (16,) float64, in 0..1
        Peak height, times the peak's share of the sum of the two highest separated peaks: 1 for a single full Gaussian,
        half of its height for a map that cannot choose between two places.
    """
    maps = torch.as_tensor(heatmaps).detach()
    points, confidence = np.full((len(maps), 3), np.nan), np.zeros(len(maps))
    for i, heatmap in enumerate(maps):
        found, values = peaks(heatmap, 2, separation)
        if len(values):
            points[i] = found[0]
            confidence[i] = min(values[0], 1.0) * values[0] / values.sum()
    return points, confidence


def peaks(heatmap, count: int, min_distance: float) -> tuple[np.ndarray, np.ndarray]:
    """The highest local maxima of one map (nz, ny, nx) that lie `min_distance` voxels or more from any higher one.

    Returns points (P, 3) voxels and values (P,), highest first, P <= count. Only positive values count; NaN and
    infinite voxels are taken as 0. No two peaks are nearer than 2 voxels, whatever `min_distance`.
    """
    values = torch.nan_to_num(torch.as_tensor(heatmap).detach().float(), nan=0.0, posinf=0.0, neginf=0.0)
    candidates = ((values == _neighbourhood_maximum(values)) & (values > 0)).nonzero()
    heights = values[tuple(candidates.T)]
    order = heights.argsort(descending=True, stable=True)
    candidates, heights = candidates[order], heights[order]
    points: list[list[float]] = []
    found: list[float] = []
    while len(candidates) and len(points) < count:
        point, gain = _subvoxel(values, candidates[0].tolist())
        points.append(point)
        found.append(heights[0].item() * gain)
        far = (candidates - candidates[0]).float().norm(dim=1) >= max(min_distance, 2)  # equal neighbours are one peak
        candidates, heights = candidates[far], heights[far]
    return np.array(points, dtype=np.float64).reshape(-1, 3), np.array(found)


def _profiles(points, array_shape, sigma, device) -> list[torch.Tensor]:
    """The 1D factors of the Gaussians along x, y and z: three tensors (..., n). NaN coordinates give zeros in all."""
    points = torch.as_tensor(points, dtype=torch.float64)
    points = points.where(points.isfinite().all(dim=-1, keepdim=True), torch.nan)
    profiles = []
    for axis, n in enumerate(array_shape[::-1]):
        offset = (torch.arange(n, dtype=torch.float64) - points[..., axis, None].cpu()) / sigma
        profiles.append(torch.exp(-0.5 * offset**2).nan_to_num(nan=0.0).to(device, torch.float32))
    return profiles


def _neighbourhood_maximum(values: torch.Tensor) -> torch.Tensor:
    """Maximum over each voxel's 3x3x3 neighbourhood; a tenth of the time of max_pool3d on a CPU."""
    for dim, n in enumerate(values.shape):
        result = values.clone()
        for ahead, behind in ((1, 0), (0, 1)):
            target = result.narrow(dim, ahead, n - 1)
            torch.maximum(target, values.narrow(dim, behind, n - 1), out=target)
        values = result
    return values


def _subvoxel(values: torch.Tensor, peak: list[int]) -> tuple[list[float], float]:
    """The maximum at `peak` (z, y, x) refined to (x, y, z) within half a voxel, and how much higher it is there.

    A Gaussian's marginal over a 3x3x3 window is again Gaussian, and its logarithm a parabola: its vertex is exact, and
    summing nine voxels per plane evens out noise. At a border the window moves inwards and the vertex still is exact.
    """
    start = [min(max(p - 1, 0), max(n - 3, 0)) for p, n in zip(peak, values.shape, strict=True)]
    z, y, x = start
    window = values[z : z + 3, y : y + 3, x : x + 3].double().clamp(min=0).cpu().numpy()
    refined, log_gain = [], 0.0
    for axis in (2, 1, 0):
        marginal = window.sum(axis=tuple({0, 1, 2} - {axis}))
        offset = 0.0
        if marginal.size == 3:
            low, middle, high = np.log(np.maximum(marginal, 1e-6 * marginal.max()))
            curvature = low - 2 * middle + high
            if curvature < 0:
                vertex = start[axis] + 1 + 0.5 * (low - high) / curvature
                offset = float(np.clip(vertex - peak[axis], -0.5, 0.5))
                log_gain -= max(curvature, -1.0) * offset**2 / 2  # no sharper than sigma 1: noise must not gain height
        refined.append(peak[axis] + offset)
    return refined, float(np.exp(log_gain))
