"""What an element type can hold: beyond it integers wrap around, other numbers become infinite."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Refusal
from onnx_si.rules.rules import Rule, Winner

Limits = tuple[float, float]
"""The least and the largest whole number that a tensor may hold."""
LARGEST_HELD = 2.0**53  # from here on float64 does not hold every whole number
OVERFLOWS = {
    onnx.TensorProto.FLOAT16: 65520.0,
    onnx.TensorProto.FLOAT: 2.0**128 - 2.0**103,
}
"""The least magnitude that rounds to infinity."""


def require_held(value: NDArray[np.float64], element: int) -> None:
    """Refuse a value that its element type does not hold.

    Raises
    ------
    Refusal
        If an integer type would hold a number beyond its range, or what is no number, or a floating-point
        type a finite number that rounds to infinity.
    """
    dtype = helper.tensor_dtype_to_np_dtype(element)
    if dtype.kind in "iu" and value.size:
        limits, least, largest = np.iinfo(dtype), value.min(), value.max()
        if np.isnan(least):
            raise Refusal(f"what is no number has no value in {dtype}", "keep it from the op")
        if least < limits.min or largest > limits.max:
            raise Refusal(f"values from {least:g} to {largest:g} overflow {dtype}", "use a wider type")
    if element in OVERFLOWS:
        largest = np.abs(value, where=np.isfinite(value), out=np.zeros(value.shape)).max(initial=0.0)
        if largest >= OVERFLOWS[element]:
            raise Refusal(
                f"values up to {largest:g} overflow {dtype} and become infinite", "use a wider type"
            )


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
