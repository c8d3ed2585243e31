"""What the trials say of connected components: how often those with and those without signal are rejected."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from onnx_si.simulation.method_rows import binomial_interval
from onnx_si.simulation.trial import Outcome, Part

Interval = tuple[float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class PartRow:
    """The components under one signal that touch the square (`touches`), or those that don't.

    `tested` of them are in `images` images; of their own p-values `rejected` are at most alpha. In
    `images_rejected` images at least one has an adjusted p-value of at most alpha: where the signal does not
    reach, and the null hypothesis compares with references, that is a false discovery. Components of one
    image depend on each other, so `reject_interval` is Clopper and Pearson's at the effective number of
    tests; `image_interval` is the ordinary one, images being independent. `reason` says why a value is None.

    Source
    ------
    Korn and Graubard, Survey Methodology 24 (1998), 193-201 (the effective number).
    """

    signal: float
    touches: bool
    tested: int
    images: int
    rejected: int
    reject_rate: float | None
    reject_interval: Interval
    images_rejected: int
    image_rate: float | None
    image_interval: Interval
    reason: str | None = None


def summarise_parts(
    outcomes: Iterable[Outcome], signals: Sequence[float], alpha: float
) -> tuple[PartRow, ...]:
    """Rows by signal; without a signal no component touches it, and there is one row."""
    kept = list(outcomes)
    return tuple(
        _row([o.parts for o in kept if o.signal == signal], signal, touches, alpha)
        for signal in signals
        for touches in ((True, False) if signal else (False,))
    )


def _row(images: Iterable[Sequence[Part]], signal: float, touches: bool, alpha: float) -> PartRow:
    kept = [[p for p in parts if p.touches == touches and p.p_value is not None] for parts in images]
    kept = [parts for parts in kept if parts]
    if not kept:
        reason = "no component of this kind was tested"
        return PartRow(
            signal=signal,
            touches=touches,
            tested=0,
            images=0,
            rejected=0,
            reject_rate=None,
            reject_interval=(None, None),
            images_rejected=0,
            image_rate=None,
            image_interval=(None, None),
            reason=reason,
        )
    tests = np.array([len(parts) for parts in kept])
    rejected = np.array([sum(_at_most(p.p_value, alpha) for p in parts) for parts in kept])
    found = sum(any(_at_most(p.p_value_adjusted, alpha) for p in parts) for parts in kept)
    total, rate = int(tests.sum()), float(rejected.sum() / tests.sum())
    effective = _effective(tests, rejected)
    return PartRow(
        signal=signal,
        touches=touches,
        tested=total,
        images=len(kept),
        rejected=int(rejected.sum()),
        reject_rate=rate,
        reject_interval=binomial_interval(rate * effective, effective),
        images_rejected=found,
        image_rate=found / len(kept),
        image_interval=binomial_interval(found, len(kept)),
    )


def _at_most(p_value: float | None, alpha: float) -> bool:
    return p_value is not None and p_value <= alpha


def _effective(tests: np.ndarray, rejected: np.ndarray) -> float:
    """Independent tests that would tell the rate as well as these, at most all of them; without a spread, one
    for each image.

    From the linearised variance of the ratio rejected / tests, whose terms are independent images.
    """
    total = float(tests.sum())
    rate = float(rejected.sum()) / total
    spread = float(((rejected - rate * tests) ** 2).sum()) / total**2
    if not 0 < rate < 1 or spread == 0:
        return float(len(tests))
    return min(rate * (1 - rate) / spread, total)
