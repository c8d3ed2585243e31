"""Some axes of a tensor as one: (rows, length), for what is computed along them."""

import math
from dataclasses import dataclass

import numpy as np

from onnx_si.maps.appended import reshaped, row_sums
from onnx_si.maps.backward.formula import Term
from onnx_si.maps.backward.site import Shape, Site


@dataclass(frozen=True)
class Rows:
    """A tensor's shape and the axes that become the rows' length."""

    shape: Shape
    axes: Shape

    @property
    def length(self) -> int:
        return math.prod(self.shape[axis] for axis in self.axes)

    @property
    def _order(self) -> list[int]:
        return [axis for axis in range(len(self.shape)) if axis not in self.axes] + list(self.axes)

    def of(self, term: Term) -> Term:
        """A tensor of the shape as rows."""
        at, order = term.at, self._order
        tensor = term.tensor
        if order != sorted(order):
            tensor = at.add("Transpose", [tensor], perm=order)
        return Term(at, reshaped(at.editor, tensor, (-1, self.length)))

    def back(self, term: Term) -> Term:
        """Rows as a tensor of the shape."""
        at, order = term.at, self._order
        tensor = reshaped(at.editor, term.tensor, tuple(self.shape[axis] for axis in order))
        if order != sorted(order):
            tensor = at.add("Transpose", [tensor], perm=[int(i) for i in np.argsort(order)])
        return Term(at, tensor)

    def total(self, term: Term) -> Term:
        """Sum of each row (rows, 1)."""
        return Term(term.at, row_sums(term.at.editor, term.tensor, self.length))

    def mean(self, term: Term) -> Term:
        """Mean of each row (rows, 1)."""
        return self.total(term) * (1 / self.length)


def axis_of(at: Site, default: int) -> int:
    """The node's axis, counted from the front."""
    return int(at.attributes.get("axis", default)) % len(at.shape(0))


def reduced_axes(at: Site) -> Shape:
    """The axes that a reduction runs over: an attribute, of newer ops an input."""
    given, rank = at.attributes, len(at.wanted)
    axes = given.get("axes")
    if axes is None and len(at.node.input) > 1 and at.node.input[1]:
        axes = at.value(1).astype(np.int64).tolist()
    if not axes:
        return () if given.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(int(axis) % rank for axis in axes))
