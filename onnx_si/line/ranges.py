"""What an element type can hold: beyond it integers wrap around, other numbers become infinite."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Refusal

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
