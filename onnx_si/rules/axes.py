"""What an axis of a tensor is: one of the image at some stride, one that the graph made, or several joined.

An axis is a row of parts, slowest first, as a Reshape joins and splits them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

FRESH = -1  # made by the graph: channels of a convolution, classes, anchors
MIXED = -2  # something of the image's space, in an order that is not the image's
TOKENS = -3  # axes of the image's space in one row, with entries of another kind in front or behind


@dataclass(frozen=True, kw_only=True)
class Part:
    """`source` is an axis of the image, or FRESH, MIXED or TOKENS. `stride` is how many of its pixels a step
    is, less than zero where it runs backwards; `minor` is the inside of a block that a Reshape cut out. A row
    of tokens has the axes of space `inside`, behind `lead` entries that belong to no place.
    """

    source: int
    size: int
    stride: Fraction = Fraction(1)
    minor: bool = False
    inside: "tuple[Part, ...]" = ()
    lead: int = 0


Axis = tuple[Part, ...]
Axes = tuple[Axis, ...]


def size_of(axis: Axis) -> int:
    """Its length."""
    return math.prod(part.size for part in axis)


def fresh(size: int) -> Axis:
    """An axis that the graph makes."""
    return () if size == 1 else (Part(source=FRESH, size=size),)


def mixed(size: int) -> Axis:
    """An axis of which nothing can be said."""
    return () if size == 1 else (Part(source=MIXED, size=size),)


def is_fresh(axis: Axis) -> bool:
    """Whether nothing of the image's space is in it."""
    return all(part.source == FRESH for part in axis)


def follows(axis: Axis) -> Part | None:
    """The axis of the image that it follows, with its stride; None where it follows none.

    Behind the part of the image's axis there may be blocks of it, or what the graph made: an upscaling by a
    Reshape.
    """
    if not axis or axis[0].source < 0 or axis[0].minor:
        return None
    first, rest = axis[0], axis[1:]
    if any(part.source != FRESH and not (part.source == first.source and part.minor) for part in rest):
        return None
    return replace(first, size=size_of(axis), stride=first.stride / size_of(rest))


def scaled(axis: Axis, size: int, factor: Fraction = Fraction(1)) -> Axis:
    """The axis with another length, each step as many of its steps as the factor says."""
    part = follows(axis)
    if part is not None:
        return (replace(part, size=size, stride=part.stride * factor),)
    if is_fresh(axis):
        return fresh(size)
    return axis if size == size_of(axis) and factor == 1 else mixed(size)


def shuffled(axis: Axis, size: int) -> Axis:
    """What is left of an axis whose entries are chosen, joined or moved."""
    return fresh(size) if is_fresh(axis) else mixed(size)


def met(axes: Iterable[Axis], size: int) -> Axis:
    """An axis on which tensors meet entry by entry; a constant has it where none of them has its length.

    What the graph made meets an axis of the image: the result still follows the image. So it does where one
    is in an order that can't be told, as in a residual around shifted windows.
    """
    known = [axis for axis in axes if size_of(axis) == size]
    if not known:
        return fresh(size)
    if size == 1:
        return max(known, key=len)
    told = [axis for axis in known if not is_fresh(axis)]
    if not told:
        return known[0]
    told = [axis for axis in told if any(part.source != MIXED for part in axis)] or told
    if all(axis == told[0] for axis in told):
        return told[0]
    parts = [follows(axis) for axis in told]
    return (parts[0],) if parts[0] is not None and all(part == parts[0] for part in parts) else mixed(size)


def regrouped(axes: Axes, shape: Sequence[int]) -> Axes | None:
    """The axes behind a Reshape; None where its cuts go through the middle of something."""
    parts = [part for axis in axes for part in axis if part.size > 1][::-1]
    result: list[Axis] = []
    for size in shape:
        taken: list[Part] = []
        while (left := size // math.prod(part.size for part in taken)) > 1:
            if not parts:
                return None
            part = parts.pop()
            if part.size > left:
                if part.size % left:
                    return None
                inside = part.size // left
                if part.source == TOKENS:
                    part = Part(source=MIXED, size=part.size)
                parts.append(replace(part, size=inside, minor=part.source >= 0))
                part = replace(part, size=left, stride=part.stride * inside)
            elif left % part.size:
                return None
            taken.append(part)
        if math.prod(part.size for part in taken) != size:
            return None
        result.append(_joined(taken))
    return None if parts else tuple(result)


def _joined(parts: Sequence[Part]) -> Axis:
    """Blocks that lie behind each other again are one."""
    result: list[Part] = []
    for part in parts:
        last = result[-1] if result else None
        if (
            last is not None
            and part.minor
            and part.source == last.source >= 0
            and last.stride == part.stride * part.size
        ):
            result[-1] = replace(last, size=last.size * part.size, stride=part.stride)
        else:
            result.append(part)
    return tuple(result)
