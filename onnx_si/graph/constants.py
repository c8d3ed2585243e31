"""Evaluate what does not depend on the image, with the ONNX reference evaluator."""

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from onnx_si.errors import Refusal

MAX_TENSOR_BYTES = 2**33

Arrays = tuple[NDArray[Any] | None, ...]


def affordable(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape itself; refuses one whose tensor would not fit into reasonable memory."""
    if min(shape, default=0) < 0 or math.prod(shape) * 8 > MAX_TENSOR_BYTES:
        raise Refusal(f"a tensor of shape {tuple(shape)}", f"tensors hold at most {MAX_TENSOR_BYTES} bytes")
    return shape


def _check_size(node: onnx.NodeProto, inputs: Arrays) -> None:
    """Ops that make large tensors out of small ones are measured before they run."""
    second = np.ravel(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else None
    match node.op_type:
        case "ConstantOfShape" if inputs[0] is not None:
            affordable(tuple(int(n) for n in np.ravel(inputs[0])))
        case "Expand" if inputs[0] is not None and second is not None:
            affordable(np.broadcast_shapes(inputs[0].shape, tuple(int(n) for n in second)))
        case "Tile" if inputs[0] is not None and second is not None:
            affordable(tuple(int(n) * int(t) for n, t in zip(inputs[0].shape, second, strict=True)))
        case "Range" if all(value is not None for value in inputs[:3]):
            start, limit, step = (float(np.ravel(value)[0]) for value in inputs[:3])  # type: ignore[arg-type]
            affordable((max(0, math.ceil((limit - start) / step)) if step else -1,))
        case "OneHot" if inputs[0] is not None and second is not None:
            affordable((*inputs[0].shape, int(second[0])))


def fold(node: onnx.NodeProto, inputs: Arrays, opsets: dict[str, int]) -> Arrays:
    """Outputs of one node whose inputs are all constant.

    Raises
    ------
    Refusal
        If the reference evaluator can't run the node, or its output would be too large.
    """
    _check_size(node, inputs)
    names = [name for name, value in zip(node.input, inputs, strict=True) if value is not None]
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names)],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports))
        feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
        made = dict(zip([name for name in node.output if name], evaluator.run(None, feeds), strict=True))
        return tuple(np.asarray(made[name]) if name else None for name in node.output)
    except Exception as error:  # the evaluator raises whatever numpy raises
        reason = f"can't be evaluated ({type(error).__name__}: {error})"
        raise Refusal(reason.splitlines()[0][:200], "export with constants folded") from error
