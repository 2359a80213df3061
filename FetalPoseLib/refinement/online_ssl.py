"""Self-supervised on-line refinement: the detector learns from its own prediction, put right by the pose library.

Yang et al., MICCAI 2019, section 2.2 and Fig. 2. Iteration t: the detector predicts the pose P^t; the K atlases that
fit it best (Eq. 1) form the support set D^t; the mean of their Gaussian maps is the label proxy; one Adam step on the
L2 loss between heatmaps and proxy updates the detector, which then predicts P^(t+1) and thereby a better proxy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
import torch
from torch import Tensor

from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.heatmaps import decode, render_mean
from FetalPoseLib.network.losses import heatmap_loss
from FetalPoseLib.network.precision import autocast
from FetalPoseLib.network.unet import LandmarkNet, set_normalisation
from FetalPoseLib.volume.grid import Grid

#: Options of `Refinement`: the paper's, and ours, chosen on validation subjects (`fetalpose benchmark refinement`).
PAPER: dict = {}
HOLDING: dict = {"trust": 0.2, "similarity": True, "lr": 1e-4}


@dataclass(frozen=True, eq=False)
class Step:
    """One iteration: what the detector says now, and what it is about to learn from.

    Attributes
    ----------
    iteration : int
        0 is the plain detection.
    points : (16, 3) RAS mm
        The pose P^t; NaN where nothing was detected; a fixed point where it was fixed.
    confidence : (16,) in 0..1
        1 for fixed points.
    loss : float or None
        L2 between this iteration's heatmaps and this iteration's label proxy.
    proxy : (k, 16, 3) RAS mm
        The aligned atlases of the support set D^t, best first, whose mean Gaussian maps are the label proxy.
    residual : (k,) mm^2
        Their residuals (Eq. 1).

    Where too few landmarks are seen to register the library, `loss` is None, `proxy` and `residual` are empty, and
    there is no further step.
    """

    iteration: int
    points: np.ndarray
    confidence: np.ndarray
    loss: float | None
    proxy: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True, eq=False)
class Refinement:
    """The on-line loop of section 2.2 for one volume; the loaded network stays as it is.

    Parameters
    ----------
    net : LandmarkNet
        The detector; refined is a copy of it.
    library : PoseLibrary
        FetalPoseError if it is empty.
    grid : Grid
        Where the heatmaps lie in the world.
    sigma : float, heatmap voxels
        Width of the Gaussian maps the detector was trained on.
    k : int
        Atlases in the support set, K of Eq. 1.
    lr : float
        Learning rate of Adam.
    iterations : int
        Adam steps; 0 is plain detection.
    similarity : bool
        Fit one scale per atlas too; the paper's transform is rigid.
    parameters : "all" or "decoder"
        What Adam may change.
    weighting : "mean" or "residual"
        How the support set is averaged: equally as in the paper, or by 1 / residual.
    foreground : float
        As the detector was trained, see `heatmap_loss`.
    normalisation : "volume" or "running"
        Batch norm's statistics, see `set_normalisation`.
    trust : float, optional
        Landmarks detected with at least this confidence keep their own place in the proxy; only the others follow the
        atlases. None is the paper's way, in which all follow: no atlas of a few hundred has the very pose of an unseen
        fetus, so that pulls a good detection away from the truth.
    sides : bool
        Register each pose with its arms and legs exchanged, too, and go on with what fits best.
    bfloat16 : bool
        Compute convolutions in half precision, see `precision`.
    fixed : mapping of landmark index (0-based) to (3,) RAS mm
        Points a person has placed: they stand in for the prediction in the registration and for the atlases in the
        proxy.

    Raises
    ------
    ValueError
        An option is not one of those above.

    Example
    -------
    >>> for step in Refinement(net, library, grid=grid.coarsened(2), sigma=1.5).run(volume[None, None]):
    ...     show(step.points)  # to cancel, close the generator
    """

    net: LandmarkNet
    library: PoseLibrary
    _: KW_ONLY
    grid: Grid
    sigma: float
    k: int = 10
    lr: float = 5e-4
    iterations: int = 6
    similarity: bool = False
    parameters: str = "all"
    weighting: str = "mean"
    foreground: float = 0.0
    normalisation: str = "volume"
    trust: float | None = None
    sides: bool = False
    bfloat16: bool = False
    fixed: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        for name, allowed in (("parameters", ("all", "decoder")), ("weighting", ("mean", "residual"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, must be one of {allowed}")
        if self.k < 1 or self.iterations < 0:
            raise ValueError(f"k is {self.k} and iterations {self.iterations}; at least 1 and 0")
        if not np.isfinite([point for point in self.fixed.values()]).all():
            raise ValueError(f"a fixed point must be finite: {dict(self.fixed)}")
        if not len(self.library):
            raise FetalPoseError("The pose library is empty: add at least one atlas, or ask for no refinement.")

    def run(self, volume: Tensor) -> Iterator[Step]:
        """Yield `iterations` + 1 steps for the network's input (1, 1, nz, ny, nx), whose heatmaps lie on `grid`.

        The copy of the network lives as long as the generator: close it to stop, or drop it.
        """
        net = copy.deepcopy(self.net).eval().requires_grad_(False)
        set_normalisation(net, self.normalisation)
        learning = list(net.parameters()) if self.parameters == "all" else net.decoder_parameters()
        for parameter in learning:
            parameter.requires_grad_(True)
        adam = torch.optim.Adam(learning, lr=self.lr, betas=(0.5, 0.999))  # "moment term is 0.5", section 3

        for iteration in range(self.iterations + 1):
            with torch.set_grad_enabled(iteration < self.iterations), autocast(volume.device, self.bfloat16):
                heatmaps = net(volume)[0].float()
            points, confidence = self._pose(heatmaps)
            try:
                aligned, residual = self._support_set(points, confidence)
            except FetalPoseError:
                yield Step(iteration, points, confidence, None, np.empty((0, *points.shape)), np.empty(0))
                return
            loss = heatmap_loss(heatmaps, self._proxy(aligned, residual, heatmaps.device), self.foreground)
            yield Step(iteration, points, confidence, loss.item(), aligned, residual)
            if iteration < self.iterations:
                adam.zero_grad()
                loss.backward()
                adam.step()

    def _pose(self, heatmaps: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The pose P^t (16, 3) RAS mm in the heatmaps, with fixed points in their places, and its confidence (16,)."""
        points, confidence = decode(heatmaps)
        points = self.grid.to_world(points)
        for landmark, point in self.fixed.items():
            points[landmark], confidence[landmark] = point, 1.0
        return points, confidence

    def _support_set(self, points: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """D^t of Eq. 1: aligned atlases (k, 16, 3) RAS mm, agreeing on what is held, and residuals (k,) mm^2."""
        if self.sides:
            points = self.library.likelier_sides(points, self.k, similarity=self.similarity)
        aligned, residual = self.library.support_set(points, self.k, similarity=self.similarity)
        trusted = () if self.trust is None else np.flatnonzero(confidence >= self.trust)
        for landmark in {*trusted, *self.fixed}:
            aligned[:, landmark] = points[landmark]
        return aligned, residual

    def _proxy(self, aligned: np.ndarray, residual: np.ndarray, device: torch.device) -> Tensor:
        """The label proxy (16, nz, ny, nx): mean of the aligned atlases' Gaussian maps."""
        if self.weighting == "mean":
            return label_proxy(aligned, self.grid, self.sigma, device)
        weights = 1 / np.maximum(residual, 1.0)  # 1 mm^2: an atlas cannot be better than exact
        maps = (label_proxy(atlas[None], self.grid, self.sigma, device) for atlas in aligned)
        return sum(weight * atlas for weight, atlas in zip(weights / weights.sum(), maps, strict=True))


def label_proxy(aligned, grid: Grid, sigma: float, device="cpu") -> Tensor:
    """The label proxy (16, nz, ny, nx) on `grid`: mean Gaussian maps of the aligned atlases (k, 16, 3) RAS mm."""
    return render_mean(grid.to_voxel(aligned), grid.array_shape, sigma, device)
