"""Where tensors have their channels, told by the nodes that make them.

Convolutions and the like have their channels second (ONNX spec); exporters of frameworks that have them last
put a Transpose in front and behind.
"""

from collections.abc import Iterable

import onnx

CHANNELS_SECOND = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "BatchNormalization", "DepthToSpace", "LRN"}
    | {"GroupNormalization", "InstanceNormalization", "SpaceToDepth"}
)
SAME_AXES = frozenset(
    {"Abs", "Add", "Cast", "Celu", "Clip", "Concat", "Div", "Dropout", "Elu", "Gelu", "HardSigmoid"}
    | {"HardSwish", "Identity", "LeakyRelu", "LogSoftmax", "Max", "Mean", "Min", "Mish", "Mul", "Neg"}
    | {"PRelu", "Pad", "Relu", "Resize", "Selu", "Sigmoid", "Slice", "Softmax", "Softplus", "Softsign"}
    | {"Sub", "Sum", "Tanh", "ThresholdedRelu", "Upsample", "Where"}
)
"""Ops whose output has its axes where its inputs have them."""


def channel_axes(nodes: Iterable[onnx.NodeProto]) -> dict[str, int]:
    """The axis of the channels of every tensor of which the nodes, in execution order, tell it."""
    found: dict[str, int] = {}
    for node in nodes:
        axis: int | None = None
        if node.op_type in CHANNELS_SECOND:
            axis = 1
        elif node.op_type == "Transpose" and node.input[0] in found:
            axis = _moved(node, found[node.input[0]])
        elif node.op_type in SAME_AXES:
            axes = {found[name] for name in node.input if name in found}
            axis = axes.pop() if len(axes) == 1 else None
        if axis is not None:
            found.update((name, axis) for name in node.output if name)
    return found


def _moved(transpose: onnx.NodeProto, axis: int) -> int | None:
    """Where a Transpose puts the channels; None where it turns the image."""
    perm = next((list(a.ints) for a in transpose.attribute if a.name == "perm"), [])
    others = [a for a in perm if a != axis]
    return perm.index(axis) if axis in perm and others == sorted(others) else None
