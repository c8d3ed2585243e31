"""Shapes of what only the runtime can compute: told by running the file once."""

import numpy as np
import onnx
from onnx import helper

from onnx_si.errors import Refusal
from onnx_si.graph import Model
from onnx_si.graph.preprocess import Preprocessing, applied
from onnx_si.ground.layout import Layout
from onnx_si.program.node import domain_of, schema_version
from onnx_si.rules.registry import find
from onnx_si.runtime.session import as_type, as_unsupported, input_type, session_of

STANDARD = ("", "ai.onnx.ml")


def foreign(model: Model) -> tuple[str, ...]:
    """Outputs of the nodes of the file whose op is of a domain without handlers."""
    found = []
    for node in model.file.graph.node:
        domain = domain_of(node)
        if domain in STANDARD:
            continue
        try:
            find(node.op_type, domain, schema_version(node.op_type, domain, model.opsets.get(domain, 1)))
        except Refusal:
            found += [name for name in node.output if name]
    return tuple(found)


def with_told_shapes(
    loaded: Model, framed: Model, shape: tuple[int, ...], layout: Layout, steps: Preprocessing
) -> Model:
    """The model with types and shapes of foreign tensors declared, as the runtime finds them.

    Parameters
    ----------
    loaded : Model
    framed : Model
        The same with the preprocessing in front.
    shape : tuple of int
        Of an image.
    layout : Layout
    steps : Preprocessing

    Raises
    ------
    UnsupportedModel
        If onnxruntime can't run the file.
    """
    names = foreign(loaded)
    if not names:
        return framed
    file = onnx.ModelProto()
    file.CopyFrom(loaded.file)
    known = {value.name for value in file.graph.output}
    file.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    given, kind = loaded.inputs[0].name, input_type(loaded, loaded.inputs[0].name)
    image = as_type(applied(steps, np.zeros(shape, np.float32), layout), kind)
    with as_unsupported():
        values = session_of(file).run(list(names), {given: image})
    proto = onnx.ModelProto()
    proto.CopyFrom(framed.proto)
    kept = [value for value in proto.graph.value_info if value.name not in names]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)
    proto.graph.value_info.extend(
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in zip(names, map(np.asarray, values), strict=True)
    )
    return framed.with_proto(proto)
