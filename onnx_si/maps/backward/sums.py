"""Sums, products with what does not change between jumps, and means: the transposed linear map."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.maps.backward.nodes import reshaped, summed_to
from onnx_si.maps.backward.site import OTHER_LAYER, Shape, Site, backwards
from onnx_si.ops.reduction import length_of, reduced_axes
from onnx_si.rules.registry import variable
from onnx_si.rules.rules import Affine


def scaled(at: Site, tensor: str, factor: float) -> str:
    return tensor if factor == 1 else at.add("Mul", [tensor, at.constant(float(factor))])


@backwards("Add", "Sum", "Sub", "Mean", "Neg")
def add(at: Site) -> str:
    op = at.node.op_type
    sign = -1.0 if op == "Neg" or (op == "Sub" and at.position == 1) else 1.0
    factor = 1 / len(at.node.input) if op == "Mean" else sign
    return summed_to(at, scaled(at, at.gradient, factor), at.given, at.wanted)


@backwards("Mul")
def multiply(at: Site) -> str:
    other = _steady(at, 1 - at.position)
    return summed_to(at, at.add("Mul", [at.gradient, other]), at.given, at.wanted)


@backwards("Div")
def divide(at: Site) -> str:
    if at.position == 1:
        raise Refusal("its divisor depends on the image", OTHER_LAYER)
    return summed_to(at, at.add("Div", [at.gradient, _steady(at, 1)]), at.given, at.wanted)


def _steady(at: Site, position: int) -> str:
    """The other factor, constant on pieces of the line."""
    if not at.is_stepwise(position):
        raise Refusal(
            "a product of two tensors that depend on the image is not piecewise linear", OTHER_LAYER
        )
    return at.single(position)


def _turned(at: Site, tensor: str, rank: int) -> str:
    """The last two axes exchanged."""
    order = list(range(rank))
    order[-2:] = order[:-3:-1]
    return at.add("Transpose", [tensor], perm=order)


@backwards("Gemm")
def gemm(at: Site) -> str:
    """Y = alpha A' B' + beta C, A' and B' turned if asked for."""
    given = at.attributes
    if at.position == 2:
        beta = scaled(at, at.gradient, given.get("beta", 1.0))
        return summed_to(at, beta, at.given, at.wanted)
    turned = (given.get("transA", 0), given.get("transB", 0))
    other = _steady(at, 1 - at.position)
    other = other if turned[1 - at.position] else _turned(at, other, 2)
    factors = [at.gradient, other] if at.position == 0 else [other, at.gradient]
    product = scaled(at, at.add("MatMul", factors), given.get("alpha", 1.0))
    return _turned(at, product, 2) if turned[at.position] else product


@backwards("MatMul")
def matmul(at: Site) -> str:
    """A vector is a row on the left and a column on the right."""
    left, right = at.shape(0), at.shape(1)
    a, b = (1, *left) if len(left) == 1 else left, (*right, 1) if len(right) == 1 else right
    stacks = np.broadcast_shapes(a[:-2], b[:-2])
    gradient = reshaped(at.editor, at.gradient, (*stacks, a[-2], b[-1]))
    shape, other_shape = (a, b) if at.position == 0 else (b, a)
    other = reshaped(at.editor, _steady(at, 1 - at.position), other_shape)
    other = _turned(at, other, len(other_shape))
    product = at.add("MatMul", [gradient, other] if at.position == 0 else [other, gradient])
    return reshaped(at.editor, summed_to(at, product, (*stacks, *shape[-2:]), shape), at.wanted)


@backwards("BatchNormalization")
def batch_normalization(at: Site) -> str:
    """Constant statistics: one factor for each channel."""
    rule = at.rule
    if not isinstance(rule, Affine):
        raise Refusal("its statistics depend on the image", "export the model in evaluation mode")
    return at.add("Mul", [at.gradient, at.constant(rule.weights[0])])


@backwards("ReduceSum", "ReduceMean")
def reduce(at: Site) -> str:
    """Every element that was added gets the sum's gradient, or its share of it."""
    recipe = at.recipe
    data, *rest = recipe.inputs
    given = recipe.attributes
    x = variable(data, "data")
    axes = reduced_axes(x, rest[0] if rest else None, given.get("axes"), given.get("noop_with_empty_axes", 0))
    share = 1 / length_of(x, axes) if at.node.op_type == "ReduceMean" else 1.0
    return _spread(at, axes, share)


@backwards("GlobalAveragePool")
def global_average_pool(at: Site) -> str:
    axes = tuple(range(2, len(at.wanted)))
    return _spread(at, axes, 1 / np.prod([at.wanted[axis] for axis in axes]))


def _spread(at: Site, axes: Shape, share: float) -> str:
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(at.wanted))
    shares = np.full([n if axis in axes else 1 for axis, n in enumerate(at.wanted)], share)
    return at.add("Mul", [reshaped(at.editor, at.gradient, kept), at.constant(shares)])
