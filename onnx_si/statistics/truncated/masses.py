"""Logarithms of integrals over intervals: bells, and powers times bells, by quadrature and erfc."""

from __future__ import annotations

import math

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ROOT_HALF = math.sqrt(0.5)
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
# Quadrature on [0, 1]. The short rule integrates exponents that vary by at most about 1, the long rule whole
# bell shapes cut where they have fallen by exp(-DROP); both are exact to rounding there, as tested.
SHORT_RULE = 8
LONG_RULE = 64
DROP = 38.0
# Stands for the log of a mass too small even for its logarithm, so that differences stay numbers.
LEAST_LOG = -1e300


def log_sum(log_values: Floats) -> float:
    """Return the log of the sum of exponentials, -inf for an empty array."""
    top = float(log_values.max(initial=-np.inf))
    if math.isinf(top):
        return top
    return top + math.log(float(np.exp(log_values - top).sum()))


def log_sums(log_values: Floats, where: NDArray[np.bool_]) -> Floats:
    """Return the log of the sum of exponentials over the last axis; -inf where no place is marked, and at
    least `LEAST_LOG` where one is.
    """
    top = log_values.max(axis=-1, initial=LEAST_LOG)
    with np.errstate(divide="ignore"):
        sums = np.maximum(top + np.log(np.exp(log_values - top[..., None]).sum(axis=-1)), LEAST_LOG)
    result: Floats = np.where(where.any(axis=-1), sums, -np.inf)
    return result


def spread(where: NDArray[np.bool_], log_values: Floats, errors: Floats) -> Floats:
    """A table (2, *where.shape) of values less and plus their errors at the marked places, -inf elsewhere."""
    table = np.full((2, *where.shape), -np.inf)
    table[:, where] = log_values - errors, log_values + errors
    return table


def log_bell_integrals(lo: Floats, hi: Floats, widths: Floats, tilt: float | Floats) -> Floats:
    """Return the log of the integral of exp(tilt s - s**2 / 2) over each interval.

    Parameters
    ----------
    lo, hi, widths : arrays (n,)
        Ends, and the length hi - lo with its own digits.
    tilt : float or array (n,)
        Place of the peak.

    Returns
    -------
    array (n,)
        -inf where the width is not positive.
    """
    with np.errstate(all="ignore"):
        from_lo, to_hi = lo - tilt, tilt - hi
        # The end nearest to the peak carries the scale; from there the integrand only falls.
        near = np.where(from_lo >= to_hi, lo, hi)
        distance = np.maximum(from_lo, to_hi)
        result = near * (tilt - 0.5 * near)
        short = widths * (np.abs(distance) + 1.0) <= 1.0
        across = ~short & (distance < 0.0)
        for rows, rule in ((short, _log_short_fall), (~short & ~across, _log_long_fall)):
            if rows.any():
                result[rows] += rule(distance[rows], widths[rows])
        if across.any():
            sides = scipy.special.erf(-_ROOT_HALF * from_lo[across]) + scipy.special.erf(
                -_ROOT_HALF * to_hi[across]
            )
            peak = np.broadcast_to(tilt, widths.shape)[across]
            result[across] = 0.5 * peak * peak + HALF_LOG_TWO_PI + np.log(0.5 * sides)
    result[~(widths > 0.0)] = -np.inf
    return result


def _log_short_fall(distance: Floats, widths: Floats) -> Floats:
    """Return log of the integral of exp(-distance v - v**2 / 2) over [0, width] by quadrature."""
    nodes, weights = RULES[SHORT_RULE]
    steps = widths[:, None] * nodes
    return np.log(np.exp(-steps * (distance[:, None] + 0.5 * steps)) @ weights) + np.log(widths)


def _log_long_fall(distance: Floats, widths: Floats) -> Floats:
    """Return the same integral as a difference of Mills ratios, for widths where that does not cancel."""
    end = scipy.special.erfcx((distance + widths) * _ROOT_HALF) * np.exp(-widths * (distance + 0.5 * widths))
    return np.log(math.sqrt(0.5 * math.pi) * (scipy.special.erfcx(distance * _ROOT_HALF) - end))


def log_power_bell_integrals(power: int, lo: Floats, hi: Floats, widths: Floats) -> Floats:
    """Return the log of the integral of x**power exp(-x**2 / 2), relative to its value at the mode.

    Parameters
    ----------
    power : int
        At least 1.
    lo, hi, widths : arrays (n,)
        Ends, not negative, and the length hi - lo > 0 with its own digits.

    Returns
    -------
    array (n,)
    """
    mode = math.sqrt(power)
    peak = np.clip(mode, lo, hi)
    # The log density falls from the peak at least as fast as these parabolas, so the cut loses exp(-DROP).
    # To the left its curvature only grows; to the right it never gets below 1.
    left = np.minimum(peak - lo, _fall(power, peak, power + peak**2))
    right = np.minimum(hi - peak, _fall(power, peak, peak**2))
    cut = (left < peak - lo) | (right < hi - peak)
    lengths = np.where(cut, left + right, widths)
    slope, steepest_bend = np.abs(peak - power / peak), 1.0 + power / lo**2
    short = widths * (slope + steepest_bend * widths) <= 1.0
    result = _log_height(power, mode, peak) + np.log(lengths)
    for rows, rule in ((short, SHORT_RULE), (~short, LONG_RULE)):
        if rows.any():
            nodes, weights = RULES[rule]
            # Rounding may push a step a unit past zero: the density is zero there, not undefined.
            steps = np.maximum(-left[rows, None] + lengths[rows, None] * nodes, -peak[rows, None])
            result[rows] += np.log(np.exp(_log_power_bell(power, peak[rows, None], steps)) @ weights)
    return result


def _log_height(power: int, mode: float, x: Floats) -> Floats:
    """Return the log of x**power exp(-x**2 / 2), relative to its value at the mode."""
    step = x - mode
    # Near the mode the step keeps its digits and the ratio loses them; far below it is the other way round.
    ratio = np.where(x < 0.5 * mode, np.log(x / mode), np.log1p(np.maximum(step / mode, -0.5)))
    height: Floats = power * ratio - step * (mode + 0.5 * step)
    return height


def _log_power_bell(power: int, origin: Floats, steps: Floats) -> Floats:
    """Return the log of x**power exp(-x**2 / 2) at origin + step, relative to its value at the origin."""
    height: Floats = power * np.log1p(steps / origin) - steps * (origin + 0.5 * steps)
    return height


def _fall(power: int, peak: Floats, bend: Floats) -> Floats:
    """Return the distance v over which slope v + bend v**2 / (2 peak**2) reaches `DROP`.

    The slope is that of the log density at the peak; all is multiplied by the peak, which may be tiny.
    """
    slope = np.abs(peak**2 - power)
    distance: Floats = 2.0 * DROP * peak / (slope + np.sqrt(slope**2 + 2.0 * DROP * bend))
    return distance


def _unit_rule(count: int) -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return 0.5 * (nodes + 1.0), 0.5 * weights


RULES = {count: _unit_rule(count) for count in (SHORT_RULE, LONG_RULE)}
