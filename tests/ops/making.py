"""How a small case of an op becomes a model.

A case becomes a model whose input `x` of shape (1, 6) is turned into every changing input of the op by a
random affine map, with or without kinks behind it. A line in `x` gives a line, or a bent one, in every input.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnx_si.ops  # noqa: F401 - registers every handler
from onnx_si.graph import model_from_proto
from onnx_si.rules.registry import registered

FEATURES = 6
LEVELS = {"gate": 0.0, "level": 0.5, "small": -0.6, "large": 1.1}
NEWEST = onnx.defs.onnx_opset_version()
REVIEWED = 28  # the opset up to which every schema was read; a newer version of an op is refused
CLASSIC = "ai.onnx.ml"
HANDLERS = {handler.op: handler for handler in registered() if handler.domain in ("", CLASSIC)}
CLASSIC_OPS = {handler.op for handler in registered() if handler.domain == CLASSIC}


@dataclass(frozen=True)
class Changing:
    """An input that changes along the line.

    `kind` is `value`, or one that only jumps: `gate` (0.0 or 1.0), another of `LEVELS` (one more than its
    number, or the number), `truth`, or below `choices`: `index`, or `byte` (unsigned, in 8 bits).
    """

    shape: tuple[int, ...]
    kind: str = "value"
    choices: int = 0


@dataclass(frozen=True)
class Case:
    """One use of an op; `versions` are the first and last schema version that inputs and attributes fit.

    An op's domain follows from its name: no op is in both domains.
    """

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
        oldest = 1 if self.domain else 7
        return [max(v, oldest) for v in effective_versions(self.op) if first <= v <= last]

    @property
    def domain(self):
        return CLASSIC if self.op in CLASSIC_OPS else ""


@cache
def _history():
    versions = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == (CLASSIC if schema.name in CLASSIC_OPS else "") and not schema.deprecated:
            versions.setdefault(schema.name, []).append(schema.since_version)
    return {name: sorted(found) for name, found in versions.items()}


def effective_versions(op):
    """Schema versions of an op that a supported opset can have: all that are not deprecated in ai.onnx.ml."""
    found = _history()[op]
    if op in CLASSIC_OPS:
        return [v for v in found if (op, v) != ("LabelEncoder", 1)]  # to or from strings always
    later = [*found[1:], NEWEST + 1]
    return [v for v, next_ in zip(found, later, strict=True) if next_ > 7 and v <= REVIEWED]


def _changing_input(graph, rng, name, wanted, bent):
    """Nodes that turn `x` into one changing input of the op."""
    nodes, constants = graph
    shape = (*wanted.shape, wanted.choices) if wanted.choices else wanted.shape
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
    if wanted.choices:
        chosen = node("ArgMax", [tensor], "index", axis=len(shape) - 1, keepdims=0)
        return chosen if wanted.kind == "index" else node("Cast", [chosen], "byte", to=TensorProto.UINT8)
    if wanted.kind == "value":
        return tensor
    truth = node("Greater", [tensor, constant(np.float32(0.1), "level")], "truth")
    if wanted.kind == "truth":
        return truth
    gated = node("Cast", [truth], "gate", to=TensorProto.FLOAT)
    least = constant(np.float32(LEVELS[wanted.kind]), "least")
    return gated if wanted.kind == "gate" else node("Add", [gated, least], "least_or_more")


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
    nodes.append(
        helper.make_node(case.op, names, outputs, name="tested", domain=case.domain, **case.attributes)
    )
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FEATURES])],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        constants,
    )
    opsets = [helper.make_opsetid("", 17 if case.domain else opset)]
    opsets += [helper.make_opsetid(case.domain, opset)] if case.domain else []
    version = max(8, helper.find_min_ir_version_for(opsets))
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=version)
    proto = onnx.shape_inference.infer_shapes(proto)
    for value in proto.graph.output:
        kind = value.type.WhichOneof("value") or "tensor_type"
        # the oldest schemas infer nothing
        if kind == "tensor_type" and not value.type.tensor_type.HasField("shape"):
            element = value.type.tensor_type.elem_type or TensorProto.FLOAT
            value.type.CopyFrom(helper.make_tensor_type_proto(element, None))
            value.type.tensor_type.shape.SetInParent()
    return model_from_proto(proto)


def V(*shape):  # noqa: N802 - reads as a variable in the table
    return Changing(shape)


def gate(*shape):
    return Changing(shape, "gate")


def truth(*shape):
    return Changing(shape, "truth")


def level(*shape):
    return Changing(shape, "level")


def small(*shape):
    return Changing(shape, "small")


def large(*shape):
    return Changing(shape, "large")


def index(choices, *shape):
    return Changing(shape, "index", choices)


def byte(*shape):
    return Changing(shape, "byte", 12)


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
