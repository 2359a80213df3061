"""What the tests of the network share."""

import torch

from FetalPoseLib.network.losses import heatmap_loss
from FetalPoseLib.network.unet import LandmarkNet


def small_net(**options) -> LandmarkNet:
    torch.manual_seed(0)
    return LandmarkNet(**{"width": 4, "levels": 2, "out_channels": 3, **options})


def train_step(net: LandmarkNet, volume: torch.Tensor) -> torch.Tensor:
    heatmaps = net(volume)
    heatmap_loss(heatmaps, torch.linspace(0, 1, heatmaps.numel()).view_as(heatmaps), foreground=2.0).backward()
    return heatmaps.detach()
