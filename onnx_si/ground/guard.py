"""Exceptions that no one raised on purpose: words for a user, themselves for a developer."""

import contextlib
import os
from collections.abc import Iterator

from onnx_si.errors import OnnxSIError
from onnx_si.ground.terminal import shown

DEBUG = "ONNX_SI_DEBUG"


def is_ours(error: Exception) -> bool:
    """Whether an exception goes on as it is: our own, lack of memory, or any with `ONNX_SI_DEBUG=1`."""
    return isinstance(error, OnnxSIError | MemoryError) or os.environ.get(DEBUG) == "1"


def words_of(error: Exception) -> str:
    """The class and the words of an exception, on one line."""
    return shown(" ".join(f"{type(error).__name__}: {error}".split()))


@contextlib.contextmanager
def guarded(kind: type[OnnxSIError], what: str, advice: str) -> Iterator[None]:
    """Inside, an exception that is not our own is raised as one of ours.

    Parameters
    ----------
    kind : type
        Of the error: its exit code tells whose fault it is.
    what : str
        What was read.
    advice : str
        What to do.
    """
    try:
        yield
    except Exception as error:
        if is_ours(error):
            raise
        raise kind(
            f"{what}: malformed, or a case that is not handled ({words_of(error)}); {advice}"
        ) from error
