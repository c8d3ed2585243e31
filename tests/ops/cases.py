"""One table of small cases drives every test of the handlers: op, attributes, inputs, schema versions.

A case becomes a model whose input `x` of shape (1, 6) is turned into every changing input of the op by a
random affine map, with or without kinks behind it. A line in `x` gives a line, or a bent one, in every input.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx_si.graph import model_from_proto
from onnx_si.ops.registry import registered

FEATURES = 6
NEWEST = onnx.defs.onnx_opset_version()
REVIEWED = 28  # the opset up to which every schema was read; a newer version of an op is refused
HANDLERS = {handler.op: handler for handler in registered() if not handler.domain}


@dataclass(frozen=True)
class Changing:
    """An input that changes along the line.

    `kind` is `value`, or one that only jumps: `gate` (0.0 or 1.0), `level` (0.5 or 1.5), `truth`, or `index`
    (below `choices`).
    """

    shape: tuple[int, ...]
    kind: str = "value"
    choices: int = 0


@dataclass(frozen=True)
class Case:
    """One use of an op; `versions` are the first and last schema version that inputs and attributes fit."""

    label: str
    op: str
    inputs: tuple[object, ...]
    attributes: dict[str, object] = field(default_factory=dict)
    versions: tuple[int, int] = (1, 99)
    outputs: int = 1

    def __str__(self):
        return f"{self.op}-{self.label}".replace(" ", "_")

    def opsets(self):
        """The oldest opset with each schema version that the handler lists and the case fits."""
        first, last = self.versions
        return [max(v, 7) for v in effective_versions(self.op) if first <= v <= last]


@cache
def _history():
    versions = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and not schema.deprecated:
            versions.setdefault(schema.name, []).append(schema.since_version)
    return {name: sorted(found) for name, found in versions.items()}


def effective_versions(op):
    """Schema versions of an op that an opset from 7 to the last one reviewed can have."""
    found = _history()[op]
    later = [*found[1:], NEWEST + 1]
    return [v for v, next_ in zip(found, later, strict=True) if next_ > 7 and v <= REVIEWED]


def _changing_input(graph, rng, name, wanted, bent):
    """Nodes that turn `x` into one changing input of the op."""
    nodes, constants = graph
    shape = (*wanted.shape, wanted.choices) if wanted.kind == "index" else wanted.shape
    size = int(np.prod(shape))

    def constant(value, hint):
        constants.append(numpy_helper.from_array(value, f"{name}_{hint}"))
        return f"{name}_{hint}"

    def node(op, inputs, hint, **attributes):
        nodes.append(
            helper.make_node(op, inputs, [f"{name}_{hint}"], name=f"{name}_{hint}_node", **attributes)
        )
        return f"{name}_{hint}"

    def affine(hint):
        weight = constant(rng.normal(size=(FEATURES, size)).astype(np.float32), f"{hint}_weight")
        bias = constant(rng.normal(size=size).astype(np.float32), f"{hint}_bias")
        return node("Add", [node("MatMul", ["x", weight], f"{hint}_product"), bias], hint)

    flat = affine("affine")
    if bent:  # kinks, and stretches on which it is exactly zero
        flat = node("Sub", [node("Relu", [flat], "up"), node("Relu", [affine("other")], "down")], "bent")
    tensor = node("Reshape", [flat, constant(np.array(shape, dtype=np.int64), "shape")], "shaped")
    if wanted.kind == "index":
        return node("ArgMax", [tensor], "index", axis=len(shape) - 1, keepdims=0)
    if wanted.kind == "value":
        return tensor
    truth = node("Greater", [tensor, constant(np.float32(0.1), "level")], "truth")
    if wanted.kind == "truth":
        return truth
    gated = node("Cast", [truth], "gate", to=TensorProto.FLOAT)
    half = constant(np.float32(0.5), "half")
    return gated if wanted.kind == "gate" else node("Add", [gated, half], "half_or_more")


def model_of(case, opset, bent=False):
    """The case as a model with the input `x`."""
    rng = np.random.default_rng(sum(map(ord, str(case))))
    nodes, constants, names = [], [], []
    for position, value in enumerate(case.inputs):
        name = f"in{position}"
        if isinstance(value, Changing):
            name = _changing_input((nodes, constants), rng, name, value, bent)
        elif value is None:
            name = ""
        else:
            constants.append(numpy_helper.from_array(np.asarray(value), name))
        names.append(name)
    outputs = [f"y{i}" for i in range(case.outputs)]
    nodes.append(helper.make_node(case.op, names, outputs, name="tested", **case.attributes))
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FEATURES])],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        constants,
    )
    opsets = [helper.make_opsetid("", opset)]
    version = max(8, helper.find_min_ir_version_for(opsets))
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=version)
    proto = onnx.shape_inference.infer_shapes(proto)
    for value in proto.graph.output:
        if not value.type.tensor_type.HasField("shape"):  # the oldest schemas infer nothing
            value.type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [None] * 4))
    return model_from_proto(proto)


def V(*shape):  # noqa: N802 - reads as a variable in the table
    return Changing(shape)


def gate(*shape):
    return Changing(shape, "gate")


def truth(*shape):
    return Changing(shape, "truth")


def level(*shape):
    return Changing(shape, "level")


def index(choices, *shape):
    return Changing(shape, "index", choices)


_rng = np.random.default_rng(20240607)


def C(*shape):  # noqa: N802 - reads as a constant in the table
    return _rng.normal(size=shape).astype(np.float32)


def P(*shape):  # noqa: N802 - a positive constant
    return (0.5 + _rng.random(size=shape)).astype(np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


def floats(*values):
    return np.array(values, dtype=np.float32)


def one(value):
    return np.array(value, dtype=np.float32)


TRUTHS = np.array([[True, False, True], [False, False, True]])
IMAGE = V(1, 2, 5, 6)

ELEMENTWISE = [
    Case("constant", "Add", (V(2, 3), C(3))),
    Case("constant first", "Add", (C(4, 1, 3), V(2, 3))),
    Case("two", "Add", (V(2, 1, 3), V(4, 1))),
    Case("constant", "Sub", (V(2, 3), C(2, 1))),
    Case("constant first", "Sub", (C(3), V(2, 3))),
    Case("two", "Sub", (V(3), V(2, 3))),
    Case("mixed", "Sum", (V(2, 3), C(3), V(1, 3)), versions=(8, 99)),
    Case("same shapes", "Sum", (V(2, 3), V(2, 3)), versions=(6, 7)),
    Case("one", "Sum", (V(2, 3),)),
    Case("mixed", "Mean", (V(2, 3), C(3), V(1, 3)), versions=(8, 99)),
    Case("same shapes", "Mean", (V(2, 3), C(2, 3)), versions=(6, 7)),
    Case("plain", "Neg", (V(2, 3),)),
    Case("constant", "Mul", (V(2, 3), C(3))),
    Case("constant first", "Mul", (C(4, 1, 3), V(2, 3))),
    Case("gate", "Mul", (gate(2, 3), V(2, 3))),
    Case("gate broadcast", "Mul", (V(2, 3), gate(2, 1))),
    Case("two gates", "Mul", (gate(3), gate(2, 3))),
    Case("constant", "Div", (V(2, 3), P(2, 1))),
    Case("plain", "Identity", (V(2, 3),)),
    Case("ratio attribute", "Dropout", (V(2, 3),), {"ratio": 0.4}, versions=(7, 10)),
    Case("ratio input", "Dropout", (V(2, 3), one(0.4)), versions=(12, 99)),
    Case("not training", "Dropout", (V(2, 3), one(0.4), np.array(False)), {"seed": 1}, versions=(12, 99)),
    Case("mask", "Dropout", (V(2, 3),), versions=(12, 99), outputs=2),
    Case("changing condition", "Where", (truth(2, 3), V(3), V(2, 1))),
    Case("changing condition, constants", "Where", (truth(2, 3), C(3), one(0.5))),
    Case("one branch changes", "Where", (TRUTHS, V(3), C(2, 3))),
    Case("other branch changes", "Where", (TRUTHS, C(4, 1, 1), V(2, 1))),
    Case("both branches change", "Where", (TRUTHS, V(2, 3), V(4, 1, 3))),
]

ACTIVATION = [
    Case("plain", "Relu", (V(2, 3),)),
    Case("default", "LeakyRelu", (V(2, 3),)),
    Case("steep", "LeakyRelu", (V(2, 3),), {"alpha": 1.5}),
    Case("folded", "LeakyRelu", (V(2, 3),), {"alpha": -0.3}),
    Case("per channel", "PRelu", (V(1, 2, 3, 2), C(2, 1, 1))),
    Case("from the right", "PRelu", (V(1, 2, 3, 3), C(3))),
    Case("one slope", "PRelu", (V(2, 3), C(1))),
    Case("plain", "Abs", (V(2, 3),)),
    Case("default", "HardSigmoid", (V(2, 3),)),
    Case("falling", "HardSigmoid", (V(2, 3),), {"alpha": -0.7, "beta": 0.3}),
    Case("flat", "HardSigmoid", (V(2, 3),), {"alpha": 0.0, "beta": 0.3}),
    Case("attributes", "Clip", (V(2, 3),), {"min": -0.5, "max": 0.7}, versions=(6, 6)),
    Case("attribute min", "Clip", (V(2, 3),), {"min": -0.5}, versions=(6, 6)),
    Case("attribute max", "Clip", (V(2, 3),), {"max": 0.7}, versions=(6, 6)),
    Case("no attributes", "Clip", (V(2, 3),), versions=(6, 6)),
    Case("inputs", "Clip", (V(2, 3), one(-0.5), one(0.7)), versions=(11, 99)),
    Case("min", "Clip", (V(2, 3), one(-0.5)), versions=(11, 99)),
    Case("max", "Clip", (V(2, 3), None, one(0.7)), versions=(11, 99)),
    Case("no inputs", "Clip", (V(2, 3),), versions=(11, 99)),
    *(
        case
        for op in ("Max", "Min")
        for case in (
            Case("constant", op, (V(2, 3), C(3)), versions=(8, 99)),
            Case("two constants", op, (C(2, 3), V(2, 3), C(3)), versions=(8, 99)),
            Case("same shapes", op, (V(2, 3), C(2, 3), V(2, 3))),
            Case("two", op, (V(2, 3), V(2, 1)), versions=(8, 99)),
            Case("five", op, (V(2), V(2), V(2), V(2), V(2))),
            Case("grows by a constant", op, (V(3), C(2, 3)), versions=(8, 99)),
            Case("two and a constant", op, (V(2, 3), C(2, 3), V(2, 3))),
            Case("one", op, (V(2, 3),)),
        )
    ),
]

COMPARISON = [
    *(
        case
        for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
        for case in (
            Case("constant", op, (V(2, 3), one(0.2))),
            Case("zero", op, (V(2, 3), one(0.0))),
            Case("two", op, (V(2, 3), V(3))),
        )
    ),
    Case("zero", "Equal", (V(2, 3), one(0.0)), versions=(11, 99)),
    Case("truth values", "Equal", (truth(2, 3), truth(3))),
    Case("indices", "Equal", (index(3, 4), ints(1))),
    Case("plain", "Not", (truth(2, 3),)),
    *(
        case
        for op in ("And", "Or", "Xor")
        for case in (
            Case("two", op, (truth(2, 3), truth(3))),
            Case("constant", op, (truth(2, 3), TRUTHS)),
        )
    ),
]

MATRICES = [
    *(
        Case(f"{len(left)}-D by {len(right)}-D, {side} changes", "MatMul", inputs)
        for left, right in (
            ((4,), (4,)),
            ((4,), (4, 3)),
            ((4,), (2, 4, 3)),
            ((4,), (2, 1, 4, 3)),
            ((3, 4), (4,)),
            ((3, 4), (4, 2)),
            ((3, 4), (2, 4, 2)),
            ((3, 4), (2, 3, 4, 2)),
            ((2, 3, 4), (4,)),
            ((2, 3, 4), (4, 2)),
            ((2, 3, 4), (1, 4, 2)),
            ((2, 3, 4), (3, 1, 4, 2)),
            ((3, 1, 2, 4), (4,)),
            ((3, 1, 2, 4), (4, 2)),
            ((3, 1, 2, 4), (2, 4, 2)),
            ((3, 1, 2, 4), (1, 2, 4, 2)),
        )
        for side, inputs in (("left", (V(*left), C(*right))), ("right", (C(*left), V(*right))))
    ),
    Case("gates", "MatMul", (V(2, 3), gate(3, 2))),
    Case("gates first", "MatMul", (gate(2, 3), V(4, 3, 2))),
    Case("gate vector", "MatMul", (gate(3), V(4, 3, 2))),
    Case("plain", "Gemm", (V(2, 3), C(3, 4), C(4))),
    Case("scaled", "Gemm", (V(2, 3), C(3, 4), C(2, 1)), {"alpha": 0.5, "beta": -2.0}),
    Case("transposed", "Gemm", (V(3, 2), C(4, 3), C(2, 4)), {"transA": 1, "transB": 1}),
    Case("transB", "Gemm", (V(2, 3), C(4, 3), one(0.3)), {"transB": 1}),
    Case("no addend", "Gemm", (V(2, 3), C(3, 4)), versions=(11, 99)),
    Case("B changes", "Gemm", (C(2, 3), V(3, 4), C(1, 4)), {"alpha": 0.5}),
    Case("B changes, transposed", "Gemm", (C(3, 2), V(4, 3), C(4)), {"transA": 1, "transB": 1}),
    Case("gates", "Gemm", (gate(2, 3), V(4, 3), C(4)), {"transB": 1, "alpha": 2.0}),
    Case("image", "BatchNormalization", (IMAGE, C(2), C(2), C(2), P(2)), versions=(7, 99)),
    Case("epsilon", "BatchNormalization", (V(3, 2), C(2), C(2), C(2), P(2)), {"epsilon": 0.1}),
    Case("volume", "BatchNormalization", (V(1, 2, 2, 3, 2), C(2), C(2), C(2), P(2))),
]

CONVOLUTION = [
    Case("1-D", "Conv", (V(1, 2, 7), C(3, 2, 3), C(3))),
    Case("2-D", "Conv", (IMAGE, C(3, 2, 3, 3), C(3)), {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}),
    Case("3-D", "Conv", (V(1, 2, 3, 4, 3), C(2, 2, 2, 2, 2)), {"strides": [1, 2, 1]}),
    Case("no bias", "Conv", (IMAGE, C(3, 2, 1, 1))),
    Case("bias left out", "Conv", (IMAGE, C(3, 2, 2, 2), None)),
    Case("two images", "Conv", (V(2, 2, 4, 4), C(3, 2, 3, 3), C(3))),
    Case("pads on every side", "Conv", (IMAGE, C(2, 2, 3, 2)), {"pads": [0, 1, 2, 3]}),
    Case("strides", "Conv", (IMAGE, C(2, 2, 3, 2)), {"strides": [2, 3], "pads": [1, 0, 1, 0]}),
    Case("dilations", "Conv", (V(1, 2, 7, 8), C(2, 2, 3, 2)), {"dilations": [2, 3], "pads": [1, 0, 2, 0]}),
    Case("same upper", "Conv", (IMAGE, C(2, 2, 2, 4), C(2)), {"auto_pad": "SAME_UPPER"}),
    Case("same lower", "Conv", (IMAGE, C(2, 2, 2, 4), C(2)), {"auto_pad": "SAME_LOWER"}),
    Case("same strides", "Conv", (IMAGE, C(2, 2, 4, 3)), {"auto_pad": "SAME_UPPER", "strides": [2, 4]}),
    Case("valid", "Conv", (IMAGE, C(2, 2, 3, 3)), {"auto_pad": "VALID", "strides": [2, 2]}),
    Case("groups", "Conv", (V(1, 4, 4, 4), C(6, 2, 3, 3), C(6)), {"group": 2}),
    Case("depthwise", "Conv", (V(2, 3, 4, 4), C(3, 1, 3, 2), C(3)), {"group": 3, "strides": [1, 2]}),
    Case("depthwise, two each", "Conv", (V(1, 3, 4, 4), C(6, 1, 3, 2), C(6)), {"group": 3}),
    Case("1-D", "ConvTranspose", (V(1, 2, 4), C(2, 3, 3), C(3)), {"strides": [2]}),
    Case("2-D", "ConvTranspose", (V(1, 2, 3, 4), C(2, 3, 3, 3), C(3)), {"strides": [2, 1]}),
    Case("3-D", "ConvTranspose", (V(1, 2, 2, 3, 2), C(2, 1, 2, 2, 3)), {"strides": [1, 2, 1]}),
    Case("pads", "ConvTranspose", (V(1, 2, 3, 4), C(2, 3, 3, 4)), {"strides": [2, 2], "pads": [0, 1, 2, 1]}),
    Case("no kernel overlap", "ConvTranspose", (V(1, 2, 3, 2), C(2, 1, 2, 2), C(1)), {"strides": [3, 4]}),
    Case("dilations", "ConvTranspose", (V(1, 2, 3, 4), C(2, 2, 3, 2)), {"dilations": [2, 3]}),
    Case("groups", "ConvTranspose", (V(2, 4, 3, 3), C(4, 2, 2, 3), C(4)), {"group": 2, "strides": [2, 2]}),
    Case("depthwise", "ConvTranspose", (V(1, 3, 3, 3), C(3, 1, 2, 2)), {"group": 3, "strides": [2, 2]}),
    Case(
        "output padding",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3), C(2)),
        {"strides": [2, 3], "pads": [1, 1, 1, 1], "output_padding": [1, 2]},
    ),
    Case(
        "output shape",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3)),
        {"strides": [2, 3], "output_shape": [6, 7]},
        versions=(11, 99),
    ),
    Case(
        "output shape, upper",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3)),
        {"strides": [2, 3], "output_shape": [6, 7], "auto_pad": "SAME_UPPER"},
        versions=(11, 99),
    ),
    Case(
        "one more than there is",
        "ConvTranspose",
        (V(1, 2, 3, 3), C(2, 2, 3, 3), C(2)),
        {"strides": [3, 2], "output_shape": [10, 8]},
        versions=(11, 99),
    ),
    *(
        Case(
            f"{auto_pad}, {parity}",
            "ConvTranspose",
            (V(1, 2, 3, 4), C(2, 2, k, k)),
            {"auto_pad": auto_pad, "strides": [2, 2]},
            versions=(1 if parity == "even" or auto_pad == "VALID" else 11, 99),
        )
        for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
        for parity, k in (("even", 4), ("odd", 3))
    ),
]

POOLING = [
    *(
        case
        for op in ("MaxPool", "AveragePool")
        for case in (
            Case("1-D", op, (V(1, 2, 7),), {"kernel_shape": [3]}),
            Case("2-D", op, (IMAGE,), {"kernel_shape": [2, 3], "strides": [2, 1]}),
            Case("3-D", op, (V(1, 1, 3, 4, 3),), {"kernel_shape": [2, 2, 2]}),
            Case("pads", op, (IMAGE,), {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1]}),
            Case(
                "same upper",
                op,
                (IMAGE,),
                {"kernel_shape": [2, 3], "strides": [2, 4], "auto_pad": "SAME_UPPER"},
            ),
            Case("same lower", op, (IMAGE,), {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"}),
            Case("valid", op, (IMAGE,), {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "VALID"}),
            Case(
                "ceil",
                op,
                (IMAGE,),
                {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1},
                versions=(10, 99),
            ),
            Case(
                "ceil and pads",
                op,
                (V(1, 2, 5, 5),),
                {"kernel_shape": [3, 2], "strides": [3, 2], "ceil_mode": 1, "pads": [1, 0, 1, 1]},
                versions=(10, 99),
            ),
            Case(
                "ceil, last window dropped",
                op,
                (V(1, 1, 4, 4),),
                {"kernel_shape": [2, 3], "strides": [3, 4], "ceil_mode": 1, "pads": [1, 1, 1, 2]},
                versions=(10, 99),
            ),
            Case(
                "ceil, valid",
                op,
                (V(1, 1, 6, 4),),
                {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "auto_pad": "VALID"},
                versions=(10, 99),
            ),
            Case(
                "dilations",
                op,
                (V(1, 1, 6, 7),),
                {"kernel_shape": [2, 3], "dilations": [3, 2], "pads": [1, 0, 0, 1]},
                versions=(10 if op == "MaxPool" else 19, 99),
            ),
        )
    ),
    Case(
        "pads counted",
        "AveragePool",
        (IMAGE,),
        {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1], "count_include_pad": 1},
    ),
    Case(
        "same, pads counted",
        "AveragePool",
        (IMAGE,),
        {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER", "count_include_pad": 1},
    ),
    Case(
        "ceil, pads counted",
        "AveragePool",
        (V(1, 2, 5, 5),),
        {
            "kernel_shape": [3, 2],
            "strides": [3, 2],
            "ceil_mode": 1,
            "pads": [1, 0, 1, 1],
            "count_include_pad": 1,
        },
        versions=(19, 99),
    ),
    *(
        Case(f"{len(shape) - 2}-D", op, (V(*shape),))
        for op in ("GlobalAveragePool", "GlobalMaxPool")
        for shape in ((2, 2, 4), (1, 2, 3, 4), (1, 2, 2, 3, 2))
    ),
]

REDUCTION = [
    *(
        case
        for op, by_input in (("ReduceSum", 13), ("ReduceMean", 18), ("ReduceMax", 18), ("ReduceMin", 18))
        for case in (
            Case("all", op, (V(2, 3),)),
            Case("attribute", op, (V(2, 3, 4),), {"axes": [0, 2]}, versions=(1, by_input - 1)),
            Case(
                "attribute, axes dropped",
                op,
                (V(2, 3, 4),),
                {"axes": [1], "keepdims": 0},
                versions=(1, by_input - 1),
            ),
            Case("negative axis", op, (V(2, 3, 4),), {"axes": [-1]}, versions=(11, by_input - 1)),
            Case("input", op, (V(2, 3, 4), ints(0, -1)), versions=(by_input, 99)),
            Case("input, axes dropped", op, (V(2, 3, 4), ints(1)), {"keepdims": 0}, versions=(by_input, 99)),
            Case(
                "nothing named", op, (V(2, 3), ints()), {"noop_with_empty_axes": 1}, versions=(by_input, 99)
            ),
            Case("empty means all", op, (V(2, 3), ints()), {"keepdims": 0}, versions=(by_input, 99)),
        )
    ),
    *(
        case
        for op in ("ArgMax", "ArgMin")
        for case in (
            Case("first axis", op, (V(4, 3),)),
            Case("axis dropped", op, (V(2, 4, 2),), {"axis": 1, "keepdims": 0}),
            Case("last axis", op, (V(2, 5),), {"axis": -1}, versions=(11, 99)),
        )
    ),
]

MOVEMENT = [
    Case("plain", "Reshape", (V(2, 6), ints(3, 4))),
    Case("copy and infer", "Reshape", (V(2, 3, 4), ints(0, -1))),
    Case("to a number", "Reshape", (V(1, 1), np.array([], dtype=np.int64))),
    *(Case(f"axis {axis}", "Flatten", (V(2, 3, 4),), {"axis": axis}) for axis in (0, 1, 3)),
    Case("axis -1", "Flatten", (V(2, 3, 4),), {"axis": -1}, versions=(11, 99)),
    Case("all", "Squeeze", (V(1, 3, 1),)),
    Case("attribute", "Squeeze", (V(1, 3, 1),), {"axes": [2]}, versions=(1, 11)),
    Case("input", "Squeeze", (V(1, 3, 1), ints(-1)), versions=(13, 99)),
    Case("attribute", "Unsqueeze", (V(2, 3),), {"axes": [0, 3]}, versions=(1, 11)),
    Case("input", "Unsqueeze", (V(2, 3), ints(-1, 1)), versions=(13, 99)),
    Case("reversed", "Transpose", (V(2, 3, 4),)),
    Case("to channels last", "Transpose", (IMAGE,), {"perm": [0, 2, 3, 1]}),
    Case("two", "Concat", (V(2, 3), V(2, 2)), {"axis": 1}),
    Case("constants", "Concat", (C(1, 3), V(2, 3), C(2, 3)), {"axis": 0}),
    Case("negative axis", "Concat", (V(2, 3, 1), C(2, 3, 2)), {"axis": -1}, versions=(11, 99)),
    Case("one", "Concat", (V(2, 3),), {"axis": 0}),
    Case("both ways", "Expand", (V(3, 1), ints(2, 1, 4))),
    Case("to fewer axes", "Expand", (V(2, 3), ints(1))),
    Case("plain", "Tile", (V(2, 3), ints(2, 1))),
    Case("plain", "DepthToSpace", (V(1, 8, 2, 3),), {"blocksize": 2}),
    *(
        Case(mode, "DepthToSpace", (V(2, 8, 2, 3),), {"blocksize": 2, "mode": mode}, versions=(11, 99))
        for mode in ("DCR", "CRD")
    ),
    Case("plain", "SpaceToDepth", (V(2, 2, 4, 6),), {"blocksize": 2}),
    *(
        Case(mode, "SpaceToDepth", (V(2, 2, 4, 6),), {"blocksize": 2, "mode": mode}, versions=(28, 99))
        for mode in ("DCR", "CRD")
    ),
    Case("attribute", "Pad", (V(2, 3),), {"pads": [0, 1, 2, 3], "value": 0.7}, versions=(2, 2)),
    Case("attribute, no value", "Pad", (V(2, 3),), {"pads": [0, 1, 2, 3]}, versions=(2, 2)),
    *(
        Case(f"{mode} attribute", "Pad", (V(4, 3),), {"pads": [1, 2, 3, 1], "mode": mode}, versions=(2, 2))
        for mode in ("reflect", "edge")
    ),
    Case("input", "Pad", (V(2, 3), ints(0, 1, 2, 3)), versions=(11, 99)),
    Case("value", "Pad", (V(2, 3), ints(0, 1, 2, 3), one(-0.7)), versions=(11, 99)),
    Case("crop", "Pad", (V(4, 5), ints(-1, 2, 1, -3), one(0.3)), versions=(11, 99)),
    *(
        Case(
            mode,
            "Pad",
            (V(4, 3), ints(1, 2, 3, 1)),
            {"mode": mode},
            versions=(19 if mode == "wrap" else 11, 99),
        )
        for mode in ("reflect", "edge", "wrap")
    ),
    Case("axes", "Pad", (V(2, 3, 4), ints(1, 0, 2, 3), one(0.5), ints(-1, 0)), versions=(18, 99)),
    Case(
        "reflected axes",
        "Pad",
        (V(2, 3, 4), ints(2, 1), None, ints(1)),
        {"mode": "reflect"},
        versions=(18, 99),
    ),
]

SELECTION = [
    Case("equal", "Split", (V(2, 6),), {"axis": 1}, versions=(2, 13), outputs=3),
    Case("attribute", "Split", (V(5, 2),), {"split": [2, 3]}, versions=(2, 11), outputs=2),
    Case("input", "Split", (V(5, 2), ints(1, 4)), versions=(13, 99), outputs=2),
    Case(
        "number of outputs", "Split", (V(2, 5),), {"axis": -1, "num_outputs": 2}, versions=(18, 99), outputs=2
    ),
    Case("attributes", "Slice", (V(4, 6),), {"starts": [1, -4], "ends": [3, 99]}, versions=(1, 1)),
    Case("attribute axes", "Slice", (V(4, 6),), {"starts": [2], "ends": [-1], "axes": [1]}, versions=(1, 1)),
    Case("inputs", "Slice", (V(4, 6), ints(1, -4), ints(3, 99)), versions=(10, 99)),
    Case("steps", "Slice", (V(4, 7), ints(1), ints(6), ints(1), ints(2)), versions=(10, 99)),
    Case("backwards", "Slice", (V(4, 7), ints(-2), ints(-99), ints(1), ints(-2)), versions=(10, 99)),
    Case(
        "to the first",
        "Slice",
        (
            V(
                5,
            ),
            ints(2**40),
            ints(-(2**62)),
            ints(0),
            ints(-1),
        ),
        versions=(10, 99),
    ),
    Case("scalar index", "Gather", (V(4, 3), np.array(2, dtype=np.int64))),
    Case("negative indices", "Gather", (V(4, 3), ints(-1, 0, 2)), versions=(11, 99)),
    Case("second axis", "Gather", (V(2, 4, 2), ints(3, 0, 0).reshape(1, 3)), {"axis": 1}),
    Case("changing index", "Gather", (V(4, 3), index(4, 2))),
    Case("changing scalar index", "Gather", (V(2, 4), index(4)), {"axis": 1}),
    Case("changing index, second axis", "Gather", (V(2, 4), index(4, 3)), {"axis": 1}),
    Case("from a constant", "Gather", (C(2, 4, 3), index(4, 2, 2)), {"axis": 1}),
    Case("to double", "Cast", (V(2, 3),), {"to": TensorProto.DOUBLE}),
    Case("to float", "Cast", (truth(2, 3),), {"to": TensorProto.FLOAT}),
    Case("index to float", "Cast", (index(3, 4),), {"to": TensorProto.FLOAT}),
    Case("index to int32", "Cast", (index(3, 4),), {"to": TensorProto.INT32}),
    Case("gate to int64", "Cast", (gate(2, 3),), {"to": TensorProto.INT64}),
    Case("level to int64", "Cast", (level(2, 3),), {"to": TensorProto.INT64}),
    Case("to truth", "Cast", (V(2, 3),), {"to": TensorProto.BOOL}),
    Case("index to truth", "Cast", (index(3, 4),), {"to": TensorProto.BOOL}),
]

COORDINATES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
RESIZE = [
    Case("nearest", "Upsample", (V(1, 1, 2, 3),), {"scales": [1.0, 1.0, 2.0, 3.0]}, versions=(7, 7)),
    Case(
        "linear",
        "Upsample",
        (V(1, 1, 2, 3),),
        {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "linear"},
        versions=(7, 7),
    ),
    Case("nearest input", "Upsample", (V(1, 1, 2, 3), floats(1, 1, 2, 3)), versions=(9, 9)),
    Case(
        "linear input", "Upsample", (V(1, 1, 2, 3), floats(1, 1, 2, 3)), {"mode": "linear"}, versions=(9, 9)
    ),
    Case("nearest", "Resize", (V(1, 1, 2, 3), floats(1, 1, 2, 1.5)), versions=(10, 10)),
    Case("linear", "Resize", (V(1, 1, 2, 3), floats(1, 1, 2, 1.5)), {"mode": "linear"}, versions=(10, 10)),
    *(
        Case(
            f"{mode} {coordinates} {what}",
            "Resize",
            (V(1, 1, 3, 4), floats(), *how),
            {"mode": mode, "coordinate_transformation_mode": coordinates},
            versions=(11, 99),
        )
        for mode in ("nearest", "linear", "cubic")
        for coordinates in COORDINATES
        for what, how in (
            ("up", (floats(), ints(1, 1, 5, 6))),
            ("down", (floats(), ints(1, 1, 2, 3))),
            ("to one", (floats(), ints(1, 1, 1, 1))),
            ("by two", (floats(1, 1, 2, 2),)),
        )
    ),
    *(
        Case(
            f"{rounding} {coordinates} {'down' if length < 8 else 'up'}",
            "Resize",
            (V(1, 1, 1, 8), floats(), floats(), ints(1, 1, 1, length)),
            {"nearest_mode": rounding, "coordinate_transformation_mode": coordinates},
            versions=(11, 99),
        )
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        for coordinates in ("half_pixel", "asymmetric")
        for length in (3, 16)
    ),
    Case(
        "symmetric",
        "Resize",
        (V(1, 1, 3, 5), None, floats(1, 1, 1.5, 0.7)),
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"},
        versions=(19, 99),
    ),
    Case(
        "fractional scale",
        "Resize",
        (V(1, 1, 5, 7), floats(), floats(1, 1, 1.3, 0.6)),
        {"mode": "linear"},
        versions=(11, 99),
    ),
    Case(
        "rounded in float32",
        "Resize",
        (V(1, 1, 1, 10), floats(), floats(1, 1, 1, 0.7)),
        {"mode": "linear"},
        versions=(11, 99),
    ),
    Case(
        "cubic coefficient",
        "Resize",
        (V(1, 1, 4, 4), floats(), floats(1, 1, 1.5, 0.8)),
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
        versions=(11, 99),
    ),
    Case(
        "axes",
        "Resize",
        (V(1, 2, 3, 4), None, None, ints(6, 5)),
        {"mode": "linear", "axes": [-1, 2]},
        versions=(18, 99),
    ),
    Case("axes, scales", "Resize", (V(1, 2, 3, 4), None, floats(2, 3)), {"axes": [2, 3]}, versions=(18, 99)),
]

CASES = [
    *ELEMENTWISE,
    *ACTIVATION,
    *COMPARISON,
    *MATRICES,
    *CONVOLUTION,
    *POOLING,
    *REDUCTION,
    *MOVEMENT,
    *SELECTION,
    *RESIZE,
]

SMOOTH_OPS = ("Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Erf", "Softplus", "Elu", "HardSwish")
SMOOTH = [
    *(Case("of levels", op, (level(2, 3),)) for op in SMOOTH_OPS),
    Case("scaled", "Elu", (level(2, 3),), {"alpha": 0.3}),
    *(
        case
        for op in ("Softmax", "LogSoftmax")
        for case in (
            Case("default", op, (level(2, 3, 2),)),
            Case("axis 2", op, (level(2, 2, 3),), {"axis": 2}),
            Case("axis -2", op, (level(2, 2, 3),), {"axis": -2}, versions=(11, 99)),
        )
    ),
    Case("by a level", "Div", (C(2, 3), level(2, 3))),
]
"""Functions that are not piecewise linear are exact where their input is constant on pieces."""
