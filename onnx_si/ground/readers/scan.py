"""A medical image: its numbers, where the file says what they are, and how large a voxel is."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError, OnnxSIError
from onnx_si.ground.budget import excess

MOST_BYTES = 2**30
COPIES = 3  # of an image that are held while it is read


@dataclass(frozen=True)
class Scan:
    """Numbers of an image in the units that its file means, axes as it stores them.

    `spacing` is the size of a voxel in mm along each axis of space; None: the file does not say. `told` are
    lines that a user must know; they hold nothing of a patient.
    """

    values: NDArray[np.float64]
    spacing: tuple[float, ...] | None
    told: tuple[str, ...] = ()


def library(name: str, file: Path) -> ModuleType:
    """A library of the extra `medical`.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{file}: needs {name}: pip install 'onnx-si[medical]'") from error


@contextmanager
def damaged(file: Path, kind: str) -> Iterator[None]:
    """What a library raises over a damaged file becomes one error that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OnnxSIError, MemoryError):
        raise
    except Exception as error:
        words = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{file}: not {kind}, or a damaged one ({words[:160]}); save it again") from error


def require_size(file: Path, shape: tuple[int, ...]) -> None:
    """Refuse a file that claims more than can be read."""
    if min(shape, default=0) < 1 or 8 * int(np.prod([int(n) for n in shape], dtype=object)) > MOST_BYTES:
        raise InputError(f"{file}: says it holds {shape} values; an image takes at most {MOST_BYTES} bytes")
    why = excess(COPIES * 8 * int(np.prod(shape)))
    if why is not None:
        raise InputError(f"{file}: says it holds {shape} values; {why}")


def as_floats(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
