"""How much the conditioning leaves to test with, and how wrong a standard deviation may be."""

import math
from collections.abc import Callable

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.rules.rules import Array
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Alternative, Normal, p_value_bounds

FAR = 8.0  # standard errors around the statistic, beyond which the normal law has no mass to speak of
STRETCH = 1.0  # standard errors on which one rule of so many nodes is exact to rounding:
NODES = 16
REACH = 100.0  # factor by which a standard deviation is moved at most
PER_DECADE = 24  # steps in which it is moved
HALVINGS = 40
TOLD = 1e-6  # share of a standard deviation by which a turn is to be known


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


def tipping_factor(
    inside: Intervals, undecided: Intervals, line: ImageLine, alternative: Alternative, alpha: float
) -> float | None:
    """The factor nearest to 1 of the standard error at which the decision at alpha turns.

    S does not depend on the size of the noise where it has one standard deviation, so the p-value is a
    function of it. None where it does not turn within a factor of `REACH`, where it hangs on what the search
    left undecided, or where the law is not normal.
    """
    if not isinstance(line.distribution, Normal) or line.tested is not None:
        return None

    def rejects(log_factor: float) -> bool | None:
        law = Normal(0.0, line.standard_error * math.exp(log_factor))
        low, high = p_value_bounds(law, inside, undecided, line.statistic, alternative)
        return None if low <= alpha < high else high <= alpha

    now, step = rejects(0.0), math.log(10) / PER_DECADE
    open_ways = [1.0, -1.0] if now is not None else []
    for number in range(1, math.ceil(PER_DECADE * math.log10(REACH)) + 1):
        for sign in tuple(open_ways):
            found = rejects(sign * number * step)
            if found is None:
                open_ways.remove(sign)
            elif found != now:
                return _turn(rejects, sign * (number - 1) * step, sign * number * step)
    return None


def _turn(rejects: Callable[[float], bool | None], near: float, far: float) -> float | None:
    """The factor between two logarithms at which the decision is another one; None where it is not told."""
    now, then = rejects(near), rejects(far)
    for _ in range(HALVINGS):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if rejects(middle) == now else (near, middle)
    return math.exp(far) if rejects(far + math.copysign(TOLD, far - near)) == then else None
