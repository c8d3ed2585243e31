"""Quantisation: step functions of the image, and products of steps with a scale."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import Constant, double, malformed, shape_of, size
from onnx_si.kernels.pointwise import Clipped
from onnx_si.ops.casting import RANGES, SMALL_FLOATS, name_of, representable, rounded_to
from onnx_si.ops.elementwise import computed, quotient
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import chain, compose
from onnx_si.rules.registry import (
    Context,
    Input,
    Variable,
    axis_of,
    constant,
    handles,
    optional,
    variable,
)
from onnx_si.rules.rules import (
    TIE,
    Affine,
    Array,
    Composition,
    Gated,
    Kinked,
    Maximum,
    Rule,
    Stage,
    Step,
    product_of,
)

NARROW: dict[int, type[np.floating[Any]]] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
}
"""Element types in which a half may be none that is one in double precision."""
LEVELS = 255  # of an unsigned 8-bit number above zero


@dataclass(frozen=True)
class Granularity:
    """How scales and zero points are spread over a tensor: one for all, per axis, or per block along it."""

    shape: tuple[int, ...]
    axis: int
    block: int

    def spread(self, values: Array) -> Array:
        """Values (batch, ...) against a tensor (batch, *shape)."""
        if values[0].size == 1:
            return values.reshape(len(values), *(1,) * len(self.shape))
        where = axis_of(self.axis, len(self.shape))
        if not self.block:
            if values.ndim != 2 or values.shape[1] != self.shape[where]:
                raise malformed(f"scales of shape {values.shape[1:]} on axis {where} of {self.shape}")
            return values.reshape(len(values), *(-1 if i == where else 1 for i in range(len(self.shape))))
        repeated = np.repeat(values, self.block, axis=where + 1)
        repeated = np.take(repeated, np.arange(min(self.shape[where], repeated.shape[where + 1])), where + 1)
        if repeated.shape[1:] != self.shape:
            raise malformed(f"scales of shape {values.shape[1:]} in blocks of {self.block} on {self.shape}")
        return np.asarray(repeated)

    def dequantized(self, x: Array, width: Array, zero: Array | None) -> Array:
        """(x - zero) * width."""
        return np.asarray((x if zero is None else x - self.spread(zero)) * self.spread(width))

    def constant(self, value: Input, name: str) -> Array:
        """The same of a constant, without the batch axis."""
        return np.asarray(self.spread(double(constant(value, name))[None])[0])


def levels(x: Array, width: Array) -> Array:
    """How many widths a value is; none where there is no width."""
    return np.divide(
        x, width, out=np.zeros(np.broadcast_shapes(x.shape, width.shape), x.dtype), where=width != 0
    )


def is_half(ratio: Array, share: float) -> NDArray[np.bool_]:
    """Where a number lies half way between two whole ones, but for a share of it."""
    return np.asarray(np.abs(ratio - np.floor(ratio) - 0.5) <= share * np.maximum(np.abs(ratio), 1.0))


def rounded(
    x: Array,
    width: Array,
    zero: Array,
    ends: tuple[float, float],
    kind: int = onnx.TensorProto.DOUBLE,
    typed: bool = False,
) -> Array:
    """saturate(round(x / width) + zero), halves to the even neighbour; a width of zero gives `zero`.

    A half, give or take what double precision makes of it, is decided by the quotient in the element type
    `kind`, as the model computes it. With `typed`, so is all that this type may take for a half.
    """
    ratio = levels(x, width)
    if kind in NARROW and ratio.dtype == np.float64:
        narrow = NARROW[kind]
        half = is_half(ratio, 2.0 * float(np.finfo(narrow).eps) if typed else TIE)
        if half.any():
            x, width = np.broadcast_arrays(x, width)
            with np.errstate(all="ignore"):
                told = x[half].astype(narrow) / width[half].astype(narrow)
            ratio[half] = np.where(np.isfinite(told), told, ratio[half])
    return np.clip(np.rint(ratio) + zero, *ends)


def steps_of(
    x: Callable[..., Array], width: Callable[..., Array], zero: Array, ends: tuple[float, float], kind: int
) -> Step:
    """The step of `rounded` of two functions of what the op reads."""
    made = Steps(x=x, width=width, zero=zero, ends=ends, kind=kind)
    return Step(
        switches=made.switches,
        evaluate=made,
        spacing=made.spacing,
        typed=made.typed,
        halves=made.halves,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """`rounded` of two functions of what an op reads."""

    x: Callable[..., Array]
    width: Callable[..., Array]
    zero: Array
    ends: tuple[float, float]
    kind: int

    def __call__(self, *xs: Array) -> Array:
        return rounded(self.x(*xs), self.width(*xs), self.zero, self.ends, self.kind)

    def typed(self, *xs: Array) -> Array:
        return rounded(self.x(*xs), self.width(*xs), self.zero, self.ends, self.kind, typed=True)

    def switches(self, *xs: Array) -> tuple[Array, ...]:
        return (self.x(*xs) - self.width(*xs) / 2,)

    def spacing(self, *xs: Array) -> Array:
        return np.broadcast_to(self.width(*xs), self.x(*xs).shape)

    def halves(self, *xs: Array) -> NDArray[np.bool_]:
        return is_half(levels(self.x(*xs), self.width(*xs)), TIE)


def quantized(x: Variable, width: Array, zero: Array, element: int) -> Rule | Composition:
    """Quantisation with a constant scale: beyond the type's range nothing changes any more."""
    if np.any(width <= 0):
        raise malformed("a scale that is not positive")
    ends = RANGES[element]
    step = steps_of(lambda x: x, Constant(width), zero, ends, x.element)
    if x.stepwise:
        return step
    low, high = ((end - zero + one) * width for end, one in zip(ends, (-1, 1), strict=True))
    return chain(Kinked(Clipped(low, high), (low, high)), step)


