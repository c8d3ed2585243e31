"""Steps and choices that read curves: where they jump, and where only rounding decides them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.piecewise.crossings import Crossings, concatenate
from onnx_si.domains.piecewise.curves import arithmetic, largest
from onnx_si.domains.piecewise.curves.curve import Curve
from onnx_si.domains.piecewise.curves.signs import signs_of
from onnx_si.domains.piecewise.value import PiecewiseLinear, from_pieces
from onnx_si.program.forms import switches_of
from onnx_si.rules.rules import Array, Step, Winner

NEARBY = 1e-6  # share of an interval, by which the slope at a root is found


@dataclass(frozen=True)
class Jumps:
    """What a step gives, where it changes, and the intervals (n, 2) on which only rounding decides it."""

    value: PiecewiseLinear
    changes: Crossings
    unclear: Array


def step(rule: Step, xs: Sequence[Curve], slack: float) -> Jumps:
    """A step without spacing, which changes where a switch changes its sign."""
    found, open_ = [], [np.empty((0, 2))]
    for switch in switches_of(rule, [x.shape for x in xs]):
        curve = arithmetic.affine(switch, xs)
        crossings, unclear = _of_switch(curve, slack)
        found.append(crossings)
        open_.append(unclear)
    changes = concatenate(found)
    return Jumps(_pieces(rule, xs, changes), changes, np.concatenate(open_))


def _of_switch(curve: Curve, slack: float) -> tuple[Crossings, Array]:
    """Where elements of a switch change their sign, and where nobody can tell it."""
    least, most = (end.reshape(len(curve.knots) - 1, -1) for end in curve.bounds)
    interval, element = np.nonzero((least <= slack) & (most >= -slack))
    rows = curve.rows(interval, element).merged()
    zero = rows.nothing()
    interval, element, rows = interval[~zero], element[~zero], rows.pick(~zero)
    signs = signs_of(rows, slack)
    row, share = signs.changes()
    found = arithmetic.placed(curve.knots, interval[row], element[row], share)
    sides = [rows.pick(row).at(np.clip(share + way, 0.0, 1.0)) for way in (-NEARBY, NEARBY)]
    width = np.minimum(share + NEARBY, 1.0) - np.maximum(share - NEARBY, 0.0)
    length = curve.knots[interval[row] + 1] - curve.knots[interval[row]]
    with np.errstate(invalid="ignore"):
        slope = np.abs(sides[1] - sides[0]) / (width * length)
    row, low, high = signs.where(0)
    start, length = curve.knots[interval[row]], np.diff(curve.knots)[interval[row]]
    unclear = np.stack([start + low * length, start + high * length], axis=1)
    return Crossings(interval=found.interval, element=found.element, at=found.at, slope=slope), unclear


def winner(rule: Winner, xs: Sequence[Curve], slack: float) -> Jumps:
    """A choice changes where another candidate becomes the best one."""
    changes = largest.handovers(rule, xs)
    finer = [arithmetic.refined(x, changes) for x in xs]
    every, there = largest.candidates_of(rule, finer)
    count, knots = len(finer[0].knots) - 1, finer[0].knots
    values = np.stack([every.at_share(share) for share in (0.25, 0.5, 0.75)])
    values = np.where(there, values, -np.inf)
    behind = (values.max(axis=2, keepdims=True) - values).max(axis=0)
    close = ((behind > 0) & (behind <= 2 * slack)).reshape(count, -1).any(axis=1)
    unclear = np.stack([knots[:-1], knots[1:]], axis=1)[close]
    return Jumps(_pieces(rule, finer, None), changes, unclear)


def _pieces(rule: Step | Winner, xs: Sequence[Curve], changes: Crossings | None) -> PiecewiseLinear:
    """What the rule gives in the middle of each interval."""
    finer = [x if changes is None else arithmetic.refined(x, changes) for x in xs]
    middles: list[NDArray[np.float64]] = [x.at_share(0.5) for x in finer]
    return from_pieces(finer[0].knots, rule.evaluate(*middles))
