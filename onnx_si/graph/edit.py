"""Add nodes and outputs to a copy of a model, with names that clash with nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnx_si.graph.model import Model

PREFIX = "onnx_si"  # of the names of everything that is appended


class Editor:
    """A growing copy of a model; `finish` gives the new model.

    Only ops whose inputs and attributes are the same from opset 7 to the newest are appended by this package.
    """

    def __init__(self, model: Model, prefix: str = PREFIX):
        self._model = model
        self.proto = onnx.ModelProto()
        self.proto.CopyFrom(model.proto)
        self._prefix = prefix
        self._counts: dict[str, int] = {}
        self._taken = {
            name for node in self.proto.graph.node for name in (*node.input, *node.output, node.name)
        }
        self._taken |= {t.name for t in self.proto.graph.initializer} | {
            v.name for v in self.proto.graph.input
        }

    def fresh(self, hint: str) -> str:
        """An unused name."""
        stem = name = f"{self._prefix}/{hint}"
        count = self._counts.get(stem, 1)  # thousands of nodes may share a hint
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._counts[stem] = count
        self._taken.add(name)
        return name

    def constant(self, value: NDArray[Any], hint: str = "constant") -> str:
        """Store an array as an initialiser; gives its name."""
        name = self.fresh(hint)
        self.proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        """Append a node of the standard domain; gives the name of its output."""
        result = output or self.fresh(op.lower())
        self._taken.add(result)
        node = helper.make_node(op, list(inputs), [result], name=self.fresh(f"{op}_node"), **attributes)
        self.proto.graph.node.append(node)
        return result

    def expose(self, name: str, elem_type: int = onnx.TensorProto.FLOAT) -> None:
        """Declare a tensor as an output, unless it is one already."""
        if all(v.name != name for v in self.proto.graph.output):
            self.proto.graph.output.append(helper.make_tensor_value_info(name, elem_type, None))

    def finish(self) -> Model:
        """The edited model."""
        return self._model.with_proto(self.proto)
