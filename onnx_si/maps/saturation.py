"""Where the deployed Sigmoid or Softmax gives one number for several scores: nothing is decided there."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax

RESOLUTION = 2.0**-21
"""Probabilities that differ by less are not told apart: onnxruntime's Sigmoid is off by so much in single
precision, near 0 as near 1 (below -18 it is 0). Of logarithms it is the share that may differ."""
PLAIN = 1e-3  # scores as near as this are near in any precision, saturated or not
STEEP = 7.5  # score from which a Sigmoid is so flat that it takes scores 1e-3 apart for equal
FAINT = -80.0  # logarithm of a probability that a Softmax in single precision may give as 0

Array = NDArray[np.float64]


def alike(a: Array | float, b: Array | float, *, log: bool = False) -> NDArray[np.bool_]:
    """Which scores differ, though a Sigmoid (or its logarithm) in single precision may give one number."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if log:
        nearer = np.abs(log_expit(a) - log_expit(b)) < RESOLUTION * np.maximum(1.0, np.abs(log_expit(a)))
    else:
        nearer = np.abs(expit(a) - expit(b)) < RESOLUTION
    return np.asarray(nearer & (np.abs(a - b) > PLAIN * np.maximum(1.0, np.abs(a)) ** log))


def choice_saturates(scores: Array, axis: int, *, softmax: bool, smallest: bool) -> bool:
    """Whether a choice among probabilities is one among scores that these can't tell apart.

    Parameters
    ----------
    scores : array
        In front of a Softmax along `axis`, or of a Sigmoid.
    axis : int
    softmax : bool
    smallest : bool
        Whether the smallest one is chosen.
    """
    if scores.shape[axis] < 2:
        return False
    order = np.sort(scores if smallest else -scores, axis=axis)
    best, next_ = (np.take(order, i, axis=axis) * (1 if smallest else -1) for i in (0, 1))
    if not softmax:
        both_beyond = next_ < -STEEP if smallest else next_ > STEEP
        return bool((alike(best, next_) | both_beyond).any())
    logs = np.sort(log_softmax(scores, axis=axis), axis=axis)
    second = np.take(logs, 1 if smallest else -2, axis=axis)
    return bool(((second < FAINT) & (np.abs(best - next_) > PLAIN)).any()) if smallest else False


def edge_saturates(scores: Array, region: NDArray[np.bool_], mask: NDArray[np.bool_], *, log: bool) -> bool:
    """Whether the least score of a share of the pixels and the largest one outside can't be told apart."""
    inside, outside = scores[region & mask], scores[~region & mask]
    return bool(inside.size and outside.size and alike(inside.min(), outside.max(), log=log))
