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
from FetalPoseLib.network.task_spec import TaskSpec
from FetalPoseLib.network.unet import LandmarkNet, set_normalisation
from FetalPoseLib.refinement.options import EstimateOptions, OnlineSslOptions
from FetalPoseLib.volume.grid import Grid


@dataclass(frozen=True, eq=False)
class Step:
    """One iteration: what the detector says now, and what it is about to learn from.

    Attributes
    ----------
    iteration : int
        0 is the plain detection.
    points : (16, 3) RAS mm
        The pose P^t; NaN where nothing was detected; a placed point where it was placed.
    confidence : (16,) in 0..1
        1 for placed points.
    loss : float or None
        L2 between this iteration's heatmaps and this iteration's label proxy.
    proxy : (k, 16, 3) RAS mm
        The aligned atlases of the support set D^t, best first, whose mean Gaussian maps are the label proxy.
    residual : (k,) mm^2
        Their residuals (Eq. 1).

    Where too few landmarks are visible to register the library, `loss` is None, `proxy` and `residual` are empty, and
    there is no further step.
    """

    iteration: int
    points: np.ndarray
    confidence: np.ndarray
    loss: float | None
    proxy: np.ndarray
    residual: np.ndarray


@dataclass(frozen=True, eq=False)
class OnlineSsl:
    """The on-line loop of section 2.2 for one volume; the loaded network stays as it is.

    Parameters
    ----------
    net : LandmarkNet
        The detector; refined is a copy of it.
    library : PoseLibrary
        FetalPoseError if it is empty.
    grid : Grid
        Where the heatmaps lie in the world.
    spec : TaskSpec
        What the detector was trained on: width of its Gaussian maps, weight of the foreground.
    options : OnlineSslOptions
    iterations : int
        Adam steps; 0 is plain detection. ValueError if negative.
    bfloat16 : bool
        Compute convolutions in half precision, see `precision`.
    placed : mapping of landmark index (0-based) to (3,) RAS mm
        Points a person has placed: they stand in for the prediction in the registration and for the atlases in the
        proxy. ValueError unless finite.

    Example
    -------
    >>> for step in OnlineSsl(net, library, grid=grid.coarsened(2), spec=spec).run(volume[None, None]):
    ...     show(step.points)  # to cancel, close the generator
    """

    net: LandmarkNet
    library: PoseLibrary
    _: KW_ONLY
    grid: Grid
    spec: TaskSpec
    options: OnlineSslOptions = OnlineSslOptions()
    iterations: int = EstimateOptions.iterations
    bfloat16: bool = False
    placed: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        if self.iterations < 0:
            raise ValueError(f"iterations is {self.iterations}; at least 0")
        if not np.isfinite([point for point in self.placed.values()]).all():
            raise ValueError(f"a placed point must be finite: {dict(self.placed)}")
        if not len(self.library):
            raise FetalPoseError("The pose library is empty: add at least one atlas, or ask for no refinement.")

    def run(self, volume: Tensor) -> Iterator[Step]:
        """Yield `iterations` + 1 steps for the network's input (1, 1, nz, ny, nx), whose heatmaps lie on `grid`.

        The copy of the network lives as long as the generator: close it to stop, or drop it.
        """
        net = copy.deepcopy(self.net).eval().requires_grad_(False)
        set_normalisation(net, self.spec.normalisation)
        learning = list(net.parameters()) if self.options.parameters == "all" else net.decoder_parameters()
        for parameter in learning:
            parameter.requires_grad_(True)
        adam = torch.optim.Adam(
            learning, lr=self.options.learning_rate, betas=(0.5, 0.999)
        )  # "moment term is 0.5", section 3

        for iteration in range(self.iterations + 1):
            with torch.set_grad_enabled(iteration < self.iterations), autocast(volume.device, self.bfloat16):
                heatmaps = net(volume)[0].float()
            points, confidence = self._pose(heatmaps)
            if not self.library.can_register(points):
                yield Step(iteration, points, confidence, None, np.empty((0, *points.shape)), np.empty(0))
                return
            aligned, residual = self._support_set(points, confidence)
            loss = heatmap_loss(heatmaps, self._proxy(aligned, residual, heatmaps.device), self.spec.foreground)
            yield Step(iteration, points, confidence, loss.item(), aligned, residual)
            if iteration < self.iterations:
                adam.zero_grad()
                loss.backward()
                adam.step()

    def _pose(self, heatmaps: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """The pose P^t (16, 3) RAS mm in the heatmaps, with placed points in their places, and its confidence (16,)."""
        points, confidence = decode(heatmaps)
        points = self.grid.to_world(points)
        for landmark, point in self.placed.items():
            points[landmark], confidence[landmark] = point, 1.0
        return points, confidence

    def _support_set(self, points: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """D^t of Eq. 1: aligned atlases (k, 16, 3) RAS mm, agreeing on what stays in place, and residuals (k,) mm^2."""
        options = self.options
        if options.sides:
            points = self.library.likelier_sides(points, options.k, similarity=options.similarity)
        aligned, residual = self.library.support_set(points, options.k, similarity=options.similarity)
        least = options.hold_confidence
        kept = () if least is None else np.flatnonzero(confidence >= least)
        for landmark in {*kept, *self.placed}:
            aligned[:, landmark] = points[landmark]
        return aligned, residual

    def _proxy(self, aligned: np.ndarray, residual: np.ndarray, device: torch.device) -> Tensor:
        """The label proxy (16, nz, ny, nx): mean of the aligned atlases' Gaussian maps."""
        if self.options.weighting == "mean":
            return label_proxy(aligned, self.grid, self.spec.sigma, device)
        weights = 1 / np.maximum(residual, 1.0)  # 1 mm^2: an atlas cannot be better than exact
        maps = (label_proxy(atlas[None], self.grid, self.spec.sigma, device) for atlas in aligned)
        return sum(weight * atlas for weight, atlas in zip(weights / weights.sum(), maps, strict=True))


def label_proxy(aligned, grid: Grid, sigma: float, device="cpu") -> Tensor:
    """The label proxy (16, nz, ny, nx) on `grid`: mean Gaussian maps of the aligned atlases (k, 16, 3) RAS mm."""
    return render_mean(grid.to_voxel(aligned), grid.array_shape, sigma, device)
