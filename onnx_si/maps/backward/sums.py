"""Sums, products and means: the transposed linear map."""

import numpy as np

from onnx_si.maps.appended import reshaped
from onnx_si.maps.backward.nodes import summed_to
from onnx_si.maps.backward.site import Site, backwards


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
    return summed_to(at, at.add("Mul", [at.gradient, at.single(1 - at.position)]), at.given, at.wanted)


@backwards("Div")
def divide(at: Site) -> str:
    share = at.add("Div", [at.gradient, at.single(1)])
    if at.position == 1:
        share = at.add("Neg", [at.add("Mul", [share, at.result])])
    return summed_to(at, share, at.given, at.wanted)


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
    other = at.single(1 - at.position)
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
    other = reshaped(at.editor, at.single(1 - at.position), other_shape)
    other = _turned(at, other, len(other_shape))
    product = at.add("MatMul", [gradient, other] if at.position == 0 else [other, gradient])
    return reshaped(at.editor, summed_to(at, product, (*stacks, *shape[-2:]), shape), at.wanted)


@backwards("CumSum")
def cumulative_sum(at: Site) -> str:
    """The same from the other end."""
    turned = 1 - at.attributes.get("reverse", 0)
    options = {"exclusive": at.attributes.get("exclusive", 0), "reverse": turned}
    return at.add("CumSum", [at.gradient, at.node.input[1]], **options)