@handles("QuantizeLinear", since=(10, 13, 19, 21, 23, 24, 25, 28), axes=axis_rules.elementwise)
def quantize(
    x: Input,
    y_scale: Input,
    zero_point: Input = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Rule | Composition:
    grain = Granularity(shape_of(x), axis, block_size)
    element = output_dtype or element_of(zero_point)
    if isinstance(y_scale, Variable) or isinstance(zero_point, Variable) or not isinstance(x, Variable):
        if element not in RANGES:
            raise Refusal(f"{name_of(element)} with a scale that changes", "export with constant scales")

        by = partial(_by_grain, grain=grain, ends=RANGES[element], kind=element_of(y_scale))
        return computed(by, x, y_scale, zero_point)
    width = grain.constant(y_scale, "y_scale")
    zero = optional(zero_point, "y_zero_point")
    if element in RANGES:
        shift = np.zeros(()) if zero is None else grain.constant(zero, "y_zero_point")
        return quantized(x, width, shift, element)
    if element not in SMALL_FLOATS or not saturate or (zero is not None and np.any(double(zero))):
        raise Refusal(f"quantisation to {name_of(element)}, saturate {saturate}", "quantise to integers")
    return chain(quotient(x, width), rounded_to(*representable(element)))


def _by_grain(
    x: Array, width: Array, zero: Array | None, grain: Granularity, ends: tuple[float, float], kind: int
) -> Array:
    shift = np.zeros((1, 1)) if zero is None else zero
    return rounded(x, grain.spread(width), grain.spread(shift), ends, kind)


def element_of(zero_point: Input) -> int:
    """Element type of what a zero point belongs to; without one, an unsigned 8-bit number."""
    if isinstance(zero_point, Variable):
        return zero_point.element
    if zero_point is None:
        return int(onnx.TensorProto.UINT8)
    return int(helper.np_dtype_to_tensor_dtype(zero_point.dtype))


@handles("DequantizeLinear", since=(10, 13, 19, 21, 23, 24, 25, 28), axes=axis_rules.elementwise)
def dequantize(
    x: Input,
    x_scale: Input,
    zero_point: Input = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Rule | Composition:
    grain = Granularity(shape_of(x), axis, block_size)
    if not isinstance(x_scale, Variable) and not isinstance(zero_point, Variable):
        width = grain.constant(x_scale, "x_scale")
        shift = None if zero_point is None else -grain.constant(zero_point, "x_zero_point") * width
        return Affine(linear=lambda x, w: x * w, weights=(width,), offset=shift, terms=2)
    changing = [value for value in (x, x_scale, zero_point) if isinstance(value, Variable)]
    if changing == [x_scale]:
        steps = double(constant(x, "x"))
        steps = steps if zero_point is None else steps - grain.constant(zero_point, "x_zero_point")
        return Affine(linear=lambda width, w: grain.spread(width) * w, weights=(steps,))
    if not all(value.stepwise for value in changing if value is not x_scale):
        return computed(grain.dequantized, x, x_scale, zero_point, kind="bilinear")
    named = [
        name for name, v in (("x", x), ("scale", x_scale), ("zero", zero_point)) if isinstance(v, Variable)
    ]
    place = {name: i for i, name in enumerate(named)}
    difference = _steps(x, zero_point, grain)
    reads, count = tuple(place[name] for name in ("x", "zero") if name in place), len(place)
    if "scale" in place:
        product = product_of(lambda n, width: n * grain.spread(width), (0,))
        return compose(count, (difference, reads), (product, (count, place["scale"])))
    width = grain.constant(x_scale, "x_scale")
    return compose(
        count, (difference, reads), (Affine(linear=lambda n, w: n * w, weights=(width,)), (count,))
    )


def _steps(x: Input, zero_point: Input, grain: "Granularity") -> Affine:
    """x - zero_point, of which at least one changes."""
    minus = np.array(-1.0)
    if isinstance(x, Variable) and isinstance(zero_point, Variable):
        return Affine(linear=lambda n, zero, sign: n + sign * grain.spread(zero), weights=(minus,), terms=2)
    if isinstance(zero_point, Variable):
        return Affine(
            linear=lambda zero, sign: sign * grain.spread(zero),
            weights=(minus,),
            offset=double(constant(x, "x")),
        )
    shift = None if zero_point is None else -grain.constant(zero_point, "x_zero_point")
    return Affine(linear=lambda n: n, offset=shift)


@handles("DynamicQuantizeLinear", since=(11,))
def dynamic_quantize(x: Input, *, context: Context) -> Composition:
    """Scale and zero point from the range of values and zero: a piecewise-linear scale, the rest jumps."""
    x = variable(x, "x")
    count, ndim, ends = size(x.shape), x.ndim, (0.0, float(LEVELS))

    def with_zero(x: Array) -> Array:
        flat = x.reshape(len(x), count)
        return np.concatenate([np.zeros((len(x), 1), x.dtype), flat], axis=1).T

    def wide(values: Array) -> Array:
        return values.reshape(-1, *(1,) * ndim)

    signs = np.ones(()), -np.ones(()), np.asarray(float(LEVELS))
    stages = [
        Stage(Maximum(with_zero), (0,)),
        Stage(Maximum(with_zero, -1), (0,)),
        Stage(
            Affine(linear=lambda high, low, v, w, n: (high * v + low * w) / n, weights=signs, terms=2), (1, 2)
        ),
    ]
    if context.output == 1:
        flat = Step(switches=lambda width: (width,), evaluate=lambda width: (width == 0).astype(np.float64))
        stages.append(Stage(flat, (3,)))
        stages.append(
            Stage(Gated(evaluate=lambda width, flat: np.where(flat, 1.0, width), gates=(1,)), (3, 4))
        )
        return Composition(tuple(stages))
    zero_point = steps_of(lambda low, w: -low, lambda low, w: w, np.zeros(()), ends, x.element)
    stages.append(Stage(zero_point, (2, 3)))
    if context.output == 0:
        unbounded = (-np.inf, np.inf)
        steps = steps_of(lambda x, w: x, lambda x, w: wide(w), np.zeros(()), unbounded, x.element)
        stages.append(Stage(steps, (0, 3)))
        stages.append(
            Stage(Gated(evaluate=lambda n, zero: np.clip(n + wide(zero), *ends), gates=(0, 1)), (5, 4))
        )
    return Composition(tuple(stages))
