# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = [
#   "tensorflow-cpu==2.21.*",
#   "keras>=3.12,<4",
#   "tf2onnx==1.17.*",
#   "onnx>=1.17",
#   "onnxruntime>=1.20",
# ]
# ///
"""Convert a Keras model or a TensorFlow SavedModel to ONNX, and check the result with onnxruntime.

    uv run converters/keras_to_onnx.py classifier.keras -o classifier.onnx
    uv run converters/keras_to_onnx.py model_16.h5 -o model_16.onnx --metadata onnx_si.noise_std=1

Reads `.keras`, `.h5` / `.hdf5` (old Keras too) and SavedModel folders. The script stands alone: it needs
nothing of onnx_si.

No code from the file is run. A Keras file may name stock Keras classes only: Lambda layers, wrapped foreign
models and custom classes are refused before anything is built, and nothing is compiled. A SavedModel is a
graph of TensorFlow operations, which this script has to evaluate for the check, so every function that can
be called is read first, and operations that call Python or touch files or the network are refused.

The conversion fails unless onnxruntime and the framework agree on random inputs to 1e-4 of the largest
output value.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

DEFAULT_OPSET = 17
RELATIVE_TOLERANCE = 1e-4
# float32 rounding of saturated outputs, such as a sigmoid near 0
ABSOLUTE_TOLERANCE = 1e-6
MAX_CONFIG_BYTES = 64 * 2**20

# Stock Keras classes that run code, or read files, named by their configuration.
FOREIGN_CLASSES = {
    "Lambda",
    "__lambda__",
    "TorchModuleWrapper",
    "TFSMLayer",
    "JaxLayer",
    "FlaxLayer",
    "StringLookup",
    "IntegerLookup",
    "TextVectorization",
}
STOCK_MODULES = re.compile(
    r"(builtins"
    r"|(tf_)?keras(\.src)?"
    r"(\.(activations|constraints|dtype_policies|initializers|layers|models|ops|regularizers)(\..*)?)?)"
)
# Graph operations with effects outside the graph.
OUTSIDE_OPS = re.compile(
    "PyFunc|File|Save|Restore|Checkpoint|Summary|Dataset|Reader|Print|Table|Lookup|Debug|Dump|Rpc|Send|Recv"
    "|Remote|Collective|Xla"
)


class ConversionError(Exception):
    """The model can't be converted; the message says why, in one line."""


@dataclass(frozen=True)
class _Callable:
    """A framework model as a function of its inputs, with names and types for both sides."""

    call: Callable[..., list[Any]]
    input_names: list[str]
    input_specs: list[Any]
    output_names: list[str]


