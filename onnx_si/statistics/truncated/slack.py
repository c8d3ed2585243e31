"""What rounding may do to a log mass, and steps outwards from a float."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
# Allowance for rounding in a log mass, several times what was measured against 50 digits: a constant, and a
# part that grows with the exponent (a relative rounding error of z shifts z**2 / 2 by as much, relatively).
_LOG_ERROR = 5e-12
_LOG_ERROR_RELATIVE = 1e-14


def log_error(*log_masses: float) -> float:
    """Bound the rounding error of the difference of two log masses; an empty set has none."""
    finite = [value for value in log_masses if math.isfinite(value)]
    return sum(_LOG_ERROR + _LOG_ERROR_RELATIVE * abs(value) for value in finite)


def log_errors(log_masses: Floats) -> Floats:
    """The same for each log mass."""
    finite = np.isfinite(log_masses)
    sizes = np.abs(np.where(finite, log_masses, 0.0))
    errors: Floats = np.where(finite, _LOG_ERROR + _LOG_ERROR_RELATIVE * sizes, 0.0)
    return errors


def rounded_down(value: float) -> float:
    """Step down by a few units in the last place; infinite values stay."""
    return math.nextafter(value - 4.0 * EPS * abs(value), -math.inf) if math.isfinite(value) else value


def rounded_up(value: float) -> float:
    """Step up by a few units in the last place; infinite values stay."""
    return -rounded_down(-value)
