"""Read an ONNX file without trusting it: size, format, opset, external data, declared inputs and outputs."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from onnx_si.errors import InputError, UnsupportedModel, WrongType
from onnx_si.graph.dag import subgraphs
from onnx_si.graph.depth import require_shallow
from onnx_si.graph.external import COPIES, load_external_data, require_own_data
from onnx_si.graph.functions import inlined
from onnx_si.graph.fused import unfused
from onnx_si.graph.lift import LIFTED, lifted
from onnx_si.graph.mend import mended
from onnx_si.graph.schema import require_tensor, require_well_formed
from onnx_si.graph.survivable import STANDARD, Malformed
from onnx_si.ground.budget import budget, excess
from onnx_si.ground.foreign import not_a_model
from onnx_si.ground.guard import guarded, words_of
from onnx_si.ground.paths import FILE, NOTHING, what_is_at
from onnx_si.ground.terminal import shown, text_of
from onnx_si.ground.words import shown as described

UNUSED_OPSET = 17  # declared for a model that uses no op of the standard domain, for nodes that are appended
UNTRANSLATED = "No Op registered for"  # the checker's words
MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit


@dataclass(frozen=True)
class TensorInfo:
    """A declared input or output: its name, element type and shape (None or a name where an axis is free)."""

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None

    @property
    def is_floating(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.type in ("float", "double", "float16", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A checked ONNX model; the proto is never changed in place.

    `source` is the file's own graph where loading rewrote it (older opsets, functions); None: `proto` is it.
    """

    proto: onnx.ModelProto = field(kw_only=False)
    path: str | None = None
    sha256: str | None = None
    source: onnx.ModelProto | None = None

    @property
    def file(self) -> onnx.ModelProto:
        """What the file holds, as it is: nothing lifted, inlined or appended."""
        return self.proto if self.source is None else self.source

    @cached_property
    def opset(self) -> int:
        """Version of the standard op set."""
        return self.opsets.get("", 0)

    @cached_property
    def opsets(self) -> dict[str, int]:
        """Version of every imported op set by domain."""
        return {("" if o.domain == "ai.onnx" else o.domain): o.version for o in self.proto.opset_import}

    @cached_property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Inputs that the caller must give (initialisers listed as inputs are left out)."""
        given = {tensor.name for tensor in self.proto.graph.initializer}
        return tuple(_info(v) for v in self.proto.graph.input if v.name not in given)

    @cached_property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Declared outputs."""
        return tuple(_info(v) for v in self.proto.graph.output)

    @cached_property
    def stored(self) -> dict[str, onnx.TensorProto]:
        """Stored tensors by name, as the file has them."""
        return {tensor.name: tensor for tensor in self.proto.graph.initializer}

    @cached_property
    def initializers(self) -> dict[str, NDArray[Any]]:
        """Stored tensors by name; not to be written to."""
        return {name: numpy_helper.to_array(tensor) for name, tensor in self.stored.items()}

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Key-value pairs that the model's author stored in the file."""
        return {text_of(p.key): text_of(p.value) for p in self.proto.metadata_props}

    @property
    def producer(self) -> str:
        """Name and version of the tool that wrote the file."""
        told = self.proto.producer_name, self.proto.producer_version
        return " ".join(word for text in told for word in text.split() if word != "None")

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or a model sent to another process, makes anew what is derived."""
        return {"proto": self.proto, "path": self.path, "sha256": self.sha256, "source": self.source}

    def with_proto(self, proto: onnx.ModelProto) -> "Model":
        """The same file's identity with an edited graph."""
        return Model(proto=proto, path=self.path, sha256=self.sha256, source=self.file)


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return TensorInfo(value.name, kind or "unknown", None)
    tensor = value.type.tensor_type
    known = tensor.elem_type in onnx.TensorProto.DataType.values()
    name = onnx.TensorProto.DataType.Name(tensor.elem_type).lower() if known else f"type {tensor.elem_type}"
    if not tensor.HasField("shape"):
        return TensorInfo(value.name, name, None)
    dims = tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in tensor.shape.dim)
    return TensorInfo(value.name, name, dims)


Source: TypeAlias = str | os.PathLike[str] | bytes | onnx.ModelProto
Loadable: TypeAlias = Model | Source


def load(path: Source, *, memory: int | None = None) -> Model:
    """Load and check an ONNX model.

    Parameters
    ----------
    path : path-like, bytes or onnx.ModelProto
        The .onnx file, whose external data must lie beside it or below its folder; or the content of one, or
        a model in memory, which holds all of its data.
    memory : int, optional
        Bytes that loading may take; default half of what is free.

    Returns
    -------
    Model

    Raises
    ------
    UsageError
        If it is none of these.
    InputError
        If the file is missing, too large, truncated or not ONNX, or its external data leaves its folder.
    UnsupportedModel
        If the model breaks the ONNX specification or its opset is outside what is supported.
    """
    with budget(memory):
        return _loaded(path)


