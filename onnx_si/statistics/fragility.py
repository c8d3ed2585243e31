"""How much the conditioning leaves to test with."""

import math

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array
from onnx_si.statistics.line import ImageLine

FAR = 8.0  # standard errors around the statistic, beyond which the normal law has no mass to speak of
STRETCH = 1.0  # standard errors on which one rule of so many nodes is exact to rounding:
NODES = 16
AGREE = 0.02  # of the larger bound: so close are bounds that are one number


def distance_to_ends(inside: Intervals, line: ImageLine) -> float | None:
    """Standard errors from the statistic to the nearest end of S; None where there is none."""
    at = line.statistic
    held = inside.bounds[(inside.bounds[:, 0] <= at) & (at <= inside.bounds[:, 1])]
    ends = held[np.isfinite(held)]
    if not len(held) or not len(ends):
        return None
    return float(np.abs(ends - at).min() / line.standard_error)


def distance_bounds(inside: Intervals, undecided: Intervals, line: ImageLine) -> tuple[float, float]:
    """Bounds of that distance where S is only known to hold `inside`, and nothing outside of both sets.

    Infinite where there may be no end.
    """
    low, high = (distance_to_ends(held, line) for held in (inside, inside.union(undecided)))
    return math.inf if low is None else low, math.inf if high is None else high


def information(inside: Intervals, line: ImageLine) -> float | None:
    """Share of the statistic's information on its mean that the selection leaves, between 0 and 1.

    For a normal statistic the Fisher information on the mean is the variance over the fourth power of the
    standard error; so it is that of the statistic restricted to S, with the observed place as mean, over that
    of the statistic itself. After a randomised selection what the noise hides of the place comes on top.

    Source
    ------
    Fithian, Sun, Taylor, arXiv 1410.2597, section 2 (leftover information).
    """
    found = information_bounds(inside, Intervals.empty(), line)
    return None if found is None else found[1]


def information_bounds(
    inside: Intervals, undecided: Intervals, line: ImageLine
) -> tuple[float, float] | None:
    """Bounds of that share over everything that S may be: `inside` and some of `undecided`.

    With mass m of `inside` and its variance V, u that of `undecided`: the variance of the whole is at least
    that of its part times its share, V m / (m + u), and at most the mean square around the mean of `inside`,
    (V m + the integral over `undecided`) / m.
    """
    if line.error is None:
        return None
    sets = ((each.bounds - line.statistic) / line.standard_error for each in (inside, undecided))
    known, more = map(_nodes, sets)
    mass, rest = known[1].sum(), more[1].sum()
    if not mass:
        return None
    mean = (known[0] * known[1]).sum() / mass
    own, others = ((weights * (z - mean) ** 2).sum() for z, weights in (known, more))
    shares = own / (mass + rest), min(1.0, (own + others) / mass)
    seen = (line.error / line.standard_error) ** 2
    return float((1 - seen) + seen * min(shares)), float((1 - seen) + seen * shares[1])


def agree(bounds: tuple[float, float]) -> bool:
    """Whether bounds are one number, to the digits that are told."""
    low, high = bounds
    return low == high or high - low <= AGREE * high


def _nodes(bounds: Array) -> tuple[Array, Array]:
    """Nodes on a set, and weights with the normal density in them, by Gauss-Legendre quadrature."""
    near = np.clip(bounds, -FAR, FAR)
    near = near[near[:, 0] < near[:, 1]]
    parts = np.maximum(1, np.ceil((near[:, 1] - near[:, 0]) / STRETCH).astype(int))
    row = np.repeat(np.arange(len(near)), parts)
    place = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    half = 0.5 * ((near[:, 1] - near[:, 0]) / np.maximum(parts, 1))[row]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    z = (near[row, 0] + half * (2 * place + 1))[:, None] + half[:, None] * nodes
    return z, half[:, None] * weights * np.exp(-0.5 * z * z)
