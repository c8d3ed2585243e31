"""Rules on tensors that are sums of polynomials and of these times smooth functions."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from onnx_si.domains.carried import EPS
from onnx_si.domains.judge import SELF
from onnx_si.domains.piecewise.crossings import Crossings, concatenate, refine
from onnx_si.domains.piecewise.curves.curve import Curve, Shared, Term, resampled
from onnx_si.domains.piecewise.curves.signs import signs_of
from onnx_si.errors import Undefined
from onnx_si.kernels import bernstein
from onnx_si.kernels.bounded import Reciprocal, Root
from onnx_si.program.forms import (
    MOST_TERMS,
    Index,
    all_moved,
    factor_mover,
    place_mover,
    places_of,
    quotient_place,
)
from onnx_si.program.layers import layers_of
from onnx_si.rules.curved import Ends, Reach
from onnx_si.rules.rules import Affine, Array, Bilinear, Gated, Kinked, Quotient

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of an interval, at which it is looked at


def affine(rule: Affine, xs: Sequence[Curve]) -> Curve:
    """Sums: of polynomials, and of the others by their factors."""
    made = [Term(_together(rule.evaluate_fast, [x.polynomial for x in xs]))]
    for position, x in enumerate(xs):
        for term in x.terms[1:]:
            made += _summed(rule, position, xs, term)
    return Curve(xs[0].knots, tuple(made))


def _summed(rule: Affine, position: int, xs: Sequence[Curve], term: Term) -> list[Term]:
    """One term of one input: as one term, or one for each layer of elements with other factors."""
    shapes = [x.shape for x in xs]
    places = tuple(factor.place for factor in term.factors)
    alike = all_moved(place_mover(rule, position, shapes), places)
    if alike is not None:
        over = [np.zeros((1, *one.polynomial.shape[1:])) for one in xs]
        over[position] = term.over
        return [Term(_together(rule.slope, over), _at(term, alike))]
    layers = layers_of(rule, position, shapes, places, MOST_TERMS)
    if layers is None:
        raise AssertionError("a sum of too many factors")  # the binder let it through
    return [Term(layer.of(term.over, layer.places[0].shape), _at(term, layer.places)) for layer in layers]


def _at(term: Term, places: tuple[Index, ...]) -> tuple[Shared, ...]:
    """A term's factors at other places."""
    return tuple(replace(f, place=place) for f, place in zip(term.factors, places, strict=True))


def _together(function: Callable[..., Array], coefficients: Sequence[Array]) -> Array:
    """What a linear function makes of polynomials, all of their coefficients at once."""
    degree = max(map(len, coefficients)) - 1
    flat = [bernstein.elevated(c, degree) for c in coefficients]
    made = function(*(c.reshape(-1, *c.shape[2:]) for c in flat))
    return made.reshape(*flat[0].shape[:2], *made.shape[1:])


def product(rule: Bilinear, a: Curve, b: Curve) -> Curve:
    """Every term of one times every term of the other."""
    shapes = a.shape, b.shape
    made = [Term(np.asarray(bernstein.product(rule.of, a.polynomial, b.polynomial)))]
    for p in a.terms:
        for q in b.terms:
            if not (p.factors or q.factors) or not (p.over.any() and q.over.any()):
                continue
            over = bernstein.product(rule.of, p.over, q.over)
            factors: tuple[Shared, ...] = ()
            for position, term in enumerate((p, q)):
                own = tuple(factor.place for factor in term.factors)
                places = all_moved(factor_mover(rule, position, shapes), own)
                if places is None:
                    raise AssertionError("a sum of different factors")  # the binder let it through
                factors += _at(term, places)
            made.append(Term(over, factors))
    if rule.offset is not None:
        made[0] = Term(made[0].over + rule.offset)
    return Curve(a.knots, tuple(made))


def smooth(function: Reach, x: Curve) -> Curve:
    """A smooth function of every element.

    Raises
    ------
    Undefined
        Of the root of a negative number.
    """
    ones, of = np.ones((1, len(x.knots) - 1, *x.shape)), x.flat()
    if isinstance(function, Root):
        require_root(of)
    factor = Shared(function, of, places_of(x.shape))
    return Curve(x.knots, (Term(np.zeros_like(ones)), Term(ones, (factor,))))


def require_root(x: Curve) -> None:
    """Refuse what is negative, by more than rounding, in the middle of an interval or near its ends.

    Raises
    ------
    Undefined
        Parts on which it is so elsewhere are undecided.
    """
    if (x.bounds[0] >= 0).all():
        return
    values = np.stack([x.at_share(share) for share in SHARES])
    negative = values < -SELF * EPS * np.abs(x.polynomial).max(axis=0)
    if negative.any():
        raise Undefined(
            f"the root of a negative number, {values[negative].min():.3g}, for images on the line",
            "clip it at 0, or add a constant that keeps it above",
        )


