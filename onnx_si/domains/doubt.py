"""Which decisions are so close on an interval that rounding may have made them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnx_si.rules.rules import Array, Rule, Step, Winner


def doubtful(
    rule: Rule | None, left: Sequence[Array], right: Sequence[Array], slack: float
) -> NDArray[np.bool_]:
    """Of intervals, by the values at both ends, and elements: whether the distance that decides is within the
    slack at both ends, but not zero to the last bit at both.

    Parameters
    ----------
    rule : Step, Winner or None
        None: the sign of the one tensor decides.
    left, right : sequences of arrays (n, *shape)
        What the rule reads.
    slack : float

    Returns
    -------
    boolean array (n, elements)
    """
    count = len(left[0])
    found = [
        _close(a, b, slack).reshape(count, -1)
        for a, b in zip(distances(rule, left), distances(rule, right), strict=True)
    ]
    return np.concatenate(found, axis=1)


def _close(a: Array, b: Array, slack: float) -> NDArray[np.bool_]:
    furthest = np.maximum(np.abs(a), np.abs(b))
    return np.asarray((furthest <= slack) & (furthest > 0))


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