def convert(
    model: Any,
    *,
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
    inputs_as_nchw: bool = False,
    signature: str = "serving_default",
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Convert a model and check the result against the framework's own prediction.

    Parameters
    ----------
    model
        A built `keras.Model`, or the path of a `.keras` file, a `.h5` / `.hdf5` file or a SavedModel folder.
    opset
        ONNX operator set of the result.
    batch
        Fixed batch size; None keeps what the model says, usually a free batch. All other sizes are kept.
    inputs_as_nchw
        Give 4-D inputs the layout NCHW in the ONNX model instead of NHWC.
    signature
        Which function of a SavedModel to convert.
    metadata
        Keys and values for the ONNX `metadata_props`.

    Raises
    ------
    ConversionError
        The file isn't readable, isn't safe to read, can't be converted, or the result disagrees.
    """
    tf, tf2onnx = _frameworks()
    source = _callable(model, signature)
    specs = [
        tf.TensorSpec(_with_batch(spec.shape, batch), spec.dtype, name=name)
        for spec, name in zip(source.input_specs, source.input_names, strict=True)
    ]

    def outputs(*inputs: Any) -> dict[str, Any]:
        return dict(zip(source.output_names, source.call(*inputs), strict=True))

    nchw = [spec.name for spec in specs if inputs_as_nchw and spec.shape.rank == 4]
    if inputs_as_nchw and not nchw:
        raise ConversionError("no input has four dimensions, so none can be given as NCHW")
    traced = tf.function(outputs, input_signature=specs)
    try:
        proto, _ = tf2onnx.convert.from_function(
            traced,
            input_signature=specs,
            opset=opset,
            inputs_as_nchw=nchw or None,
        )
    except Exception as error:
        raise ConversionError(f"tf2onnx can't convert this model: {_one_line(error)}") from error

    _store_constants(proto, traced.get_concrete_function().graph.captures)
    _spell_out_erfc(proto)
    outputs_by_name = {value.name: value for value in proto.graph.output}  # tf.function sorts its results
    del proto.graph.output[:]
    proto.graph.output.extend(outputs_by_name[name] for name in source.output_names)
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, dict(metadata or {}))
    unknown = sorted({node.op_type for node in proto.graph.node if not _is_known(node, opset)})
    if unknown:
        raise ConversionError(f"tf2onnx has no translation of the operations {', '.join(unknown)}")
    _check(proto, source, specs, nchw)
    return proto


def _store_constants(proto: onnx.ModelProto, captures: Any) -> None:
    """Constants that a layer holds outside its function (Normalization does) arrive as inputs."""
    values = {inside.name: outside for outside, inside in captures}
    for value in [value for value in proto.graph.input if value.name in values]:
        array = np.asarray(values[value.name].numpy())
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        proto.graph.input.remove(value)


def _spell_out_erfc(proto: onnx.ModelProto) -> None:
    """What tf2onnx leaves of a gelu: Erfc(x) is 1 - Erf(x)."""
    nodes = []
    for node in proto.graph.node:
        if node.op_type != "Erfc":
            nodes.append(node)
            continue
        one, erf = f"{node.output[0]}/one", f"{node.output[0]}/erf"
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1), one))
        nodes.append(onnx.helper.make_node("Erf", [node.input[0]], [erf]))
        nodes.append(onnx.helper.make_node("Sub", [one, erf], list(node.output), name=node.name))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _is_known(node: onnx.NodeProto, opset: int) -> bool:
    """Whether ONNX has the operation."""
    return node.domain != "" or onnx.defs.has(node.op_type, opset, "")


def _callable(model: Any, signature: str) -> _Callable:
    if not isinstance(model, str | os.PathLike):
        return _from_keras(model)
    path = Path(model)
    if not path.exists():
        raise ConversionError(f"{path}: no such file or folder")
    if path.is_dir():
        return _from_saved_model(path, signature)
    if path.suffix == ".keras":
        config = _keras_config(path)
    elif path.suffix in {".h5", ".hdf5"}:
        config = _hdf5_config(path)
    else:
        raise ConversionError(f"{path}: expected a .keras, .h5 or .hdf5 file, or a SavedModel folder")
    _refuse_code(config, path)

    import keras

    try:
        loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise ConversionError(f"{path}: Keras can't load it: {_one_line(error)}") from error
    return _from_keras(loaded)


def _from_keras(model: Any) -> _Callable:
    if not getattr(model, "inputs", None):
        raise ConversionError(
            "the model has no input shape yet; add keras.Input, or call it once and save it again"
        )
    import tensorflow as tf

    functional = getattr(model, "_functional", None) or model  # Sequential hides its output names
    count = len(tf.nest.flatten(model.outputs))
    names = list(getattr(functional, "output_names", None) or [])
    if len(set(names)) != count:
        names = [f"output_{i}" for i in range(count)]

    def call(*inputs: Any) -> list[Any]:
        packed = inputs[0] if len(inputs) == 1 else tf.nest.pack_sequence_as(model.input, list(inputs))
        with warnings.catch_warnings():
            # old files keep a single input in a list
            warnings.filterwarnings("ignore", message="The structure of `inputs`")
            return tf.nest.flatten(model(packed, training=False))

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    return _Callable(call, [_plain_name(tensor.name) for tensor in model.inputs], specs, names)


def _from_saved_model(path: Path, signature: str) -> _Callable:
    _refuse_outside_ops(path)
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:
        raise ConversionError(f"{path}: TensorFlow can't load it: {_one_line(error)}") from error
    if signature not in loaded.signatures:
        raise ConversionError(f"{path}: no signature {signature!r}; it has {sorted(loaded.signatures)}")
    function = loaded.signatures[signature]
    _, specs = function.structured_input_signature
    keys = sorted(specs)
    output_names = sorted(function.structured_outputs)

    def call(*inputs: Any) -> list[Any]:
        results = function(**dict(zip(keys, inputs, strict=True)))
        return [results[name] for name in output_names]

    # the variables live as long as the loaded object does
    call.loaded = loaded  # type: ignore[attr-defined]
    return _Callable(call, [_plain_name(key) for key in keys], [specs[key] for key in keys], output_names)


def _keras_config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
                raise ConversionError(f"{path}: its config.json is too large to be a model's")
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ConversionError(f"{path}: not a .keras file: {_one_line(error)}") from error
    config.pop("compile_config", None)  # never built: compile=False
    return config


def _hdf5_config(path: Path) -> Any:
    import h5py

    def refuse_external(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise ConversionError(f"{path}: dataset {name!r} points to another file")

    try:
        with h5py.File(path, "r") as file:
            file.visititems(refuse_external)
            config = file.attrs.get("model_config")
            if config is None:
                raise ConversionError(f"{path}: holds weights only; save the whole model (model.save)")
            return json.loads(config)
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path}: not a Keras HDF5 file: {_one_line(error)}") from error


def _refuse_code(config: Any, path: Path) -> None:
    """Raise if a model configuration names anything but stock Keras classes."""
    for entry in _class_entries(config):
        class_name = entry["class_name"]
        inner = entry.get("config")
        name = entry.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
        place = f"layer {name!r}" if isinstance(name, str) else "an object"
        module = entry.get("module")
        if class_name in FOREIGN_CLASSES:
            raise ConversionError(
                f"{path}: {place} is a {class_name}, which runs code or reads files named in the model; "
                "rebuild it from stock layers"
            )
        if module is not None and not STOCK_MODULES.fullmatch(str(module)):
            raise ConversionError(
                f"{path}: {place} needs the class {module}.{class_name}, which isn't part of Keras; "
                "export a SavedModel (model.export) and convert that"
            )


def _class_entries(config: Any) -> Iterator[dict[str, Any]]:
    pending = [config]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("class_name"), str):
                yield node
            pending.extend(reversed(node.values()))
        elif isinstance(node, list):
            pending.extend(reversed(node))


def _refuse_outside_ops(path: Path) -> None:
    """Raise if a function of a SavedModel calls Python or touches anything outside the graph."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    if not file.is_file():
        raise ConversionError(f"{path}: not a SavedModel folder (it holds no saved_model.pb)")
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ConversionError(f"{file}: not a SavedModel: {_one_line(error)}") from error
    if len(saved.meta_graphs) != 1 or not saved.meta_graphs[0].HasField("object_graph_def"):
        raise ConversionError(f"{path}: a TensorFlow 1 SavedModel; export it again with TensorFlow 2")
    graph = saved.meta_graphs[0]
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    pending = list(graph.object_graph_def.concrete_functions)
    for node in graph.object_graph_def.nodes:
        if node.WhichOneof("kind") in {"resource", "asset"}:
            raise ConversionError(f"{path}: it carries a lookup table or an asset file; remove them")
        for saveable in node.saveable_objects.values():
            for index in (saveable.save_function, saveable.restore_function):
                kind = graph.object_graph_def.nodes[index]
                pending.extend(kind.function.concrete_functions)
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in functions[name].node_def:
            if OUTSIDE_OPS.search(node.op):
                raise ConversionError(
                    f"{path}: node {node.name!r} is a {node.op}, which reaches outside the graph"
                )
            for attribute in node.attr.values():
                pending.append(attribute.func.name)
                pending.extend(function.name for function in attribute.list.func)


def _check(proto: onnx.ModelProto, source: _Callable, specs: list[Any], nchw: list[str]) -> None:
    """Raise unless onnxruntime agrees with the framework on random inputs."""
    import onnxruntime

    try:
        onnx.checker.check_model(proto)
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # each of the two has several of its own
        raise ConversionError(f"onnxruntime can't run the result: {_one_line(error)}") from error
    random = np.random.default_rng(0)
    inputs = [_random_input(spec, random) for spec in specs]
    expected = [np.asarray(value) for value in source.call(*inputs)]
    feed = {
        spec.name: value.transpose(0, 3, 1, 2) if spec.name in nchw else value
        for spec, value in zip(specs, inputs, strict=True)
    }
    actual = session.run(source.output_names, feed)
    for name, ours, theirs in zip(source.output_names, actual, expected, strict=True):
        difference = _relative_difference(ours, theirs)
        if not difference <= RELATIVE_TOLERANCE:
            raise ConversionError(
                f"output {name!r}: onnxruntime and TensorFlow differ by {difference:.2g} of the largest value"
            )


def _relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape or not np.isfinite(theirs).all():
        return float("inf")
    scale = np.abs(theirs).max(initial=0.0)
    excess = np.abs(ours.astype(np.float64) - theirs).max(initial=0.0) - ABSOLUTE_TOLERANCE
    return 0.0 if excess <= 0 else float(excess / scale)


def _random_input(spec: Any, random: np.random.Generator) -> np.ndarray:
    sizes = [size or (3 if axis == 0 else 32) for axis, size in enumerate(spec.shape)]
    dtype = spec.dtype.as_numpy_dtype
    if np.issubdtype(dtype, np.floating):
        return random.standard_normal(sizes).astype(dtype)
    return random.integers(0, 2, sizes).astype(dtype)


def _with_batch(shape: Any, batch: int | None) -> list[int | None]:
    sizes = list(shape)
    if batch is not None and sizes:
        if sizes[0] not in (None, batch):
            raise ConversionError(f"the model's batch size is fixed to {sizes[0]}")
        sizes[0] = batch
    return sizes


def _plain_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", name.split(":")[0])


def _frameworks() -> tuple[Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # plain float32 sums, and no notice about them
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        import tensorflow as tf
        import tf2onnx
    except ImportError as error:
        raise ConversionError(
            f"{error}; start the script with `uv run`, or pip install tensorflow-cpu tf2onnx onnxruntime"
        ) from error
    return tf, tf2onnx


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= 300 else f"{message[:100]} ... {message[-195:]}"


def _metadata_entry(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"expected key=value, got {text!r}")
    return key, value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path, help=".keras file, .h5 file or SavedModel folder")
    parser.add_argument("-o", "--output", type=Path, help="ONNX file to write (default: beside the model)")
    parser.add_argument("--opset", type=int, default=DEFAULT_OPSET, help="default: %(default)s")
    parser.add_argument("--batch", type=int, help="fix the batch size (default: as in the model)")
    parser.add_argument("--inputs-as-nchw", action="store_true", help="4-D inputs as NCHW, not NHWC")
    parser.add_argument(
        "--signature", default="serving_default", help="of a SavedModel (default: %(default)s)"
    )
    parser.add_argument(
        "--metadata",
        type=_metadata_entry,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an entry for the ONNX metadata, such as onnx_si.noise_std=1; repeatable",
    )
    options = parser.parse_args(arguments)
    output = options.output or options.model.with_suffix(".onnx")
    try:
        proto = convert(
            options.model,
            opset=options.opset,
            batch=options.batch,
            inputs_as_nchw=options.inputs_as_nchw,
            signature=options.signature,
            metadata=dict(options.metadata),
        )
        onnx.save(proto, output)
    except (ConversionError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 1
    print(f"wrote {output}: opset {options.opset}, onnxruntime agrees with TensorFlow", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
