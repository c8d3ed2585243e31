"""Fused ops of onnxruntime in plain form, for the analysis: the runtime itself is given the file as it is.

What is not written out here (masks, caches, quantised kernels ...) stays, and is told by name where needed.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "com.microsoft"
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
NORMALISED = 17  # the opset from which on LayerNormalization is one of the standard's
SPLIT_BY_INPUT = 13  # ... and Split takes its sizes as an input
PART = "/plain_"  # between the name of a fused node's output and that of a tensor in front of it
EPSILON = 1e-12  # of SkipLayerNormalization
QUICK = 1.702  # of QuickGelu


@dataclass(kw_only=True)
class Writer:
    """Writes the plain nodes of one fused node; their tensors are named after its first output."""

    node: onnx.NodeProto
    kind: int
    opset: int
    ranks: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    @property
    def inputs(self) -> list[str]:
        """Names; "" for what is left out."""
        return [*self.node.input, *[""] * 16][:16]

    def attribute(self, name: str, default: Any = None) -> Any:
        return next((helper.get_attribute_value(a) for a in self.node.attribute if a.name == name), default)

    def only(self, inputs: int, outputs: int = 1, attributes: tuple[str, ...] = ()) -> bool:
        """Whether nothing is given beside the first inputs, outputs and some attributes."""
        known = {a.name for a in self.node.attribute} <= set(attributes)
        return known and not any(self.node.input[inputs:]) and not any(self.node.output[outputs:])

    def add(self, op: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        name = output or f"{self.node.output[0]}{PART}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def number(self, value: float) -> str:
        """A constant of the model's element type."""
        made = helper.make_tensor("value", TensorProto.FLOAT, (), [value])
        kind = helper.tensor_dtype_to_np_dtype(self.kind)
        cast = numpy_helper.from_array(numpy_helper.to_array(made).astype(kind))
        return self.add("Constant", [], value=cast)

    def whole(self, *values: int) -> str:
        return self.add("Constant", [], value=numpy_helper.from_array(np.array(values, np.int64)))

    def sum(self, *names: str) -> str:
        """Of those that are given."""
        given = [name for name in names if name]
        total = given[0]
        for name in given[1:]:
            total = self.add("Add", [total, name])
        return total

    def done(self, name: str) -> list[onnx.NodeProto]:
        """The nodes, the last of which gives the fused node's first output and has its name."""
        last = self.nodes[-1]
        if last.output[0] != name:
            raise ValueError("the result is not the last tensor")
        last.output[0], last.name = self.node.output[0], self.node.name
        return self.nodes


Plain = Callable[[Writer], list[onnx.NodeProto] | None]


def is_part(file: onnx.ModelProto, name: str) -> bool:
    """Whether a tensor stands in the plain form of a fused node of a file's own graph."""
    output, found, _ = name.rpartition(PART)
    made = (output in node.output for node in file.graph.node if node.domain == DOMAIN)
    return bool(found) and any(made)


def _gelu(w: Writer, x: str) -> str:
    """x times the normal distribution function."""
    inner = w.add("Erf", [w.add("Mul", [x, w.number(math.sqrt(0.5))])])
    half = w.add("Mul", [x, w.number(0.5)])
    return w.add("Mul", [half, w.add("Add", [inner, w.number(1.0)])])


def gelu(w: Writer) -> list[onnx.NodeProto] | None:
    return w.done(_gelu(w, w.inputs[0])) if w.only(1) else None


def bias_gelu(w: Writer) -> list[onnx.NodeProto] | None:
    return w.done(_gelu(w, w.sum(*w.inputs[:2]))) if w.only(2) else None


def fast_gelu(w: Writer) -> list[onnx.NodeProto] | None:
    """The approximation by a hyperbolic tangent."""
    if not w.only(2):
        return None
    x = w.sum(*w.inputs[:2])
    square = w.add("Mul", [w.add("Mul", [x, x]), w.number(0.044715)])
    grown = w.add("Mul", [x, w.add("Add", [square, w.number(1.0)])])
    bent = w.add("Tanh", [w.add("Mul", [grown, w.number(math.sqrt(2 / math.pi))])])
    half = w.add("Mul", [x, w.number(0.5)])
    return w.done(w.add("Mul", [half, w.add("Add", [bent, w.number(1.0)])]))


def quick_gelu(w: Writer) -> list[onnx.NodeProto] | None:
    if not w.only(1, attributes=("alpha",)):
        return None
    x = w.inputs[0]
    gate = w.add("Sigmoid", [w.add("Mul", [x, w.number(w.attribute("alpha", QUICK))])])
    return w.done(w.add("Mul", [x, gate]))


