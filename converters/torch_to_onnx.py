# /// script
# requires-python = ">=3.11,<3.15"
# dependencies = [
#   "torch>=2.9",
#   "onnx>=1.17",
#   "onnxscript>=0.5",
#   "onnxruntime>=1.20",
# ]
# ///
"""Convert a PyTorch model to ONNX, and check the result with onnxruntime.

    uv run converters/torch_to_onnx.py segment.pt2 -o segment.onnx
    uv run converters/torch_to_onnx.py scripted.pt --input-shape 1,1,32,32 -o scripted.onnx

Reads programs saved with `torch.export.save` (.pt2) and TorchScript files (`torch.jit.save`). A module in
memory goes through `convert`. The script stands alone: it needs nothing of onnx_si.

What is trusted: a .pt2 or TorchScript file is a program, and PyTorch's own loaders are not made for hostile
files. This script reads the archive first and refuses what is known to run code or reach outside the model:
pickled payloads, compiled parts, operators outside PyTorch's tensor library, expressions that are more than
arithmetic, functions run at load time, and saving or mapping files. That stops the known ways, not every
way: for a file from a stranger use a sandbox. Plain `torch.save` files (pickles) are always refused.

The conversion fails unless onnxruntime and PyTorch agree on random inputs to 1e-4 of the largest output
value.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import logging
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx

if TYPE_CHECKING:
    import torch

DEFAULT_OPSET = 18
RELATIVE_TOLERANCE = 1e-4
# float32 rounding of saturated outputs, such as a sigmoid near 0
ABSOLUTE_TOLERANCE = 1e-6

TENSOR_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file|save|load)\w+(\.\w+)?"
    r"|torch\.sym_(int|float|max|min|not|sum)"
    r"|_operator\.(add|sub|mul|floordiv|mod|neg|truediv|pow|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
)
# TorchScript source that runs at load time, or reaches outside the model.
UNSAFE_SCRIPT = re.compile(
    r"\bdef __setstate__|\b(torch|aten)\.(save|load|from_file)\b|\bops\.(?!prim\.|aten\.)\w+"
)
SYMBOLIC_NODES = (
    ast.Expression,
    ast.Call,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.keyword,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
)
SYMBOLIC_NAMES = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|TruncToInt"
    r"|IntTrueDiv|FloatTrueDiv|ToFloat|Identity|Eq|Ne|Lt|Le|Gt|Ge|Equality|Unequality|int_oo"
    r"|(Strict)?(Less|Greater)Than|[su]\d+"
)


class ConversionError(Exception):
    """The model can't be converted; the message says why, in one line."""


