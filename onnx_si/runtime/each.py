"""A graph that is run for each of many images by one call of the runtime."""

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

SINCE = 9  # opset of Scan as it is used here
STACK = "onnx_si_each/"


def over_each(
    proto: onnx.ModelProto, shapes: Mapping[str, Sequence[int]], outputs: Sequence[str]
) -> onnx.ModelProto:
    """A model with a Scan of a model's graph over the first axis of a stack of each input.

    Parameters
    ----------
    proto : ModelProto
    shapes : mapping
        Of each input, for one image.
    outputs : sequence of str
        Any tensors of the graph.

    Returns
    -------
    ModelProto
        Its inputs are called `STACK` and the input's name, its outputs are in their order.
    """
    body = onnx.GraphProto()
    body.CopyFrom(proto.graph)
    kinds = {value.name: value.type.tensor_type.elem_type for value in body.input}
    for values in (body.input, body.output, body.value_info):
        del values[:]
    body.input.extend(
        helper.make_tensor_value_info(name, kinds[name], list(shape)) for name, shape in shapes.items()
    )
    body.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)  # the runtime tells the types
    given = [STACK + name for name in shapes]
    made = [f"{STACK}{number}" for number in range(len(outputs))]
    graph = helper.make_graph(
        [helper.make_node("Scan", given, made, body=body, num_scan_inputs=len(given))],
        "each_image",
        [
            helper.make_tensor_value_info(STACK + name, kinds[name], ["images", *shape])
            for name, shape in shapes.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in made],
    )
    over = onnx.ModelProto(
        ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions
    )
    over.graph.CopyFrom(graph)
    return over
