"""Arithmetic element by element: sums, products with constants, gates."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import Applied, Silent, broadcast_shape, double, filled, operands, shape_of
from onnx_si.kernels.balls import Ball
from onnx_si.kernels.bounded import Root
from onnx_si.kernels.pointwise import (
    Divided,
    Scaled,
    Selected,
    WeightedSum,
    chosen_of,
    repeated,
    thinned,
    whole_quotient,
)
from onnx_si.kernels.series import Series, of_powers
from onnx_si.ops import crops
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import compose
from onnx_si.rules.curved import Reach
from onnx_si.rules.registry import Context, Input, Variable, constant, first_only, handles, variable
from onnx_si.rules.rules import (
    SAME,
    Affine,
    Array,
    Bilinear,
    Composition,
    Disputed,
    Gated,
    Opaque,
    Quotient,
    Rule,
    Smooth,
    Stage,
    product_of,
)
from onnx_si.rules.traits import Combination, Gradient, Moves


def weighted_sum(inputs: tuple[Input, ...], coefficients: tuple[float, ...]) -> Affine:
    """Sum of coefficient * input over inputs that broadcast against each other; constants make the offset."""
    shape = broadcast_shape(*inputs)
    pairs = list(zip(inputs, coefficients, strict=True))
    if _adds_nothing(pairs, shape):
        return SAME
    weights = tuple(np.asarray(c, dtype=np.float64) for value, c in pairs if isinstance(value, Variable))
    offset: Array | None = None
    for value, c in pairs:
        if not isinstance(value, Variable):
            term = c * double(constant(value, "of the op"))
            offset = term if offset is None else offset + term

    return Affine(linear=WeightedSum(shape), weights=weights, offset=offset, terms=len(inputs))


def _adds_nothing(pairs: list[tuple[Input, float]], shape: tuple[int, ...]) -> bool:
    """Whether a sum is one of its inputs plus constant zeros."""
    changing = [(value, c) for value, c in pairs if isinstance(value, Variable)]
    if len(changing) != 1 or changing[0][1] != 1 or shape_of(changing[0][0]) != shape:
        return False
    return not any(
        np.any(constant(value, "of the op")) for value, _ in pairs if not isinstance(value, Variable)
    )


@handles(
    "Add", since=(7, 13, 14), axes=axis_rules.elementwise, crop=crops.elementwise, combines=Combination.SUM
)
def add(a: Input, b: Input) -> Rule:
    return weighted_sum((a, b), (1, 1))


@handles("Sub", since=(7, 13, 14), axes=axis_rules.elementwise, crop=crops.elementwise)
def subtract(a: Input, b: Input) -> Rule:
    return weighted_sum((a, b), (1, -1))


@handles("Sum", since=(6, 8, 13), axes=axis_rules.elementwise, crop=crops.elementwise)
def total(*inputs: Input) -> Rule:
    return weighted_sum(inputs, (1,) * len(inputs))


@handles("Mean", since=(6, 8, 13), axes=axis_rules.elementwise, crop=crops.elementwise)
def mean(*inputs: Input) -> Rule | Composition:
    """The sum, then its share: a sum that cancels is zero to the last bit."""
    if len(inputs) == 1:
        return total(*inputs)
    share = quotient(Variable(broadcast_shape(*inputs)), np.asarray(float(len(inputs))))
    changing = sum(isinstance(value, Variable) for value in inputs)
    return compose(changing, (total(*inputs), tuple(range(changing))), (share, (changing,)))


@handles("Neg", since=(6, 13), axes=axis_rules.elementwise, crop=crops.elementwise)
def negate(x: Input) -> Rule:
    return weighted_sum((x,), (-1,))


def scale(x: Variable, factor: Array) -> Affine:
    """factor * x with a constant factor that broadcasts."""
    ndim = len(broadcast_shape(x, factor))
    return Affine(linear=Scaled(ndim), weights=(factor,))


def quotient(x: Variable, divisor: Array) -> Affine:
    """x / divisor, a constant without zeros that broadcasts: not times its reciprocal, which is rounded.

    49 / 49 is 1, and what jumps there does so for the number that the file means.
    """
    ndim = len(broadcast_shape(x, divisor))
    return Affine(linear=Divided(ndim), weights=(divisor,))


def bilinear(
    product: Callable[..., Array],
    factors: tuple[Variable, ...],
    terms: int = 1,
    weights: tuple[Array, ...] = (),
    offset: Array | None = None,
    elementwise: bool = False,
) -> Rule:
    """A product of changing tensors: where all of them but one are constant on pieces, gates; of two that are
    not, a polynomial of degree 2.
    """
    gates = tuple(i for i, factor in enumerate(factors) if factor.stepwise)
    rule = product_of(product, gates, terms, weights, offset)
    if len(gates) >= len(factors) - 1:
        return rule
    if len(factors) == 2:
        return Bilinear(product=product, terms=terms, weights=weights, offset=offset, elementwise=elementwise)
    return opaque(rule.evaluate, "bilinear")


def squared(x: Variable) -> Rule:
    """x * x."""
    return opaque(np.square, "bilinear") if x.stepwise else Bilinear(product=np.multiply, elementwise=True)


@dataclass(frozen=True)
class Expanded:
    """A series without warnings: of an array one array, of balls balls. Equal ones are of one function."""

    series: Series

    def __call__(self, x: Any, order: int) -> Any:
        with np.errstate(all="ignore"):
            coefficients = self.series(x, order)
        if isinstance(x, Ball):
            return coefficients
        return np.array([np.broadcast_to(c, np.shape(x)) for c in coefficients])


def root(x: Variable) -> Smooth:
    """The square root of each element."""
    return smooth(np.sqrt, of_powers(0.5), None if x.stepwise else Root())


def smooth(
    function: Callable[[Array], Array], series: Series, reach: Reach | None = None, everywhere: bool = False
) -> Smooth:
    """A function of one element, with its Taylor series, and how far it reaches where that is known;
    `everywhere`: it is smooth on the whole line.
    """
    return Smooth(evaluate=Silent(function), series=Expanded(series), reach=reach, everywhere=everywhere)


def opaque(
    function: Callable[..., Array],
    kind: str = "smooth",
    reason: str = "",
    parts: Composition | None = None,
    steepness: Callable[[Array], Array] | None = None,
) -> Opaque:
    """A function that is not piecewise linear, known by its values, and by its parts if it has some."""
    evaluate = Silent(function)
    return Opaque(evaluate=evaluate, kind=kind, reason=reason, steady=True, parts=parts, steepness=steepness)


def computed(
    function: Callable[..., Array], *inputs: Input, kind: str = "smooth", parts: Composition | None = None
) -> Opaque:
    """A function of several inputs, each with a batch axis (of one if constant), or None if left out."""
    return opaque(Applied(function, filled(*inputs)), kind, parts=parts)


def jointly_linear(function: Callable[..., Array], *inputs: Input, terms: int = 1) -> Affine:
    """A function that only moves and adds values of its inputs; the constant ones make the offset."""
    zeros = [value if isinstance(value, Variable) else np.zeros(shape_of(value)) for value in inputs]
    offset = None
    if not all(isinstance(value, Variable) for value in inputs):
        nothing = (np.zeros((1, *value.shape)) for value in inputs if isinstance(value, Variable))
        offset = function(*filled(*inputs)(*nothing))[0]
    return Affine(linear=Applied(function, filled(*zeros)), offset=offset, terms=terms)


@handles(
    "Mul",
    since=(7, 13, 14),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    combines=Combination.PRODUCT,
)
def multiply(a: Input, b: Input) -> Rule:
    if isinstance(a, Variable) and isinstance(b, Variable):
        return bilinear(Applied(np.multiply, operands(a, b)), (a, b), elementwise=True)
    x, factor = (a, b) if isinstance(a, Variable) else (b, a)
    return scale(variable(x, "A"), double(constant(factor, "B")))


@handles(
    "Div",
    since=(7, 13, 14),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    combines=Combination.QUOTIENT,
)
def divide(a: Input, b: Input) -> Rule:
    if holds_integers(a):
        gates = tuple(range(sum(isinstance(value, Variable) for value in (a, b))))
        return Gated(evaluate=Applied(whole_quotient, operands(a, b)), gates=gates)
    if isinstance(a, Variable) and not isinstance(b, Variable):
        divisor = double(constant(b, "B"))
        if not np.all(divisor) and not a.stepwise:
            raise Refusal("division by a constant zero", "remove the zero from the divisor")
        if np.all(divisor):
            return quotient(a, divisor)
    changing = [value for value in (a, b) if isinstance(value, Variable)]
    if all(value.stepwise for value in changing) or not isinstance(b, Variable):
        return opaque(Applied(np.divide, operands(a, b)))
    return Quotient(line_up=operands(a, b), divides_changing=isinstance(a, Variable))


def holds_integers(value: Input) -> bool:
    """Whether an input's element type is an integer or a truth value."""
    return value.integer if isinstance(value, Variable) else value is not None and value.dtype.kind in "iub"


