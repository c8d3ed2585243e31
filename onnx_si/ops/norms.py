"""Reductions that are not plain sums or extremes: norms, products, logarithms of sums."""

from collections.abc import Callable

import numpy as np
from scipy import special

from onnx_si.ops.activation import absolute
from onnx_si.ops.elementwise import opaque, root, squared
from onnx_si.ops.made_of import LOGARITHM, multiplied, reduced
from onnx_si.ops.reduction import length_of, reduced_axes, summed
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import chain
from onnx_si.rules.registry import Input, handles, variable
from onnx_si.rules.rules import Array, Composition, Rule, Smooth
from onnx_si.rules.traits import Increasing

Reduce = Callable[[Array, tuple[int, ...], bool], Array]


def _l2(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.asarray(np.sqrt(np.sum(x * x, axis=axes, keepdims=keepdims)))


def _prod(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.asarray(np.prod(x, axis=axes, keepdims=keepdims))


def _log_sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return np.asarray(np.log(np.sum(x, axis=axes, keepdims=keepdims)))


def _log_sum_exp(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    if not x.size:
        return np.asarray(np.log(np.sum(x, axis=axes, keepdims=keepdims)))
    return np.asarray(special.logsumexp(x, axis=axes, keepdims=keepdims))


@handles("ReduceL1", since=(1, 11, 13, 18), axes=axis_rules.reduced)
def reduce_l1(
    x: Input,
    axes_input: Input = None,
    *,
    axes: list[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Rule | Composition:
    x = variable(x, "data")
    over = reduced_axes(x, axes_input, axes, noop_with_empty_axes)
    return chain(absolute(x), summed(x, over, bool(keepdims))) if over else absolute(x)


@handles("ReduceSumSquare", since=(1, 11, 13, 18), axes=axis_rules.reduced)
def reduce_sum_square(
    x: Input,
    axes_input: Input = None,
    *,
    axes: list[int] | None = None,
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Rule | Composition:
    x = variable(x, "data")
    over = reduced_axes(x, axes_input, axes, noop_with_empty_axes)
    return chain(squared(x), summed(x, over, bool(keepdims))) if over else squared(x)


MOST_FACTORS = 64  # of a product that is written out, one after the other
MOST_EXACT = 8  # of one whose degree is followed exactly
MADE_OF: dict[Reduce, tuple[str, Smooth]] = {
    _log_sum: ("", LOGARITHM),
    _log_sum_exp: ("exp", LOGARITHM),
}
"""What is summed, and the function of the sum."""
CURVED: dict[str, tuple[tuple[int, ...], Reduce, str]] = {
    "ReduceL2": ((1, 11, 13, 18), _l2, "smooth"),
    "ReduceLogSum": ((1, 11, 13, 18, 28), _log_sum, "smooth"),
    "ReduceLogSumExp": ((1, 11, 13, 18, 28), _log_sum_exp, "smooth"),
    "ReduceProd": ((1, 11, 13, 18), _prod, "bilinear"),
}
"""Schema versions, the function, and its kind."""


def _register(op: str, versions: tuple[int, ...], reduce: Reduce, kind: str) -> None:
    @handles(
        op,
        since=versions,
        axes=axis_rules.reduced,
        increasing=Increasing.NORM if reduce is _l2 else None,
    )
    def reduction(
        x: Input,
        axes_input: Input = None,
        *,
        axes: list[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Rule | Composition:
        x = variable(x, "data")
        over = reduced_axes(x, axes_input, axes, noop_with_empty_axes)
        if reduce is _l2 and over and not x.stepwise:
            return chain(squared(x), summed(x, over, bool(keepdims)), root(x))
        behind_batch = tuple(axis + 1 for axis in over)
        parts = reduced(x, over, bool(keepdims), *MADE_OF[reduce]) if reduce in MADE_OF else None
        if reduce is _prod and over and 0 < length_of(x, over) <= MOST_FACTORS:
            parts = multiplied(x, over, bool(keepdims))
            if not x.stepwise and length_of(x, over) <= MOST_EXACT:
                return parts
        return opaque(lambda x: reduce(x, behind_batch, bool(keepdims)), kind, parts=parts)


for _op, (_versions, _reduce, _kind) in CURVED.items():
    _register(_op, _versions, _reduce, _kind)
