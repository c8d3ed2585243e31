"""Functions that are not piecewise linear: evaluated in float64, never analysed exactly."""

from collections.abc import Callable

import numpy as np
from scipy import special

from onnx_si.ops.arrays import size
from onnx_si.ops.elementwise import curved
from onnx_si.ops.registry import Context, Input, axis_of, handles, variable
from onnx_si.ops.rules import Array, Rule


@handles("Sigmoid", since=(6, 13))
def sigmoid(x: Input) -> Rule:
    return curved(special.expit)


@handles("Tanh", since=(6, 13))
def tanh(x: Input) -> Rule:
    return curved(np.tanh)


@handles("Exp", since=(6, 13))
def exp(x: Input) -> Rule:
    return curved(np.exp)


@handles("Log", since=(6, 13))
def log(x: Input) -> Rule:
    return curved(np.log)


@handles("Sqrt", since=(6, 13))
def sqrt(x: Input) -> Rule:
    return curved(np.sqrt)


@handles("Erf", since=(9, 13))
def erf(x: Input) -> Rule:
    return curved(special.erf)


@handles("Softplus", since=(1, 22))
def softplus(x: Input) -> Rule:
    return curved(lambda x: np.logaddexp(x, 0.0))


@handles("Elu", since=(6, 22))
def elu(x: Input, *, alpha: float = 1.0) -> Rule:
    return curved(lambda x: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0.0)), x))


@handles("HardSwish", since=(14, 22))
def hard_swish(x: Input) -> Rule:
    return curved(lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0))


def _softmax_of_rows(x: Array) -> Array:
    return np.asarray(special.softmax(x, axis=-1))


def _log_softmax_of_rows(x: Array) -> Array:
    return np.asarray(special.log_softmax(x, axis=-1))


def _along_axis(x: Input, axis: int | None, version: int, of_rows: Callable[[Array], Array]) -> Rule:
    """Before opset 13 the axes from `axis` on count as one; since then a single axis, by default the last."""
    shape = variable(x, "input").shape
    if version < 13:
        cut = axis_of(1 if axis is None else axis, len(shape))
        rows = (size(shape[:cut]), size(shape[cut:]))
        return curved(lambda x: of_rows(x.reshape(x.shape[0], *rows)).reshape(x.shape))
    behind_batch = axis_of(-1 if axis is None else axis, len(shape)) + 1
    return curved(lambda x: np.moveaxis(of_rows(np.moveaxis(x, behind_batch, -1)), -1, behind_batch))


@handles("Softmax", since=(1, 11, 13))
def softmax(x: Input, *, context: Context, axis: int | None = None) -> Rule:
    return _along_axis(x, axis, context.version, _softmax_of_rows)


@handles("LogSoftmax", since=(1, 11, 13))
def log_softmax(x: Input, *, context: Context, axis: int | None = None) -> Rule:
    return _along_axis(x, axis, context.version, _log_softmax_of_rows)
