"""Arithmetic element by element: sums, products with constants, gates."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.ops.arrays import align, double, expand, shape_of
from onnx_si.ops.registry import Context, Input, Variable, first_only, handles, variable
from onnx_si.ops.rules import Affine, Array, Curved, Gated, Rule


def broadcast_shape(*inputs: Input) -> tuple[int, ...]:
    """Common shape of the inputs (ONNX multidirectional broadcasting)."""
    return np.broadcast_shapes(*(shape_of(value) for value in inputs))


def weighted_sum(inputs: tuple[Input, ...], coefficients: tuple[float, ...]) -> Affine:
    """Sum of coefficient * input over inputs that broadcast against each other; constants make the offset."""
    shape = broadcast_shape(*inputs)
    pairs = list(zip(inputs, coefficients, strict=True))
    weights = tuple(np.float64(c) for value, c in pairs if isinstance(value, Variable))
    constants = [c * double(value) for value, c in pairs if isinstance(value, np.ndarray)]

    def linear(*xs_and_weights: Array) -> Array:
        xs, ws = xs_and_weights[: len(weights)], xs_and_weights[len(weights) :]
        result = expand(xs[0] if ws[0] == 1 else ws[0] * xs[0], shape)
        for x, w in zip(xs[1:], ws[1:], strict=True):
            result = result + align(x if w == 1 else w * x, len(shape))
        return result

    return Affine(linear, weights, sum(constants) if constants else None, terms=len(inputs))


@handles("Add", since=(6, 7, 13, 14))
def add(a: Input, b: Input) -> Rule:
    return weighted_sum((a, b), (1, 1))


@handles("Sub", since=(6, 7, 13, 14))
def subtract(a: Input, b: Input) -> Rule:
    return weighted_sum((a, b), (1, -1))


@handles("Sum", since=(6, 8, 13))
def total(*inputs: Input) -> Rule:
    return weighted_sum(inputs, (1,) * len(inputs))


@handles("Mean", since=(6, 8, 13))
def mean(*inputs: Input) -> Rule:
    return weighted_sum(inputs, (1 / len(inputs),) * len(inputs))


@handles("Neg", since=(6, 13))
def negate(x: Input) -> Rule:
    return weighted_sum((x,), (-1,))


def scale(x: Variable, factor: Array) -> Affine:
    """factor * x with a constant factor that broadcasts."""
    shape = broadcast_shape(x, factor)
    return Affine(lambda x, w: align(x, len(shape)) * w, weights=(factor,))


def product(a: Variable, b: Variable) -> Rule:
    """a * b of two changing tensors: a gate where one is constant on pieces, else bilinear."""
    ndim = len(broadcast_shape(a, b))

    def multiply(a: Array, b: Array) -> Array:
        return align(a, ndim) * align(b, ndim)

    gates = tuple(i for i, value in enumerate((a, b)) if value.stepwise)
    return Gated(multiply, gates) if gates else Curved(multiply, "bilinear")


@handles("Mul", since=(6, 7, 13, 14))
def multiply(a: Input, b: Input) -> Rule:
    if isinstance(a, Variable) and isinstance(b, Variable):
        return product(a, b)
    x, factor = (a, b) if isinstance(a, Variable) else (b, a)
    return scale(variable(x, "A"), double(factor))


@handles("Div", since=(6, 7, 13, 14))
def divide(a: Input, b: Input) -> Rule:
    if isinstance(a, Variable) and isinstance(b, np.ndarray):
        if b.dtype.kind != "f":
            raise Refusal("integer division truncates", "divide in floating point")
        if not np.all(b):
            raise Refusal("division by a constant zero", "remove the zero from the divisor")
        return scale(a, 1 / double(b))
    ndim = len(broadcast_shape(a, b))
    fixed = double(a) if isinstance(a, np.ndarray) else None
    return Curved(lambda *xs: align(xs[0], ndim) / align(xs[1], ndim) if fixed is None else fixed / align(xs[0], ndim))


@handles("Identity", since=(1, 13, 14, 16, 19, 21, 23, 24, 25))
def identity(x: Input) -> Rule:
    return Affine(lambda x: x)


@handles("Dropout", since=(7, 10, 12, 13, 22))
def dropout(x: Input, ratio: Input = None, training: Input = None, *, context: Context, **unused: float) -> Rule:
    """Inference only: the identity."""
    first_only(context)
    if isinstance(training, Variable) or (training is not None and bool(np.any(training))):
        raise Refusal("dropout in training mode is random", "export the model in evaluation mode")
    return identity(x)


@handles("Where", since=(9, 16))
def where(condition: Input, x: Input, y: Input) -> Rule:
    inputs = (condition, x, y)
    shape = broadcast_shape(*inputs)

    def choose(*xs: Array) -> Array:
        rest = iter(xs)
        full = [expand(next(rest), shape) if isinstance(v, Variable) else double(v)[None] for v in inputs]
        return np.where(full[0] != 0, full[1], full[2])

    if isinstance(condition, Variable):
        if not condition.stepwise:
            raise Refusal("the condition is not a comparison", "only conditions that are constant on pieces are exact")
        return Gated(choose, gates=(0,))
    chosen = np.asarray(condition, dtype=bool)
    branches = tuple(value for value in (x, y) if isinstance(value, Variable))
    masks = tuple(double(chosen if value is x else ~chosen) for value in branches)
    constants = [np.where(m, double(v), 0.0) for m, v in ((chosen, x), (~chosen, y)) if isinstance(v, np.ndarray)]

    def linear(*xs_and_masks: Array) -> Array:
        count = len(masks)
        parts = [expand(x, shape) * m for x, m in zip(xs_and_masks[:count], xs_and_masks[count:], strict=True)]
        return parts[0] if count == 1 else parts[0] + parts[1]

    return Affine(linear, masks, np.broadcast_to(constants[0], shape) if constants else None, terms=2)
