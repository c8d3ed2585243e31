"""What a function with bends makes of a tensor, written row by row where its knots stand afterwards.

Tensors of large networks do not stay in the cache: here each value is read twice and written once.
"""

from collections.abc import Sequence

import numpy as np

from onnx_si.domains.piecewise.crossings import Crossings, Refinement
from onnx_si.domains.piecewise.value import PiecewiseLinear
from onnx_si.rules.rules import Array, Kinked

LEAST_ROW = 4 << 10  # elements of a row that is worth a call of its own


def bent(
    rule: Kinked, x: PiecewiseLinear, refinement: Refinement, found: Sequence[Crossings], levels: list[Array]
) -> PiecewiseLinear:
    """The rule's output on refined knots; the element that changes its piece stands exactly on the
    breakpoint there.

    Parameters
    ----------
    found : sequence of Crossings
        Those of each breakpoint, in the order of the refinement's positions.
    levels : list of arrays
        The breakpoints, one for all elements or (n,).
    """
    size = x.values[0].size
    exact = np.concatenate(
        [np.broadcast_to(level, size)[c.element] for level, c in zip(levels, found, strict=True)]
    )
    element = np.concatenate([c.element for c in found])
    if rule.uniform and size >= LEAST_ROW:
        values = _by_rows(rule, x, refinement)
        values.reshape(len(values), -1)[refinement.position, element] = rule.function(exact)
        return PiecewiseLinear(refinement.knots, values)
    values = refinement(x).values
    values = values.copy() if values is x.values else values
    values.reshape(len(values), -1)[refinement.position, element] = exact
    if rule.uniform:
        return PiecewiseLinear(refinement.knots, rule.function(values, out=values))
    return PiecewiseLinear(refinement.knots, rule.evaluate(values))


def _by_rows(rule: Kinked, x: PiecewiseLinear, refinement: Refinement) -> Array:
    """The function of the tensor at refined knots."""
    values = np.empty((len(refinement.knots), *x.values.shape[1:]))
    for old, row in zip(refinement.old, x.values, strict=True):
        rule.function(row, out=values[old])
    for row, between in zip(refinement.new, refinement.rows_at_new(x), strict=True):
        rule.function(between, out=values[row])
    return values
