"""Polynomials with remainders as a domain of a search: what is settled is proven, rounding included."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from onnx_si.choices.guarantees import CERTIFIED
from onnx_si.domains.domain import Bracket, Cost
from onnx_si.domains.polynomial.basis import basis
from onnx_si.domains.polynomial.followed import require_followed
from onnx_si.domains.polynomial.fusing import fused
from onnx_si.domains.polynomial.gains import Gains
from onnx_si.domains.polynomial.remainders import PolynomialDomain
from onnx_si.domains.polynomial.value import LONGER, Polynomial, cells
from onnx_si.domains.polynomial.verdict import OPEN, Parted, parted, signed
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.kernels.balls import UNIT
from onnx_si.kernels.long import IS_LONGER
from onnx_si.program.program import Program
from onnx_si.rules.rules import Kinked, Maximum

ORDER = 6
BENT = 2  # order where more than a share of the numbers come from functions with bends
MANY = 0.02


@dataclass(frozen=True)
class Polynomials:
    """Carries values at Chebyshev points of a cell and a remainder; `longer` in long numbers."""

    order: int = ORDER
    longer: bool = False
    gains: Gains = field(default_factory=Gains, compare=False)
    guarantee: ClassVar[str] = CERTIFIED.name

    @property
    def cost(self) -> Cost:
        """An evaluation at each point, and one for the remainder."""
        return Cost(passes=(LONGER if self.longer else 1.0) * (self.order + 1.0) + 1.0)

    @property
    def finer(self) -> "Polynomials | None":
        """The same where rounding is smaller, if the machine has such numbers."""
        return replace(self, longer=True) if IS_LONGER and not self.longer else None

    def start(self, task: Task, ends: Sequence[tuple[float, float]]) -> Polynomial:
        """The images on cells."""
        low, high = np.array(ends).T
        return cells(basis(self.order, self.longer), task.line.start, task.line.direction, low, high)

    def require_followed(self, program: Program) -> None:
        """Raise one `UnsupportedOp` with every node of which nothing can be proven."""
        require_followed(program)

    def prepared(self, program: Program) -> tuple["Polynomials", Program]:
        """With products that are one smooth function, and in a low order where there are many bends: what a
        chord is off by shrinks with the square of a cell's width in any order.
        """
        made, units, bends = fused(program), 0, 0
        for step in made.instructions:
            size = math.prod(step.shape)
            units += size
            bends += size if isinstance(step.rule, Kinked | Maximum) else 0
        return (replace(self, order=min(self.order, BENT)) if bends > MANY * units else self), made

    def bracket(self, task: Task, ends: Sequence[tuple[float, float]], tally: Tally) -> list[Bracket]:
        """Tell where on each cell the event holds, does not hold, and is open."""
        values = PolynomialDomain(len(ends), self.gains)
        (outputs,) = walk(task.program, values.apply, self.start(task, ends), tally, values.watch)
        margin = outputs[task.margin]
        found = zip(ends, values.lost, signed(task.event, margin), strict=True)
        return [
            _placed(cell, OPEN if lost else parted(margins), math.inf if lost else margins.share_left_out)
            for cell, lost, margins in found
        ]


def _placed(cell: tuple[float, float], found: Parted, remainder: float) -> Bracket:
    """Stretches of [-1, 1] as stretches of the line: what is certain is made smaller by rounding."""
    low, high = cell
    off = 8 * UNIT * (abs(low) + abs(high))

    def place(t: float, inwards: float) -> float:
        if abs(t) == 1.0:
            return low if t < 0 else high
        return min(max(low, 0.5 * (low + high) + 0.5 * (high - low) * t + inwards), high)

    inside = [(place(a, off), place(b, -off)) for a, b in found.inside]
    open_ = [(place(a, -off), place(b, off)) for a, b in found.open]
    return Bracket(tuple((a, b) for a, b in inside if a < b), tuple(open_), remainder)
