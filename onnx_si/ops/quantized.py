"""Matrix products and convolutions of quantised tensors: exact in integers, then rounded once."""

from functools import partial
from typing import Any

import numpy as np
import onnx

from onnx_si.kernels.arrays import double, shape_of
from onnx_si.ops.casting import RANGES
from onnx_si.ops.convolution import conv
from onnx_si.ops.elementwise import computed
from onnx_si.ops.linear import matmul
from onnx_si.ops.quantization import element_of, quantized, rounded
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import chain, compose
from onnx_si.rules.registry import Input, Variable, constant, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Composition, Rule

EXACT = onnx.TensorProto.DOUBLE
"""How sums of integers are taken to the output's scale: no runtime divides them in 32 bits."""
Part = tuple[Rule | Composition, tuple[int, ...]]


def _spread(value: Input, name: str, axis: int) -> Array:
    """A constant scale or zero point: one number, one for each slice of an axis (from the end), or whole."""
    given = optional(value, name)
    numbers = np.zeros(()) if given is None else double(given)
    if numbers.size == 1:
        return numbers.reshape(())
    return numbers.reshape(-1, *(1,) * (-1 - axis)) if numbers.ndim == 1 else numbers


def _product(a: Input, b: Input, zeros: tuple[Array, Array]) -> list[Part]:
    """Take the zero points off what changes, then multiply."""
    shifts = [zero for value, zero in zip((a, b), zeros, strict=True) if isinstance(value, Variable)]
    left, right = (
        value if isinstance(value, Variable) else double(constant(value, "of the op")) - zero
        for value, zero in zip((a, b), zeros, strict=True)
    )
    parts: list[Part] = [(shifted(zero), (i,)) for i, zero in enumerate(shifts)]
    return [*parts, (matmul(left, right), tuple(len(shifts) + i for i in range(len(shifts))))]


def shifted(zero: Array) -> Affine:
    """x - zero."""
    return Affine(linear=lambda x: x, offset=-zero)


@handles("MatMulInteger", since=(10,))
def matmul_integer(a: Input, b: Input, a_zero: Input = None, b_zero: Input = None) -> Composition:
    zeros = _spread(a_zero, "a_zero_point", -2), _spread(b_zero, "b_zero_point", -1)
    changing = sum(isinstance(value, Variable) for value in (a, b))
    return compose(changing, *_product(a, b, zeros))


@handles("QLinearMatMul", since=(10, 21))
def quantized_matmul(
    a: Input,
    a_scale: Input,
    a_zero: Input,
    b: Input,
    b_scale: Input,
    b_zero: Input,
    y_scale: Input,
    y_zero: Input,
) -> Rule | Composition:
    zeros = _spread(a_zero, "a_zero_point", -2), _spread(b_zero, "b_zero_point", -1)
    zero, element = _spread(y_zero, "y_zero_point", -2), element_of(y_zero)
    scales = (a_scale, b_scale, y_scale)
    changing = sum(isinstance(value, Variable) for value in (a, b))
    if any(isinstance(value, Variable) for value in scales):
        by = partial(_scaled_product, zeros=(*zeros, zero), ends=RANGES[element])
        return computed(by, a, a_scale, b, b_scale, y_scale)
    width = _spread(y_scale, "y_scale", -2) / (
        _spread(a_scale, "a_scale", -2) * _spread(b_scale, "b_scale", -1)
    )
    parts = _product(a, b, zeros)
    step = quantized(Variable((), stepwise=True, element=EXACT), width, zero, element)
    return compose(changing, *parts, (step, (changing + len(parts) - 1,)))


def _scaled_product(
    a: Array,
    a_scale: Array,
    b: Array,
    b_scale: Array,
    y_scale: Array,
    zeros: tuple[Array, Array, Array],
    ends: tuple[float, float],
) -> Array:
    """A product whose scales change with the image; the zero points are those of a, b and the output."""
    product = np.matmul(a - zeros[0], b - zeros[1])
    rows, columns = (s.reshape(len(s), *w) for s, w in ((a_scale, (-1, 1)), (b_scale, (1, -1))))
    return rounded(product * (rows * columns), y_scale.reshape(len(y_scale), -1, 1), zeros[2], ends)


@handles("ConvInteger", since=(10,), axes=axis_rules.windowed, channels_second=True)
def conv_integer(
    x: Input, w: Input, x_zero: Input = None, w_zero: Input = None, **window: Any
) -> Composition:
    weight = double(constant(w, "w"))
    weight = weight - _spread(w_zero, "w_zero_point", -weight.ndim)
    return chain(shifted(_spread(x_zero, "x_zero_point", -1)), conv(variable(x, "x"), weight, **window))


@handles("QLinearConv", since=(10,), axes=axis_rules.windowed, channels_second=True)
def quantized_conv(
    x: Input,
    x_scale: Input,
    x_zero: Input,
    w: Input,
    w_scale: Input,
    w_zero: Input,
    y_scale: Input,
    y_zero: Input,
    b: Input = None,
    **window: Any,
) -> Rule | Composition:
    weight = double(constant(w, "w"))
    weight = weight - _spread(w_zero, "w_zero_point", -weight.ndim)
    below, zero, element = (
        _spread(x_zero, "x_zero_point", -1),
        _spread(y_zero, "y_zero_point", -1),
        element_of(y_zero),
    )
    convolution = conv(Variable(shape_of(x)), weight, b, **window)
    axis = 1 - weight.ndim  # of the output channels, from the end
    scales = (x_scale, w_scale, y_scale)
    if any(isinstance(value, Variable) for value in scales):
        by = partial(
            _scaled_sums, convolution=convolution, zeros=(below, zero), ends=RANGES[element], ndim=weight.ndim
        )
        return computed(by, x, *scales)
    width = _spread(y_scale, "y_scale", -1) / (
        _spread(x_scale, "x_scale", -1) * _spread(w_scale, "w_scale", axis)
    )
    step = quantized(Variable((), stepwise=True, element=EXACT), width, zero, element)
    return chain(shifted(below), convolution, step)


def _scaled_sums(
    x: Array,
    x_scale: Array,
    w_scale: Array,
    y_scale: Array,
    convolution: Rule,
    zeros: tuple[Array, Array],
    ends: tuple[float, float],
    ndim: int,
) -> Array:
    """A convolution whose scales change with the image; the zero points are those of x and the output."""
    sums = convolution.evaluate(x - zeros[0])
    first, last = (s.reshape(len(s), *(1,) * ndim) for s in (x_scale, y_scale))
    channels = w_scale.reshape(len(w_scale), 1, -1, *(1,) * (ndim - 2))
    return rounded(sums * (first * channels), last, zeros[1], ends)
