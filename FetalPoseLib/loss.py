"""The loss of the landmark detector: L2 regression of heatmaps (FetusMap, section 2.1), for training and refinement."""

from torch import Tensor


def heatmap_loss(prediction: Tensor, target: Tensor, foreground: float = 0.0) -> Tensor:
    """Mean over all voxels and channels of the squared difference, a scalar.

    Parameters
    ----------
    prediction, target : (..., 16, nz, ny, nx)
        Heatmaps, and the Gaussian maps or the label proxy in [0, 1]. ValueError if the shapes differ.
    foreground : float
        A voxel weighs ``1 + foreground * target``. With 0, the paper's loss, the empty background is most of the sum.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"heatmaps of shape {tuple(prediction.shape)} against a target of {tuple(target.shape)}")
    squared = (prediction - target).square()
    return squared.mean() if foreground == 0 else (squared * (1 + foreground * target)).mean()
