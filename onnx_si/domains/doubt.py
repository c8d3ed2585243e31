"""Which decisions are so close on an interval that rounding may have made them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.rational import Objects, rounded, unrounded
from onnx_si.rules.rules import Array, Rule, Step, Winner


def doubtful(
    rule: Rule | None, left: Sequence[Array], right: Sequence[Array], slack: float, zeros: bool = False
) -> NDArray[np.bool_]:
    """Of intervals, by the values at both ends, and elements: whether the distance that decides is within the
    slack at both ends, but not, unless `zeros` count too, zero to the last bit at both.

    Parameters
    ----------
    rule : Step, Winner or None
        None: the sign of the one tensor decides.
    left, right : sequences of arrays (n, *shape)
        What the rule reads.
    slack : float
    zeros : bool

    Returns
    -------
    boolean array (n, elements)
    """
    count = len(left[0])
    found = [
        (_close(a, b, slack) | (zeros and _equal(rule, a, b))).reshape(count, -1)
        for a, b in zip(distances(rule, left), distances(rule, right), strict=True)
    ]
    return np.concatenate(found, axis=1)


def _close(a: Array, b: Array, slack: float) -> NDArray[np.bool_]:
    furthest = np.maximum(np.abs(a), np.abs(b))
    return np.asarray((furthest <= slack) & (furthest > 0))


def _equal(rule: Rule | None, a: Array, b: Array) -> NDArray[np.bool_]:
    """Distances that are zero at both ends; the best candidate is no rival of itself."""
    zero = (a == 0) & (b == 0)
    rivals = zero.sum(axis=1, keepdims=True) > 1 if isinstance(rule, Winner) else True
    return np.asarray(zero & rivals)


def distances(rule: Rule | None, xs: Sequence[Array]) -> list[Array]:
    """What decides: switches, their distance to the nearest level, how far candidates are behind the best."""
    if isinstance(rule, Winner):
        return [_behind(rule, xs)]
    if not isinstance(rule, Step):
        return list(xs)
    switches = rule.switches(*xs)
    if rule.spacing is None:
        return list(switches)
    spacing = rule.spacing(*xs)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where(spacing > 0, np.rint(switches[0] / spacing) * spacing, switches[0])
    return [switches[0] - level]


def _behind(rule: Winner, xs: Sequence[Array]) -> Array:
    """(batch, candidates, ...): how far each is behind the best; infinite for one that is missing."""
    candidates = np.moveaxis(np.asarray(rule.candidates(*xs)), 0, 1)
    best = candidates.max(axis=1) if rule.sign > 0 else candidates.min(axis=1)
    with np.errstate(invalid="ignore"):
        behind = rule.sign * (best[:, None] - candidates)
    return np.where(np.isfinite(behind), behind, np.inf)


def exact_distances(rule: Rule | None, xs: Sequence[Objects]) -> list[Objects]:
    """The same of rational numbers at one point.

    Raises
    ------
    Inexact
        If the rule can't be evaluated without rounding.
    """
    if isinstance(rule, Winner):
        candidates = np.asarray(unrounded(rule.candidates, xs))
        sizes = rule.sign * rounded(candidates)
        return [_difference(np.take_along_axis(candidates, sizes.argmax(axis=0)[None], axis=0), candidates)]
    if not isinstance(rule, Step):
        return list(xs)
    switches = [np.asarray(switch, object) for switch in unrounded(rule.switches, xs)]
    if rule.spacing is None:
        return switches
    spacing = np.asarray(unrounded(rule.spacing, xs), object)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.nan_to_num(np.rint(rounded(switches[0]) / rounded(spacing)), posinf=0.0, neginf=0.0)
    return [_difference(switches[0], times * spacing)]


def _difference(a: Objects, b: Objects) -> Objects:
    """a - b, of what is infinite infinite."""
    a, b = np.broadcast_arrays(a, b)
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    apart = np.empty(a.size, object)
    apart[:] = [math.inf if _infinite(p) or _infinite(q) else p - q for p, q in pairs]
    return apart.reshape(a.shape)


def _infinite(number: Any) -> bool:
    return isinstance(number, float) and math.isinf(number)
