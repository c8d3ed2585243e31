"""What every node of a file must be before anything runs: arity, kinds of attributes, names, sizes.

The checker of the ONNX package looks at some of this only, and its shape inference, which is native code,
trusts the rest: what it dies of is refused first (`survivable.py`).
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from onnx_si.errors import UnsupportedModel
from onnx_si.graph.dag import is_copy, subgraphs
from onnx_si.graph.survivable import MOST_AXES, STANDARD, Malformed, plain, require_survivable
from onnx_si.ground.terminal import shown

ELEMENT_TYPES = frozenset(onnx.TensorProto.DataType.values())
TYPE_ATTRIBUTES = frozenset(("to", "dtype", "output_dtype", "output_datatype", "stash_type"))
"""Attributes that hold an element type."""

SINGLE = {"If": 1, "Loop": 2}
"""Ops of which so many first inputs are one number."""

Key = tuple[str, str]
Opsets = Mapping[str, int]


def require_well_formed(proto: onnx.ModelProto, where: str) -> None:
    """Refuse a model that breaks the specification where the checker does not look, or native code would die.

    Raises
    ------
    UnsupportedModel
        With the node and what is wrong.
    """
    try:
        _Reader(proto).read()
    except Malformed as problem:
        raise UnsupportedModel(
            f"{where}: breaks the ONNX specification ({problem}); export it again"
        ) from problem


class _Reader:
    """Goes through a model once."""

    def __init__(self, proto: onnx.ModelProto):
        self._proto = proto
        self._functions = {(f.domain, f.name): f for f in proto.functions}
        self._sizes = dict[str, int]()  # of stored tensors
        self._false = set[str]()  # stored conditions that don't hold, so that a loop does not begin

    def read(self) -> None:
        opsets = {plain(o.domain): o.version for o in self._proto.opset_import}
        self._graph(self._proto.graph, [], opsets, None)
        for function in self._proto.functions:
            own = {plain(o.domain): o.version for o in function.opset_import}
            given = {*function.attribute, *(a.name for a in function.attribute_proto)}
            made = {name for node in function.node for name in node.output}
            scopes = [set(function.input), made]
            self._nodes(function.node, scopes, {**opsets, **own}, given)
            _require_made(function.output, scopes, f"function '{shown(function.name)}'")

    def _graph(
        self, graph: onnx.GraphProto, outer: list[set[str]], opsets: Opsets, given: set[str] | None
    ) -> None:
        for value in (*graph.input, *graph.output, *graph.value_info):
            _require_type(value)
        stored = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
        self._sizes |= {t.name: math.prod(t.dims) for t in graph.initializer}
        self._false |= {t.name for t in graph.initializer if _is_false(t)}
        made = {name for node in graph.node for name in node.output}
        scopes = [*outer, stored | {value.name for value in graph.input}, made]
        self._nodes(graph.node, scopes, opsets, given)
        _require_made([value.name for value in graph.output], scopes, "the graph")

    def _nodes(
        self, nodes: Sequence[onnx.NodeProto], scopes: list[set[str]], opsets: Opsets, given: set[str] | None
    ) -> None:
        for node in nodes:
            try:
                for name in node.input:
                    if name and not any(name in scope for scope in scopes):
                        raise Malformed(f"it reads '{shown(name)}', which nothing makes")
                self._node(node, opsets, given)
                self._require_single(node)
            except Malformed as problem:
                raise Malformed(f"node {called(node)}: {problem}") from problem
            for graph in subgraphs(node):
                self._graph(graph, scopes, opsets, given)

    def _require_single(self, node: onnx.NodeProto) -> None:
        """A condition and a number of turns that are stored hold one number: onnxruntime reads it unasked."""
        if node.op_type == "Constant" and node.output and node.attribute and node.attribute[0].HasField("t"):
            self._sizes[node.output[0]] = math.prod(node.attribute[0].t.dims)
        for name in node.input[: SINGLE.get(node.op_type, 0) if node.domain in STANDARD else 0]:
            if self._sizes.get(name, 1) != 1:
                raise Malformed(
                    f"its input '{shown(name)}' holds {self._sizes[name]} values, and must hold one"
                )
        begins = node.input[1] if len(node.input) > 1 else ""
        if _never_ends(node) and (not begins or begins in self._sizes.keys() - self._false):
            raise Malformed("it has no number of turns and never changes its condition: it would not end")

    def _node(self, node: onnx.NodeProto, opsets: Opsets, given: set[str] | None) -> None:
        _require_attributes(node, given)
        function = self._functions.get((node.domain, node.op_type))
        if function is not None:
            _require_count("inputs", len(node.input), 0, len(function.input))
            _require_count("outputs", len(node.output), 0, len(function.output))
            return
        schema = schema_of(node.op_type, plain(node.domain), opsets.get(plain(node.domain), 1))
        if schema is not None:
            _require_arity(node, schema)
            _require_kinds(node, schema)
            require_survivable(node)


def _is_false(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != onnx.TensorProto.BOOL or math.prod(tensor.dims) != 1:
        return False
    return not any(tensor.raw_data) and not any(tensor.int32_data)


def _never_ends(node: onnx.NodeProto) -> bool:
    """Whether a loop has no number of turns, and a body that hands its condition on as it is."""
    if node.op_type != "Loop" or node.domain not in STANDARD or (node.input and node.input[0]):
        return False
    body = next(subgraphs(node), None)
    if body is None or len(body.input) < 2 or not body.output:
        return False
    copies = {n.output[0]: n.input[0] for n in body.node if is_copy(n) and n.input and n.output}
    name = body.output[0].name
    for _ in copies:
        name = copies.get(name, name)
    return bool(name == body.input[1].name)


@functools.cache
def schema_of(op: str, domain: str, opset: int) -> onnx.defs.OpSchema | None:
    """The schema of an op in an opset; None where the standard has none."""
    try:
        return onnx.defs.get_schema(op, opset, domain)
    except (onnx.defs.SchemaError, TypeError, OverflowError):
        return None


def called(node: onnx.NodeProto) -> str:
    """A node's name and op, for a message."""
    name = node.name or f"(unnamed, writes {shown(next(iter(node.output), '?'))})"
    return f"'{shown(name)}' ({shown(node.op_type)})"


