"""The arithmetic of conformal prediction: a monotone fit, a quantile for one case more, the loss of upper bounds."""

from __future__ import annotations

import numpy as np


def not_increasing(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Isotonic regression by pooling adjacent violators.

    Parameters
    ----------
    x, y, weight : (N,), x not decreasing

    Returns
    -------
    x, y : (M,), M <= N
        Means of the pools: x increases, y does not increase.
    """
    pools: list[tuple[float, float, float]] = []
    for pool in zip(x.tolist(), y.tolist(), weight.tolist(), strict=True):
        pools.append(pool)
        while len(pools) > 1 and (pools[-2][1] <= pools[-1][1] or pools[-2][0] >= pools[-1][0]):
            (xa, ya, a), (xb, yb, b) = pools.pop(), pools.pop()
            pools.append(((a * xa + b * xb) / (a + b), (a * ya + b * yb) / (a + b), a + b))
    fitted = np.array(pools)
    return fitted[:, 0], fitted[:, 1]


def conformal_quantile(values: np.ndarray, coverage: float) -> float:
    """The ceil((n + 1) coverage)-th smallest of n values (n,): one value more of the same kind is at most that in a
    share of ``coverage`` or more. Infinite where n is too small."""
    rank = int(np.ceil((len(values) + 1) * coverage))
    return float(np.sort(values)[rank - 1]) if rank <= len(values) else np.inf


def pinball_loss(values: np.ndarray, bounds: np.ndarray, coverage: float) -> float:
    """Mean loss of upper bounds on values, (n,) each; least where every bound is the value's ``coverage`` quantile."""
    beyond = values - bounds
    return float(np.maximum(coverage * beyond, (coverage - 1) * beyond).mean())
