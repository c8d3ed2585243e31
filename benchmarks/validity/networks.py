"""The networks of the simulations: files of models/, and autoencoders with maps of their errors."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import onnx_si
from onnx_si.graph import model_from_proto

ROOT = Path(__file__).resolve().parents[2]
PAPER, DIGITS = "paper_cam_16", "digits_8"
SIDE = 16


@functools.cache
def network(name: str) -> onnx_si.Model:
    """Loaded, or built, once in every process."""
    path = ROOT / "models" / f"{name}.onnx"
    if not path.exists():
        return model_from_proto(error_map(name))
    return onnx_si.load(str(path))


def error_map(kind: str) -> onnx.ModelProto:
    """An autoencoder of strided convolutions with the map of its error."""
    rng, nodes, constants = np.random.default_rng(7), list[onnx.NodeProto](), list[onnx.TensorProto]()

    def const(values: Any, dtype: Any = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, dtype), f"c{len(constants)}"))
        return constants[-1].name

    def add(op: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, list(inputs), [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def over(*axes: int) -> str:
        return const(axes, np.int64)

    hidden = add(
        "Relu", add("Conv", "x", const(rng.normal(size=(4, 1, 3, 3)) / 3), pads=[1] * 4, strides=[2, 2])
    )
    made = add("ConvTranspose", hidden, const(rng.normal(size=(4, 1, 2, 2)) / 2), strides=[2, 2])
    features = add("Conv", "x", const(rng.normal(size=(4, 1, 3, 3)) / 3), pads=[1] * 4)
    again = add("Conv", made, const(rng.normal(size=(4, 1, 3, 3)) / 3), pads=[1] * 4)
    error = add("Sub", "x", made)
    apart = add("Sub", features, again)
    if kind == "squared error":
        out = add("Mul", error, error)
    elif kind == "norm":
        out = add("ReduceL2", apart, over(1), keepdims=1)
    elif kind == "cosine":
        dot = add("ReduceSum", add("Mul", features, again), over(1), keepdims=1)
        norms = [add("ReduceL2", one, over(1), keepdims=1) for one in (features, again)]
        out = add("Sub", const(1.0), add("Div", dot, add("Add", add("Mul", *norms), const(1e-3))))
    else:
        centred = add("Sub", "x", add("ReduceMean", "x", over(2, 3), keepdims=1))
        spread = add("ReduceMean", add("Mul", centred, centred), over(2, 3), keepdims=1)
        out = add("Div", add("Mul", error, error), spread)
    nodes.append(helper.make_node("Identity", [out], ["map"]))
    shape = [1, 1, SIDE, SIDE]
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", "map")]
    graph = helper.make_graph(nodes, kind, values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
