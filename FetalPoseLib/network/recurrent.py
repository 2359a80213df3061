"""The RNN that the paper compares with: messages along the skeleton, from the trunk to the ends of the limbs.

Section 3: "RNN by adding a convolutional RNN layer to the last Conv layer of our landmark detector", after its
reference 6 (Liu et al., Feature Boosting Network for 3D Pose Estimation), where the steps of the recurrence are the
joints in the body's order. What the paper leaves open is ours: the state of a joint is a feature map that a 3x3x3 Conv,
the same for all, makes from its parent's and that is added to the joint's own features; each ends in a correction of
the joint's heatmap, which begins at zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from FetalPoseLib.body.skeleton import load_skeleton


class SkeletonRNN(nn.Module):
    """A correction of each landmark's heatmap, (N, 16, nz, ny, nx) of features (N, channels, nz, ny, nx).

    Parameters
    ----------
    channels : of the features.
    hidden : channels of a landmark's state.
    """

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.levels = load_skeleton().levels()
        landmarks = sum(len(level) for level in self.levels)
        self.own = nn.Conv3d(channels, landmarks * hidden, kernel_size=1)
        self.message = nn.Conv3d(hidden, hidden, kernel_size=3, padding=1)
        self.out = nn.Conv3d(hidden, 1, kernel_size=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.get_parameter("bias"))

    def forward(self, features: Tensor) -> Tensor:
        own = self.own(features).unflatten(1, (-1, self.message.in_channels)).unbind(1)
        state: dict[int, Tensor] = {}
        for level in self.levels:
            joints = torch.cat([own[landmark] for landmark, _ in level])
            messages = [state[parent] for _, parent in level if parent is not None]  # none at the root
            if messages:
                joints = joints + self.message(torch.cat(messages))
            state |= dict(zip((landmark for landmark, _ in level), F.relu(joints).chunk(len(level)), strict=True))
        maps = self.out(torch.cat([state[landmark] for landmark in sorted(state)]))
        return torch.cat(maps.chunk(len(state)), dim=1)