@handles(
    "Identity",
    since=(1, 13, 14, 16, 19, 21, 23, 24, 25),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    moves=Moves.KEEPS,
    gradient=Gradient.PASSED,
)
def identity(x: Input) -> Rule:
    variable(x, "input")
    return SAME


@handles(
    "Dropout",
    since=(7, 10, 12, 13, 22),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    moves=Moves.KEEPS,
    gradient=Gradient.PASSED,
)
def dropout(
    x: Input,
    ratio: Input | float = None,
    training: Input = None,
    *,
    context: Context,
    seed: int | None = None,
) -> Rule | Composition:
    """The identity, and a mask of ones, but in training mode. The ratio is an attribute before opset 12."""
    dropped = 0.5 if ratio is None else ratio
    random = isinstance(dropped, Variable) or bool(np.any(dropped))
    if random and (isinstance(training, Variable) or (training is not None and bool(np.any(training)))):
        return _dropped(variable(x, "data"), dropped, seed, context.output)
    variable(x, "data")
    if context.version >= 12 and context.output == 1:
        ones = Affine(linear=np.zeros_like, offset=np.ones(()))
        return Composition((Stage(ones, (0,)),))
    first_only(context)
    alone = not isinstance(ratio, Variable) and not isinstance(training, Variable)
    return SAME if alone else Composition((Stage(SAME, (0,)),))


