"""The few kinds of function that a graph is made of; every op's handler returns one of them.

Arrays that a rule receives and returns carry one leading axis more than the tensor in the graph: a batch of
points of the line. A value domain (`onnx_si.domains`) needs to know these classes and no op.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Undefined
from onnx_si.rules.curved import Quotient as Quotient
from onnx_si.rules.curved import Smooth as Smooth

Array = NDArray[np.float64]
Candidates = Array | Sequence[Array]
TIE = 64 * float(np.finfo(np.float64).eps)
"""Share by which equal numbers may differ that were computed in two ways: far less than one rounding of the
32 bits that a network computes in. It counts at single images only (`loosely`), where nobody judges."""
FEW_CANDIDATES = 32  # are compared one by one, which needs no copy of all of them


@dataclass(frozen=True, kw_only=True)
class Affine:
    """y = linear(*xs, *weights) + offset.

    `linear` is linear in the xs for fixed weights, and every output is a sum of products of one x with at
    most one entry of each weight, or divided by one, so that absolute weights bound how far errors spread.
    One definition gives the evaluation, the linear part (`slope`) and the absolute linear part (`spread`).

    Parameters
    ----------
    linear : callable
        (*xs, *weights) -> y, each x of shape (batch, *shape).
    weights : tuple of arrays
        Handed to `linear` after the xs; empty where every weight is 0 or 1.
    offset : array or None
        Added to every point; broadcasts to the output tensor.
    terms : int
        How many products are summed into one output: the cost, and the growth of rounding.
    fast : callable, optional
        (*xs) -> the linear part by fewer products, whose rounding `terms` does not bound.
    """

    linear: Callable[..., Array]
    weights: tuple[Array, ...] = ()
    offset: Array | None = None
    terms: int = 1
    fast: Callable[..., Array] | None = None
    kind: ClassVar[str] = "affine"

    def evaluate(self, *xs: Array) -> Array:
        return self._shifted(self.slope(*xs), xs)

    def evaluate_fast(self, *xs: Array) -> Array:
        """The same in the fastest way, for values that carry no bounds."""
        return self._shifted(self.fast(*xs), xs) if self.fast is not None else self.evaluate(*xs)

    def _shifted(self, y: Array, xs: tuple[Array, ...]) -> Array:
        if self.offset is None:
            return y
        fresh = y.flags.writeable and not any(np.may_share_memory(y, x) for x in xs)
        return np.add(y, self.offset, out=y if fresh else None)

    def slope(self, *xs: Array) -> Array:
        return self.linear(*xs, *self.weights)

    def spread(self, *xs: Array) -> Array:
        return self.linear(*xs, *map(np.abs, self.weights))


def comparable(best: Array) -> Array:
    """The best of candidates; runtimes differ where one of them is no number, each by the order it reads."""
    if best.dtype != object and np.isnan(best).any():  # rational numbers are numbers
        raise Undefined("what is no number among the compared values", "runtimes differ; keep it from the op")
    return best


SAME = Affine(linear=lambda x: x)
"""Passes its input on; what reads the output may as well read the input."""


@dataclass(frozen=True)
class Kinked:
    """y = function(x) element by element, continuous, affine between the breakpoints.

    `breakpoints` broadcast against the tensor's shape (without the batch axis). Where it is `uniform` the
    function is the same for every element, takes any shape, and writes into an `out` that it is given.
    """

    function: Callable[..., Array]
    breakpoints: tuple[Array, ...]
    uniform: bool = False
    kind: ClassVar[str] = "piecewise-linear"

    def evaluate(self, x: Array) -> Array:
        return self.function(x)


@dataclass(frozen=True)
class Maximum:
    """y = sign * max over sign * candidates(*xs): arrays (batch, *shape), or one array with those along its
    first axis.

    `candidates` only moves (or broadcasts) values and adds constant ones; a missing one is -inf * sign. With
    `passes_nan` runtimes agree that what is no number is the result; otherwise there is none.
    """

    candidates: Callable[..., Candidates]
    sign: int = 1
    passes_nan: bool = False
    kind: ClassVar[str] = "piecewise-linear"

    def evaluate(self, *xs: Array) -> Array:
        candidates = self.candidates(*xs)
        if len(candidates) > FEW_CANDIDATES:
            best = np.asarray(np.max(candidates, axis=0) if self.sign > 0 else np.min(candidates, axis=0))
        else:
            best = np.array(functools.reduce(np.maximum if self.sign > 0 else np.minimum, candidates))
        return best if self.passes_nan else comparable(best)


@dataclass(frozen=True, kw_only=True)
class Step:
    """y is constant wherever no switch changes its sign; it jumps where one does.

    With a `spacing` it is constant wherever no switch passes a whole multiple (0 included) of the spacing.

    Parameters
    ----------
    switches : callable
        (*xs) -> arrays (batch, ...), affine in the xs.
    evaluate : callable
        (*xs) -> the value at points.
    spacing : callable or None
        (*xs) -> array in the switches' shape, affine in the xs; positive, or zero where the switch is.
    loosely : callable or None
        (*xs) -> the value at single images, where it is another: of numbers that are equal but for rounding.
    typed : callable or None
        (*xs) -> the value with decisions in the arithmetic of the element type, where no line is asked of.
    halves : callable or None
        (*xs) -> where a value lies half way between two that it may become.
    """

    switches: Callable[..., tuple[Array, ...]]
    evaluate: Callable[..., Array]
    spacing: Callable[..., Array] | None = None
    loosely: Callable[..., Array] | None = None
    typed: Callable[..., Array] | None = None
    halves: Callable[..., NDArray[np.bool_]] | None = None
    kind: ClassVar[str] = "discrete"


@dataclass(frozen=True)
class Winner:
    """y = the index of the largest (sign +1) or smallest candidate, the first one among equals.

    At single images, candidates are equal if they differ by no more than the share `tie` of the winner.
    """

    candidates: Callable[..., Candidates]
    sign: int = 1
    tie: float = TIE
    kind: ClassVar[str] = "discrete"

    def evaluate(self, *xs: Array) -> Array:
        return self._first(0.0, xs)

    def loosely(self, *xs: Array) -> Array:
        return self._first(self.tie, xs)

    def _first(self, tie: float, xs: tuple[Array, ...]) -> Array:
        candidates = np.asarray(self.candidates(*xs))
        best = comparable(candidates.max(axis=0) if self.sign > 0 else candidates.min(axis=0))
        slack = tie * np.where(np.isfinite(best), np.abs(best), 0.0)
        wins = candidates >= best - slack if self.sign > 0 else candidates <= best + slack
        return np.asarray(np.argmax(wins, axis=0), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Gated:
    """y = evaluate(*xs), affine wherever the gates (inputs that are constant on pieces) stay constant.

    `gates` are the positions of the gating inputs among the xs; they only select. Where they multiply the
    others, see `product_of`.

    Parameters
    ----------
    product : callable or None
        (*xs, *weights) -> the multilinear part, a sum of products of one entry of each at most, so that
        absolute values bound how far errors spread; evaluate gives it plus `offset`.
    weights : tuple of arrays
        Handed to `product` after the xs.
    """

    evaluate: Callable[..., Array]
    gates: tuple[int, ...]
    terms: int = 1
    product: Callable[..., Array] | None = None
    weights: tuple[Array, ...] = ()
    offset: Array | None = None
    kind: ClassVar[str] = "piecewise-linear"


@dataclass(frozen=True, eq=False)
class _Product:
    """The evaluation of a product; its constants are data."""

    product: Callable[..., Array]
    weights: tuple[Array, ...]
    offset: Array | None

    def __call__(self, *xs: Array) -> Array:
        y = self.product(*xs, *self.weights)
        return y if self.offset is None else y + self.offset


def product_of(
    product: Callable[..., Array],
    gates: tuple[int, ...],
    terms: int = 1,
    weights: tuple[Array, ...] = (),
    offset: Array | None = None,
) -> Gated:
    """y = product(*xs, *weights) + offset, all xs but one gates."""
    return Gated(
        evaluate=_Product(product, weights, offset),
        gates=gates,
        terms=terms,
        product=product,
        weights=weights,
        offset=offset,
    )


@dataclass(frozen=True, kw_only=True)
class Bilinear:
    """y = product(a, b, *weights) + offset of two changing tensors: linear in each, so a polynomial of degree
    2 on every interval on which both are affine.

    Every output is a sum of products of one entry of each factor and of one of each weight at most, so that
    absolute values bound how far errors spread. Of one input, both factors are that input. With
    `elementwise` each output is one product of two elements, at the same place of both factors.
    """

    product: Callable[..., Array]
    terms: int = 1
    weights: tuple[Array, ...] = ()
    offset: Array | None = None
    elementwise: bool = False
    kind: ClassVar[str] = "bilinear"

    def evaluate(self, *xs: Array) -> Array:
        y = self.of(xs[0], xs[-1])
        return y if self.offset is None else y + self.offset

    def of(self, a: Array, b: Array) -> Array:
        """The product alone."""
        return self.product(a, b, *self.weights)

    def spread(self, a: Array, b: Array) -> Array:
        """The product with absolute weights."""
        return self.product(a, b, *map(np.abs, self.weights))


@dataclass(frozen=True, kw_only=True)
class Opaque:
    """y = evaluate(*xs), of which no more is known than its values, or its `parts`, which make the same.

    `reason` says why. One that is `steady` is followed where its inputs are constant on pieces; else nothing
    holds along a line. `steepness` bounds, by least sizes, how much the norm of an error may grow.
    """

    evaluate: Callable[..., Array]
    kind: str = "unsupported"
    reason: str = "the shape of its output depends on the image"
    steady: bool = False
    parts: "Composition | None" = None
    steepness: Callable[[Array], Array] | None = None


@dataclass(frozen=True, kw_only=True)
class Disputed(Opaque):
    """y = evaluate(*xs) as the ONNX package's own cases have it; `reason` says what runtimes do instead."""


