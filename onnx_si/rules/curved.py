"""Rules that bend the line: smooth functions, and how far they reach on intervals; quotients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ends = tuple[Array, Array]


class Reach(Protocol):
    """Bounds of a smooth function of one number, up to some roundings of their size; what is not known is
    infinite or no number.
    """

    def __call__(self, x: Array) -> Array:
        """Its values."""
        ...

    def values(self, low: Array, high: Array) -> Ends:
        """The least and the largest value on intervals."""
        ...

    def slopes(self, low: Array, high: Array) -> Ends:
        """The least and the largest slope there."""
        ...


@dataclass(frozen=True, kw_only=True)
class Smooth:
    """y = evaluate(x) of one tensor, element by element, with as many derivatives as anyone asks for.

    `series` gives the coefficients (order + 1, *x.shape) of the Taylor series at x, given x and the order, of
    balls (`kernels/balls.py`) those at every number in them; `reach` bounds of the values and slopes on
    intervals, where they are stated; `everywhere`: it is smooth on the whole line.
    """

    evaluate: Callable[[Array], Array]
    series: Callable[[Any, int], Any]
    reach: Reach | None = None
    everywhere: bool = False
    kind: ClassVar[str] = "smooth"
    reason: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class Quotient:
    """y = a / b, element by element, of two tensors of which the divisor changes.

    `line_up` makes (a, b), lined up for broadcasting, of the changing ones; `divides_changing` tells whether
    the dividend is one of them.
    """

    line_up: Callable[..., Sequence[Array]]
    divides_changing: bool = True
    kind: ClassVar[str] = "smooth"
    reason: ClassVar[str] = ""

    def evaluate(self, *xs: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.divide(*self.line_up(*xs)))
