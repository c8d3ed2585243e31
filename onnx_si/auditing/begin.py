"""Before an audit: a configuration to start from, and what would be done."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnx_si.analysis.options import Options
from onnx_si.analysis.prepare import Analysis
from onnx_si.analysis.settings import settle
from onnx_si.auditing.apart import require_apart
from onnx_si.auditing.gates import GATES
from onnx_si.auditing.images import Entry, entries
from onnx_si.auditing.of_files import Files, placed
from onnx_si.auditing.own_options import KEYS
from onnx_si.auditing.wish import Wish
from onnx_si.auditing.workers import processes
from onnx_si.errors import InputError, OnnxSIError
from onnx_si.graph import load
from onnx_si.ground.files import read_image
from onnx_si.ground.readers import How
from onnx_si.inspection.inspector import inspect_model
from onnx_si.report.audited import limit
from onnx_si.report.figures import inside

MOST_SHAPES = 8  # that are told


def commented(
    model: str,
    images: Sequence[str],
    keys: Mapping[str, Any] | None = None,
    test: Mapping[str, Any] | None = None,
) -> str:
    """A TOML file with every key, those that are not needed commented out; what is given, of the audit and of
    the test, is written in.
    """
    manifest = next((name for name in images if name.endswith((".csv", ".parquet"))), None)
    given = {"model": json.dumps(model), **{key: _toml(value) for key, value in (keys or {}).items()}}
    if manifest is None:
        given["images"] = json.dumps(list(images) or ["images"])
    else:
        given["manifest"] = json.dumps(manifest)
    lines = ["# An audit: onnx-si audit THIS_FILE. Paths are relative to this file.", ""]
    for key, one in KEYS.items():
        value = given.get(key)
        example = one.example or json.dumps(one.default)
        choices = f": {', '.join(one.kind.choices)}" if one.kind.choices else ""
        lines += [f"# {one.help}{choices}", f"{key} = {value}" if value else f"# {key} = {example}", ""]
    lines += ["# options of the test, the same for every image: see onnx-si --help", "[test]"]
    examples = {"sigma": 1.0, "threshold": "max:0.5", "hypothesis": "background"}
    lines += [f"{key} = {_toml(value)}" for key, value in (test or {}).items()]
    lines += [f"# {key} = {_toml(value)}" for key, value in examples.items() if key not in (test or {})] + [
        ""
    ]
    lines += [
        "# what must hold; exit code 1 where it does not. A number is for all images, a table for groups",
        "[gates]",
    ]
    for name, gate in GATES.items():
        lines += [f"# {gate.what}", f"# {name} = {gate.example}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value if isinstance(value, bool | int | float) else str(value))


def plan(wish: Wish, folder: Path | None, jobs: int = -1) -> str:
    """What would be done: the images, the model's guarantee, and the time by the first image.

    Raises
    ------
    UsageError, InputError
        If there are no images, or the model can't be read.
    """
    if folder is not None:
        require_apart(wish, entries(wish), folder)
    model = load(wish.place(wish.model))
    said = placed(wish.options, wish.base)
    options = Options(**said)
    found = inspect_model(model, said.get("dims"), said.get("layout"), said.get("inputs"))
    first = next(entries(wish))
    count, shapes = _shapes(wish, settle(options, model.metadata, bool(first.reference)).how)
    took, what = _first(wish, Analysis(model, options), first)
    workers = max(1, processes(jobs))
    gates = [f"{gate.gate} {limit(asdict(gate))} ({gate.group})" for gate in wish.gates]
    return "\n".join(
        [
            f"model      {wish.model}: {found.guarantee}: {'; '.join(found.reasons)}",
            f"images     {count}",
            *(f"           {line}" for line in shapes),
            f"first      {first.image}: {what}",
            f"time       {took:.2g} s for the first image, about {took * count / workers:.3g} s for all with "
            f"{workers} worker{'s' * (workers > 1)}",
            f"control    {wish.control} at {wish.rate:g}",
            f"gates      {', '.join(gates) or 'none'}",
            f"output     {folder or 'not said yet: --output DIR'}",
        ]
    )


class _Seen(OnnxSIError):
    """A header's shape, as text; what follows it is not read."""


def _shapes(wish: Wish, how: How) -> tuple[int, list[str]]:
    """How many images there are, how many of each shape, and those that can't be read."""
    shapes: Counter[str] = Counter()
    faults, first = 0, ""
    for entry in entries(wish):
        try:
            if entry.fault is not None:
                raise InputError(entry.fault)
            shapes[_shape(wish.place(entry.image), how)] += 1
        except OnnxSIError as error:
            first = first or str(error).splitlines()[0]
            faults += 1
    lines = [f"{count} of shape {shape}" for shape, count in shapes.most_common(MOST_SHAPES)]
    lines += [f"and {len(shapes) - MOST_SHAPES} more shapes"] if len(shapes) > MOST_SHAPES else []
    lines += [f"{faults} can't be tested; the first: {first}"] if faults else []
    return shapes.total() + faults, lines


def _shape(file: Path, how: How) -> str:
    """By the header where there is one."""

    def seen(shape: tuple[int, ...]) -> None:
        raise _Seen(str(shape))

    try:
        return str(read_image(file, seen, how).shape)
    except _Seen as found:
        return str(found)


def _first(wish: Wish, analysis: Analysis, entry: Entry) -> tuple[float, str]:
    started = time.perf_counter()
    try:
        result = Files.of(entry, wish).test(analysis, wish.base, **entry.options)
        p_value = inside(result.p_value, result.p_value_bounds, 4)
        what = f"p-value {p_value} ({result.guarantee})"
    except OnnxSIError as error:
        what = str(error).splitlines()[0]
    return time.perf_counter() - started, what