def _require_made(names: Sequence[str], scopes: list[set[str]], what: str) -> None:
    for name in names:
        if not any(name in scope for scope in scopes):
            raise Malformed(f"{what} has the output '{shown(name)}', which nothing makes")


def _require_type(value: onnx.ValueInfoProto) -> None:
    """A declared tensor has an element type that exists, and no more axes than can be computed with."""
    if value.type.WhichOneof("value") != "tensor_type":
        return
    tensor = value.type.tensor_type
    if tensor.elem_type not in ELEMENT_TYPES:
        raise Malformed(
            f"'{shown(value.name)}' has elements of type {tensor.elem_type}, which does not exist"
        )
    if len(tensor.shape.dim) > MOST_AXES:
        raise Malformed(
            f"'{shown(value.name)}' has {len(tensor.shape.dim)} axes, at most {MOST_AXES} are read"
        )


def _require_count(what: str, count: int, least: int, most: int) -> None:
    if not least <= count <= most:
        allowed = f"{least}" if least == most else f"{least} to {most}"
        raise Malformed(f"{count} {what} where it has {allowed}")


def _require_arity(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    _require_count("inputs", len(node.input), schema.min_input, schema.max_input)
    _require_count("outputs", len(node.output), schema.min_output, schema.max_output)
    for position, name in enumerate(node.input):
        formal = schema.inputs[min(position, len(schema.inputs) - 1)]  # the last may stand for many
        if not name and formal.option != onnx.defs.OpSchema.FormalParameterOption.Optional:
            raise Malformed(f"its input {position + 1} ('{formal.name}') is left out")


def _require_attributes(node: onnx.NodeProto, given: set[str] | None) -> None:
    """What holds for attributes of any op."""
    seen = set[str]()
    for attribute in node.attribute:
        name = shown(attribute.name)
        if attribute.name in seen:
            raise Malformed(f"its attribute '{name}' is there twice")
        seen.add(attribute.name)
        if attribute.ref_attr_name and attribute.ref_attr_name not in (given or ()):
            raise Malformed(f"its attribute '{name}' refers to one of a function, which there is not")
        for tensor in _tensors_of(attribute):
            require_tensor(tensor, f"its attribute '{name}'")


def _tensors_of(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors


def require_tensor(tensor: onnx.TensorProto, what: str) -> NDArray[Any]:
    """The array that a stored tensor is.

    Raises
    ------
    Malformed
        If its data is not of its shape and type.
    """
    dims = list(tensor.dims)
    try:
        if len(dims) > MOST_AXES or min(dims, default=0) < 0 or tensor.data_type not in ELEMENT_TYPES:
            raise ValueError(f"type {tensor.data_type}, {len(dims)} axes")
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # numpy raises whatever the data's length or type leads to
        raise Malformed(f"{what} of shape {shown(dims)} does not hold the values it says") from error


def _require_kinds(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    """Attributes that the op has, each of its kind."""
    for attribute in node.attribute:
        formal = schema.attributes.get(attribute.name)
        if formal is None:
            raise Malformed(f"it has no attribute '{shown(attribute.name)}'")
        if attribute.type != formal.type.value:
            kinds = onnx.AttributeProto.AttributeType
            have = kinds.Name(attribute.type) if attribute.type in kinds.values() else str(attribute.type)
            raise Malformed(
                f"its attribute '{attribute.name}' is {have}, and must be {kinds.Name(formal.type.value)}"
            )
        if attribute.name in TYPE_ATTRIBUTES and attribute.i not in ELEMENT_TYPES:
            raise Malformed(f"its attribute '{attribute.name}' is {attribute.i}, which is no element type")
    missing = [name for name, a in schema.attributes.items() if a.required and not _has(node, name)]
    if missing:
        raise Malformed(f"its attribute '{missing[0]}' is missing")


def _has(node: onnx.NodeProto, name: str) -> bool:
    return any(attribute.name == name for attribute in node.attribute)


@functools.cache
def type_problem(op: str, domain: str, opset: int, kinds: tuple[int | None, ...]) -> str | None:
    """What is wrong with the element types of a node's inputs; None where nothing is.

    Parameters
    ----------
    op, domain : str
    opset : int
    kinds : tuple
        Element type of each input; None where it is left out or not known.
    """
    schema = schema_of(op, domain, opset)
    if schema is None or not schema.inputs:
        return None
    variables: dict[str, int] = {}
    for place, kind in enumerate(kinds):
        formal = schema.inputs[min(place, len(schema.inputs) - 1)]
        if kind is None:
            continue
        name = f"tensor({helper.tensor_dtype_to_string(kind).removeprefix('TensorProto.').lower()})"
        if not any(name in allowed for allowed in formal.types):
            return f"its input {place + 1} ('{formal.name}') is {name}, which it does not take"
        first = variables.setdefault(formal.type_str, kind) if formal.is_homogeneous else kind
        if first != kind:
            return f"its input {place + 1} ('{formal.name}') is {name}, unlike another that must be the same"
    return None


def shape_problem(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """What is wrong with the shapes of a node's inputs; None where nothing is known to be.

    Only of ops whose rule would take other shapes without a word, or stumble over them.
    """
    singles = {"Range": ("start", "limit", "delta")}.get(node.op_type, ())
    for name, what in zip(node.input, singles, strict=False):
        if math.prod(shapes.get(name, ())) != 1:
            return f"{what} '{shown(name)}' of shape {shown(shapes[name])} is not one number"
    if node.op_type == "Compress" and len(node.input) > 1 and len(shapes.get(node.input[1], (1,))) != 1:
        return f"condition '{shown(node.input[1])}' of shape {shown(shapes[node.input[1]])} has not one axis"
    return None
