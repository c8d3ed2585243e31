"""What is known of a tensor whatever its values are: Shape, Size, and matrices and ranges made of shapes."""

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import malformed, size
from onnx_si.rules.registry import Input, handles, variable

ELEMENTS = tuple(onnx.TensorProto.DataType.values())


@handles("Shape", since=(1, 13, 15, 19, 21, 23, 24, 25), no_larger=True)
def shape(x: Input, *, start: int = 0, end: int | None = None) -> NDArray[np.int64]:
    return np.array(variable(x, "data").shape[start:end], dtype=np.int64)


@handles("Size", since=(1, 13, 19, 21, 23, 24, 25), no_larger=True)
def count(x: Input) -> NDArray[np.int64]:
    return np.array(size(variable(x, "data").shape), dtype=np.int64)


@handles("EyeLike", since=(9, 22))
def eye_like(x: Input, *, dtype: int | None = None, k: int = 0) -> NDArray[np.float64]:
    lengths = affordable(variable(x, "input").shape)
    if len(lengths) != 2:
        raise malformed(f"EyeLike of shape {lengths}")
    return np.eye(*lengths, k=k)
