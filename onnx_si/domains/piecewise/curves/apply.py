"""The rules that are followed on and behind curves."""

from collections.abc import Sequence

from onnx_si.domains.piecewise.crossings import NO_CROSSINGS, Crossings, afford
from onnx_si.domains.piecewise.curves import largest, rules
from onnx_si.domains.piecewise.curves.curve import Curve, Shape, together
from onnx_si.kernels.reach import Root
from onnx_si.rules.rules import Affine, Bilinear, Gated, Kinked, Maximum, Quotient, Rule, Smooth


def bends(rule: Rule) -> bool:
    """Whether a rule makes a curve of tensors that are affine between knots."""
    return isinstance(rule, Quotient) or (isinstance(rule, Smooth) and rule.reach is not None)


def apply(rule: Rule, inputs: Sequence[Shape], budget: int) -> Curve:
    """The rule's output.

    Raises
    ------
    NeedsSplit
        If it would not fit into the budget.
    Undefined
        If it is the root of a negative number on a part of the line.
    """
    xs = together(inputs)
    _afford(xs, NO_CROSSINGS, budget)
    match rule:
        case Affine():
            return rules.affine(rule, xs)
        case Bilinear():
            return rules.product(rule, xs[0], xs[-1])
        case Gated():
            return rules.gated(rule, xs)
        case Quotient():
            return rules.quotient(rule, xs)
        case Smooth(reach=reach) if reach is not None:
            if isinstance(reach, Root):
                rules.require_root(xs[0])
            return rules.smooth(reach, xs[0])
        case Kinked():
            found = rules.changes(rule, xs[0])
            _afford(xs, found, budget)
            return rules.kinked(rule, rules.refined(xs[0], found))
        case Maximum():
            found = largest.handovers(rule, xs)
            _afford(xs, found, budget)
            return largest.maximum(rule, [rules.refined(x, found) for x in xs])
    raise AssertionError(f"{type(rule).__name__} of a curve")  # the binder let it through


def _afford(xs: Sequence[Curve], found: Crossings, budget: int) -> None:
    """Ask for a split where the tensors on more knots would not fit."""
    size = sum(x.nbytes for x in xs)
    afford(xs[0].knots, found, size // (len(xs[0].knots) - 1), max(budget, 0))