def _dropped(x: Variable, ratio: Input | float, seed: int | None, output: int) -> Disputed:
    """Elements dropped by what numpy's Mersenne Twister makes of the seed (ONNX reference, Dropout)."""
    if seed is None or ratio is None or isinstance(ratio, Variable):
        raise Refusal("dropout in training mode is random", "export the model in evaluation mode")
    share = float(np.ravel(ratio)[0])
    drawn = np.random.RandomState(seed).uniform(size=x.shape)
    kept = (drawn >= share).astype(np.float64)
    why = "dropout in training mode: runtimes draw other numbers from the same seed"
    return Disputed(
        evaluate=partial(thinned, kept=kept, share=share) if output == 0 else partial(repeated, values=kept),
        reason=why,
    )


@handles(
    "Where",
    since=(9, 16),
    axes=axis_rules.elementwise,
    crop=crops.elementwise,
    combines=Combination.CHOICE,
)
def where(condition: Input, x: Input, y: Input) -> Rule:
    if isinstance(condition, Variable):
        if not condition.stepwise:
            raise Refusal("the condition changes continuously", "only conditions that jump are exact")
        return Gated(evaluate=Applied(chosen_of, operands(condition, x, y)), gates=(0,))
    return _selected(constant(condition, "condition").astype(bool), x, y)


def _selected(chosen: NDArray[np.bool_], x: Input, y: Input) -> Affine:
    """A constant choice between two tensors, element by element; what is not chosen may be anything."""
    shape = broadcast_shape(chosen, x, y)
    return jointly_linear(Selected(chosen, shape), x, y, terms=1)
