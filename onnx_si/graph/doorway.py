"""A file's graph as this package takes it: other inputs filled in, one image for a whole batch, padding.

The same is done to the file itself, so that the deployed runtime is given it too.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnx_si.graph.edit import Editor
from onnx_si.graph.inline import renamed
from onnx_si.graph.model import Model

PREFIX = "onnx_si_door"
Array = NDArray[np.generic]
Shape = tuple[int | str | None, ...]
Builder = Callable[[Editor, str], str]
"""Appends nodes behind a tensor and gives the last one's output."""


def in_both(model: Model, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Model:
    """The same change of the graph that is analysed and of the file that the runtime runs."""
    source = None if model.source is None else change(model.source)
    return Model(proto=change(model.proto), path=model.path, sha256=model.sha256, source=source)


def with_constants(model: Model, values: Mapping[str, Array]) -> Model:
    """The model with some inputs as constants of their declared types."""

    def change(proto: onnx.ModelProto) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(proto)
        kept = [value for value in made.graph.input if value.name not in values]
        if made.ir_version >= 4:  # before, every initialiser is listed among the inputs as well
            del made.graph.input[:]
            made.graph.input.extend(kept)
        made.graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in values.items()
        )
        return made

    return in_both(model, change)


def around(
    model: Model, input_name: str, shape: Shape, before: Builder, first: Mapping[str, Mapping[int, int]]
) -> Model:
    """The model with nodes in front of its input, which is declared with a shape, and of some
    outputs the first few places of some axes only.
    """

    def change(proto: onnx.ModelProto) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(proto)
        editor = Editor(Model(proto=made), PREFIX)
        graph = editor.proto.graph
        names = {name: editor.fresh("inner") for name in (input_name, *first)}
        for node in graph.node:
            node.CopyFrom(renamed(node, names))
        original = list(graph.node)
        del graph.node[:]
        last = before(editor, input_name)
        editor.add("Identity", [last], output=names[input_name])
        front = list(graph.node)
        del graph.node[:]
        for name, kept in first.items():
            tensor = names[name]
            for axis, count in kept.items():
                places = editor.constant(np.arange(count, dtype=np.int64))
                tensor = editor.add("Gather", [tensor, places], axis=axis)
            editor.add("Identity", [tensor], output=name)
        behind = list(graph.node)
        del graph.node[:]
        graph.node.extend([*front, *original, *behind])
        del graph.value_info[:]  # shapes that were written down for another input
        for value in graph.input:
            if value.name == input_name:
                _declare(value, shape)
        for value in graph.output:
            if value.name in first:
                dims = value.type.tensor_type.shape.dim
                for axis, count in first[value.name].items():
                    if axis < len(dims):
                        dims[axis].CopyFrom(onnx.TensorShapeProto.Dimension(dim_value=count))
        return editor.proto

    return in_both(model, change)


def _declare(value: onnx.ValueInfoProto, shape: Shape) -> None:
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for size in shape:
        known = {"dim_value": size} if isinstance(size, int) else {"dim_param": size} if size else {}
        dims.append(onnx.TensorShapeProto.Dimension(**known))


def repeated(count: int) -> Builder:
    """A tensor so many times, one behind the other along its first axis."""
    return lambda editor, tensor: editor.add("Concat", [tensor] * count, axis=0)
