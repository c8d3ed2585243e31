"""Rational arithmetic, op by op: what works element by element, comparisons, quantisation, products."""

import math
from fractions import Fraction

import numpy as np
from onnx import TensorProto

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
ZERO, HALF = Fraction(0), Fraction(1, 2)


def each(function, *arrays):
    """A Python function on every element; gives an object array."""
    return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=object)


def plain(function):
    return lambda *xs, wanted=1: function(*xs)


def element(function):
    """An op without attributes that is a function of its elements."""
    return lambda *xs, wanted=1: each(function, *xs)


def folded(function):
    """An op of any number of tensors, two at a time."""

    def run(*xs, wanted=1):
        total = xs[0]
        for x in xs[1:]:
            total = each(function, total, x)
        return total

    return run


def divide(a, b):
    if isinstance(a, Fraction):
        return a / b
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)  # whole numbers: towards zero


def modulo(a, b, *, fmod=0, wanted=1):
    def one(x, y):
        return x - y * math.trunc(Fraction(x) / y) if fmod else x - y * math.floor(Fraction(x) / y)

    return each(one, a, b)


def cast(x, *, to, wanted=1, saturate=1):
    if to in FLOATS:
        return each(Fraction, x)
    if to == TensorProto.BOOL:
        return each(lambda v: v != 0, x)
    return each(math.trunc, x)


def mean(*xs, wanted=1):
    return folded(lambda a, b: a + b)(*xs) / len(xs)


def clip(x, low=None, high=None, *, wanted=1):
    x = x if low is None else each(max, x, low)
    return x if high is None else each(min, x, high)


def leaky(x, *, alpha=None, wanted=1):
    slope = Fraction(float(np.float32(0.01 if alpha is None else alpha)))
    return each(lambda v: v if v >= 0 else slope * v, x)


def prelu(x, slope, *, wanted=1):
    return each(lambda v, s: v if v >= 0 else s * v, x, slope)


def hard_sigmoid(x, *, alpha=0.2, beta=0.5, wanted=1):
    a, b = (Fraction(float(np.float32(v))) for v in (alpha, beta))
    return each(lambda v: max(ZERO, min(Fraction(1), a * v + b)), x)


def thresholded(x, *, alpha=1.0, wanted=1):
    level = Fraction(float(np.float32(alpha)))
    return each(lambda v: v if v > level else ZERO, x)


def shrink(x, *, lambd=0.5, bias=0.0, wanted=1):
    level, shift = (Fraction(float(np.float32(v))) for v in (lambd, bias))
    return each(lambda v: v + shift if v < -level else v - shift if v > level else ZERO, x)


def _along(parameter, x, axis):
    shape = [1] * x.ndim
    if parameter.ndim == 1:
        shape[axis] = len(parameter)
    return parameter.reshape(shape)


def quantise(x, scale, zero=None, *, axis=1, low=0, high=255, wanted=1):
    """To unsigned bytes, which is all that the generator makes."""
    scale = _along(scale, x, axis)
    zero = np.array(0, object) if zero is None else _along(zero, x, axis)
    return each(lambda v, s, z: min(high, max(low, round(v / s) + z)), x, scale, zero)


def dequantise(x, scale, zero=None, *, axis=1, wanted=1):
    zero = np.array(0, object) if zero is None else _along(zero, x, axis)
    return each(lambda v, s, z: (v - z) * s, x, _along(scale, x, axis), zero)


def dynamic_quantise(x, *, wanted=3):
    low, high = min(ZERO, *x.ravel()), max(ZERO, *x.ravel())
    scale = (high - low) / 255 or Fraction(1)  # of nothing but zeros, every number is 0 in any scale
    zero = min(255, max(0, round(-low / scale)))
    made = np.array(scale, object), np.array(zero, object)
    return quantise(x, *made), *made


def where(condition, a, b, *, wanted=1):
    return each(lambda c, u, v: u if c else v, condition, a, b)


def matmul(a, b, *, wanted=1):
    return np.matmul(a, b)


def matmul_integer(a, b, a_zero=None, b_zero=None, *, wanted=1):
    return np.matmul(a - (0 if a_zero is None else a_zero), b - (0 if b_zero is None else b_zero))


def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0, wanted=1):  # noqa: N803 - ONNX's names
    y = (a.T if transA else a).dot(b.T if transB else b) * Fraction(float(np.float32(alpha)))
    return y if c is None else y + c * Fraction(float(np.float32(beta)))


def einsum(*xs, equation, wanted=1):
    return np.asarray(np.einsum(equation.decode().replace(" ", ""), *xs, optimize=False), dtype=object)


OPS = {
    "Abs": element(abs),
    "Add": plain(lambda a, b: a + b),
    "And": element(lambda a, b: a and b),
    "BitShift": lambda a, b, *, direction, wanted=1: each(
        (lambda x, y: (x << y) & 255) if direction == b"LEFT" else (lambda x, y: x >> y), a, b
    ),
    "BitwiseAnd": element(lambda a, b: a & b),
    "BitwiseOr": element(lambda a, b: a | b),
    "BitwiseXor": element(lambda a, b: a ^ b),
    "Cast": cast,
    "CastLike": lambda x, like, *, wanted=1: (
        each(Fraction, x) if isinstance(like.ravel()[0], Fraction) else each(math.trunc, x)
    ),
    "Ceil": element(lambda v: Fraction(math.ceil(v))),
    "Clip": clip,
    "DequantizeLinear": dequantise,
    "Div": element(divide),
    "DynamicQuantizeLinear": dynamic_quantise,
    "Einsum": einsum,
    "Equal": element(lambda a, b: a == b),
    "Floor": element(lambda v: Fraction(math.floor(v))),
    "Gemm": gemm,
    "Greater": element(lambda a, b: a > b),
    "GreaterOrEqual": element(lambda a, b: a >= b),
    "HardSigmoid": hard_sigmoid,
    "Identity": plain(lambda x: x),
    "LeakyRelu": leaky,
    "Less": element(lambda a, b: a < b),
    "LessOrEqual": element(lambda a, b: a <= b),
    "MatMul": matmul,
    "MatMulInteger": matmul_integer,
    "Max": folded(max),
    "Mean": mean,
    "Min": folded(min),
    "Mod": modulo,
    "Mul": plain(lambda a, b: a * b),
    "Neg": plain(lambda x: -x),
    "Not": element(lambda a: not a),
    "Or": element(lambda a, b: a or b),
    "PRelu": prelu,
    "Pow": element(lambda v, n: v ** int(n)),
    "QuantizeLinear": quantise,
    "Reciprocal": element(lambda v: 1 / v),
    "Relu": element(lambda v: max(v, ZERO)),
    "Round": element(lambda v: Fraction(round(v))),  # halves to the even number, as ONNX has it
    "Shrink": shrink,
    "Sign": element(lambda v: Fraction((v > 0) - (v < 0))),
    "Sub": plain(lambda a, b: a - b),
    "Sum": folded(lambda a, b: a + b),
    "ThresholdedRelu": thresholded,
    "Where": where,
    "Xor": element(lambda a, b: a != b),
}
