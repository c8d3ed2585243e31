"""Element types of tensors: how the runtime calls them, and how coarse they are."""

import onnx

import onnx_si.ops  # noqa: F401 - registers what is known of each op
from onnx_si.graph.dag import subgraphs
from onnx_si.rules.registry import traits_of
from onnx_si.rules.traits import Moves

TYPES = {
    f"tensor({name})": kind
    for name, kind in (
        *(("float", onnx.TensorProto.FLOAT), ("double", onnx.TensorProto.DOUBLE)),
        *(("float16", onnx.TensorProto.FLOAT16), ("bool", onnx.TensorProto.BOOL)),
        *((name, getattr(onnx.TensorProto, name.upper())) for name in ("int8", "int16", "int32", "int64")),
        *(
            (name, getattr(onnx.TensorProto, name.upper()))
            for name in ("uint8", "uint16", "uint32", "uint64")
        ),
    )
}

UNITS = {
    onnx.TensorProto.BFLOAT16: 2.0**-7,
    onnx.TensorProto.FLOAT16: 2.0**-10,
    onnx.TensorProto.FLOAT: 2.0**-23,
    onnx.TensorProto.DOUBLE: 2.0**-52,
}


def coarsest(graph: onnx.GraphProto) -> float:
    """Machine epsilon of the coarsest type that a graph stores weights in or casts to; 0 if it does not."""
    kinds = {tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        if traits_of(node).moves is Moves.CASTS:
            kinds |= {attribute.i for attribute in node.attribute if attribute.name == "to"}
        for inner in subgraphs(node):
            kinds |= {kind for kind, unit in UNITS.items() if unit == coarsest(inner)}
    return max((UNITS[kind] for kind in kinds if kind in UNITS), default=0.0)
