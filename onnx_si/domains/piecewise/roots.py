"""Where polynomials of degree 2 on an interval change their sign, by their values at its ends and their bend.

All functions take arrays (left, right, bend) as in `quadratic.py` and give shares of the interval.
"""

import numpy as np
from numpy.typing import NDArray

from onnx_si.rules.rules import Array


def turns_inside(left: Array, right: Array, bend: Array) -> NDArray[np.bool_]:
    """Whether the largest or smallest value is between the ends."""
    return np.asarray(np.abs(right - left) < np.abs(bend))


def turning_value(left: Array, right: Array, bend: Array) -> Array:
    """The value at the turning point, wherever it is; infinite or no number for what is affine."""
    rise = right - left
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(0.5 * (left + right) - 0.25 * bend - 0.25 * rise * (rise / bend))


def turning_share(left: Array, right: Array, bend: Array) -> Array:
    """Where the turning point is; infinite or no number for what is affine."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(0.5 - 0.5 * (right - left) / bend)


def crossings_of_zero(left: Array, right: Array, bend: Array) -> tuple[Array, Array]:
    """The one place where it rises through zero and the one where it falls.

    Where there is none the share is no number, or not on the interval.

    Each root is computed by the one of both formulas in which nothing cancels (Higham, "Accuracy and
    Stability of Numerical Algorithms", section 1.8), so that a bend of zero gives the root of the chord.
    """
    rise = right - left
    slope = rise - bend  # at the left end
    square = rise * rise - 2 * bend * (left + right) + bend * bend
    one = (left > 0) != (right > 0)  # it crosses whatever rounding makes of the square
    root = np.sqrt(np.where(one, np.maximum(square, 0.0), np.where(square >= 0, square, np.nan)))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        up = np.where(slope > 0, -2 * left / (slope + root), (root - slope) / (2 * bend))
        down = np.where(slope < 0, 2 * left / (root - slope), -(root + slope) / (2 * bend))
    return up, down
