"""Boxes of tensors, and what a part of a tensor needs."""

from collections.abc import Callable
from dataclasses import dataclass

from onnx_si.rules.rules import Rule

Box = tuple[slice, ...]
"""The part of a tensor between start and stop on each of its axes (no batch axis)."""


def whole(shape: tuple[int, ...]) -> Box:
    """All of a tensor."""
    return tuple(slice(0, n) for n in shape)


def shape_of(box: Box) -> tuple[int, ...]:
    """Lengths of a box."""
    return tuple(side.stop - side.start for side in box)


def hull(a: Box, b: Box) -> Box:
    """The smallest box that holds both."""
    return tuple(slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))


@dataclass(frozen=True)
class Part:
    """The box `makes` of an output, the boxes of the changing inputs that it needs, and the rule between
    them.
    """

    makes: Box
    needs: tuple[Box, ...]
    build: Callable[[], Rule]
