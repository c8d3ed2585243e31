"""Sums, means and norms over axes, and over windows or all of space."""

import math
import operator
from itertools import accumulate

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.maps.backward.formula import Term, given, operand, result
from onnx_si.maps.backward.rows import Rows, reduced_axes
from onnx_si.maps.backward.site import OTHER_LAYER, Shape, Site, backwards

MOST_FACTORS = 64


def kept(at: Site, term: Term, axes: Shape) -> Term:
    """A reduced tensor with the axes that it lost."""
    return term.shaped(tuple(1 if axis in axes else n for axis, n in enumerate(at.wanted)))


def everywhere(at: Site, axes: Shape, share: float) -> str:
    """Every element that was added gets a share of the sum's gradient."""
    shares = np.full([n if axis in axes else 1 for axis, n in enumerate(at.wanted)], share)
    return (kept(at, given(at), axes) * shares).tensor


@backwards("ReduceSum", "ReduceMean")
def reduce(at: Site) -> str:
    axes = reduced_axes(at)
    count = math.prod(at.wanted[axis] for axis in axes)
    return everywhere(at, axes, 1 / count if at.node.op_type == "ReduceMean" else 1.0)


@backwards("GlobalAveragePool")
def global_average_pool(at: Site) -> str:
    axes = tuple(range(2, len(at.wanted)))
    return everywhere(at, axes, 1 / math.prod(at.wanted[axis] for axis in axes))


@backwards("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
def norm(at: Site) -> str:
    """A norm of zero passes nothing, as in PyTorch."""
    axes = reduced_axes(at)
    x = operand(at)
    y, g = (kept(at, term, axes) for term in (result(at), given(at)))
    match at.node.op_type:
        case "ReduceL1":
            slope = x.sign()
        case "ReduceL2":
            slope = x / y.never_zero()
        case "ReduceLogSum":
            return (kept(at, given(at), axes) * (-y).apply("Exp") * np.ones(at.wanted)).tensor
        case "ReduceLogSumExp":
            slope = (x - y).apply("Exp")
        case _:
            slope = 2.0 * x
    return (g * slope).tensor


@backwards("ReduceProd")
def product(at: Site) -> str:
    """Each factor gets the product of all others: a zero among them is no division by zero."""
    axes = reduced_axes(at)
    count = math.prod(at.wanted[axis] for axis in axes)
    if count == 1:
        return given(at).shaped(at.wanted).tensor
    if count > MOST_FACTORS:
        raise Refusal(f"a product of {count} factors", OTHER_LAYER)
    rows = Rows(at.wanted, axes)
    x = rows.of(operand(at))
    columns = [at.add("Gather", [x.tensor, at.constant(np.array([i]))], axis=1) for i in range(count)]
    terms = [Term(at, column) for column in columns]
    before, after = (list(accumulate(row, operator.mul)) for row in (terms[:-1], terms[:0:-1]))
    inner = [left * right for left, right in zip(before[:-1], after[-2::-1], strict=True)]
    others = [term.tensor for term in (after[-1], *inner, before[-1])]
    joined = Term(at, at.add("Concat", others, axis=1))
    return (kept(at, given(at), axes) * rows.back(joined)).tensor


def power_of_norm(at: Site, p: float) -> tuple[Term, Term]:
    """d|x|_p/dx = sign(x) |x|^(p - 1) times |x|_p^(1 - p): the two factors; zero where the norm is."""
    x = operand(at)
    size = x.apply("Abs").never_zero() ** (p - 1)
    return x.sign() * size, result(at).never_zero() ** (1 - p)


@backwards("GlobalLpPool")
def global_lp_pool(at: Site) -> str:
    inner, outer = power_of_norm(at, float(at.attributes.get("p", 2)))
    return (given(at) * outer * inner).tensor
