"""Ops that the standard defines by other nodes: their gradient is that of these nodes, appended once more."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Refusal
from onnx_si.graph import Editor, Model, chosen_branch, function_body, renamed
from onnx_si.maps.backward.site import OTHER_LAYER, Site
from onnx_si.program.program import Program, bind


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Nodes that compute a node's output again, as `output`, from the node's own inputs; a model of these
    nodes alone, and its values.
    """

    nodes: tuple[onnx.NodeProto, ...]
    output: str
    model: Model
    program: Program


def definition(at: Site) -> Definition:
    """The nodes that the standard defines a node by, bound to the node's inputs at the image.

    Raises
    ------
    Refusal
        If there are none for these inputs.
    """
    nodes = _nodes(at)
    if not nodes:
        raise Refusal(f"op {at.node.op_type} has no gradient rule", OTHER_LAYER)
    fixed = [name for name in at.read if name in at.fixed or name in at.model.initializers]
    made = [name for node in nodes for name in node.output if name]
    names = {name: at.editor.fresh(name) for name in made}
    copies = tuple(_named(at.editor, renamed(node, names)) for node in nodes)
    output = names[at.step.output]
    changing = tuple(name for name in at.read if name not in fixed)
    model = _alone(at, copies, changing, output)
    packed = np.concatenate([at.values[name].ravel() for name in changing])
    read = {name for node in copies for name in node.input if name}
    shown = tuple({*read, *names.values()})
    program = bind(model, packed, (output,), shown=shown)
    program.require_values()
    return Definition(nodes=copies, output=output, model=model, program=program)


def _nodes(at: Site) -> list[onnx.NodeProto]:
    """The definition; of an `If` that never changes, its branch."""
    if at.node.op_type != "If":
        return function_body(at.node, _types(at), at.model.opsets)
    if not at.is_fixed(0):
        raise Refusal("its condition depends on the image", OTHER_LAYER)
    return chosen_branch(at.node, bool(at.value(0)))


def _named(editor: Editor, node: onnx.NodeProto) -> onnx.NodeProto:
    node.name = editor.fresh(f"{node.op_type}_node")
    return node


def _types(at: Site) -> dict[str, onnx.TypeProto]:
    return {
        name: helper.make_tensor_type_proto(at.program.elements[name], at.values[name].shape)
        for name in at.node.input
        if name
    }


def _alone(at: Site, nodes: tuple[onnx.NodeProto, ...], changing: tuple[str, ...], output: str) -> Model:
    """A model of the nodes, with all inputs that change in one row as its input."""
    shapes = [at.values[name].shape for name in changing]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    row = at.editor.fresh("row")
    graph = helper.make_graph(
        [],
        "definition",
        [helper.make_tensor_value_info(row, onnx.TensorProto.DOUBLE, [int(ends[-1])])],
        [onnx.ValueInfoProto(name=output)],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in at.model.opsets.items()]
    editor = Editor(Model(proto=helper.make_model(graph, opset_imports=imports)), prefix=row)
    for name, shape, end in zip(changing, shapes, ends, strict=True):
        places = editor.constant(np.arange(end - math.prod(shape), end, dtype=np.int64))
        part = editor.add("Gather", [row, places], axis=0)
        shaped = editor.add("Reshape", [part, editor.constant(np.array(shape, np.int64))])
        editor.add("Cast", [shaped], output=name, to=at.program.elements[name])
    for name in at.read:
        if name not in changing:
            editor.proto.graph.initializer.append(onnx.numpy_helper.from_array(_stored(at, name), name))
    editor.proto.graph.node.extend(nodes)
    return editor.finish()


def _stored(at: Site, name: str) -> NDArray[Any]:
    if name in at.model.initializers:
        return at.model.initializers[name]
    return at.values[name].astype(helper.tensor_dtype_to_np_dtype(at.program.elements[name]))
