"""Two products of the same functions, one taken from the other, where their arguments are as good as equal.

Bounds of each alone say nothing of how little they differ. That is at most how much their arguments differ,
times how steep the functions are between these.
"""

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.piecewise.curves.expressions import Factor, Product, Sums, added, multiplied
from onnx_si.kernels import bernstein
from onnx_si.rules.curved import Ends
from onnx_si.rules.rules import Array


def as_good_as_equal(sums: Sums, slack: Array) -> NDArray[np.bool_]:
    """Rows on which such a difference is within the slack all along; none of a sum of another kind."""
    found = _difference(sums)
    if found is None:
        return np.zeros(sums.count, np.bool_)
    least, most = found
    return np.asarray((least >= -slack) & (most <= slack))


def _difference(sums: Sums) -> Ends | None:
    """Bounds of p F(g) + q F(h), which is (p + q) F(g) - q (F(g) - F(h)); None of any other sum."""
    if len(sums.products) != 2:
        return None
    one, other = sums.products
    pairs = list(zip(one.factors, other.factors, strict=False))
    if len(one.factors) != len(other.factors) or any(f.function != g.function for f, g in pairs):
        return None
    degree = max(len(one.polynomial), len(other.polynomial)) - 1
    p, q = (bernstein.elevated(product.polynomial, degree) for product in (one, other))
    with np.errstate(invalid="ignore", over="ignore"):
        first = Product(p + q, one.factors).ends()
        steps = [_step(pairs, i) for i in range(len(pairs))]
        minus_q = Product(-q).ends()
        return added([first, *(multiplied(minus_q, step) for step in steps)])


def _step(pairs: list[tuple[Factor, Factor]], i: int) -> Ends:
    """What it makes that one argument is the other's, of those before it the other's already."""
    f, g = pairs[i]
    apart = Sums((*f.of.products, *g.of.times(-1.0).products)).merged()
    (low, high), (lower, higher) = f.of.ends(), g.of.ends()
    steep = f.function.slopes(np.minimum(low, lower), np.maximum(high, higher))
    made = multiplied(steep, apart.ends())
    for factor in [*(h for _, h in pairs[:i]), *(h for h, _ in pairs[i + 1 :])]:
        made = multiplied(made, factor.function.values(*factor.of.ends()))
    return made
