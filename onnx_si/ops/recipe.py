"""How a rule was made, so that it can be made again for a box of its output."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onnx_si.kernels import arrays
from onnx_si.kernels.windows import Window, window
from onnx_si.rules.registry import Context, Handler, Input, Variable, variable
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
class Recipe:
    """How a rule was made: the handler, the inputs (changing or constant) and the rest of its arguments."""

    handler: Handler
    inputs: tuple[Input, ...]
    attributes: dict[str, Any]
    context: Context

    def again(self, inputs: tuple[Input, ...], **attributes: Any) -> Rule:
        """The rule with other inputs and some attributes changed."""
        made = self.handler.build(inputs, self.attributes | attributes, self.context)
        assert isinstance(made, Rule)  # recipes are kept of single rules only
        return made

    @cached_property
    def window(self) -> Window:
        """What a Conv or pooling node slides over its first input."""
        data, *rest = self.inputs
        given = self.attributes
        return window(
            variable(data, "X"),
            arrays.shape_of(rest[0])[2:] if rest else tuple(given["kernel_shape"]),
            given.get("strides"),
            given.get("dilations"),
            given.get("pads"),
            given.get("auto_pad", "NOTSET"),
            given.get("ceil_mode", 0),
        )

    @cached_property
    def changing(self) -> tuple[Variable, ...]:
        """The inputs that change with the image."""
        return tuple(value for value in self.inputs if isinstance(value, Variable))


@dataclass(frozen=True)
class Part:
    """The box `makes` of an output, the boxes of the changing inputs that it needs, and the rule between
    them.
    """

    makes: Box
    needs: tuple[Box, ...]
    build: Callable[[], Rule]
