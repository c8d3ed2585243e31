"""Models of an opset before 7 as models of opset 7: ops whose meaning changed are rewritten, or refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from onnx_si.errors import Refusal, UnsupportedModel
from onnx_si.graph.dag import subgraphs

LIFTED = 7
ADVICE = f"export to opset {LIFTED} or later"
IN_PLACE = "consumed_inputs"  # of the first versions of ops: which inputs may be written over


@dataclass(frozen=True)
class _Old:
    """A node to be rewritten, the numbers of axes that are known, and a name that no tensor has."""

    node: onnx.NodeProto
    ranks: Mapping[str, int]
    free_name: str

    def flag(self, name: str, default: int) -> int:
        return next((int(a.i) for a in self.node.attribute if a.name == name), default)

    def rank(self, position: int) -> int:
        """Number of axes of an input."""
        name = self.node.input[position]
        if name not in self.ranks:
            raise Refusal(f"the number of axes of '{name}' is not known", ADVICE)
        return self.ranks[name]

    def without(self, *attributes: str) -> onnx.NodeProto:
        """A copy without some attributes."""
        copy = onnx.NodeProto()
        copy.CopyFrom(self.node)
        del copy.attribute[:]
        copy.attribute.extend(a for a in self.node.attribute if a.name not in (*attributes, IN_PLACE))
        return copy

    def with_axes_behind(self, count: int, *attributes: str) -> list[onnx.NodeProto]:
        """The node without some attributes, its second input with more axes of length 1 at its end."""
        kept, second = self.without(*attributes), self.node.input[1]
        if count == 0:
            return [kept]
        rank = self.rank(1)
        kept.input[1] = self.free_name
        axes = list(range(rank, rank + count))
        return [helper.make_node("Unsqueeze", [second], [self.free_name], axes=axes), kept]


def _broadcast(old: _Old) -> list[onnx.NodeProto]:
    """The second input's axes are those of the first from `axis` on, by default its last ones."""
    axis = old.flag("axis", -1)
    behind = 0
    if old.flag("broadcast", 0) and any(a.name == "axis" for a in old.node.attribute):
        behind = old.rank(0) - axis % max(old.rank(0), 1) - old.rank(1)
    if behind < 0:
        raise Refusal(f"axis {axis} for inputs of {old.rank(0)} and {old.rank(1)} axes", ADVICE)
    return old.with_axes_behind(behind, "axis", "broadcast")


def _slopes(old: _Old) -> list[onnx.NodeProto]:
    """A PRelu's slopes belong to the channels."""
    return old.with_axes_behind(max(old.rank(0) - 2, 0) if old.rank(1) == 1 else 0)


def _same(old: _Old) -> list[onnx.NodeProto]:
    return [old.without("broadcast")]


def _with_defaults(**values: float) -> Callable[[_Old], list[onnx.NodeProto]]:
    """The op with what an attribute was where it is left out."""

    def made(old: _Old) -> list[onnx.NodeProto]:
        copy = old.without()
        given = {a.name for a in copy.attribute}
        copy.attribute.extend(helper.make_attribute(k, v) for k, v in values.items() if k not in given)
        return [copy]

    return made


def _shape_as_input(old: _Old) -> list[onnx.NodeProto]:
    """A Reshape's shape was an attribute."""
    shape = next((list(a.ints) for a in old.node.attribute if a.name == "shape"), [])
    if not shape:
        raise Refusal("no shape", ADVICE)
    kept = old.without("shape")
    kept.input.append(old.free_name)
    value = helper.make_tensor("", onnx.TensorProto.INT64, [len(shape)], shape)
    return [helper.make_node("Constant", [], [old.free_name], value=value), kept]


def _tested(old: _Old) -> list[onnx.NodeProto]:
    """Training and test mode were told by an attribute."""
    if not old.flag("is_test", 0) or not old.flag("spatial", 1):
        raise Refusal("training mode, or statistics for each position", ADVICE)
    return [old.without("is_test", "spatial")]


