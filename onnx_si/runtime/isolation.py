"""Native code that may die of a file, run in a child process first: a death there is a refusal here."""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import load
from onnx_si.ground.terminal import shown
from onnx_si.runtime.session import RUNTIME, session_of

PATIENCE = 120.0  # seconds that a first run may take
FREE_SIZE = 64  # of an axis of space that is free
ELEMENTS: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
    **{f"tensor(int{bits})": np.dtype(f"i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": np.dtype(f"u{bits // 8}") for bits in (8, 16, 32, 64)},
}


def isolated(work: Callable[..., object], *arguments: Any, what: str = "", seconds: float = PATIENCE) -> None:
    """Do some work in a child process, for what it does to the process: what it gives or raises is dropped.

    Parameters
    ----------
    work : callable
        A function of a module.
    *arguments
        Its arguments.
    what : str
        The model's name, for the message.
    seconds : float
        How long it may take.

    Raises
    ------
    UnsupportedModel
        If the child is killed, or does not end.
    """
    child = _context().Process(target=_quietly, args=(work, *arguments), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which wait for work
        child.start()
    child.join(seconds)
    code = child.exitcode
    if code is None:
        child.kill()
        child.join()
    if code != 0:
        why = f"it did not end within {seconds:g} s" if code is None else _cause(code)
        name = f"{shown(what)}: " if what else ""
        raise UnsupportedModel(
            f"{name}{RUNTIME} was killed by this model ({why}, in a child process); export it "
            "again, and do not run it elsewhere if you don't know where it is from"
        )


def try_out(path: str, sizes: Mapping[str, int] | None = None) -> None:
    """A file's first way through native code: checker, shape inference, session and run.

    Parameters
    ----------
    path : str
    sizes : mapping of str to int, optional
        Of free axes, by their names.
    """
    model = load(path)
    onnx.shape_inference.infer_shapes(model.file)
    session = session_of(model.file)
    session.run(None, {value.name: _value(value, sizes or {}) for value in session.get_inputs()})


def _value(declared: Any, sizes: Mapping[str, int]) -> NDArray[Any]:
    """Ones for an input of a session."""
    shape = [
        n if isinstance(n, int) else sizes.get(n, FREE_SIZE if axis > 1 else 1)
        for axis, n in enumerate(declared.shape)
    ]
    return np.asarray(np.ones(shape, ELEMENTS[declared.type]))


def _context() -> Any:
    """Forking takes no time, as everything is imported; it is safe where no other thread holds a lock."""
    return multiprocessing.get_context("fork" if sys.platform.startswith("linux") else "spawn")


def _quietly(work: Callable[..., object], *arguments: Any) -> None:
    """In the child: no words of libraries, and no exception, which the parent would meet itself."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    with contextlib.suppress(Exception):
        work(*arguments)
    os._exit(0)


def _cause(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
