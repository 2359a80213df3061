"""Shift-invariant filters along one axis of the beam's samples as matrices, one for each depth."""

import torch


def distances(positions: torch.Tensor) -> torch.Tensor:
    """All signed distances (2 N - 1,) between evenly spaced positions (N,), from the most negative to the largest."""
    count = len(positions)
    return (positions[1] - positions[0]) * torch.arange(1 - count, count, device=positions.device)


def toeplitz(profile: torch.Tensor) -> torch.Tensor:
    """(R, N, N) matrices M[r, i, j] = profile[r, N - 1 + j - i] of profiles (R, 2 N - 1) over `distances`."""
    return profile.unfold(1, (profile.shape[1] + 1) // 2, 1).flip(1)