def fused_matmul(w: Writer) -> list[onnx.NodeProto] | None:
    """A product of transposed, scaled matrices."""
    if not w.only(2, attributes=("alpha", "transA", "transB", "transBatchA", "transBatchB")):
        return None
    if w.attribute("transBatchA", 0) or w.attribute("transBatchB", 0):
        return None
    a, b, swap_a, swap_b = *w.inputs[:2], w.attribute("transA", 0), w.attribute("transB", 0)
    if swap_a or swap_b:
        first, second = "...ji" if swap_a else "...ij", "...kj" if swap_b else "...jk"
        product = w.add("Einsum", [a, b], equation=f"{first},{second}->...ik")
    else:
        product = w.add("MatMul", [a, b])
    alpha = w.attribute("alpha", 1.0)
    return w.done(product if alpha == 1.0 else w.add("Mul", [product, w.number(alpha)]))


def _activated(w: Writer, x: str, name: str, numbers: list[float]) -> str | None:
    """An activation by the name and numbers that a fused node has; None if it is none of these."""
    match name, numbers:
        case (("Relu" | "Tanh" | "Sigmoid"), _):
            return w.add(name, [x])
        case "LeakyRelu", [alpha, *_]:
            return w.add(name, [x], alpha=alpha)
        case "HardSigmoid", [alpha, beta, *_]:
            return w.add(name, [x], alpha=alpha, beta=beta)
        case "Clip", [low, high, *_] if w.opset >= 11:
            return w.add(name, [x, w.number(low), w.number(high)])
    return None


def fused_conv(w: Writer) -> list[onnx.NodeProto] | None:
    """A convolution, what is added to it, an activation."""
    if any(w.node.input[4:]) or any(w.node.output[1:]):
        return None
    own = ("activation", "activation_params")
    kept = {a.name: helper.get_attribute_value(a) for a in w.node.attribute if a.name not in own}
    inputs = [name for name in w.inputs[:3] if name]
    y = w.sum(w.add("Conv", inputs, **kept), w.inputs[3])
    name = w.attribute("activation", b"").decode()
    made = _activated(w, y, name, list(w.attribute("activation_params", []))) if name else y
    return None if made is None else w.done(made)


def fused_gemm(w: Writer) -> list[onnx.NodeProto] | None:
    kept = {
        a.name: helper.get_attribute_value(a) for a in w.node.attribute if not a.name.startswith("activation")
    }
    y = w.add("Gemm", [name for name in w.inputs[:3] if name], **kept)
    numbers = [w.attribute(f"activation_{part}") for part in ("alpha", "beta", "gamma")]
    name = w.attribute("activation", b"").decode()
    made = _activated(w, y, name, [number for number in numbers if number is not None]) if name else y
    return None if made is None or not w.only(3, 1, tuple(a.name for a in w.node.attribute)) else w.done(made)


def skip_layer_normalization(w: Writer) -> list[onnx.NodeProto] | None:
    """A sum, normalised; the sum itself may be an output as well."""
    if w.opset < NORMALISED or any(w.node.input[5:]) or any(w.node.output[1:3]):
        return None
    x, skip, gamma, beta, bias = w.inputs[:5]
    total = w.sum(x, bias, skip)
    if len(w.node.output) > 3 and w.node.output[3]:
        total = w.add("Identity", [total], w.node.output[3])
    given = [name for name in (total, gamma, beta) if name]
    epsilon = w.attribute("epsilon", EPSILON)
    return w.done(w.add("LayerNormalization", given, axis=-1, epsilon=epsilon))


