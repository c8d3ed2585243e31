"""Matrix products with a constant, and normalisation with constant statistics."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import align, common_shape, double, malformed, shape_of, size
from onnx_si.ops.elementwise import bilinear, computed, weighted_sum
from onnx_si.rules.registry import Context, Input, Variable, constant, first_only, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Composition, Rule, compose

Shape = tuple[int, ...]


def product_shape(a: Shape, b: Shape) -> Shape:
    """Shape of a @ b by numpy's rules for vectors, matrices and stacks of matrices."""
    if not a or not b or a[-1] != b[-2 if len(b) > 1 else -1]:
        raise malformed(f"a matrix product of shapes {a} and {b}")
    return affordable((*common_shape(a[:-2], b[:-2]), *a[-2:-1], *(b[-1:] if len(b) > 1 else ())))


def times(a: Array, b: Array) -> Array:
    """a @ b behind the batch axis; a vector on the left is a row, one on the right a column."""
    row, column = a.ndim == 2, b.ndim == 2
    a, b = a[:, None, :] if row else a, b[:, :, None] if column else b
    ndim = max(a.ndim, b.ndim) - 1
    product: Array = np.matmul(align(a, ndim), align(b, ndim))
    product = product[..., 0, :] if row else product
    return product[..., 0] if column else product


def times_right(x: Array, w: Array) -> Array:
    """x @ w; by a matrix, one product over all rows of all points instead of one per point."""
    if w.ndim != 2:
        return times(x, w[None])
    lead = x.shape[:-1]
    return (x.reshape(size(lead), x.shape[-1]) @ w).reshape(*lead, w.shape[1])


def times_left(x: Array, w: Array) -> Array:
    """w @ x."""
    return x @ w.T if x.ndim == w.ndim == 2 else times(w[None], x)


@handles("MatMul", since=(1, 9, 13))
def matmul(a: Input, b: Input) -> Rule:
    product_shape(shape_of(a), shape_of(b))
    terms = shape_of(a)[-1]
    if isinstance(a, Variable) and isinstance(b, Variable):
        return bilinear(times, (a, b), terms)
    if isinstance(a, Variable):
        return Affine(times_right, weights=(double(constant(b, "B")),), terms=terms)
    return Affine(times_left, weights=(double(constant(a, "A")),), terms=terms)


def turned(x: Array, transpose: int) -> Array:
    """The last two axes exchanged if asked for."""
    return x.swapaxes(-1, -2) if transpose else x


@handles("Gemm", since=(7, 9, 11, 13))
def gemm(
    a: Input,
    b: Input,
    c: Input = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 - the specification's name
    transB: int = 0,  # noqa: N803 - the specification's name
) -> Rule | Composition:
    left, right = shape_of(a), shape_of(b)
    if len(left) != 2 or len(right) != 2:
        raise malformed(f"Gemm of shapes {left} and {right}")
    shape = product_shape(left[::-1] if transA else left, right[::-1] if transB else right)
    terms = left[0 if transA else 1] + 1
    if isinstance(c, Variable):
        return _with_changing_addend(a, b, c, (alpha, beta, transA, transB), shape)
    addend = optional(c, "C")
    if addend is not None and common_shape(addend.shape, shape) != shape:
        raise malformed(f"C of shape {addend.shape} does not broadcast to {shape}")
    offset = None if addend is None else beta * double(addend)
    if isinstance(a, Variable) and isinstance(b, Variable):
        return bilinear(
            lambda a, b, factor: factor * times(turned(a, transA), turned(b, transB)),
            (a, b),
            terms,
            (np.array(float(alpha)),),
            offset,
        )
    if isinstance(a, Variable):
        weight = alpha * turned(double(constant(b, "B")), transB)
        return Affine(lambda x, w: times_right(turned(x, transA), w), (weight,), offset, terms)
    weight = alpha * turned(double(constant(a, "A")), transA)
    return Affine(lambda x, w: times_left(turned(x, transB), w), (weight,), offset, terms)


def _with_changing_addend(
    a: Input, b: Input, c: Variable, attributes: tuple[float, float, int, int], shape: Shape
) -> Composition:
    """The product first, then the sum; the product may be constant."""
    alpha, beta, trans_a, trans_b = attributes
    if common_shape(c.shape, shape) != shape:
        raise malformed(f"C of shape {c.shape} does not broadcast to {shape}")
    factors = sum(isinstance(value, Variable) for value in (a, b))
    if not factors:
        left, right = (
            turned(double(constant(v, n)), t) for v, n, t in ((a, "A", trans_a), (b, "B", trans_b))
        )
        return compose(1, (weighted_sum((alpha * left @ right, c), (1, beta)), (0,)))
    product = gemm(a, b, alpha=alpha, transA=trans_a, transB=trans_b)
    total = weighted_sum((Variable(shape), c), (1, beta))
    return compose(factors + 1, (product, tuple(range(factors))), (total, (factors + 1, factors)))


@handles("BatchNormalization", since=(7, 9, 14, 15))
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
    spatial: int = 1,
) -> Rule:
    if training_mode:
        return _batch_statistics(x, (scale, bias, mean, var), context.output, epsilon, momentum)
    first_only(context)
    if not spatial:
        raise Refusal("statistics are not one constant per channel", "export the model in evaluation mode")
    x = variable(x, "X")
    given = ((scale, "scale"), (bias, "B"), (mean, "mean"), (var, "var"))
    gamma, beta, centre, variance = (double(constant(value, name)) for value, name in given)
    if x.ndim < 2 or not gamma.shape == beta.shape == centre.shape == variance.shape == x.shape[1:2]:
        raise malformed(f"statistics of shape {gamma.shape} for a tensor of shape {x.shape}")
    factor = gamma / np.sqrt(variance + epsilon)
    shape = (-1, *(1,) * (x.ndim - 2))
    offset = (beta - centre * factor).reshape(shape)
    return Affine(lambda x, w: x * w, weights=(factor.reshape(shape),), offset=offset, terms=2)


def _batch_statistics(
    x: Input, parameters: tuple[Input, ...], output: int, epsilon: float, momentum: float
) -> Rule:
    """Training mode: the batch's own statistics, and the running ones that follow them slowly."""

    def evaluate(x: Array, scale: Array, bias: Array, mean: Array, var: Array) -> Array:
        axes = (1, *range(3, x.ndim))
        wide = (-1, 1, x.shape[2], *(1,) * (x.ndim - 3))
        centre, variance = x.mean(axis=axes), x.var(axis=axes)
        if output:
            old, new = ((mean, centre), (var, variance))[output - 1]
            return np.asarray(old * momentum + new * (1 - momentum))
        factor = scale.reshape(wide) / np.sqrt(variance.reshape(wide) + epsilon)
        return np.asarray((x - centre.reshape(wide)) * factor + bias.reshape(wide))

    return computed(evaluate, x, *parameters)
