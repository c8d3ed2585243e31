"""What a gradient rule is given, and the registry of these rules: `@backwards(...)` registers one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph import Editor, Model, read_by
from onnx_si.maps.map import single_precision
from onnx_si.ops.recipe import Recipe
from onnx_si.program.instruction import Instruction
from onnx_si.program.node import attributes_of
from onnx_si.program.program import Program
from onnx_si.rules.rules import Rule

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A node, the gradient of one of its outputs, and the input whose gradient is wanted.

    Parameters
    ----------
    editor : Editor
        Where the rule appends its nodes; gradients are float32.
    model : Model
    program : Program
        The graph in front of the score, with the values of all its tensors at the image.
    node : NodeProto
    step : Instruction
        What the output is computed by on the line.
    gradient : str
        Of the output: a tensor of its shape.
    position : int
        Of the input.
    """

    editor: Editor
    model: Model
    program: Program
    node: onnx.NodeProto
    step: Instruction
    gradient: str
    position: int

    @property
    def values(self) -> Mapping[str, NDArray[np.float64]]:
        """Of every tensor that the node reads or writes, constant or at the image."""
        return self.program.values

    @property
    def fixed(self) -> frozenset[str]:
        """Tensors that don't depend on the image."""
        return self.program.folded

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self.editor.add(op, inputs, **attributes)

    def constant(self, value: NDArray[Any] | float) -> str:
        """Store numbers in float32, or indices as they are."""
        array = np.asarray(value)
        return self.editor.constant(array.astype(np.float32) if array.dtype.kind == "f" else array)

    def single(self, position: int) -> str:
        """An input in float32."""
        return single_precision(self.editor, self.node.input[position])

    @property
    def result(self) -> str:
        """The output in float32."""
        return single_precision(self.editor, self.step.output)

    def value(self, position: int) -> NDArray[np.float64]:
        return self.values[self.node.input[position]]

    def shape(self, position: int) -> Shape:
        return self.value(position).shape

    @property
    def wanted(self) -> Shape:
        """Shape of the gradient that is wanted."""
        return self.shape(self.position)

    @property
    def given(self) -> Shape:
        """Shape of the gradient that is given."""
        return self.step.shape

    def is_fixed(self, position: int) -> bool:
        return self.node.input[position] in self.fixed

    @property
    def read(self) -> tuple[str, ...]:
        """Every tensor that the node reads, what its subgraphs capture included."""
        return tuple(dict.fromkeys(read_by(self.node)))

    @property
    def changing(self) -> tuple[int, ...]:
        """Positions of the inputs that change with the image, as the rule's function takes them."""
        return tuple(i for i, name in enumerate(self.node.input) if name and name not in self.fixed)

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the node, those that are given."""
        return attributes_of(self.node)

    @property
    def rule(self) -> Rule:
        """What the node is on the line, as one rule."""
        return self.step.rule

    @property
    def recipe(self) -> Recipe:
        """How that rule was made.

        Raises
        ------
        Refusal
            If the node is several rules in a row.
        """
        if self.step.recipe is None:
            raise Refusal("with these attributes it has no gradient rule", OTHER_LAYER)
        return self.step.recipe


OTHER_LAYER = "choose another map (output:NAME), or gradcam:NAME at a tensor behind it"

Backwards = Callable[[Site], str]
_RULES: dict[str, Backwards] = {}


def backwards(*ops: str) -> Callable[[Backwards], Backwards]:
    """Register a function that appends the gradient of an input to the graph and gives its tensor.

    Raises
    ------
    ValueError
        If an op has a rule already.
    """

    def register(function: Backwards) -> Backwards:
        for op in ops:
            if op in _RULES:
                raise ValueError(f"{op} has a gradient rule already")
            _RULES[op] = function
        return function

    return register


DEFINED = frozenset(
    {"Attention", "GroupNormalization", "If", "MeanVarianceNormalization", "RotaryEmbedding", "SwiGLU"}
)
"""Ops without a rule of their own: the gradient goes through the nodes that they stand for."""


def has_gradient(op: str, domain: str) -> bool:
    """Whether a gradient can go back through an op."""
    return domain in ("", "ai.onnx") and (op in _RULES or op in DEFINED)


def rule_of(node: onnx.NodeProto) -> Backwards | None:
    """The gradient rule of a node; None where it has a definition instead.

    Raises
    ------
    Refusal
        If its op has neither.
    """
    if not has_gradient(node.op_type, node.domain):
        raise Refusal(f"op {node.op_type} has no gradient rule", OTHER_LAYER)
    return _RULES.get(node.op_type)
