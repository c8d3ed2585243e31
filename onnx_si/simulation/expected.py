"""Which images a model is used to, as far as its metadata, its input and its first nodes tell."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnx_si.analysis.settings import Settings
from onnx_si.graph import Model

SMALL = 0.1
"""A factor below that turns the values of a file into numbers of order one: they start at 0."""
AWAY = 1.0  # units of what the network sees from which on its images are others
MOST_NODES = 12  # at a model's start
BYTES = 255.0
PASSED = frozenset({"Cast", "Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze"})
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """Where images lie: their middle, how far they spread around it, and what says so."""

    middle: float
    spread: float
    why: str


def expected(model: Model, settings: Settings) -> Expected | None:
    """What a model's images are like, from options or metadata and the model's first nodes: the image times
    a factor plus an offset is what the network sees; None where nothing tells.
    """
    factor, offset = np.ones(1), np.zeros(1)
    if settings.scale is not None:
        factor = factor * settings.scale
    if settings.mean is not None:
        offset = offset - np.array(settings.mean)
    if settings.std is not None:
        factor, offset = factor / np.array(settings.std), offset / np.array(settings.std)
    why = "scale, mean and std" if (factor != 1).any() or (offset != 0).any() else ""
    if settings.window is not None:
        return Expected(settings.window[0], settings.window[1] / 2, "the window")
    factor, offset, nodes = _through_first_nodes(model, factor, offset)
    if nodes:
        why = " and ".join(filter(None, (why, f"the model's first nodes ({', '.join(nodes)})")))
    if not why:
        whole = model.inputs[0].type == "uint8"
        return Expected(BYTES / 2, BYTES / 2, "the model's input of type uint8") if whole else None
    size, shift = float(np.abs(factor).mean()), float(offset.mean())
    if abs(shift) >= AWAY / 2:
        return Expected(float((-offset / factor).mean()), 1 / size, why)
    return Expected(0.5 / size, 0.5 / size, why) if size <= SMALL else None


def warning_of(found: Expected | None, sigma: float) -> str | None:
    """What to tell where images of mean 0 are drawn for a model that is used to others."""
    if found is None or abs(found.middle) <= max(0.5 * found.spread, sigma):
        return None
    return (
        f"images of mean 0 are drawn, and {found.why} show images around {found.middle:.3g} +- "
        f"{found.spread:.3g}: the model may behave otherwise there; give --base VALUE, or --base FILE... "
        "with images of yours"
    )


def _through_first_nodes(model: Model, factor: Array, offset: Array) -> tuple[Array, Array, list[str]]:
    """What constants do to the image on its way in, value by value, and the ops that did it."""
    graph, seen = model.proto.graph, list[str]()
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants |= {node.output[0]: _stored(node) for node in graph.node if node.op_type == "Constant"}
    tensor = model.inputs[0].name
    for _ in range(MOST_NODES):
        readers = [node for node in graph.node if tensor in node.input]
        if len(readers) != 1:
            break
        (node,) = readers
        if node.op_type not in PASSED:
            changed = _changed(node, tensor, constants, factor, offset)
            if changed is None:
                break
            factor, offset = changed
            seen.append(node.op_type)
        tensor = node.output[0]
    return factor, offset, seen


def _stored(node: onnx.NodeProto) -> NDArray[np.generic] | None:
    value = next((a for a in node.attribute if a.name == "value"), None)
    return None if value is None else numpy_helper.to_array(value.t)


def _changed(
    node: onnx.NodeProto,
    tensor: str,
    constants: dict[str, NDArray[np.generic] | None],
    factor: Array,
    offset: Array,
) -> tuple[Array, Array] | None:
    """Factor and offset behind a node, one number for each channel; None: it is no such node."""
    if node.op_type == "BatchNormalization" and tensor == node.input[0]:
        return _normalised(node, constants, factor, offset)
    others = [constants.get(name) for name in node.input if name != tensor]
    if len(others) != 1 or others[0] is None or others[0].dtype.kind != "f":
        return None
    value = others[0].astype(np.float64).ravel()
    first = node.input[0] == tensor
    try:
        if node.op_type == "Mul":
            return factor * value, offset * value
        if node.op_type == "Div" and first and value.all():
            return factor / value, offset / value
        if node.op_type == "Add":
            return factor + 0 * value, offset + value
        if node.op_type == "Sub" and first:
            return factor + 0 * value, offset - value
    except ValueError:  # not one number for each channel
        return None
    return None


def _normalised(
    node: onnx.NodeProto, constants: dict[str, NDArray[np.generic] | None], factor: Array, offset: Array
) -> tuple[Array, Array] | None:
    """A normalisation by stored mean and variance."""
    stored = [constants.get(name) for name in node.input[1:5]]
    scale, shift, mean, variance = (None if s is None else s.astype(np.float64).ravel() for s in stored)
    if (
        scale is None
        or shift is None
        or mean is None
        or variance is None
        or len(factor) not in (1, len(scale))
    ):
        return None
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    gain = scale / np.sqrt(variance + epsilon)
    return factor * gain, (offset - mean) * gain + shift
