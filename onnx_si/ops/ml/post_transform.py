"""What the models of the domain ai.onnx.ml have in common: rows of features, labels, transforms of scores."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import malformed
from onnx_si.ops.elementwise import opaque
from onnx_si.rules.registry import Variable, Worded
from onnx_si.rules.rules import Array, Composition, Opaque, Rule

DOMAIN = "ai.onnx.ml"


def rows(x: Variable) -> Callable[[Array], Array]:
    """To (batch, samples, features); a tensor of one axis is a single sample."""
    if x.ndim not in (1, 2):
        raise malformed(f"a tensor of shape {x.shape}, where samples by features are read")
    return (lambda x: x[:, None]) if x.ndim == 1 else (lambda x: x)


def matrix(values: Sequence[float], columns: int, name: str) -> Array:
    """A flat attribute as a matrix with so many columns."""
    flat = np.asarray(values, dtype=np.float64)
    if not flat.size or not columns or flat.size % columns:
        raise malformed(f"{flat.size} {name} do not fit {columns} columns")
    return flat.reshape(-1, columns)


def numbers(labels: Sequence[int], strings: Sequence[str]) -> Array:
    """Class labels as numbers: those of words are their places."""
    return np.asarray(labels or range(len(strings)), dtype=np.float64)


def worded(rule: Rule | Composition, strings: Sequence[str]) -> Rule | Composition | Worded:
    """The rule that gives labels, which may be words."""
    return Worded(rule, tuple(strings)) if strings else rule


def no_transform(post_transform: str, what: str) -> None:
    """Refuse a transform where runtimes do not apply it as the text says."""
    if post_transform != "NONE":
        raise Refusal(
            f"post_transform {post_transform} of {what}",
            "export with NONE and a node for the function behind it",
        )


def _softmax_zero(scores: Array) -> Array:
    """Softmax over the scores that are not zero; zeros stay."""
    largest = scores.max(axis=-1, keepdims=True)
    zero = np.abs(scores) <= 1e-7  # as the runtime has it; the text says zero
    powers = np.where(zero, scores * np.exp(-largest), np.exp(scores - largest))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _softmax(scores: Array) -> Array:
    return np.asarray(special.softmax(scores, axis=-1))


_TRANSFORMS: dict[str, Callable[[Array], Array]] = {
    "NONE": np.positive,
    "LOGISTIC": special.expit,
    "SOFTMAX": _softmax,
    "SOFTMAX_ZERO": _softmax_zero,
}


def transform(name: str) -> Callable[[Array], Array]:
    """The function of scores (..., classes) that `post_transform` names."""
    if name not in _TRANSFORMS:
        raise Refusal(
            f"post_transform {name}", f"runtimes approximate it; known are {', '.join(sorted(_TRANSFORMS))}"
        )
    return _TRANSFORMS[name]


def transformed(name: str) -> Opaque:
    """The same as a rule."""
    return opaque(transform(name))
