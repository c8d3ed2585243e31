"""Cast and CastLike: floating-point types keep the value, all others make it a step function."""

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Refusal, Undefined
from onnx_si.kernels.arrays import double
from onnx_si.kernels.sorting import Nearest
from onnx_si.ops import crops
from onnx_si.ops.elementwise import identity, opaque
from onnx_si.ops.rounding import stairs
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import WHOLE_NUMBERS, Input, Variable, constant, handles, variable
from onnx_si.rules.rules import Array, Composition, Gated, Opaque, Rule, Stage, Step
from onnx_si.rules.traits import Gradient, Moves

FLOATING = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
)
WIDE = frozenset({onnx.TensorProto.INT32, onnx.TensorProto.INT64})
SMALL_FLOATS = frozenset(
    number
    for name, number in onnx.TensorProto.DataType.items()
    if name.startswith(("FLOAT8", "FLOAT6", "FLOAT4")) and name != "FLOAT8E8M0"
)
POWERS_OF_TWO = dict(onnx.TensorProto.DataType.items()).get("FLOAT8E8M0")  # which holds no zero
LEAST_POWER, LARGEST_POWER = -127, 127

RANGES = {
    onnx.TensorProto.DataType.Value(name): (float(low), float(high))
    for name, low, high in (
        ("UINT2", 0, 3),
        ("INT2", -2, 1),
        ("UINT4", 0, 15),
        ("INT4", -8, 7),
        ("UINT8", 0, 255),
        ("INT8", -128, 127),
        ("UINT16", 0, 65535),
        ("INT16", -32768, 32767),
    )
    if name in onnx.TensorProto.DataType.keys()  # noqa: SIM118 - the enum is no dictionary
}
"""Least and largest value of the narrow integer types."""
SUB_BYTE = 16  # values at most, of the types of 2 and 4 bits


def name_of(element: int) -> str:
    """Name of an element type."""
    names = {number: name for name, number in onnx.TensorProto.DataType.items()}
    return str(names.get(element, f"unknown type {element}"))


@handles(
    "Cast",
    since=(6, 9, 13, 19, 21, 23, 24, 25, 28),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    moves=Moves.CASTS,
    gradient=Gradient.PASSED,
)
def cast(x: Input, *, to: int, saturate: int = 1, round_mode: str = "up") -> Rule:
    """Floating-point types keep the value, unrounded even in 16 bits; truth values and integers truncate."""
    x = variable(x, "input")
    if to in FLOATING:
        return identity(x)
    if to == onnx.TensorProto.BOOL:
        return Step(switches=lambda x: (x,), evaluate=lambda x: (x != 0).astype(np.float64))
    if to in WHOLE_NUMBERS and x.integer:
        return Gated(evaluate=_wrap(helper.tensor_dtype_to_np_dtype(to)), gates=(0,))
    if to in WIDE:
        return stairs(np.trunc)
    beyond = f"a cast to {name_of(to)} is undefined beyond its range"
    if to in RANGES:
        return Opaque(evaluate=_within(*RANGES[to]), kind="discrete", reason=beyond)
    if to == POWERS_OF_TWO and saturate and round_mode == "up":
        return Opaque(evaluate=_power_above, kind="discrete", reason=beyond)
    if to not in SMALL_FLOATS:
        raise Refusal(f"cast to {name_of(to)}", "keep the image's path in floating point")
    if saturate:
        return rounded_to(*representable(to))
    dtype = helper.tensor_dtype_to_np_dtype(to)
    overflows = f"a cast to {name_of(to)} without saturation becomes infinite or no number"
    return opaque(lambda x: x.astype(dtype).astype(np.float64), "discrete", overflows)


def _within(least: float, largest: float) -> Callable[[Array], Array]:
    """Values cut to whole numbers; refuses one beyond the type's range.

    To 2 or 4 bits whole numbers are cast alone, for runtimes round others. Of these the higher bits are
    dropped, in the package's cases and in onnxruntime.
    """
    values = largest - least + 1

    def cut(x: Array) -> Array:
        whole = np.trunc(x)
        if values <= SUB_BYTE and np.all(whole == x):
            return np.asarray((whole - least) % values + least)
        if values <= SUB_BYTE:
            raise Undefined("a cast of fractions to 4 bits or fewer", "round in front of the cast")
        if not np.all((whole >= least) & (whole <= largest)):
            raise Undefined(f"a cast beyond {least:g} to {largest:g}", "clip in front of the cast")
        return whole

    return cut


def _power_above(x: Array) -> Array:
    """The least power of two that is not below each value (ONNX spec, Cast, saturating and rounding up)."""
    if not np.all((x >= 0) & (x < np.inf)):
        raise Undefined(
            "a cast of what is no finite positive number to a power of two", "clip in front of it"
        )
    mantissa, exponent = np.frexp(x)
    power = np.where(x == 0, LEAST_POWER, exponent - (mantissa == 0.5))
    return np.asarray(np.ldexp(1.0, np.clip(power, LEAST_POWER, LARGEST_POWER)))


@handles("CastLike", since=(15, 19, 21, 23, 24, 25), axes=axis_rules.elementwise)
def cast_like(
    x: Input, target: Input, *, saturate: int = 1, round_mode: str = "up"
) -> Composition | NDArray[np.generic]:
    if isinstance(target, Variable):
        to = target.element
    else:
        to = helper.np_dtype_to_tensor_dtype(constant(target, "target_type").dtype)
    if not isinstance(x, Variable):
        value = constant(x, "input")
        source = Variable(value.shape, element=helper.np_dtype_to_tensor_dtype(value.dtype))
        made = cast(source, to=to, saturate=saturate, round_mode=round_mode)
        return np.asarray(made.evaluate(double(value)[None])[0], dtype=helper.tensor_dtype_to_np_dtype(to))
    return Composition((Stage(cast(x, to=to, saturate=saturate, round_mode=round_mode), (0,)),))


def _wrap(dtype: np.dtype[np.generic]) -> Callable[[Array], Array]:
    """Higher bits are dropped (ONNX spec, Cast, integer to integer)."""
    if dtype.kind == "b":
        return lambda x: (x != 0).astype(np.float64)
    return lambda x: x.astype(np.int64).astype(dtype).astype(np.float64)


def representable(element: int) -> tuple[Array, float]:
    """Every finite number of a type of at most 8 bits in increasing order, and what stands for nan."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    bits = np.arange(256, dtype=np.uint8)
    values = bits.view(dtype) if dtype.itemsize == 1 else bits.astype(dtype)
    with np.errstate(invalid="ignore"):
        numbers = values.astype(np.float64)
    return np.unique(numbers[np.isfinite(numbers)]), np.nan if np.isnan(numbers).any() else 0.0


def rounded_to(levels: Array, missing: float) -> Step:
    """The nearest of some numbers, of two equally near the one with the even position; the ends saturate.

    `missing` stands for what is no number.
    """
    nearest = Nearest(levels, 0.5 * (levels[:-1] + levels[1:]), missing)
    return Step(switches=nearest.switches, evaluate=nearest)