def quotient(rule: Quotient, xs: Sequence[Curve]) -> Curve:
    """The dividend times the reciprocal of the divisor."""
    knots, shapes = xs[0].knots, [x.shape for x in xs]
    divisor = xs[-1]
    dividend, below = (part[0] for part in rule.line_up(*(places_of(shape)[None] for shape in shapes)))
    shape = np.broadcast_shapes(dividend.shape, below.shape)
    place = np.broadcast_to(below, shape).astype(np.intp)
    factor = Shared(Reciprocal(), divisor.flat(), place)

    def over(coefficients: Array) -> Array:
        lined = [rule.line_up(c, np.zeros_like(divisor.polynomial[0]))[0] for c in coefficients]
        return np.stack([np.broadcast_to(one, (len(knots) - 1, *shape)) for one in lined])

    made = [Term(np.zeros((1, len(knots) - 1, *shape)))]
    if not rule.divides_changing:
        constant = rule.line_up(np.zeros_like(divisor.polynomial[0]))[0]
        made.append(Term(np.broadcast_to(constant, (1, len(knots) - 1, *shape)), (factor,)))
        return Curve(knots, tuple(made))
    for term in xs[0].terms:
        if not term.over.any():
            continue
        own = tuple(
            Shared(f.function, f.of, quotient_place(rule, f.place, shapes, shape)) for f in term.factors
        )
        made.append(Term(over(term.over), (*own, factor)))
    return Curve(knots, tuple(made))


def gated(rule: Gated, xs: Sequence[Curve]) -> Curve:
    """Polynomials behind gates, which are constant on every interval."""
    degree = max(len(x.polynomial) for x in xs) - 1
    raised = [bernstein.elevated(x.polynomial, degree) for x in xs]
    held = [(x.polynomial[0] if i in rule.gates else None) for i, x in enumerate(xs)]
    made = [
        rule.evaluate(*(c[k] if gate is None else gate for c, gate in zip(raised, held, strict=True)))
        for k in range(degree + 1)
    ]
    return Curve(xs[0].knots, (Term(np.stack(made)),))


def crossings(x: Curve, level: Array) -> Crossings:
    """Where elements pass a level."""
    levels = np.broadcast_to(level, x.shape)
    least, most = x.bounds
    interval, element = np.nonzero(((least < levels) & (most > levels)).reshape(len(x.knots) - 1, -1))
    values, at = x.rows(interval, element), levels.ravel()[element]
    row, share = signs_of(values.plus(-at).merged(), values.rounding() + SELF * EPS * np.abs(at)).changes()
    return placed(x.knots, interval[row], element[row], share)


def placed(knots: Array, interval: Index, element: Index, share: Array) -> Crossings:
    """Crossings at shares of intervals."""
    low, length = knots[interval], knots[interval + 1] - knots[interval]
    at = np.clip(low + share * length, low, low + length)
    return Crossings(interval=interval, element=element, at=at, slope=np.full(len(at), np.inf))


def kinked(rule: Kinked, x: Curve) -> Curve:
    """The function on knots between which no element passes a breakpoint: it is affine there."""
    low, high = _two_values(rule, x)
    at_low, at_high = rule.evaluate(low), rule.evaluate(high)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(low != high, (at_high - at_low) / (high - low), 0.0)
    shift = at_low - slope * low
    if (slope == 1).all() and not shift.any():
        return x
    first, *rest = x.terms
    made = [Term(slope * first.over + shift)]
    made += [Term(slope * term.over, term.factors) for term in rest]
    return Curve(x.knots, tuple(made))


def _two_values(rule: Kinked, x: Curve) -> Ends:
    """Two numbers for each element of each interval, with no breakpoint between them and all its values: its
    bounds if these have none between them and are no larger than about its values, else two of its values.
    """
    low, high = (end.copy() for end in x.bounds)
    with np.errstate(invalid="ignore"):
        unknown = ~(high - low <= np.minimum(np.abs(low), np.abs(high)))
    for level in rule.breakpoints:
        unknown |= (low < level) & (high > level)
    interval, element = np.nonzero(unknown.reshape(len(low), -1))
    if len(interval):
        rows = x.rows(interval, element)
        middle, others = rows.at(0.5), [rows.at(share) for share in SHARES]
        far = others[0]
        for other in others[1:]:
            far = np.where(np.abs(other - middle) > np.abs(far - middle), other, far)
        low.reshape(len(low), -1)[interval, element] = middle
        high.reshape(len(high), -1)[interval, element] = far
    return low, high


def changes(rule: Kinked, x: Curve) -> Crossings:
    """Where elements pass a breakpoint."""
    return concatenate([crossings(x, level) for level in rule.breakpoints])


def refined(x: Curve, found: Crossings) -> Curve:
    """The tensor with knots at crossings."""
    return resampled(x, refine(x.knots, found).knots)
