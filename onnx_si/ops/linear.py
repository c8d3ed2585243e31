"""Matrix products with a constant, and normalisation with constant statistics."""

from dataclasses import replace

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import common_shape, double, malformed, shape_of
from onnx_si.kernels.pointwise import Scaled
from onnx_si.kernels.products import ScaledProduct, TimesLeft, TimesRight, times, turned
from onnx_si.ops import crops
from onnx_si.ops.elementwise import bilinear, computed, weighted_sum
from onnx_si.ops.made_of import Sketch, standardised, with_constants
from onnx_si.ops.recipe import Recipe
from onnx_si.rules import axis_rules
from onnx_si.rules.boxes import Box, Part
from onnx_si.rules.boxes import shape_of as lengths
from onnx_si.rules.composing import compose
from onnx_si.rules.registry import Context, Input, Variable, constant, first_only, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Composition, Rule
from onnx_si.rules.traits import Combination

Shape = tuple[int, ...]


def product_shape(a: Shape, b: Shape) -> Shape:
    """Shape of a @ b by numpy's rules for vectors, matrices and stacks of matrices."""
    if not a or not b or a[-1] != b[-2 if len(b) > 1 else -1]:
        raise malformed(f"a matrix product of shapes {a} and {b}")
    return affordable((*common_shape(a[:-2], b[:-2]), *a[-2:-1], *(b[-1:] if len(b) > 1 else ())))


def _part_of_product(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """A matrix product with a constant matrix, of which only rows (or columns) that are not zero count."""
    a, b = recipe.inputs
    if isinstance(a, Variable) and not isinstance(b, Variable) and b is not None and b.ndim == 2 <= a.ndim:
        matrix = b[:, box[-1]]
        rows = crops.support(np.any(matrix != 0, axis=1))
        need = (*box[:-1], rows)
        inputs: tuple[Input, ...] = (replace(a, shape=lengths(need)), matrix[rows])
        return Part(box, (need,), lambda: recipe.again(inputs))
    if isinstance(b, Variable) and not isinstance(a, Variable) and a is not None and a.ndim == 2 <= b.ndim:
        matrix = a[box[-2]]
        columns = crops.support(np.any(matrix != 0, axis=0))
        need = (*box[:-2], columns, box[-1])
        inputs = (matrix[:, columns], replace(b, shape=lengths(need)))
        return Part(box, (need,), lambda: recipe.again(inputs))
    return None


@handles(
    "MatMul",
    since=(1, 9, 13),
    axes=axis_rules.matrix_product,
    crop=_part_of_product,
    combines=Combination.MATRIX_PRODUCT,
)
def matmul(a: Input, b: Input) -> Rule:
    product_shape(shape_of(a), shape_of(b))
    terms = shape_of(a)[-1]
    if isinstance(a, Variable) and isinstance(b, Variable):
        return bilinear(times, (a, b), terms)
    if isinstance(a, Variable):
        return Affine(linear=TimesRight(), weights=(double(constant(b, "B")),), terms=terms)
    return Affine(linear=TimesLeft(), weights=(double(constant(a, "A")),), terms=terms)


@handles("Gemm", since=(7, 9, 11, 13), axes=axis_rules.gemm, combines=Combination.MATRIX_PRODUCT)
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
            ScaledProduct(transA, transB),
            (a, b),
            terms,
            (np.array(float(alpha)),),
            offset,
        )
    if isinstance(a, Variable):
        weight = alpha * turned(double(constant(b, "B")), transB)
        return Affine(linear=TimesRight(transA), weights=(weight,), offset=offset, terms=terms)
    weight = alpha * turned(double(constant(a, "A")), transA)
    return Affine(linear=TimesLeft(transB), weights=(weight,), offset=offset, terms=terms)


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


def _part_per_channel(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """Element by element, with one constant for each channel."""
    data, *constants = recipe.inputs
    if not isinstance(data, Variable) or len(recipe.changing) > 1:
        return None

    def build() -> Rule:
        cut = (None if c is None else np.asarray(c)[box[1]] for c in constants)
        return recipe.again((replace(data, shape=lengths(box)), *cut))

    return Part(box, (box,), build)


@handles(
    "BatchNormalization",
    since=(7, 9, 14, 15),
    axes=axis_rules.same,
    crop=_part_per_channel,
    channels_second=True,
    running="training_mode",
)
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
    return Affine(linear=Scaled(x.ndim), weights=(factor.reshape(shape),), offset=offset, terms=2)


TRAINED = (
    "the model was exported in training mode: BatchNormalization divides by the image's own deviation, which "
    "is not piecewise linear; export it after model.eval()"
)


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

    parts = _parts_of_statistics(x, parameters, output, epsilon, momentum)
    return replace(computed(evaluate, x, *parameters, parts=parts), reason=TRAINED)


def _parts_of_statistics(
    x: Input, parameters: tuple[Input, ...], output: int, epsilon: float, momentum: float
) -> Composition | None:
    """What they are made of, with constant parameters."""
    if not isinstance(x, Variable) or any(isinstance(value, Variable) for value in parameters):
        return None
    scale_, bias, mean, var = (double(constant(value, "of the op")) for value in parameters)
    sketch, axes, channels = Sketch([x.shape]), (0, *range(2, x.ndim)), x.shape[1]
    wide = (-1, *(1,) * (x.ndim - 2))
    if not output:
        made = standardised(sketch, 0, axes, epsilon)
        return with_constants(sketch, made, scale_.reshape(wide), bias.reshape(wide))
    found = sketch.mean(0 if output == 1 else sketch.square(sketch.centred(0, axes)), axes)
    found = sketch.moved(lambda y: y.reshape(len(y), channels), found)
    return with_constants(sketch, found, np.asarray(1 - momentum), (mean, var)[output - 1] * momentum)
