"""P-values in as many digits as they have: what is printed never leaves the bounds that stand beside it."""

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any

from onnx_si.choices.guarantees import GUARANTEES

DIGITS = 6  # of bounds
LOOSE = 0.1  # width of bounds over the upper one from which that one alone is told


def p_value_text(bounds: Sequence[float]) -> str:
    """The p-value's upper bound with as many digits as the bounds share, `<= ...` if they share none.

    A number is rounded to one between the bounds as they are printed, and what stands behind `<=` upwards.
    """
    low, high = bounds
    if is_loose(bounds):
        return f"<= {_upwards(high, 2)}"
    width = (high - low) / high if high > 0 else 0.0
    return inside(high, bounds, 4 if width <= 0 else min(4, max(1, math.floor(-math.log10(width)))))


def p_value_of(document: Mapping[str, Any]) -> str:
    """The p-value of a tested result's document; one from chains is valid as it stands."""
    if GUARANTEES[document["guarantee"]].drawn:
        return inside(document["p_value"], document["p_value_bounds"], 3)
    return p_value_text(document["p_value_bounds"])


def is_loose(bounds: Sequence[float]) -> bool:
    """Whether bounds are so far apart that they are no one number."""
    low, high = bounds
    return high - low > LOOSE * high


def inside(value: float, bounds: Sequence[float], digits: int) -> str:
    """A value between bounds, with the fewest digits, `digits` or more, that leave it between them."""
    low, high = (float(f"{end:.{DIGITS}g}") for end in bounds)
    for count in range(digits, DIGITS):
        for text in (f"{value:.{count}g}", _cut(value, count, ROUND_FLOOR)):
            if low <= float(text) <= high:
                return text
    return f"{value:.{DIGITS}g}"


def _upwards(value: float, digits: int) -> str:
    """The smallest number of so many digits that is not below a value."""
    found = f"{value:.{digits}g}"
    return found if float(found) >= value else _cut(value, digits, ROUND_CEILING)


def _cut(value: float, digits: int, rounding: str) -> str:
    return f"{float(Context(prec=digits, rounding=rounding).create_decimal(repr(float(value)))):.{digits}g}"
