"""What is known of an op beside its rule: facts that its handler states and the rest of the house asks for.

A fact that is not stated is not claimed: what asks for it does without, refuses, or takes the slower way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import onnx

from onnx_si.rules.axis_rules import AxisRule
from onnx_si.rules.boxes import Box, Part
from onnx_si.rules.rules import Rule

Crop = Callable[[Any, Rule, tuple[int, ...], Box], Part | None]
"""What a box of a node's output needs: (recipe, rule, shape of the output, box) -> the part, or None where it
needs everything."""


Bounded = Callable[[onnx.NodeProto, int], onnx.NodeProto]
"""A node, and how many elements each of its inputs has at most."""


class Moves(Enum):
    """How an op moves values of its first input, if it does nothing else."""

    KEEPS = "kept"  # each one stays where it is
    CASTS = "cast"  # that, in another element type: numbers that it rounds may become equal
    REGROUPS = "regrouped"  # all of them, in their order, over other axes
    PERMUTES = "permuted"  # the axes change places
    PICKS = "picked"  # some of them, in another order perhaps


class Increasing(Enum):
    """Which strictly increasing function of scores an op is: a decision behind it is one on the scores."""

    SIGMOID = "sigmoid"  # element by element
    SOFTMAX = "softmax"  # along an axis
    LOG_SOFTMAX = "log-softmax"  # along an axis
    ROOT = "root"  # element by element
    NORM = "norm"  # the root of the sum of squares over axes


ROOTS = frozenset({Increasing.ROOT, Increasing.NORM})
"""Increasing functions of what is not negative: the map of a root is decided by the square."""


class Decision(Enum):
    """What an op decides by the order of the numbers that it reads."""

    LARGEST = "largest"  # the place of the largest number along an axis
    SMALLEST = "smallest"
    ORDER = "order"  # which of two numbers is the larger one


class Average(Enum):
    """Over what an op adds up numbers of one tensor with equal weights."""

    SPACE = "space"
    WINDOWS = "windows"
    AXES = "named axes"


class Combination(Enum):
    """How an op combines its inputs: the first two, if nothing else is said."""

    SUM = "sum"
    PRODUCT = "product"
    QUOTIENT = "quotient"
    MATRIX_PRODUCT = "matrix product"  # of its first two inputs, plus the third if there is one
    SUM_OF_PRODUCTS = "sum of products"  # over axes that a formula names
    CHOICE = "choice"  # of the second and the third, element by element, by the first
    ATTENTION = "attention"  # the third, added up by weights that it makes of the first two


class Gradient(Enum):
    """How a gradient goes back through an op, where several ops share a rule; `onnx_si.maps.backward` has it.

    Ops that have a rule of their own there are named there.
    """

    PASSED = "passed"  # as it is
    REGROUPED = "regrouped"  # in the input's shape
    MOVED = "moved"  # to the places that the values came from
    TO_WINNER = "to the winner"  # to the place of the largest or smallest candidate


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Facts about an op.

    Parameters
    ----------
    axes : callable or None
        Where the axes of an output come from (`onnx_si.rules.axis_rules`); None: nobody can tell.
    crop : callable or None
        What a box of the output needs; None: all of the inputs.
    channels_second : bool
        Whether it reads and gives batch, channels and then space, as the specification says.
    moves : Moves or None
    increasing : Increasing or None
    decides : Decision or None
    averages : Average or None
    combines : Combination or None
    gradient : Gradient or None
        None: the rule, if there is one, is the op's own.
    no_larger : bool
        Whether its output never has more elements than its inputs together have elements and axes.
    running : str
        The attribute under which the outputs behind the first are statistics that it keeps; "": it has none.
    bounded : callable or None
        (node, elements of its inputs at most) -> a node that means the same of them, on which an evaluator
        ends; None: it ends on every node.
    """

    axes: AxisRule | None = None
    crop: Crop | None = None
    channels_second: bool = False
    moves: Moves | None = None
    increasing: Increasing | None = None
    decides: Decision | None = None
    averages: Average | None = None
    combines: Combination | None = None
    gradient: Gradient | None = None
    no_larger: bool = False
    running: str = ""
    bounded: Bounded | None = None


NOTHING = Traits()
"""Claimed of an op that has no handler."""
IN_PLACE = frozenset({Moves.KEEPS, Moves.CASTS})
"""Values stay at their places."""
IN_ORDER = IN_PLACE | {Moves.REGROUPS}
"""All values, in their order."""
ALL_VALUES = IN_ORDER | {Moves.PERMUTES}
"""As many values as there were."""
SAME_VALUES = frozenset({Moves.KEEPS, Moves.REGROUPS})
"""The values themselves, words of a text included, in their order."""
ANY_MOVE = frozenset(Moves)
