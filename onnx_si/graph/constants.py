"""Evaluate what does not depend on the image, with the ONNX reference evaluator."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnx_si.errors import Refusal
from onnx_si.graph.dag import is_copy
from onnx_si.graph.refused import refuse_by_name
from onnx_si.graph.survivable import MOST_AXES, require_survivable
from onnx_si.ground.budget import excess
from onnx_si.ground.guard import words_of
from onnx_si.ground.terminal import shown

MOST_ELEMENTS = 2**58  # of any tensor that a machine can address
NOT_INFERRED = Exception
"""What `infer_node_outputs` raises for an unknown op or inputs that don't fit it has no common class."""
MAX_SHAPE_ELEMENTS = 1024  # of a tensor that can be a shape, a list of axes or of pads

Arrays = tuple[NDArray[Any] | None, ...]


def affordable(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape itself; refuses one whose tensor in double precision would not fit into memory."""
    # numpy makes no array of a huge axis either, be it beside an axis of length 0
    least = min(shape, default=1)
    elements = math.prod(shape) if least > 0 else math.prod(max(n, 1) for n in shape)
    why = excess(8 * elements) if least >= 0 and elements < MOST_ELEMENTS else "there is no such tensor"
    if why is not None or len(shape) > MOST_AXES:
        raise Refusal(f"a tensor of shape {shown(tuple(shape))}", why or f"at most {MOST_AXES} axes are read")
    return shape


def inferred_shapes(
    node: onnx.NodeProto,
    inputs: Mapping[str, NDArray[Any]],
    opsets: Mapping[str, int],
    unknown: Collection[str] = (),
) -> dict[str, tuple[int, ...]]:
    """Shapes of a node's outputs, as far as its schema tells them from its inputs, without computing
    anything.

    Parameters
    ----------
    node : NodeProto
    inputs : mapping of str to array
        Every input; of those named in `unknown` only type and shape are looked at.
    opsets : mapping of str to int
        Version of each op set by domain.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        types = {
            name: helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in inputs.items()
        }
        small = {
            name: numpy_helper.from_array(np.asarray(value))
            for name, value in inputs.items()
            if name not in unknown and value.size <= MAX_SHAPE_ELEMENTS
        }
        imports = [helper.make_opsetid(name, version) for name, version in opsets.items()]
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
        require_survivable(node, {name: np.asarray(inputs[name]) for name in small})
        found = onnx.shape_inference.infer_node_outputs(schema, node, types, small, opset_imports=imports)
    except NOT_INFERRED:
        return {}
    tensors = {name: kind.tensor_type for name, kind in found.items() if kind.tensor_type.HasField("shape")}
    return {
        name: tuple(d.dim_value for d in tensor.shape.dim)
        for name, tensor in tensors.items()
        if all(d.HasField("dim_value") for d in tensor.shape.dim)
    }


def declared_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Element type and shape of inner tensors that a graph declares in full."""
    tensors = {value.name: value.type.tensor_type for value in graph.value_info}
    return {
        name: (tensor.elem_type, tuple(d.dim_value for d in tensor.shape.dim))
        for name, tensor in tensors.items()
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim)
    }


def is_constant(node: onnx.NodeProto) -> bool:
    """Whether it only holds a value."""
    return bool(node.op_type == "Constant")


def stored(node: onnx.NodeProto) -> NDArray[Any] | None:
    """What a `Constant` node holds; None where it is no number."""
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return np.asarray(numpy_helper.to_array(value))
    kinds = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    return np.asarray(value, kinds[attribute.name]) if attribute.name in kinds else None


def fold(node: onnx.NodeProto, inputs: Arrays, opsets: dict[str, int], no_larger: bool = False) -> Arrays:
    """Outputs of one node whose inputs are all constant.

    Its output's size is looked at first, unless it is known to be `no_larger` than the inputs.

    Raises
    ------
    Refusal
        If the reference evaluator can't run the node, or its output would be too large.
    """
    refuse_by_name(node)
    if is_constant(node) and (held := stored(node)) is not None:
        return (held,)
    if is_copy(node):
        return inputs
    given = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
    if not no_larger:
        for shape in inferred_shapes(node, given, opsets).values():
            affordable(shape)
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [onnx.ValueInfoProto(name=name) for name in given],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    from onnx.reference import ReferenceEvaluator  # with all ops, which most models don't need

    try:
        evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))
        found = evaluator.run(None, given)
        made = dict(zip([name for name in node.output if name], found, strict=True))
        return tuple(np.asarray(made[name]) if name else None for name in node.output)
    except MemoryError:
        raise
    except Exception as error:  # the evaluator raises whatever numpy raises
        raise Refusal(f"can't be evaluated ({words_of(error)})", "export with constants folded") from error