@dataclass(frozen=True, kw_only=True)
class Counted(Opaque):
    """y = numbers made of the shape of a tensor that has another shape for another image."""

    reason: str = "it reads a shape that depends on the image"


Rule = Affine | Kinked | Maximum | Step | Winner | Gated | Bilinear | Smooth | Quotient | Opaque


def loosely(rule: Rule, *xs: Array) -> Array:
    """What a rule gives at single images, where numbers that are equal but for rounding count as equal.

    On the line the judge of ties decides about such numbers; a region that is another one there is refused.
    """
    if isinstance(rule, Step | Winner) and rule.loosely is not None:
        return rule.loosely(*xs)
    return rule.evaluate(*xs)


def typed(rule: Rule, *xs: Array) -> Array:
    """What a rule gives at a single image in the arithmetic of the model's own types, where that decides."""
    return rule.typed(*xs) if isinstance(rule, Step) and rule.typed is not None else loosely(rule, *xs)


@dataclass(frozen=True)
class Stage:
    """One rule of a composition; `inputs` number the op's changing inputs first, then the stages before."""

    rule: Rule
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Composition:
    """An op made of several rules; the last stage gives its output."""

    stages: tuple[Stage, ...]


KINDS = ("affine", "piecewise-linear", "discrete", "bilinear", "smooth", "unsupported")


def kind_of(rules: tuple[Rule, ...], steady: bool) -> str:
    """The most general kind among an op's rules; jumps count as such where the output is steady."""
    kinds = [rule.kind for rule in rules]
    if steady and isinstance(rules[-1], Gated):
        kinds.append("discrete")
    if len(kinds) > 1 and not steady:
        kinds = ["piecewise-linear" if kind == "discrete" else kind for kind in kinds]
    return max(kinds, key=KINDS.index)