def _loaded(path: Source) -> Model:
    if isinstance(path, str | os.PathLike):
        file, where = Path(path), shown(path)
        foreign = not_a_model(file)
        if foreign is not None:
            raise InputError(f"{where}: {foreign}")
        content = _content(file, where)
        proto, digest = _parsed(content, where), hashlib.sha256(content).hexdigest()
        del content  # the checker makes two more copies
        with guarded(InputError, where, "export it again"):
            load_external_data(proto, file)
        return model_from_proto(proto, path=str(path), sha256=digest)
    if isinstance(path, bytes | bytearray | memoryview):
        content = bytes(path)
        proto, sha256 = _parsed(content, "the model's bytes"), hashlib.sha256(content).hexdigest()
    elif isinstance(path, onnx.ModelProto):
        proto, sha256 = onnx.ModelProto(), None
        proto.CopyFrom(path)
        _require_graph(proto, "the model in memory", proto.ByteSize())
    else:
        raise WrongType(
            f"model: the path of an .onnx file, its bytes, or an onnx.ModelProto, not {described(path)}"
        )
    require_own_data(proto)
    return model_from_proto(proto, sha256=sha256)


def as_model(given: Loadable) -> Model:
    """A model as it is, or what `load` makes of anything else."""
    return given if isinstance(given, Model) else load(given)


def _content(file: Path, where: str) -> bytes:
    """What a file holds, if it is one, and not too large."""
    found = what_is_at(file)
    if found != FILE:
        why = "there is no such file" if found == NOTHING else f"it is {found}"
        raise InputError(f"{where}: can't be read ({why}); give the path of an .onnx file")
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(
                f"{where}: {size} bytes; a model file holds at most {MAX_FILE_BYTES} (use external data)"
            )
        why_not = excess(COPIES * size)
        if why_not is not None:
            raise InputError(f"{where}: {size} bytes; {why_not}")
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise InputError(
            f"{where}: can't be read ({error.strerror}); give the path of an .onnx file"
        ) from error


def _parsed(content: bytes, where: str) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise InputError(
            f"{where}: not an ONNX model, or a truncated one ({len(content)} bytes); export it again"
        ) from error
    _require_graph(proto, where, len(content))
    return proto


def _require_graph(proto: onnx.ModelProto, where: str, size: int) -> None:
    if not proto.graph.node or not proto.graph.output:
        raise InputError(f"{where}: holds no ONNX graph ({size} bytes); export it again")


def model_from_proto(proto: onnx.ModelProto, path: str | None = None, sha256: str | None = None) -> Model:
    """Check a model in memory (specification, opset) and inline the functions it defines.

    Raises
    ------
    UnsupportedModel
        If the model breaks the ONNX specification or its opset is outside what is supported.
    """
    where = shown(path or "model")
    with guarded(UnsupportedModel, where, "export it again"):
        return _checked(proto, path, sha256, where)


def _checked(proto: onnx.ModelProto, path: str | None, sha256: str | None, where: str) -> Model:
    source = proto
    newest = onnx.defs.onnx_opset_version()
    proto = _with_standard_opset(proto)
    opset = next((o.version for o in proto.opset_import if o.domain in STANDARD), None)
    if opset is None or not 1 <= opset <= newest:
        raise UnsupportedModel(f"{where}: opset {opset}; supported are 1 to {newest}: export to one of these")
    require_shallow(proto, where)
    require_well_formed(proto, where)
    proto = unfused(mended(proto, opset, where), opset)
    try:
        onnx.checker.check_model(_with_output_shapes(proto))
    except (onnx.checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        first_line = shown(next(iter(str(error).strip().splitlines()), type(error).__name__))
        left = UNTRANSLATED in first_line
        advice = "the exporter left an op that ONNX does not have: build the model without it"
        raise UnsupportedModel(
            f"{where}: breaks the ONNX specification ({first_line}); {advice if left else 'export it again'}"
        ) from error
    _check_initializers(proto, where)
    if opset < LIFTED:
        proto = lifted(proto, opset, where)
    try:
        proto = inlined(proto)
    except Exception as error:  # a library of C++, whose errors have no common class
        raise UnsupportedModel(f"{where}: its functions can't be inlined ({words_of(error)})") from error
    return Model(proto=proto, path=path, sha256=sha256, source=None if proto is source else source)


def _with_standard_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, or, if it imports no opset of the standard domain and needs none, a copy with one."""
    imported = {opset.domain for opset in proto.opset_import}
    inner = (node for function in proto.functions for node in function.node)
    if not imported or imported & set(STANDARD) or _standard([*proto.graph.node, *inner]):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    copy.opset_import.append(onnx.helper.make_opsetid("", UNUSED_OPSET))
    return copy


def _with_output_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, or a copy for the checker, which wants shapes of outputs that no runtime asks for."""
    if all(_info(value).shape is not None or not _is_tensor(value) for value in proto.graph.output):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for value in copy.graph.output:
        if _is_tensor(value):
            value.type.tensor_type.shape.SetInParent()
    return copy


def _is_tensor(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.WhichOneof("value") == "tensor_type")


def _standard(nodes: Iterable[onnx.NodeProto]) -> bool:
    """Whether a node is of the standard domain, or one inside a node's subgraphs."""
    return any(
        node.domain in STANDARD or any(_standard(graph.node) for graph in subgraphs(node)) for node in nodes
    )


def _check_initializers(proto: onnx.ModelProto, where: str) -> None:
    """The checker does not compare a tensor's size with its data."""
    for tensor in proto.graph.initializer:
        try:
            require_tensor(tensor, f"tensor '{shown(tensor.name)}'")
        except Malformed as problem:
            raise UnsupportedModel(f"{where}: {problem}; export it again") from problem
