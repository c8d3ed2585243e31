"""The one gate for exceptions that no one raised on purpose: malformed nodes, or cases not handled."""

from onnx_si.errors import Refusal
from onnx_si.ground.guard import DEBUG, is_ours, words_of

__all__ = ["DEBUG", "as_refusal"]


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
    if is_ours(error):
        raise error
    return Refusal(
        f"malformed, or a case that is not handled ({words_of(error)})",
        "check the exported model; if onnxruntime runs it, please report it",
    )
