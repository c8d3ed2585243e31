"""How much the conditioning leaves to test with."""

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array
from onnx_si.statistics.line import ImageLine

FAR = 8.0  # standard errors around the statistic, beyond which the normal law has no mass to speak of
STRETCH = 1.0  # standard errors on which one rule of so many nodes is exact to rounding:
NODES = 16


def distance_to_ends(inside: Intervals, line: ImageLine) -> float | None:
    """Standard errors from the statistic to the nearest end of S; None where there is none."""
    at = line.statistic
    held = inside.bounds[(inside.bounds[:, 0] <= at) & (at <= inside.bounds[:, 1])]
    ends = held[np.isfinite(held)]
    if not len(held) or not len(ends):
        return None
    return float(np.abs(ends - at).min() / line.standard_error)


def information(inside: Intervals, line: ImageLine) -> float | None:
    """Share of the statistic's information on its mean that the selection leaves, between 0 and 1.

    For a normal statistic the Fisher information on the mean is the variance over the fourth power of the
    standard error; so it is that of the statistic restricted to S, with the observed place as mean, over that
    of the statistic itself. After a randomised selection what the noise hides of the place comes on top.

    Source
    ------
    Fithian, Sun, Taylor, arXiv 1410.2597, section 2 (leftover information).
    """
    share = _variance((inside.bounds - line.statistic) / line.standard_error)
    if share is None or line.error is None:
        return None
    seen = (line.error / line.standard_error) ** 2
    return (1 - seen) + seen * share


def _variance(bounds: Array) -> float | None:
    """Variance of a standard normal number on a set, by Gauss-Legendre quadrature; None without mass."""
    near = np.clip(bounds, -FAR, FAR)
    near = near[near[:, 0] < near[:, 1]]
    if not len(near):
        return None
    parts = np.maximum(1, np.ceil((near[:, 1] - near[:, 0]) / STRETCH).astype(int))
    row = np.repeat(np.arange(len(near)), parts)
    place = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    half = 0.5 * ((near[:, 1] - near[:, 0]) / parts)[row]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    z = (near[row, 0] + half * (2 * place + 1))[:, None] + half[:, None] * nodes
    mass = half[:, None] * weights * np.exp(-0.5 * z * z)
    total = mass.sum()
    mean = (mass * z).sum() / total
    return float(min(1.0, (mass * (z - mean) ** 2).sum() / total))
