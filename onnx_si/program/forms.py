"""What kind of function of the line a tensor is: a polynomial of some degree between knots, and polynomials
times smooth functions that each element has, or shares with others.

A sum of elements is followed where they have their factors in common, for then it is a sum of polynomials.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnx_si.kernels.bounded import Logistic, Root
from onnx_si.program.instruction import Instruction
from onnx_si.program.layers import layers_of
from onnx_si.rules.rules import (
    Affine,
    Array,
    Bilinear,
    Gated,
    Kinked,
    Maximum,
    Quotient,
    Rule,
    Smooth,
    Step,
    Winner,
)

Index = NDArray[np.intp]
HIGHEST = 8  # degree that is followed
MOST = 2.0**53  # whole numbers are exact up to it
MOST_TERMS = 48  # that one is divided into where a sum mixes elements with different factors,
MOST_POLYNOMIALS = 128  # and those that an element of a tensor is made of
MOST_KINKS = 4  # behind factors: each unit's place of change is the root of a function that is no polynomial


@dataclass(frozen=True, kw_only=True)
class Bent:
    """A term with factors: the degree of its polynomials, factor by factor which element of another tensor
    each element's factor is a function of, and how many polynomials there are, those in factors counted.
    `flat` tells of a Sigmoid among the factors: where it is saturated, nothing may be decided by it.
    """

    degree: int
    places: tuple[Index, ...]
    size: int
    flat: bool = False


@dataclass(frozen=True)
class Form:
    """The degree of its polynomials (NO_POLYNOMIAL: there is none), and its terms with factors; how many
    kinks and maxima in a row have been taken of such.
    """

    degree: int
    terms: tuple[Bent, ...] = ()
    kinks: int = 0

    @property
    def curved(self) -> bool:
        """Whether it is more than affine."""
        return self.degree > 1 or bool(self.terms)

    @property
    def flat(self) -> bool:
        """Whether a Sigmoid has a part in it."""
        return any(term.flat for term in self.terms)

    @property
    def size(self) -> int:
        """How many polynomials an element is made of."""
        return 1 + sum(term.size for term in self.terms)


NO_POLYNOMIAL = -1
STEADY, STRAIGHT = Form(0), Form(1)


def places_of(shape: tuple[int, ...]) -> Index:
    """Every element at its own place."""
    return np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)


def followed(rule: Rule, forms: Sequence[Form], shapes: Sequence[tuple[int, ...]]) -> Form | None:
    """What a rule makes of tensors of some forms and shapes; None where it is not followed."""
    made = _made(rule, forms, shapes)
    if made is None or max(made.degree, *(term.degree for term in made.terms), 0) > HIGHEST:
        return None
    kinks = max(form.kinks for form in forms)
    if isinstance(rule, Kinked | Maximum) and made.terms:
        kinks += 1
    allowed = made.size <= MOST_POLYNOMIALS and kinks <= MOST_KINKS
    return replace(made, kinks=kinks) if allowed else None


def growth_of(instructions: Iterable[Instruction]) -> int:
    """By which power of the distance along the line tensors grow at most."""
    found: dict[str, float] = {}
    for step in instructions:
        powers = [found.get(name, 1.0) for name in step.inputs]
        match step.rule:
            case Bilinear():
                power = powers[0] + powers[-1]
            case Quotient() as rule:
                power = (powers[0] if rule.divides_changing else 0.0) - powers[-1]
            case Smooth(reach=Root()):
                power = 0.5 * powers[0]
            case _:
                power = max(powers, default=1.0)
        found[step.output] = power
    return max(1, math.ceil(max(found.values(), default=1.0)))


def _made(rule: Rule, forms: Sequence[Form], shapes: Sequence[tuple[int, ...]]) -> Form | None:
    degree, plain = max(form.degree for form in forms), not any(form.terms for form in forms)
    match rule:
        case Step() | Winner() | Kinked() if any(form.flat for form in forms):
            return None
        case Affine():
            return _affine(rule, forms, shapes)
        case Bilinear():
            return _bilinear(rule, forms[0], forms[-1], shapes)
        case Kinked():
            return Form(max(degree, 0), forms[0].terms)
        case Gated() if plain:
            return Form(degree)
        case Maximum():
            return _maximum(rule, forms, shapes)
        case Smooth(reach=reach) if reach is not None:
            own, flat = (places_of(shapes[0]),), isinstance(reach, Logistic) or forms[0].flat
            return Form(NO_POLYNOMIAL, (Bent(degree=0, places=own, size=1 + forms[0].size, flat=flat),))
        case Quotient():
            return _quotient(rule, forms, shapes)
        case Step(spacing=None):
            every = [_affine(switch, forms, shapes) for switch in switches_of(rule, shapes)]
            return None if any(form is None for form in every) else STEADY
        case Winner():
            return STEADY
    return None


def _affine(rule: Affine, forms: Sequence[Form], shapes: Sequence[tuple[int, ...]]) -> Form | None:
    terms = []
    for position, form in enumerate(forms):
        for term in form.terms:
            found = all_moved(place_mover(rule, position, shapes), term.places)
            if found is not None:
                terms.append(replace(term, places=found))
                continue
            layers = layers_of(rule, position, shapes, term.places, MOST_TERMS) if not term.flat else None
            if layers is None:
                return None
            terms += [replace(term, places=layer.places) for layer in layers]
    least = NO_POLYNOMIAL if rule.offset is None else 0
    return Form(max(least, *(form.degree for form in forms)), tuple(terms))


def _bilinear(rule: Bilinear, a: Form, b: Form, shapes: Sequence[tuple[int, ...]]) -> Form | None:
    sides = []
    for position, form in enumerate((a, b)):
        found = []
        polynomial = (Bent(degree=form.degree, places=(), size=1),) if form.degree != NO_POLYNOMIAL else ()
        for term in (*polynomial, *form.terms):
            now = all_moved(factor_mover(rule, position, shapes), term.places)
            if now is None:
                return None
            found.append(replace(term, places=now))
        sides.append(found)
    pairs = [
        Bent(
            degree=p.degree + q.degree,
            places=p.places + q.places,
            size=p.size + q.size,
            flat=p.flat or q.flat,
        )
        for p in sides[0]
        for q in sides[1]
    ]
    least = NO_POLYNOMIAL if rule.offset is None else 0
    degree = max(least, *(pair.degree for pair in pairs if not pair.places), NO_POLYNOMIAL)
    return Form(degree, tuple(pair for pair in pairs if pair.places))


def _maximum(rule: Maximum, forms: Sequence[Form], shapes: Sequence[tuple[int, ...]]) -> Form:
    """Whichever candidate is the largest, with its factors."""
    nothing = np.asarray(rule.candidates(*(np.zeros((1, *shape)) for shape in shapes)))
    own = places_of(nothing.shape[2:])
    terms = tuple(replace(t, places=(own,) * len(t.places)) for form in forms for t in form.terms)
    return Form(max(0, *(form.degree for form in forms)), terms)


def _quotient(rule: Quotient, forms: Sequence[Form], shapes: Sequence[tuple[int, ...]]) -> Form:
    dividend, divisor = (part[0] for part in rule.line_up(*(places_of(s)[None] for s in shapes)))
    shape = np.broadcast_shapes(dividend.shape, divisor.shape)
    below = np.broadcast_to(divisor, shape).astype(np.intp)
    above = forms[0] if rule.divides_changing else STEADY
    terms, size = [], forms[-1].size
    if above.degree != NO_POLYNOMIAL:
        terms.append(Bent(degree=above.degree, places=(below,), size=1 + size, flat=forms[-1].flat))
    for term in above.terms:
        own = tuple(quotient_place(rule, place, shapes, shape) for place in term.places)
        flat = term.flat or forms[-1].flat
        terms.append(Bent(degree=term.degree, places=(*own, below), size=term.size + size, flat=flat))
    return Form(NO_POLYNOMIAL, tuple(terms))


def quotient_place(
    rule: Quotient, place: Index, shapes: Sequence[tuple[int, ...]], shape: tuple[int, ...]
) -> Index:
    """A factor's places of the dividend, for the quotient."""
    lined = rule.line_up(place[None], *(np.zeros((1, *s)) for s in shapes[1:]))[0][0]
    return np.broadcast_to(lined, shape).astype(np.intp)


