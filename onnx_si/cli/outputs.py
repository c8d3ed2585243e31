"""Where is written, told before a long search: in places that take it, and over nothing that is read."""

import argparse
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from onnx_si.analysis.options import Option
from onnx_si.analysis.options.kinds import BASE, FILE, FILES
from onnx_si.errors import UsageError
from onnx_si.ground.paths import same_place, why_not_written, writable
from onnx_si.ground.terminal import shown

_WRITTEN = ("output", "plot", "html", "dicom_seg", "resume")


def require_outputs(arguments: argparse.Namespace, options: Iterable[Option]) -> None:
    """Every file that is written can be, is written once, and is none of those that are read.

    Raises
    ------
    UsageError
        If not.
    """
    written = list(_written(arguments))
    for flag, path in written:
        if not writable(path):
            raise UsageError(f"{shown(path)}: {why_not_written(path)}")
        if path == "-":
            raise UsageError(f"{flag} -: a file is needed; --json writes the result to stdout")
        for name, read in _read(arguments, options):
            if same_place(path, read):
                raise UsageError(f"{flag} {shown(path)} would overwrite {name}; give another file")
    for (flag, path), (other, place) in combinations(written, 2):
        if same_place(path, place):
            raise UsageError(f"{flag} and {other} are one file, {shown(path)}; give each its own")
    plot = getattr(arguments, "plot", None)
    if plot is not None and Path(plot).suffix.lower() != ".png":
        raise UsageError(f"--plot {plot}; pictures are written as .png")


def _written(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for name in _WRITTEN:
        path = getattr(arguments, name, None)
        if path is not None:
            yield f"--{name.replace('_', '-')}", path
    prefix = getattr(arguments, "nifti", None)
    if prefix is not None:
        for what in ("region", "map", "p"):
            yield "--nifti", f"{prefix}_{what}.nii.gz"


def _read(arguments: argparse.Namespace, options: Iterable[Option]) -> Iterator[tuple[str, str]]:
    yield "the model", arguments.model
    if getattr(arguments, "image", None) is not None:
        yield "the image", arguments.image
    for option in options:
        if option.kind in (BASE, FILE, FILES) and option.name not in _WRITTEN:
            for path in _listed(getattr(arguments, option.name, None)):
                yield f"the file of {option.flag}", path


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
