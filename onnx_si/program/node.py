"""What is read from a node: its op set, schema version, attributes and element types."""

import functools
from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnx_si.graph.constants import NOT_INFERRED
from onnx_si.graph.survivable import require_survivable

LARGE = frozenset(
    {
        onnx.AttributeProto.GRAPH,
        onnx.AttributeProto.GRAPHS,
        onnx.AttributeProto.TENSOR,
        onnx.AttributeProto.TENSORS,
        onnx.AttributeProto.SPARSE_TENSOR,
        onnx.AttributeProto.SPARSE_TENSORS,
    }
)
"""Attributes that are not compared between nodes."""


def domain_of(node: onnx.NodeProto) -> str:
    """The op set that a node's op belongs to; the standard one is ""."""
    return "" if node.domain == "ai.onnx" else str(node.domain)


@functools.cache
def schema_version(op: str, domain: str, opset: int) -> int:
    """Since when an op has the meaning that it has in an opset; -1 where the standard does not know it."""
    try:
        return int(onnx.defs.get_schema(op, opset, domain).since_version)
    except onnx.defs.SchemaError:
        return -1


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes as plain values and arrays."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, list) and value and isinstance(value[0], bytes):
            return [plain(one) for one in value]
        return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value

    return {a.name: plain(helper.get_attribute_value(a)) for a in node.attribute}


def element_of(array: NDArray[Any]) -> int:
    """Element type of an array, a number of `TensorProto.DataType`."""
    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def output_elements(node: onnx.NodeProto, elements: Mapping[str, int], version: int) -> dict[str, int]:
    """Element type of each output: integers divide, round and overflow unlike floating-point numbers.

    Parameters
    ----------
    node : NodeProto
    elements : mapping of str to int
        Element type of each input.
    version : int
        From `schema_version`.
    """
    if any(attribute.type in LARGE for attribute in node.attribute):
        return dict(zip(node.output, _inferred(node, elements, version), strict=True))
    attributes = tuple(attribute.SerializeToString() for attribute in node.attribute)
    inputs = tuple(elements.get(name) for name in node.input)
    kinds = _elements(node.op_type, domain_of(node), version, inputs, attributes, len(node.output))
    return dict(zip(node.output, kinds, strict=True))


@functools.cache
def _elements(
    op: str,
    domain: str,
    version: int,
    inputs: tuple[int | None, ...],
    attributes: tuple[bytes, ...],
    outputs: int,
) -> tuple[int, ...]:
    """The same for every node of an op that differs in names only."""
    names = ["" if kind is None else f"input {i}" for i, kind in enumerate(inputs)]
    made = [f"output {i}" for i in range(outputs)]
    node = helper.make_node(op, names, made, domain=domain)
    node.attribute.extend(onnx.AttributeProto.FromString(attribute) for attribute in attributes)
    given = {name: kind for name, kind in zip(names, inputs, strict=True) if kind is not None}
    return _inferred(node, given, version)


def _of_the_inputs(node: onnx.NodeProto, elements: Mapping[str, int], version: int) -> dict[str, int]:
    """Element types where the schema infers none: that of an input of the same type variable, else float."""
    found = dict.fromkeys(node.output, onnx.TensorProto.FLOAT)
    try:
        schema = onnx.defs.get_schema(node.op_type, version, domain_of(node))
    except onnx.defs.SchemaError:
        return found
    given = {
        formal.type_str: elements[name]
        for name, formal in zip(node.input, schema.inputs, strict=False)
        if elements.get(name)  # a sequence or an optional value has none
    }
    for name, formal in zip(node.output, schema.outputs, strict=False):
        found[name] = given.get(formal.type_str, found[name])
    return found


def _inferred(node: onnx.NodeProto, elements: Mapping[str, int], version: int) -> tuple[int, ...]:
    found = _of_the_inputs(node, elements, version)
    try:
        require_survivable(node)
        inferred = onnx.shape_inference.infer_node_outputs(
            onnx.defs.get_schema(node.op_type, version, domain_of(node)),
            node,
            {name: helper.make_tensor_type_proto(kind, None) for name, kind in elements.items()},
        )
    except NOT_INFERRED:
        inferred = {}  # an unknown op or a broken node: the handler, or the lack of one, gives the reason
    found |= {
        name: kind.tensor_type.elem_type for name, kind in inferred.items() if kind.HasField("tensor_type")
    }
    return tuple(found[name] for name in node.output)