_UNCHANGED = (
    *("Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "Tanh", "Clip", "Abs", "Neg", "Exp", "Log"),
    *("Sqrt", "Reciprocal", "Floor", "Ceil", "Sum", "Mean", "Max", "Min", "InstanceNormalization"),
)
"""Ops whose first version differs in types and in what may be written over alone."""
_AS_MANY_AXES = frozenset(
    (
        *_UNCHANGED,
        *("Selu", "PRelu", "Add", "Sub", "Mul", "Div", "Pow", "BatchNormalization", "Dropout", "LRN"),
        *("Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"),
        *("Softmax", "LogSoftmax", "Identity"),
    )
)
"""Ops whose first output has as many axes as their first input."""
_REWRITTEN: dict[tuple[str, int], Callable[[_Old], list[onnx.NodeProto]]] = {
    **{(op, 6): _broadcast for op in ("Add", "Sub", "Mul", "Div")},
    **{(op, 1): _broadcast for op in ("Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")},
    **{("PRelu", 6): _slopes, ("Gemm", 6): _same, ("AveragePool", 1): _same},
    **{(op, 6): _tested for op in ("BatchNormalization", "Dropout")},
    **{(op, 1): _broadcast for op in ("Add", "Sub", "Mul", "Div")},
    **{(op, 1): _same for op in _UNCHANGED},
    **{(op, 1): _tested for op in ("BatchNormalization", "Dropout")},
    **{("PRelu", 1): _slopes, ("Gemm", 1): _same, ("Reshape", 1): _shape_as_input},
    ("Selu", 1): _with_defaults(alpha=1.6732, gamma=1.0507),
    ("Concat", 1): _with_defaults(axis=1),
}
"""Ops and their schema versions before opset 7."""


def lifted(proto: onnx.ModelProto, opset: int, where: str) -> onnx.ModelProto:
    """A copy in opset 7 that means the same.

    Parameters
    ----------
    proto : ModelProto
    opset : int
        Its version of the standard op set, below 7.
    where : str
        The model's name, for messages.

    Raises
    ------
    UnsupportedModel
        If the meaning of an op changed since and is not known here.
    """
    ranks = _ranks(proto)
    nodes = []
    for position, node in enumerate(proto.graph.node):
        try:
            nodes += _lift(_Old(node, ranks, f"onnx_si/lifted_{position}"), opset)
        except Refusal as refusal:
            raise UnsupportedModel(
                f"{where}: opset {opset}, node '{node.name or node.output[0]}' ({node.op_type}): {refusal}"
            ) from refusal
        if node.op_type in _AS_MANY_AXES and node.input and node.input[0] in ranks:
            ranks.setdefault(node.output[0], ranks[node.input[0]])
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    for imported in copy.opset_import:
        if imported.domain in ("", "ai.onnx"):
            imported.version = LIFTED
    return copy


def _lift(old: _Old, opset: int) -> list[onnx.NodeProto]:
    node = old.node
    if node.domain not in ("", "ai.onnx"):
        return [node]
    if any(subgraphs(node)):
        raise Refusal("branches and loops of this opset", ADVICE)
    try:
        before, after = (onnx.defs.get_schema(node.op_type, v, "").since_version for v in (opset, LIFTED))
    except onnx.defs.SchemaError as error:
        raise Refusal("no such op", ADVICE) from error
    if before == after:
        return [node]
    if (node.op_type, before) not in _REWRITTEN:
        raise Refusal(f"version {before} of the op", ADVICE)
    return _REWRITTEN[node.op_type, before](old)


def _ranks(proto: onnx.ModelProto) -> dict[str, int]:
    """Numbers of axes of tensors as far as shape inference tells them, which the first versions lack."""
    try:
        graph = onnx.shape_inference.infer_shapes(proto).graph
    except onnx.shape_inference.InferenceError:  # what is not declared is not known
        graph = proto.graph
    declared = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    return declared | {tensor.name: len(tensor.dims) for tensor in graph.initializer}
