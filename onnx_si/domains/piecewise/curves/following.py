"""The rules that are followed on and behind curves."""

from collections.abc import Sequence

from onnx_si.domains.judge import Judge
from onnx_si.domains.piecewise.crossings import NO_CROSSINGS, Crossings, afford
from onnx_si.domains.piecewise.curves import arithmetic, largest, switching
from onnx_si.domains.piecewise.curves.curve import Curve, Shape, together
from onnx_si.domains.piecewise.curves.switching import Jumps
from onnx_si.rules.rules import Affine, Bilinear, Gated, Kinked, Maximum, Quotient, Rule, Smooth, Step, Winner


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
            return arithmetic.affine(rule, xs)
        case Bilinear():
            return arithmetic.product(rule, xs[0], xs[-1])
        case Gated():
            return arithmetic.gated(rule, xs)
        case Quotient():
            return arithmetic.quotient(rule, xs)
        case Smooth(reach=reach) if reach is not None:
            return arithmetic.smooth(reach, xs[0])
        case Kinked():
            found = arithmetic.changes(rule, xs[0])
            _afford(xs, found, budget)
            return arithmetic.kinked(rule, arithmetic.refined(xs[0], found))
        case Maximum():
            contest = largest.contest(rule, xs)
            found = contest.handovers()
            _afford(xs, found, budget)
            return contest.largest(found)
    raise AssertionError(f"{type(rule).__name__} of a curve")  # the binder let it through


def jumps_of(rule: Step | Winner, inputs: Sequence[Shape], judge: Judge | None, budget: int) -> Jumps:
    """What a step or a choice gives, and where it jumps.

    Raises
    ------
    NeedsSplit
        If it would not fit into the budget.
    """
    xs = together(inputs)
    _afford(xs, NO_CROSSINGS, budget)
    slack = 0.0
    if judge is not None:
        *_, slack = judge.slacks(judge.reads(rule), xs[0].knots, [size for x in xs for size in x.sizes])
    made = switching.winner(rule, xs, slack) if isinstance(rule, Winner) else switching.step(rule, xs, slack)
    _afford(xs, made.changes, budget)
    return made


def _afford(xs: Sequence[Curve], found: Crossings, budget: int) -> None:
    """Ask for a split where the tensors on more knots would not fit."""
    size = sum(x.nbytes for x in xs)
    afford(xs[0].knots, found, size // (len(xs[0].knots) - 1), max(budget, 0))
