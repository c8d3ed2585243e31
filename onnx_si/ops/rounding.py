"""Rounding to whole numbers and what is made of it: Floor, Ceil, Round, Mod; and Sign, IsInf, IsNaN."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from onnx_si.kernels.arrays import Applied, broadcast_shape, double, expand, malformed, operands
from onnx_si.ops.elementwise import holds_integers, opaque
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Context, Input, Variable, constant, handles
from onnx_si.rules.rules import Affine, Array, Composition, Rule, Stage, Step


def stairs(function: Callable[[Array], Array], origin: float = 0.0, spacing: float = 1.0) -> Step:
    """A function of one element that jumps at origin + k * spacing only, for whole k."""
    return Step(
        switches=lambda x: (x - origin,), evaluate=function, spacing=lambda x: np.full_like(x, spacing)
    )


@handles("Floor", since=(6, 13), axes=axis_rules.elementwise)
def floor(x: Input) -> Rule:
    return stairs(np.floor)


@handles("Ceil", since=(6, 13), axes=axis_rules.elementwise)
def ceil(x: Input) -> Rule:
    return stairs(np.ceil)


@handles("Round", since=(11, 22), axes=axis_rules.elementwise)
def round_(x: Input) -> Rule:
    """Halves go to the even neighbour."""
    return stairs(np.rint, origin=0.5)


@handles("Sign", since=(9, 13), axes=axis_rules.elementwise)
def sign(x: Input) -> Rule:
    return Step(switches=lambda x: (x,), evaluate=np.sign)


@handles("IsNaN", since=(9, 13, 20), axes=axis_rules.elementwise)
def is_nan(x: Input) -> Rule:
    return never_on_a_line(lambda x: np.isnan(x).astype(np.float64))


@handles("IsInf", since=(10, 20), axes=axis_rules.elementwise)
def is_inf(x: Input, *, detect_negative: int = 1, detect_positive: int = 1) -> Rule:
    def evaluate(x: Array) -> Array:
        found = np.isposinf(x) & bool(detect_positive) | np.isneginf(x) & bool(detect_negative)
        return found.astype(np.float64)

    return never_on_a_line(evaluate)


def never_on_a_line(evaluate: Callable[[Array], Array]) -> Step:
    """A test for values that are no finite numbers: a line through finite values meets none."""
    return Step(switches=lambda x: (np.ones_like(x),), evaluate=evaluate)


@handles("Mod", since=(10, 13, 28), axes=axis_rules.elementwise)
def mod(a: Input, b: Input, *, context: Context, fmod: int = 0) -> Rule | Composition:
    """a - b * floor(a / b), or with fmod the remainder of the quotient cut towards zero."""
    if not (fmod or context.version >= 28 or holds_integers(a)):
        raise malformed("Mod of floating-point numbers needs fmod = 1 before opset 28")
    if not isinstance(a, Variable) or isinstance(b, Variable) or a.stepwise or not np.all(b):
        return opaque(Applied(np.fmod if fmod else np.mod, operands(a, b)))
    divisor = double(constant(b, "B"))
    shape = broadcast_shape(a, b)
    times = _Times(np.trunc if fmod else np.floor, divisor, shape)
    quotient = Step(switches=times.switches, evaluate=times, spacing=times.spacing)
    rest = Affine(linear=lambda x, q, w: expand(x, shape) + q * w, weights=(-divisor,), terms=2)
    return Composition((Stage(quotient, (0,)), Stage(rest, (0, 1))))


@dataclass(frozen=True, eq=False)
class _Times:
    """How many times a constant goes into x, both broadcast to a shape."""

    cut: Callable[[Array], Array]
    divisor: Array
    shape: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return self.cut(expand(x, self.shape) / self.divisor)

    def switches(self, x: Array) -> tuple[Array, ...]:
        return (expand(x, self.shape),)

    def spacing(self, x: Array) -> Array:
        return np.broadcast_to(np.abs(self.divisor), (len(x), *self.shape))
