"""Softmax, LogSoftmax and Hardmax along an axis."""

from collections.abc import Callable

import numpy as np
from scipy import special

from onnx_si.kernels.arrays import size
from onnx_si.ops.elementwise import opaque
from onnx_si.ops.made_of import softmax_of_rows
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Context, Input, axis_of, handles, variable
from onnx_si.rules.rules import Array, Composition, Gated, Rule, Stage, Winner
from onnx_si.rules.traits import Increasing


def _softmax_of_rows(x: Array) -> Array:
    return np.asarray(special.softmax(x, axis=-1))


def _log_softmax_of_rows(x: Array) -> Array:
    return np.asarray(special.log_softmax(x, axis=-1))


def _a_half(least: Array) -> Array:
    """The derivative of p is diag(p) - p p', whose norm is no larger."""
    return np.full(len(least), 0.5)


def _rows(
    x: Input, axis: int | None, version: int
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """To rows and back. Before opset 13 the axes from `axis` on count as one; since then a single axis, by
    default the last.
    """
    shape = variable(x, "input").shape
    if version < 13:
        cut = axis_of(1 if axis is None else axis, len(shape))
        rows = (size(shape[:cut]), size(shape[cut:]))
        return lambda x: x.reshape(x.shape[0], *rows), lambda y: y.reshape(y.shape[0], *shape)
    behind_batch = axis_of(-1 if axis is None else axis, len(shape)) + 1
    return lambda x: np.moveaxis(x, behind_batch, -1), lambda y: np.moveaxis(y, -1, behind_batch)


@handles("Softmax", since=(1, 11, 13), axes=axis_rules.same, increasing=Increasing.SOFTMAX)
def softmax(x: Input, *, context: Context, axis: int | None = None) -> Rule:
    to_rows, back = _rows(x, axis, context.version)
    parts = softmax_of_rows(variable(x, "input").shape, to_rows, back)
    return opaque(lambda x: back(_softmax_of_rows(to_rows(x))), parts=parts, steepness=_a_half)


@handles("LogSoftmax", since=(1, 11, 13), axes=axis_rules.same, increasing=Increasing.LOG_SOFTMAX)
def log_softmax(x: Input, *, context: Context, axis: int | None = None) -> Rule:
    to_rows, back = _rows(x, axis, context.version)
    parts = softmax_of_rows(variable(x, "input").shape, to_rows, back, log=True)
    return opaque(lambda x: back(_log_softmax_of_rows(to_rows(x))), parts=parts)


@handles("Hardmax", since=(1, 11, 13), axes=axis_rules.same)
def hardmax(x: Input, *, context: Context, axis: int | None = None) -> Composition:
    """One at the first of the largest elements, zero elsewhere."""
    to_rows, back = _rows(x, axis, context.version)
    x = variable(x, "input")
    length = to_rows(np.empty((1, *x.shape))).shape[-1]
    winner = Winner(lambda x: np.moveaxis(to_rows(x), -1, 0), tie=x.tie)
    marked = Gated(
        evaluate=lambda i: back((i[..., None] == np.arange(length)).astype(np.float64)), gates=(0,)
    )
    return Composition((Stage(winner, (0,)), Stage(marked, (1,))))
