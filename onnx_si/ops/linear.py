"""Matrix products with a constant, and normalisation with constant statistics."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.ops.arrays import align, double, shape_of
from onnx_si.ops.registry import Context, Input, Variable, constant, first_only, handles, optional, variable
from onnx_si.ops.rules import Affine, Array, Curved, Gated, Rule


def times_right(x: Array, w: Array) -> Array:
    """x @ w with a batch axis in front of x."""
    if w.ndim == 2:  # one product over all rows instead of one per point
        return (x.reshape(-1, x.shape[-1]) @ w).reshape(*x.shape[:-1], w.shape[1])
    return np.matmul(align(x, max(x.ndim - 1, w.ndim)) if w.ndim > 1 else x, w)


def times_left(x: Array, w: Array) -> Array:
    """w @ x with a batch axis in front of x."""
    if x.ndim == 2:
        return np.matmul(x, np.swapaxes(w, -1, -2)) if w.ndim == 2 else np.matmul(w, x[(slice(None), *(None,) * (w.ndim - 2), slice(None), None)])[..., 0]
    if w.ndim == 1:
        return np.matmul(w[None, :], x)[..., 0, :]
    return np.matmul(w, align(x, w.ndim))


@handles("MatMul", since=(1, 9, 13))
def matmul(a: Input, b: Input) -> Rule:
    if isinstance(a, Variable) and isinstance(b, Variable):
        return matrix_product(a, b)
    if isinstance(a, Variable):
        weight = double(constant(b, "B"))
        return Affine(times_right, weights=(weight,), terms=a.shape[-1])
    weight = double(constant(a, "A"))
    return Affine(times_left, weights=(weight,), terms=weight.shape[-1])


def matrix_product(a: Variable, b: Variable) -> Rule:
    """a @ b of two changing tensors: a gate where one is constant on pieces, else bilinear."""
    if min(a.ndim, b.ndim) < 2:
        raise Refusal("product of a vector with a tensor that both depend on the image", "write it as a matrix product")
    ndim = max(a.ndim, b.ndim)

    def multiply(a: Array, b: Array) -> Array:
        return np.matmul(align(a, ndim), align(b, ndim))

    gates = tuple(i for i, value in enumerate((a, b)) if value.stepwise)
    return Gated(multiply, gates, terms=a.shape[-1]) if gates else Curved(multiply, "bilinear")


@handles("Gemm", since=(6, 7, 9, 11, 13))
def gemm(
    a: Input,
    b: Input,
    c: Input = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - the specification's name
    transB: int = 0,  # noqa: N803 - the specification's name
    broadcast: int = 0,
) -> Rule:
    addend = None if c is None else beta * double(constant(c, "C"))
    if isinstance(a, Variable):
        weight = alpha * double(constant(b, "B"))
        weight = weight.T if transB else weight
        turn = bool(transA)
        return Affine(
            lambda x, w: times_right(x.swapaxes(1, 2) if turn else x, w), (weight,), addend, terms=weight.shape[0] + 1
        )
    weight = alpha * double(constant(a, "A"))
    weight = weight.T if transA else weight
    turn = bool(transB)
    return Affine(
        lambda x, w: np.matmul(w, x.swapaxes(1, 2) if turn else x), (weight,), addend, terms=weight.shape[1] + 1
    )


@handles("BatchNormalization", since=(6, 7, 9, 14, 15))
def batch_normalization(
    x: Input,
    scale: Input,
    bias: Input,
    mean: Input,
    var: Input,
    *,
    context: Context,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    is_test: int = 1,
    spatial: int = 1,
) -> Rule:
    first_only(context)
    if training_mode or not spatial or (context.version < 7 and not is_test):
        raise Refusal("batch statistics are computed from the image", "export the model in evaluation mode")
    gamma, beta, centre, variance = (
        double(constant(value, name))
        for value, name in ((scale, "scale"), (bias, "B"), (mean, "mean"), (var, "var"))
    )
    factor = gamma / np.sqrt(variance + epsilon)
    shape = (-1, *(1,) * (variable(x, "X").ndim - 2))
    return Affine(
        lambda x, w: x * w,
        weights=(factor.reshape(shape),),
        offset=(beta - centre * factor).reshape(shape),
        terms=2,
    )
