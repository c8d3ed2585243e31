"""Tensors stored beside the model: from its own folder only, and no more of a file than they need."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import external_data_helper, helper

from onnx_si.errors import InputError
from onnx_si.graph.dag import subgraphs
from onnx_si.graph.schema import ELEMENT_TYPES
from onnx_si.ground.budget import excess
from onnx_si.ground.paths import FILE, inside, what_is_at
from onnx_si.ground.terminal import shown

COPIES = 3  # of a model that a run holds: as it was loaded, extended, and in the runtime


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the values of a tensor are."""

    tensor: onnx.TensorProto
    file: Path
    start: int
    length: int


def load_external_data(proto: onnx.ModelProto, file: Path) -> None:
    """Read tensors stored beside a model into it.

    Raises
    ------
    InputError
        If a place is outside the model's folder, missing or truncated, or all of them do not fit into memory.
    """
    external = _stored_elsewhere(proto)
    if not external:
        return
    folder = file.resolve().parent
    places = [_place(tensor, folder, shown(file)) for tensor in external]
    why = excess(COPIES * sum(place.length for place in places))
    if why is not None:
        raise InputError(f"{shown(file)}: its {len(places)} tensors are stored beside it; {why}")
    for place in places:
        try:
            with place.file.open("rb") as stream:
                stream.seek(place.start)
                place.tensor.raw_data = stream.read(place.length)
        except OSError as error:
            raise InputError(f"{shown(file)}: external data can't be read ({error.strerror})") from error
        place.tensor.data_location = onnx.TensorProto.DEFAULT
        del place.tensor.external_data[:]


def require_own_data(proto: onnx.ModelProto) -> None:
    """A model in memory has no folder that external data could lie in."""
    for tensor in _stored_elsewhere(proto):
        raise InputError(
            f"tensor '{shown(tensor.name)}' is stored beside the model, which has no folder in memory; give "
            "the path of the file, or load its data first"
        )


def _stored_elsewhere(proto: onnx.ModelProto) -> list[onnx.TensorProto]:
    stored = [*tensors_of(proto.graph), *(t for f in proto.functions for t in _in_attributes(f.node))]
    return [tensor for tensor in stored if external_data_helper.uses_external_data(tensor)]


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a graph stores: initialisers and attributes, those of subgraphs included."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _in_attributes(graph.node)


def _in_attributes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)
        for graph in subgraphs(node):
            yield from tensors_of(graph)


def _place(tensor: onnx.TensorProto, folder: Path, model: str) -> _Place:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    target, what = inside(folder, location), f"{model}: tensor '{shown(tensor.name)}'"
    where = f"'{shown(location, 100)}'"
    if target is None:
        raise InputError(
            f"{what} is stored in {where}, which leads to no file, or outside the model's own folder"
        )
    if what_is_at(target) != FILE:
        raise InputError(f"{what} is stored in {where}, which is missing beside the model")
    needed = _bytes_of(tensor, what)
    try:
        start, length = int(entries.get("offset", "0")), int(entries.get("length", needed))
    except ValueError as error:
        raise InputError(f"{what} has a malformed place in {where}") from error
    if min(start, length) < 0 or start + length > target.stat().st_size:
        raise InputError(f"{what} ends behind the end of {where}; the file is truncated")
    if length != needed:
        raise InputError(
            f"{what} of shape {shown(list(tensor.dims))} takes {needed} bytes, {where} has {length} for it; "
            "export it again"
        )
    return _Place(tensor=tensor, file=target, start=start, length=length)


def _bytes_of(tensor: onnx.TensorProto, what: str) -> int:
    """What a tensor's values take in a file."""
    kind, dims = tensor.data_type, list(tensor.dims)
    if (
        kind not in ELEMENT_TYPES - {onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING}
        or min(dims, default=0) < 0
    ):
        raise InputError(f"{what} of shape {shown(dims)} and type {kind} can't be stored beside a model")
    count, name = math.prod(dims), onnx.TensorProto.DataType.Name(kind)
    for ending, bits in (("INT4", 4), ("FLOAT4E2M1", 4), ("INT2", 2)):
        if name.endswith(ending):
            return int(-(-count * bits // 8))
    return int(count * helper.tensor_dtype_to_np_dtype(kind).itemsize)
