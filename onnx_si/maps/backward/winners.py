"""Maxima and minima: the gradient goes to the winner.

Among equals the first one wins, in the order of the op's window or inputs, as in PyTorch's max-pooling; a
constant wins before an element that changes, as zero does in a Relu.
"""

import math

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.maps.appended import one_hot, reshaped
from onnx_si.maps.backward.gating import above, below, number, times
from onnx_si.maps.backward.moves import identity
from onnx_si.maps.backward.nodes import gathered_back
from onnx_si.maps.backward.site import OTHER_LAYER, Site, backwards
from onnx_si.rules.registry import with_gradient
from onnx_si.rules.rules import Affine, Kinked, Maximum
from onnx_si.rules.traits import Gradient


@backwards(*with_gradient(Gradient.TO_WINNER))
def winner(at: Site) -> str:
    rule = at.rule
    if isinstance(rule, Affine):
        return identity(at)  # of one candidate
    if isinstance(rule, Kinked):
        beats = below if at.node.op_type == "Min" else above
        return times(at, number(at, beats(at, rule.breakpoints[0])))
    if not isinstance(rule, Maximum):
        raise Refusal(f"its {type(rule).__name__} is no choice among candidates", OTHER_LAYER)
    table, constants = _table(at, rule)
    parts = [reshaped(at.editor, at.single(i), (-1,)) for i in at.changing]
    parts += [at.constant(constants)] if len(constants) else []
    pool = at.add("Concat", parts, axis=0) if len(parts) > 1 else parts[0]
    candidates = at.add("Gather", [pool, at.constant(table)], axis=0)
    best = at.add("ArgMax" if rule.sign > 0 else "ArgMin", [candidates], axis=1, keepdims=0)
    column = reshaped(at.editor, at.gradient, (len(table), 1))
    shares = at.add("Mul", [one_hot(at.editor, best, table.shape[1]), column])
    start = sum(math.prod(at.shape(i)) for i in at.changing if i < at.position)
    sources = table.ravel() - start
    sources[(sources < 0) | (sources >= math.prod(at.wanted))] = -1
    return gathered_back(at, reshaped(at.editor, shares, (-1,)), sources, at.wanted)


def _table(at: Site, rule: Maximum) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Places of each output's candidates (outputs, candidates) in one row of all inputs and the constants.

    They are read off the op itself, run on zeros and on the elements' numbers. One that lies on a pad is
    replaced by the first that does not: what it wins goes to the same element.
    """
    shapes = [at.shape(i) for i in at.changing]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    numbers = [
        np.arange(1.0 + end - math.prod(shape), 1.0 + end).reshape(1, *shape)
        for shape, end in zip(shapes, ends, strict=True)
    ]
    base = np.asarray(rule.candidates(*map(np.zeros_like, numbers)))
    with np.errstate(invalid="ignore"):  # infinite minus infinite on pads
        places = np.asarray(rule.candidates(*numbers)) - base
    base, places = (array.reshape(len(base), -1).T for array in (base, places))
    there = np.isfinite(base)
    fixed = there & (places == 0)
    order = np.argsort(~fixed.any(axis=0), kind="stable")
    base, places, there, fixed = base[:, order], places[:, order], there[:, order], fixed[:, order]
    table = np.where(there, places, 0).astype(np.int64) - 1
    table[fixed] = ends[-1] + np.arange(np.count_nonzero(fixed))
    first = np.take_along_axis(table, there.argmax(axis=1)[:, None], axis=1)
    return np.where(there, table, first), base[fixed]
