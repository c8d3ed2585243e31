"""Which handler serves which op: `@handles(...)` registers one, `find` looks it up."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import Mixed, Refusal
from onnx_si.rules.axis_rules import AxisRule
from onnx_si.rules.rules import TIE, Composition, Rule
from onnx_si.rules.traits import (
    NOTHING,
    Average,
    Bounded,
    Combination,
    Crop,
    Decision,
    Gradient,
    Increasing,
    Moves,
    Traits,
)


@dataclass(frozen=True)
class Worded:
    """Text that changes with the image: `rule` gives the places of words in a list."""

    rule: Rule | Composition
    words: tuple[str, ...]


Made = Rule | Composition | Worded | NDArray[Any]
"""What a handler returns; an array is an output that does not depend on the image's values."""

WHOLE_NUMBERS = frozenset(
    kind
    for name, kind in onnx.TensorProto.DataType.items()
    if name.startswith(("INT", "UINT")) or name == "BOOL"
)
"""Element types that hold integers or truth values."""


@dataclass(frozen=True)
class Variable:
    """An input that changes with the image.

    Parameters
    ----------
    shape : tuple of int
        Without the batch axis of points.
    stepwise : bool
        Whether it is constant on pieces of the line.
    element : int
        Its element type, a number of `onnx.TensorProto.DataType`.
    """

    shape: tuple[int, ...]
    stepwise: bool = False
    element: int = onnx.TensorProto.FLOAT

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def integer(self) -> bool:
        """Whether its element type is an integer or a truth value."""
        return self.element in WHOLE_NUMBERS

    @property
    def tie(self) -> float:
        """Share by which equal numbers may differ; in double precision a model may tell all numbers apart."""
        return 0.0 if self.element == onnx.TensorProto.DOUBLE else TIE


Input = Variable | NDArray[Any] | None
"""What a handler is given for an input: changing, constant, or left out."""


@dataclass(frozen=True)
class Context:
    """What a handler may ask about its node besides inputs and attributes."""

    output: int
    outputs: int
    version: int


@dataclass(frozen=True, kw_only=True)
class Handler:
    """A registered op: `build(*inputs, **attributes)` gives the rule of one of its outputs."""

    op: str
    versions: tuple[int, ...]
    domain: str
    function: Callable[..., Made]
    wants_context: bool
    traits: Traits = NOTHING

    def build(self, inputs: tuple[Input, ...], attributes: dict[str, Any], context: Context) -> Made:
        extra = {"context": context} if self.wants_context else {}
        return self.function(*inputs, **attributes, **extra)


Built = TypeVar("Built", bound=Made)
_HANDLERS: dict[tuple[str, str], Handler] = {}


def handles(
    op: str,
    *,
    since: tuple[int, ...],
    domain: str = "",
    axes: AxisRule | None = None,
    crop: Crop | None = None,
    channels_second: bool = False,
    moves: Moves | None = None,
    increasing: Increasing | None = None,
    decides: Decision | None = None,
    averages: Average | None = None,
    combines: Combination | None = None,
    gradient: Gradient | None = None,
    no_larger: bool = False,
    running: str = "",
    bounded: Bounded | None = None,
) -> Callable[[Callable[..., Built]], Callable[..., Built]]:
    """Register the decorated function as the handler of an op.

    Parameters
    ----------
    op, domain : str
        Names as in the ONNX operator specification.
    since : tuple of int
        The schema versions ("since version" in the specification) that the handler was read against.
    axes, crop, channels_second, moves, increasing, decides, averages, combines, gradient, no_larger, running,
    bounded
        Facts about the op, see `Traits`; none is claimed by default.

    Raises
    ------
    ValueError
        If the op has a handler already.
    """

    traits = Traits(
        axes=axes,
        crop=crop,
        channels_second=channels_second,
        moves=moves,
        increasing=increasing,
        decides=decides,
        averages=averages,
        combines=combines,
        gradient=gradient,
        no_larger=no_larger,
        running=running,
        bounded=bounded,
    )

    def register(function: Callable[..., Built]) -> Callable[..., Built]:
        if (domain, op) in _HANDLERS:
            raise ValueError(f"{domain}:{op} has a handler already")
        wants_context = "context" in inspect.signature(function).parameters
        _HANDLERS[domain, op] = Handler(
            op=op,
            versions=since,
            domain=domain,
            function=function,
            wants_context=wants_context,
            traits=traits,
        )
        return function

    return register


def find(op: str, domain: str, version: int) -> Handler:
    """Return the handler of an op in one schema version.

    Raises
    ------
    Refusal
        If there is none, or none that was read against this version.
    """
    handler = _HANDLERS.get((domain, op))
    if handler is None:
        where = "" if domain == "" else f" of domain '{domain}'"
        raise Refusal(
            f"op {op}{where} has no handler", "export the model without it (no fused or custom ops)"
        )
    if version not in handler.versions:
        known = ", ".join(map(str, handler.versions))
        raise Refusal(
            f"schema version {version} of {op} is not known here (known: {known})", "export to another opset"
        )
    return handler


def traits_of(node: onnx.NodeProto) -> Traits:
    """What is claimed of a node's op."""
    handler = _HANDLERS.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type))
    return NOTHING if handler is None else handler.traits


def registered() -> Iterator[Handler]:
    """All handlers, ordered by domain and op."""
    yield from (_HANDLERS[key] for key in sorted(_HANDLERS))


def ops_where(fact: Callable[[Traits], bool]) -> tuple[str, ...]:
    """Ops of the standard's own domain of which something is claimed, in alphabetical order."""
    return tuple(h.op for h in registered() if fact(h.traits) and not h.domain)


def with_gradient(kind: Gradient) -> tuple[str, ...]:
    """Ops of the standard's own domain that share a gradient rule."""
    return ops_where(lambda traits: traits.gradient is kind)


def constant(value: Input, name: str) -> NDArray[Any]:
    """The input as an array; refuses one that changes with the image or is missing."""
    if isinstance(value, Variable):
        raise Mixed(f"input {name} depends on the image", "only constants are exact here")
    if value is None:
        raise Refusal(f"input {name} is missing", "check the exported model")
    return value


def optional(value: Input, name: str) -> NDArray[Any] | None:
    """Like `constant`, but an input that is left out stays None."""
    return None if value is None else constant(value, name)


def variable(value: Input, name: str) -> Variable:
    """The input as the one that changes with the image; refuses a constant."""
    if not isinstance(value, Variable):
        raise Mixed(f"input {name} is constant while another input depends on the image", "not handled")
    return value


def integers(value: Input, name: str) -> tuple[int, ...]:
    """A constant input as plain integers (axes, shapes, counts)."""
    return tuple(int(v) for v in np.ravel(constant(value, name)))


def axis_of(axis: int, ndim: int) -> int:
    """An axis of a tensor with `ndim` dimensions, counted from 0."""
    if not -ndim <= axis < max(ndim, 1):
        raise Refusal(f"axis {axis} is outside a tensor of {ndim} dimensions", "check the exported model")
    return axis % ndim if ndim else 0


def first_only(context: Context) -> None:
    """Refuse an output other than the first."""
    if context.output:
        raise Refusal(f"output {context.output + 1} is used", "only the first output is exact here")
