"""A tensor at single points of the line: the plain values."""

from dataclasses import dataclass

from onnx_si.rules.rules import Affine, Array, Rule, loosely


@dataclass(frozen=True)
class Points:
    """Values (n, *shape) at n points."""

    values: Array

    @property
    def points(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def split(self, at: float) -> tuple["Points", "Points"]:
        """Never asked for: single points are not split."""
        raise AssertionError("points are not split")


def evaluate(rule: Rule, inputs: list[Points]) -> Points:
    """The rule's output at every point."""
    return Points(loosely(rule, *(x.values for x in inputs)))


def evaluate_fast(rule: Rule, inputs: list[Points]) -> Points:
    """The same in the fastest way, for what proves nothing."""
    if isinstance(rule, Affine):
        return Points(rule.evaluate_fast(*(x.values for x in inputs)))
    return evaluate(rule, inputs)