def attention(w: Writer) -> list[onnx.NodeProto] | None:
    """Self-attention with its projections; no mask and no cache."""
    x, weights, bias, mask, past, added = w.inputs[:6]
    kept = ("num_heads", "scale", "unidirectional", "mask_filter_value")
    if mask or past or not w.only(6, attributes=kept) or w.attribute("unidirectional", 0):
        return None
    shape = w.shapes.get(weights, ())
    if w.opset < SPLIT_BY_INPUT or len(shape) != 2 or shape[1] % 3:
        return None
    packed = w.sum(w.add("MatMul", [x, weights]), bias)
    sizes = w.whole(*[shape[1] // 3] * 3)
    parts = [f"{w.node.output[0]}{PART}{part}" for part in ("query", "key", "value")]
    w.nodes.append(helper.make_node("Split", [packed, sizes], parts, axis=-1))
    heads = w.attribute("num_heads")
    scale = w.attribute("scale", 0.0) or 1 / math.sqrt(shape[1] // 3 // heads)
    return w.done(_mixed(w, parts, heads, w.number(scale), added))


def multi_head_attention(w: Writer) -> list[onnx.NodeProto] | None:
    """Attention of projected queries, keys and values; no mask and no cache."""
    *projected, bias, mask, added = w.inputs[:6]
    kept = ("num_heads", "scale", "unidirectional", "mask_filter_value")
    if mask or not w.only(6, attributes=kept) or w.attribute("unidirectional", 0):
        return None
    if w.opset < SPLIT_BY_INPUT or any(w.ranks.get(name) != 3 for name in projected):
        return None  # packed, or split into heads already
    if bias:
        length = w.shapes.get(bias, ())
        if len(length) != 1 or length[0] % 3:
            return None
        parts = [f"{w.node.output[0]}{PART}bias_{i}" for i in range(3)]
        w.nodes.append(helper.make_node("Split", [bias, w.whole(*[length[0] // 3] * 3)], parts, axis=0))
        projected = [w.sum(x, part) for x, part in zip(projected, parts, strict=True)]
    heads, given = w.attribute("num_heads"), w.attribute("scale", 0.0)
    scale = w.number(given) if given else _by_size(w, projected[0], heads)
    return w.done(_mixed(w, projected, heads, scale, added))


def _by_size(w: Writer, query: str, heads: int) -> str:
    """One over the root of the size of a head."""
    width = w.add("Gather", [w.add("Shape", [query]), w.whole(-1)], axis=0)
    size = w.add("Cast", [w.add("Div", [width, w.whole(heads)])], to=w.kind)
    return w.add("Reciprocal", [w.add("Sqrt", [size])])


def _mixed(w: Writer, parts: list[str], heads: int, scale: str, added: str) -> str:
    """Softmax of the scaled products of queries and keys, times the values."""
    orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    split = w.whole(0, 0, heads, -1)
    query, key, value = (
        w.add("Transpose", [w.add("Reshape", [part, split])], perm=order)
        for part, order in zip(parts, orders, strict=True)
    )
    scores = w.sum(w.add("Mul", [w.add("MatMul", [query, key]), scale]), added)
    mixed = w.add("MatMul", [w.add("Softmax", [scores], axis=-1), value])
    joined = w.add("Transpose", [mixed], perm=[0, 2, 1, 3])
    return w.add("Reshape", [joined, w.whole(0, 0, -1)])


PLAIN: Mapping[str, Plain] = {
    "Gelu": gelu,
    "BiasGelu": bias_gelu,
    "FastGelu": fast_gelu,
    "QuickGelu": quick_gelu,
    "FusedMatMul": fused_matmul,
    "FusedConv": fused_conv,
    "FusedGemm": fused_gemm,
    "SkipLayerNormalization": skip_layer_normalization,
    "Attention": attention,
    "MultiHeadAttention": multi_head_attention,
}


def unfused(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model itself, or a copy in which fused nodes are written out as far as they can be.

    Parameters
    ----------
    proto : ModelProto
    opset : int
        Its version of the standard op set.
    """
    if not any(_is_fused(node) for node in proto.graph.node):
        return proto
    kinds = {t.data_type for t in proto.graph.initializer if t.data_type in FLOATS}
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    if all(imported.domain != DOMAIN for imported in copy.opset_import):
        copy.opset_import.append(helper.make_opsetid(DOMAIN, 1))  # runtimes don't ask for it
    if len(kinds) != 1:
        return copy  # constants would be of a type that nobody tells
    (kind,) = kinds
    while any(_is_fused(node) for node in copy.graph.node):
        shapes = _shapes(copy)
        nodes, changed = list[onnx.NodeProto](), False
        for node in copy.graph.node:
            made = _written_out(node, kind, opset, shapes) if _is_fused(node) else None
            changed |= made is not None
            nodes += [node] if made is None else made
        if not changed:
            break
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del copy.graph.node[:]
        copy.graph.node.extend(kept)
    return copy


def _is_fused(node: onnx.NodeProto) -> bool:
    return node.domain == DOMAIN and node.op_type in PLAIN and bool(node.output) and bool(node.output[0])


def _written_out(
    node: onnx.NodeProto, kind: int, opset: int, shapes: Mapping[str, tuple[int, ...]]
) -> list[onnx.NodeProto] | None:
    ranks = {name: len(shape) for name, shape in shapes.items()}
    writer = Writer(node=node, kind=kind, opset=opset, ranks=ranks, shapes=shapes)
    return PLAIN[node.op_type](writer)


def _shapes(proto: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes that are stored or can be inferred; a free size is 0."""
    small = onnx.ModelProto()
    small.CopyFrom(proto)
    stored = {t.name: tuple(t.dims) for t in proto.graph.initializer}
    try:
        inferred = onnx.shape_inference.infer_shapes(small)
    except Exception:  # a library of C++, whose errors have no common class: nothing more is known
        inferred = proto
    return {**dict(_declared(inferred.graph)), **stored}


def _declared(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            yield value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