def switches_of(rule: Step, shapes: Sequence[tuple[int, ...]]) -> list[Affine]:
    """Each switch of a step as a rule of its own."""
    still = rule.switches(*(np.zeros((1, *shape)) for shape in shapes))

    def one(number: int) -> Affine:
        def linear(*xs: Array) -> Array:
            return np.asarray(rule.switches(*xs)[number] - still[number])

        return Affine(linear=linear, offset=still[number][0])

    return [one(number) for number in range(len(still))]


def place_mover(rule: Affine, position: int, shapes: Sequence[tuple[int, ...]]) -> Callable[[Array], Array]:
    """What a sum makes of numbers of one input, each taken once."""
    weights = [(weight != 0).astype(np.float64) for weight in rule.weights]

    def move(numbers: Array) -> Array:
        given = [np.zeros((1, *shape)) for shape in shapes]
        given[position] = numbers[None]
        return np.asarray(rule.linear(*given, *weights)[0])

    return move


def factor_mover(
    rule: Bilinear, position: int, shapes: Sequence[tuple[int, ...]]
) -> Callable[[Array], Array]:
    """The same of one side of a product."""
    weights = [(weight != 0).astype(np.float64) for weight in rule.weights]
    sides = (shapes[0], shapes[-1])

    def move(numbers: Array) -> Array:
        given = [np.ones((1, *shape)) for shape in sides]
        given[position] = numbers[None]
        return np.asarray(rule.product(*given, *weights)[0])

    return move


def all_moved(move: Callable[[Array], Array], places: tuple[Index, ...]) -> tuple[Index, ...] | None:
    """The same of several factors, if all of them are told."""
    found = tuple(place for place in (moved(move, one) for one in places) if place is not None)
    return found if len(found) == len(places) else None


def moved(move: Callable[[Array], Array], place: Index) -> Index | None:
    """Where each element of a sum has its factor, if all that it is made of have it there; else None.

    Numbers and squares of them are added up: they are equal where the mean of the squares is the square of
    the mean, in whole numbers.
    """
    numbers = place.astype(np.float64)
    ones = np.ones(place.shape)
    count, first, second = (np.asarray(move(x)) for x in (ones, numbers, numbers * numbers))
    too_large = second.max(initial=0.0) * count.max(initial=0.0) > MOST
    if too_large or count.min(initial=0.0) < 0 or not np.array_equal(count * second, first * first):
        return None
    return np.rint(first / np.maximum(count, 1)).astype(np.intp)
