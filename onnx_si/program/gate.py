"""The one gate for exceptions that no one raised on purpose: malformed nodes, or cases not handled."""

import os

from onnx_si.errors import OnnxSIError, Refusal

DEBUG = "ONNX_SI_DEBUG"
LONGEST = 200  # characters of an exception's words that are shown


def as_refusal(error: Exception) -> Refusal:
    """The refusal that an exception at a node means.

    Parameters
    ----------
    error : Exception
        Raised while a node was bound, evaluated or inlined.

    Raises
    ------
    Exception
        The error itself if it is our own, if memory ran out, or if the environment has `ONNX_SI_DEBUG=1`: a
        fault of this package is seen as it is then.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, OnnxSIError | MemoryError) or os.environ.get(DEBUG) == "1":
        raise error
    words = " ".join(f"{type(error).__name__}: {error}".split())
    shown = words if len(words) <= LONGEST else f"{words[:LONGEST]}..."
    return Refusal(
        f"malformed, or a case that is not handled ({shown})",
        "check the exported model; if onnxruntime runs it, please report it",
    )
