"""What the trials say: how often each method rejects, and whether its p-values are uniform."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy  # loads its parts when they are used; all of them take a second

from onnx_si.simulation.trial import Outcome

CONFIDENCE = 0.95  # of the interval of a rejection rate


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method under one signal.

    `trials` were drawn, `no_region` of them had no region, `tested` gave a p-value of this method and
    `not_computed` had a region but no p-value of it. `reject_interval` is Clopper and Pearson's at
    confidence `CONFIDENCE`; `ks_p_value` is that of the Kolmogorov-Smirnov test of uniform p-values.
    `reasons` say why a value is None.
    """

    signal: float
    method: str
    trials: int
    tested: int
    no_region: int
    not_computed: int
    rejected: int
    reject_rate: float | None
    reject_interval: tuple[float | None, float | None]
    ks_p_value: float | None
    reasons: dict[str, str] = field(default_factory=dict)


def summarise(
    outcomes: Iterable[Outcome], signals: Sequence[float], methods: Sequence[str], alpha: float, decide: bool
) -> tuple[Row, ...]:
    """Rows by signal and method.

    Parameters
    ----------
    outcomes : iterable of Outcome
    signals, methods : sequences
    alpha : float
        Level.
    decide : bool
        The selective p-values were only computed as far as the decision at alpha needs.
    """
    kept = list(outcomes)
    return tuple(
        _row([o for o in kept if o.signal == signal], signal, method, alpha, decide)
        for signal in signals
        for method in methods
    )


def p_values(outcomes: Iterable[Outcome], signal: float, method: str) -> np.ndarray:
    """P-values of one method under one signal."""
    return np.array(
        [o.p_values[method] for o in outcomes if o.signal == signal and method in o.p_values], np.float64
    )


def binomial_interval(successes: float, trials: float) -> tuple[float, float]:
    """Clopper and Pearson's interval at confidence `CONFIDENCE`; the counts need not be whole."""
    half, failures = (1 - CONFIDENCE) / 2, trials - successes
    low = scipy.special.betaincinv(successes, failures + 1, half) if successes > 0 else 0.0
    high = scipy.special.betaincinv(successes + 1, failures, 1 - half) if failures > 0 else 1.0
    return float(low), float(high)


def _row(outcomes: Sequence[Outcome], signal: float, method: str, alpha: float, decide: bool) -> Row:
    values = p_values(outcomes, signal, method)
    empty, tested = sum(not o.tested for o in outcomes), len(values)
    row = Row(
        signal=signal,
        method=method,
        trials=len(outcomes),
        tested=tested,
        no_region=empty,
        not_computed=len(outcomes) - empty - tested,
        rejected=0,
        reject_rate=None,
        reject_interval=(None, None),
        ks_p_value=None,
    )
    if not tested:
        why = next((o.missing[method] for o in outcomes if method in o.missing), "no trial has a region")
        reasons = dict.fromkeys(("reject_rate", "reject_interval", "ks_p_value"), why)
        return dataclasses.replace(row, reasons=reasons)
    rejected = int(np.count_nonzero(values <= alpha))
    row = dataclasses.replace(
        row,
        rejected=rejected,
        reject_rate=rejected / tested,
        reject_interval=binomial_interval(rejected, tested),
    )
    if decide and method == "selective":
        reasons = {"ks_p_value": "with --decide p-values are computed no further than the decision needs"}
        return dataclasses.replace(row, reasons=reasons)
    uniform = float(scipy.stats.kstest(values, "uniform").pvalue)
    return dataclasses.replace(row, ks_p_value=uniform)
