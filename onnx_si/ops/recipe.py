"""How a rule was made, so that it can be made again for a box of its output."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onnx_si.kernels import arrays
from onnx_si.kernels.windows import Window, window
from onnx_si.rules.registry import Context, Handler, Input, Variable, variable
from onnx_si.rules.rules import Rule


def slid_over(x: Variable, given: Mapping[str, Any], kernel: tuple[int, ...] | None = None) -> Window:
    """The window of a node's attributes; the kernel's sides are one of them, or those of its weights."""
    return window(
        x,
        tuple(given["kernel_shape"]) if kernel is None else kernel,
        given.get("strides"),
        given.get("dilations"),
        given.get("pads"),
        given.get("auto_pad", "NOTSET"),
        given.get("ceil_mode", 0),
    )


@dataclass(frozen=True, kw_only=True)
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
        kernel = arrays.shape_of(rest[0])[2:] if rest else None
        return slid_over(variable(data, "X"), self.attributes, kernel)

    @cached_property
    def changing(self) -> tuple[Variable, ...]:
        """The inputs that change with the image."""
        return tuple(value for value in self.inputs if isinstance(value, Variable))