def convert(
    module: Any,
    example: torch.Tensor | Sequence[torch.Tensor],
    *,
    exporter: Literal["dynamo", "torchscript"] = "dynamo",
    opset: int = DEFAULT_OPSET,
    dynamic_batch: bool = False,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Convert a module and check the result against the module's own outputs.

    Parameters
    ----------
    module
        A `torch.nn.Module` (either exporter), `torch.export.ExportedProgram` (dynamo) or
        `torch.jit.ScriptModule` (torchscript).
    example
        Example input or inputs; they give the shapes and types.
    exporter
        PyTorch's exporter: `dynamo` is today's, `torchscript` the older one.
    opset
        ONNX operator set of the result.
    dynamic_batch
        Leave the first size of every input free. An `ExportedProgram` has settled that already.
    input_names, output_names
        Names in the ONNX graph; by default PyTorch chooses.
    metadata
        Keys and values for the ONNX `metadata_props`.

    Raises
    ------
    ConversionError
        The module can't be exported, or the result disagrees with it.
    """
    torch = _framework()
    inputs = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    program = isinstance(module, torch.export.ExportedProgram)
    scripted = isinstance(module, torch.jit.ScriptModule)
    if program and exporter != "dynamo":
        raise ConversionError("an exported program (.pt2) needs the dynamo exporter")
    if scripted and exporter != "torchscript":
        raise ConversionError("a TorchScript module needs the torchscript exporter")
    if program and dynamic_batch:
        raise ConversionError(
            "the batch of an exported program is settled when it is exported: give dynamic_shapes there"
        )
    names = {
        "input_names": list(input_names) if input_names else None,
        "output_names": list(output_names) if output_names else None,
    }
    with _evaluating(module, skip=program), _quiet(), torch.no_grad():
        runnable = module.module() if program else module
        try:
            if exporter == "dynamo":
                proto = _export_dynamo(module, inputs, opset, dynamic_batch, names)
            elif exporter == "torchscript":
                proto = _export_torchscript(module, inputs, opset, dynamic_batch, names)
            else:
                raise ConversionError(f"exporter is 'dynamo' or 'torchscript', not {exporter!r}")
        except ConversionError:
            raise
        except Exception as error:
            raise ConversionError(f"the {exporter} exporter failed: {_one_line(error)}") from error
        found = next((entry.version for entry in proto.opset_import if entry.domain == ""), None)
        if found != opset:
            raise ConversionError(f"the {exporter} exporter gave opset {found} in place of {opset}")
        onnx.helper.set_model_props(proto, dict(metadata or {}))
        onnx.checker.check_model(proto)
        _check(proto, runnable, inputs, batches=(None, 1, 3) if dynamic_batch else (None,))
    return proto


def load(path: str | os.PathLike[str]) -> Any:
    """Load a .pt2 program or a TorchScript file, after the checks described at the top of this file.

    Returns
    -------
    A `torch.export.ExportedProgram` or a `torch.jit.ScriptModule`.

    Raises
    ------
    ConversionError
        The file is of another kind, can't be read, or holds something refused.
    """
    torch = _framework()
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            # every entry sits in one top folder
            entries = {name.partition("/")[2]: name for name in archive.namelist()}
            if "archive_format" in entries:
                _check_program(archive, entries, path)
                loader = torch.export.load
            elif any(name.startswith("code/") for name in entries):
                _check_torchscript(archive, entries, path)
                loader = torch.jit.load
            else:
                if "config.json" in archive.namelist():
                    raise ConversionError(f"{path}: a Keras file; keras_to_onnx.py converts it")
                raise ConversionError(
                    f"{path}: neither a torch.export program nor TorchScript; pickled modules and weights "
                    "run code when loaded and are refused. Save with torch.export.save"
                )
    except FileNotFoundError as error:
        raise ConversionError(f"{path}: no such file") from error
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ConversionError(f"{path}: not a PyTorch archive: {_one_line(error)}") from error
    try:
        with _quiet():
            return loader(str(path))
    except Exception as error:
        raise ConversionError(f"{path}: PyTorch can't load it: {_one_line(error)}") from error


def _export_dynamo(
    module: Any, inputs: tuple[Any, ...], opset: int, dynamic_batch: bool, names: Mapping[str, Any]
) -> onnx.ModelProto:
    import torch

    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in inputs) if dynamic_batch else None
    program = torch.onnx.export(
        module, inputs, dynamo=True, opset_version=opset, dynamic_shapes=shapes, verbose=False, **names
    )
    if program is None:
        raise ConversionError("the dynamo exporter returned nothing")
    proto = program.model_proto
    # stack traces with the paths of this machine
    for holder in [*proto.graph.node, *(node for function in proto.functions for node in function.node)]:
        kept = [entry for entry in holder.metadata_props if not entry.key.endswith("stack_trace")]
        del holder.metadata_props[:]
        holder.metadata_props.extend(kept)
    return proto


def _export_torchscript(
    module: Any, inputs: tuple[Any, ...], opset: int, dynamic_batch: bool, names: Mapping[str, Any]
) -> onnx.ModelProto:
    import torch

    axes: dict[str, dict[int, str]] | None = None
    if dynamic_batch:
        if names["input_names"] is None:
            names = {**names, "input_names": [f"input_{i}" for i in range(len(inputs))]}
        if names["output_names"] is None:
            count = len(torch.utils._pytree.tree_leaves(module(*inputs)))
            names = {**names, "output_names": [f"output_{i}" for i in range(count)]}
        axes = {name: {0: "batch"} for name in [*names["input_names"], *names["output_names"]]}
    buffer = io.BytesIO()
    torch.onnx.export(
        module, inputs, buffer, dynamo=False, opset_version=opset, dynamic_axes=axes, verbose=False, **names
    )
    return onnx.load_model_from_string(buffer.getvalue())


def _check_program(archive: zipfile.ZipFile, entries: Mapping[str, str], path: Path) -> None:
    """Raise if a .pt2 archive holds anything beyond tensors, aten operators and plain arithmetic."""
    import torch

    for entry, name in entries.items():
        if entry.startswith("data/aotinductor/"):
            raise ConversionError(f"{path}: it holds compiled code ({entry})")
        if entry.startswith(("data/weights/", "data/constants/")) and entry.endswith("_config.json"):
            for key, payload in json.loads(archive.read(name))["config"].items():
                if payload.get("use_pickle") or not re.fullmatch(
                    r"(weight|tensor)_\d+", payload["path_name"]
                ):
                    raise ConversionError(f"{path}: {key!r} isn't stored as a plain tensor")
        elif entry.startswith(("data/weights/", "data/constants/")) and entry.endswith((".pt", ".pth")):
            raise ConversionError(f"{path}: an older format with pickled weights; export it again")
        elif entry.startswith("data/sample_inputs/"):
            content = archive.read(name)
            try:
                if content:
                    torch.load(io.BytesIO(content), weights_only=True)
            except Exception as error:
                raise ConversionError(f"{path}: its sample inputs aren't plain tensors") from error
        elif entry.startswith("models/"):
            program = json.loads(archive.read(name))
            for value in _values(program, "target"):
                if isinstance(value, str) and not TENSOR_OPERATOR.fullmatch(value):
                    raise ConversionError(
                        f"{path}: the operator {value!r} isn't one of PyTorch's tensor library"
                    )
            for expression in _values(program, "expr_str"):
                _check_expression(expression, path)
            if program.get("guards_code"):
                raise ConversionError(
                    f"{path}: it carries guards as Python code; export it with static shapes"
                )


def _check_expression(text: Any, path: Path) -> None:
    """Raise unless a symbolic size is arithmetic over named sizes: PyTorch evaluates it as Python."""
    try:
        nodes = list(ast.walk(ast.parse(str(text), mode="eval")))
    except SyntaxError:
        nodes = []
    plain = bool(nodes) and all(
        isinstance(node, SYMBOLIC_NODES)
        and (not isinstance(node, ast.Name) or SYMBOLIC_NAMES.fullmatch(node.id))
        and (
            not isinstance(node, ast.Constant) or not isinstance(node.value, str) or node.value.isidentifier()
        )
        for node in nodes
    )
    if not plain:
        raise ConversionError(f"{path}: the size expression {str(text)[:80]!r} is more than arithmetic")


def _check_torchscript(archive: zipfile.ZipFile, entries: Mapping[str, str], path: Path) -> None:
    """Raise if TorchScript source runs something at load time or reaches outside the model."""
    for entry, name in entries.items():
        if entry.startswith("code/") and entry.endswith(".py"):
            found = UNSAFE_SCRIPT.search(archive.read(name).decode("utf-8", "replace"))
            if found:
                raise ConversionError(
                    f"{path}: {entry} uses {found.group(0)!r}, which reaches outside the model"
                )


def _values(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        for value in node.values():
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, key)


def _check(
    proto: onnx.ModelProto, module: Any, inputs: tuple[Any, ...], batches: tuple[int | None, ...]
) -> None:
    """Raise unless onnxruntime agrees with PyTorch on random inputs, for each batch size asked for."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    names = [value.name for value in session.get_inputs()]
    if len(names) != len(inputs):
        raise ConversionError(f"the ONNX graph has the inputs {names}, the module takes {len(inputs)}")
    for batch in batches:
        arrays = [_random_like(value, batch, random) for value in inputs]
        results = module(*(torch.from_numpy(array) for array in arrays))
        expected = [value.detach().numpy() for value in torch.utils._pytree.tree_leaves(results)]
        actual = session.run(None, dict(zip(names, arrays, strict=True)))
        for output, ours, theirs in zip(session.get_outputs(), actual, expected, strict=True):
            difference = _relative_difference(np.asarray(ours), theirs)
            if not difference <= RELATIVE_TOLERANCE:
                raise ConversionError(
                    f"output {output.name!r}: onnxruntime and PyTorch differ by {difference:.2g} of the "
                    "largest value"
                )


def _relative_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape or not np.isfinite(theirs).all():
        return float("inf")
    scale = np.abs(theirs).max(initial=0.0)
    excess = np.abs(ours.astype(np.float64) - theirs).max(initial=0.0) - ABSOLUTE_TOLERANCE
    return 0.0 if excess <= 0 else float(excess / scale)


def _random_like(value: Any, batch: int | None, random: np.random.Generator) -> np.ndarray:
    array = value.detach().numpy()
    shape = array.shape if batch is None else (batch, *array.shape[1:])
    if np.issubdtype(array.dtype, np.floating):
        return random.standard_normal(shape).astype(array.dtype)
    return random.integers(0, 2, shape).astype(array.dtype)


@contextlib.contextmanager
def _evaluating(module: Any, *, skip: bool) -> Iterator[None]:
    """Put a module in evaluation mode, and every part of it back as it was."""
    if skip:
        yield
        return
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notices away; errors pass."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _framework() -> Any:
    try:
        import onnxscript  # noqa: F401 - the dynamo exporter needs it
        import torch
        import torch.onnx
        import torch.utils._pytree
    except ImportError as error:
        raise ConversionError(
            f"{error}; start the script with `uv run`, or pip install torch onnxscript onnxruntime"
        ) from error
    return torch


def _one_line(error: BaseException) -> str:
    message = " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split()) or type(error).__name__
    return message if len(message) <= 300 else f"{message[:100]} ... {message[-195:]}"


def _metadata_entry(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f"expected key=value, got {text!r}")
    return key, value


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(size) for size in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expected sizes such as 1,1,32,32, got {text!r}")
    return shape


def _example(module: Any, shapes: list[tuple[int, ...]], path: Path) -> tuple[Any, ...]:
    import torch

    if shapes:
        return tuple(torch.zeros(shape) for shape in shapes)
    positional, keyword = getattr(module, "example_inputs", None) or ((), {})
    if not positional or keyword:
        raise ConversionError(f"{path}: the file doesn't say its input shapes; give --input-shape")
    return tuple(positional)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path, help=".pt2 (torch.export.save) or TorchScript file")
    parser.add_argument("-o", "--output", type=Path, help="ONNX file to write (default: beside the model)")
    parser.add_argument("--opset", type=int, default=DEFAULT_OPSET, help="default: %(default)s")
    parser.add_argument(
        "--input-shape",
        type=_shape,
        action="append",
        default=[],
        metavar="N,C,H,W",
        help="shape of a float32 input; repeatable, needed for TorchScript",
    )
    parser.add_argument(
        "--dynamic-batch", action="store_true", help="leave the first size free (TorchScript)"
    )
    parser.add_argument("--input-name", action="append", help="name in the ONNX graph; repeatable")
    parser.add_argument("--output-name", action="append", help="name in the ONNX graph; repeatable")
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
        module = load(options.model)
        program = hasattr(module, "graph_signature")
        proto = convert(
            module,
            _example(module, options.input_shape, options.model),
            exporter="dynamo" if program else "torchscript",
            opset=options.opset,
            dynamic_batch=options.dynamic_batch,
            input_names=options.input_name,
            output_names=options.output_name,
            metadata=dict(options.metadata),
        )
        onnx.save(proto, output)
    except (ConversionError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 1
    print(f"wrote {output}: opset {options.opset}, onnxruntime agrees with PyTorch", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
