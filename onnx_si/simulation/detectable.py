"""The smallest signal that is found with a wanted power, by bisection: every signal meets the same draws."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from onnx_si.analysis.settings import Settings
from onnx_si.errors import UsageError
from onnx_si.simulation.kept_trials import Journal
from onnx_si.simulation.method_rows import binomial_interval, p_values
from onnx_si.simulation.plan import Plan
from onnx_si.simulation.pool import Advance, run_trials

DOUBLINGS = 10  # from one standard deviation on
CLOSE = 0.02  # share of the signal by which it may be too large

Found = tuple[int, int]
"""How many images were found, of how many."""


@dataclass(frozen=True)
class Count:
    """How many draws, or how many tests, under each signal; exactly one of them."""

    trials: int | None = None
    tested: int | None = None

    def __post_init__(self) -> None:
        if (self.trials is None) == (self.tested is None):
            raise UsageError("trials and tested: give one of them")
        if min(n for n in (self.trials, self.tested) if n is not None) < 1:
            raise UsageError("trials or tested below 1; give at least 1")


@dataclass(frozen=True, kw_only=True)
class Detectable:
    """The smallest signal that was seen to be found with a power, and the largest below it that was not.

    Found is an image whose region is rejected; one without a region is not found. `low` and `high` are
    the nearest signals that were tried whose binomial intervals exclude the power: what other draws may
    give lies between them. `reason` says why a value is None.
    """

    power: float
    signal: float | None
    below: float | None
    low: float | None
    high: float | None
    reason: str | None = None


def found_with(
    power: float, count: Count, plan: Plan, settings: Settings, run: tuple[Journal, int, Advance]
) -> tuple[Detectable, list[float]]:
    """The smallest signal that the selective test finds with a power, and all that were tried.

    Raises
    ------
    UsageError
        If a test without signal has such a power, or the draws would not be the same.
    """
    if not settings.alpha < power < 1:
        raise UsageError(f"detectable {power:g}; a power between alpha, {settings.alpha:g}, and 1")
    if count.trials is None:
        raise UsageError("detectable needs the same draws under every signal: --trials, not --tested")

    def found_at(signal: float) -> Found:
        outcomes = run_trials(count.trials or 1, plan, (signal,), *run)
        found = p_values(outcomes, signal, "selective") <= settings.alpha
        return int(np.count_nonzero(found)), len(outcomes)

    return smallest(power, found_at, -plan.sigma if settings.alternative == "less" else plan.sigma)


def why_not(found: Detectable | None) -> str:
    """Why a document has no such signal, or not all of it."""
    if found is None:
        return "the smallest detectable signal was not asked for"
    return found.reason or ""


def smallest(power: float, found_at: Callable[[float], Found], step: float) -> tuple[Detectable, list[float]]:
    """The smallest detectable signal, and all signals that were tried.

    Parameters
    ----------
    power : float
    found_at : callable
        Tests the same draws with a signal.
    step : float
        First signal that is tried; its sign is that of all.
    """
    tried: dict[float, Found] = {}

    def enough(signal: float) -> bool:
        tried[signal] = found_at(signal)
        found, of = tried[signal]
        return found >= power * of

    low, high = 0.0, math.nan
    for doubling in range(DOUBLINGS + 1):
        signal = step * 2.0**doubling
        if enough(signal):
            high = signal
            break
        low = signal
    if math.isnan(high):
        why = f"no signal up to {low:g} is found with power {power:g}"
        lost = Detectable(
            power=power, signal=None, below=low, low=_below(tried, power), high=None, reason=why
        )
        return lost, list(tried)
    while abs(high - low) > CLOSE * abs(high):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    found = Detectable(
        power=power,
        signal=high,
        below=low,
        low=_below(tried, power),
        high=_above(tried, power),
        reason=_why(tried, power),
    )
    return found, list(tried)


def _intervals(tried: dict[float, Found]) -> Iterator[tuple[float, float, float]]:
    for signal, (found, of) in tried.items():
        yield signal, *binomial_interval(found, of)


def _below(tried: dict[float, Found], power: float) -> float | None:
    """The largest signal whose power is certainly lower."""
    return max((s for s, _, high in _intervals(tried) if high < power), key=abs, default=None)


def _above(tried: dict[float, Found], power: float) -> float | None:
    """The smallest signal whose power is certainly higher."""
    return min((s for s, low, _ in _intervals(tried) if low > power), key=abs, default=None)


def _why(tried: dict[float, Found], power: float) -> str | None:
    if None not in (_below(tried, power), _above(tried, power)):
        return None
    return "too few trials to tell: no signal that was tried is certainly on this side; give more --trials"
