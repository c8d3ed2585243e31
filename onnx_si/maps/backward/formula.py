"""Formulas over tensors: each operator appends the node that computes it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.maps.appended import reshaped
from onnx_si.maps.backward.nodes import summed_to
from onnx_si.maps.backward.site import Shape, Site

Number = float | NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """A float32 tensor in a formula."""

    at: Site
    tensor: str

    def apply(self, op: str) -> "Term":
        """A function of one element, by its op."""
        return Term(self.at, self.at.add(op, [self.tensor]))

    def _with(self, op: str, other: "Term | Number", *, turned: bool = False) -> "Term":
        second = other.tensor if isinstance(other, Term) else self.at.constant(np.asarray(other, np.float64))
        pair = [second, self.tensor] if turned else [self.tensor, second]
        return Term(self.at, self.at.add(op, pair))

    def __add__(self, other: "Term | Number") -> "Term":
        return self._with("Add", other)

    def __radd__(self, other: Number) -> "Term":
        return self._with("Add", other, turned=True)

    def __sub__(self, other: "Term | Number") -> "Term":
        return self._with("Sub", other)

    def __rsub__(self, other: Number) -> "Term":
        return self._with("Sub", other, turned=True)

    def __mul__(self, other: "Term | Number") -> "Term":
        return self._with("Mul", other)

    def __rmul__(self, other: Number) -> "Term":
        return self._with("Mul", other, turned=True)

    def __truediv__(self, other: "Term | Number") -> "Term":
        return self._with("Div", other)

    def __rtruediv__(self, other: Number) -> "Term":
        return self._with("Div", other, turned=True)

    def __pow__(self, other: "Term | Number") -> "Term":
        return self._with("Pow", other)

    def __neg__(self) -> "Term":
        return self.apply("Neg")

    def above(self, bound: float = 0.0) -> "Term":
        """1 where it is greater than a bound, else 0."""
        return self._gate("Greater", bound)

    def below(self, bound: float = 0.0) -> "Term":
        """1 where it is less than a bound, else 0."""
        return self._gate("Less", bound)

    def _gate(self, op: str, bound: float) -> "Term":
        return Term(self.at, self.at.add("Cast", [self._with(op, bound).tensor], to=onnx.TensorProto.FLOAT))

    def at_most_zero(self) -> "Term":
        """The smaller one of it and zero."""
        return -(-self).apply("Relu")

    def never_zero(self) -> "Term":
        """One in place of every zero."""
        return self + (1.0 - self.above() - self.below())

    def sign(self) -> "Term":
        """-1, 0 or 1."""
        return self.above() - self.below()

    def shaped(self, shape: Shape) -> "Term":
        """With another shape."""
        return Term(self.at, reshaped(self.at.editor, self.tensor, shape))

    def before(self, matrix: NDArray[np.float64]) -> "Term":
        """A constant matrix times it."""
        return Term(self.at, self.at.add("MatMul", [self.at.constant(matrix), self.tensor]))

    def summed(self, have: Shape, want: Shape) -> "Term":
        """Summed over the axes on which `want` is shorter than `have`, its own shape."""
        return Term(self.at, summed_to(self.at, self.tensor, have, want))


def given(at: Site) -> Term:
    """The gradient of the output."""
    return Term(at, at.gradient)


def operand(at: Site, position: int | None = None) -> Term:
    """An input, by default the one whose gradient is wanted."""
    return Term(at, at.single(at.position if position is None else position))


def result(at: Site) -> Term:
    """The output itself."""
    return Term(at, at.result)


Slope = Callable[[Site], Term]
