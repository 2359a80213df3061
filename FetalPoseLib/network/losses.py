"""The losses of the landmark detector: L2 regression of heatmaps (FetusMap, section 2.1), for training and refinement,
and the pair loss, which sees the confusion of left and right apart from an error of place."""

from collections.abc import Sequence

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


def pair_loss(
    prediction: Tensor, target: Tensor, pairs: Sequence[tuple[int, int]], *, side: float, foreground: float = 0.0
) -> Tensor:
    """L2 regression that treats a symmetric pair together: where the two are, and which of them is which.

    The idea is that of the Pair Loss of FetusMapV2 (Chen et al., Medical Image Analysis 2024): it separates which side
    a symmetric landmark is on from where it is. If e and f are the errors of a pair's two maps, e + f is the
    error of place, and e - f that of side: maps that only change places have an e + f of zero. As
    e^2 + f^2 = ((e + f)^2 + (e - f)^2) / 2, weighing the second term makes this, with ``side`` 1, `heatmap_loss`
    but for the weight of the foreground, which the two maps of a pair share.

    Parameters
    ----------
    prediction, target : (16, nz, ny, nx)
    pairs : the landmarks, 0-based, that change places in a mirrored body.
    side : weight of the error of side.
    foreground : a voxel weighs ``1 + foreground * target``, for a pair the larger of its two.
    """
    first, second = (list(indices) for indices in zip(*pairs, strict=True))
    single = [i for i in range(len(target)) if i not in (*first, *second)]
    error = prediction - target
    total = (error[single].square() * (1 + foreground * target[single])).sum()
    place, sides = error[first] + error[second], error[first] - error[second]
    weight = 1 + foreground * target[first].maximum(target[second])
    total = total + ((place.square() + side * sides.square()) / 2 * weight).sum()
    return total / target.numel()
