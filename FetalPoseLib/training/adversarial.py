"""The GAN that the paper compares with: a discriminator on pairs of volume and 16 heatmaps.

Section 3: "We implemented GAN by learning to classify the pair of US volume and 16-channel heatmaps", after its
references 4 (Chen et al., Adversarial PoseNet) and 12. The discriminator learns to tell the annotation's Gaussian maps
from the detector's heatmaps beside the same volume, the detector to be taken for the annotation. What the paper leaves
open is ours: a judgement for every patch, binary cross entropy, and the weight of that term.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from FetalPoseLib.training.detector import Trainer

WEIGHT = 1e-3  # of the adversarial term beside L2, whose weighted sum lies at some 0.005 by then


class Discriminator(nn.Module):
    """Whether a pair looks annotated: logits (patches,) of image (1, nz, ny, nx) and heatmaps (16, nz, ny, nx)."""

    def __init__(self, landmarks: int, width: int = 16):
        super().__init__()
        channels = (1 + landmarks, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for inputs, outputs in zip(channels[:-1], channels[1:], strict=True):
            layers += [nn.Conv3d(inputs, outputs, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv3d(channels[-1], 1, kernel_size=3, padding=1))

    def forward(self, image: Tensor, heatmaps: Tensor) -> Tensor:
        return self.layers(torch.cat((image, heatmaps))[None]).flatten()


class AdversarialTrainer(Trainer):
    """`Trainer` with a discriminator beside the detector, which learns a step before it in each of its steps."""

    def __init__(self, net, task, recipe, pool, validation, folder, **options):
        super().__init__(net, task, recipe, pool, validation, folder, **options)
        self.discriminator = Discriminator(task.channels).to(self.device, memory_format=torch.channels_last_3d)
        self.judging = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(recipe.beta1, 0.999))

    def _loss(self, prediction: Tensor, target: Tensor, image: Tensor) -> Tensor:
        seen = F.interpolate(image[None], prediction.shape[1:], mode="area")[0]
        self.discriminator.requires_grad_(True)
        verdict = self._judge(seen, target, 1.0) + self._judge(seen, prediction.detach(), 0.0)
        self.judging.zero_grad(set_to_none=True)
        verdict.backward()
        self.judging.step()
        self.discriminator.requires_grad_(False)
        return super()._loss(prediction, target, image) + WEIGHT * self._judge(seen, prediction, 1.0)

    def _judge(self, image: Tensor, heatmaps: Tensor, annotated: float) -> Tensor:
        with self._precision():
            logits = self.discriminator(image, heatmaps).float()
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, annotated))

    def _more_state(self) -> dict:
        return {"discriminator": self.discriminator.state_dict(), "judging": self.judging.state_dict()}

    def _load_more_state(self, state: dict) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.judging.load_state_dict(state["judging"])
