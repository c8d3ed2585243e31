"""Ranges of integer types: what leaves one wraps around in a runtime, so nothing is claimed of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.ops.rules import Rule, Winner

Limits = tuple[float, float]
"""The least and the largest whole number that a tensor may hold."""
LARGEST_HELD = 2.0**53  # from here on float64 does not hold every whole number


def limits_of(dtype: np.dtype[Any], rule: Rule) -> Limits | None:
    """The whole numbers that a type holds, as far as float64 holds them too.

    None where nothing can leave them: for fractions, truth values, and places in a tensor (a `Winner`).
    """
    if dtype.kind not in "iu" or isinstance(rule, Winner):
        return None
    ends = np.iinfo(dtype)
    return max(float(ends.min), -LARGEST_HELD), min(float(ends.max), LARGEST_HELD)


def beyond(low: NDArray[np.float64], high: NDArray[np.float64], limits: Limits) -> NDArray[np.bool_]:
    """Along the first axis, where a tensor with values from low to high may leave its type's range.

    What is no number is beyond it as well.
    """
    held = (low >= limits[0]) & (high <= limits[1])
    return np.asarray(~held.reshape(len(held), -1).all(axis=1))
