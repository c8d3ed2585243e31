"""Where a function changes its sign, by Brent's method.

scipy's own, step for step: importing scipy.optimize takes as long as a small test.
"""

import math
from collections.abc import Callable

XTOL, RTOL = 2e-12, 4 * 2.0**-52


def find_root(
    function: Callable[[float], float],
    low: float,
    high: float,
    *,
    xtol: float = XTOL,
    rtol: float = RTOL,
    maxiter: int = 100,
) -> float:
    """A root between two places where the signs differ.

    Raises
    ------
    ValueError
        If they do not, or it is not found in so many steps.

    Source
    ------
    Brent, Algorithms for Minimization Without Derivatives, 1973, chapter 4; scipy/optimize/Zeros/brentq.c.
    """
    before, at = float(low), float(high)
    f_before, f_at = float(function(before)), float(function(at))
    if f_before == 0:
        return before
    if f_at == 0:
        return at
    if not f_before * math.copysign(1.0, f_at) < 0:
        raise ValueError(f"no change of sign between {low} and {high}")
    other, f_other, last, step = before, f_before, 0.0, 0.0
    for _ in range(maxiter):
        if f_before != 0 and f_at != 0 and (f_before < 0) != (f_at < 0):
            other, f_other = before, f_before
            last = step = at - before
        if abs(f_other) < abs(f_at):
            before, at, other = at, other, at
            f_before, f_at, f_other = f_at, f_other, f_at
        delta, half = (xtol + rtol * abs(at)) / 2, (other - at) / 2
        if f_at == 0 or abs(half) < delta:
            return at
        trial = half
        if abs(last) > delta and abs(f_at) < abs(f_before):
            trial = _interpolated(before, at, other, f_before, f_at, f_other)
        if trial != half and 2 * abs(trial) < min(abs(last), 3 * abs(half) - delta):
            last, step = step, trial
        else:
            last = step = half
        before, f_before = at, f_at
        at += step if abs(step) > delta else math.copysign(delta, half)
        f_at = float(function(at))
    raise ValueError(f"no root within {maxiter} steps")


def _interpolated(
    before: float, at: float, other: float, f_before: float, f_at: float, f_other: float
) -> float:
    """The step of the secant, or of the inverse parabola through three places."""
    if before == other:
        return -f_at * (at - before) / (f_at - f_before)
    slope = (f_before - f_at) / (before - at)
    slope_other = (f_other - f_at) / (other - at)
    below = slope_other * slope * (f_other - f_before)
    if below == 0:
        return math.inf  # never taken
    return -f_at * (f_other * slope_other - f_before * slope) / below
