"""LinearRegressor and LinearClassifier of the domain ai.onnx.ml."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy import special

from onnx_si.kernels.arrays import malformed
from onnx_si.ops.elementwise import opaque
from onnx_si.ops.ml.post_transform import (
    DOMAIN,
    matrix,
    no_transform,
    numbers,
    rows,
    transform,
    transformed,
    worded,
)
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import chain
from onnx_si.rules.registry import Context, Input, Variable, Worded, handles, variable
from onnx_si.rules.rules import Affine, Array, Composition, Gated, Rule, Step, Winner


def linear_scores(x: Variable, weights: Array, intercepts: Array) -> Affine:
    """Scores (samples, classes) from weights (classes, features)."""
    samples = rows(x)
    if weights.shape[1] != x.shape[-1]:
        raise malformed(f"{weights.shape[1]} coefficients for {x.shape[-1]} features")
    return Affine(
        linear=lambda x, w: samples(x) @ w.T, weights=(weights,), offset=intercepts, terms=x.shape[-1]
    )


def _intercepts(values: Sequence[float], count: int) -> Array:
    if values and len(values) != count:
        raise malformed(f"{len(values)} intercepts for {count} scores")
    return np.asarray(values, dtype=np.float64) if values else np.zeros(count)


@handles("LinearRegressor", since=(1,), domain=DOMAIN, axes=axis_rules.row_by_row)
def linear_regressor(
    x: Input,
    *,
    coefficients: Sequence[float] = (),
    intercepts: Sequence[float] = (),
    post_transform: str = "NONE",
    targets: int = 1,
) -> Rule:
    x = variable(x, "X")
    no_transform(post_transform, "a regression")
    weights = matrix(coefficients, x.shape[-1] if x.ndim else 0, "coefficients")
    if len(weights) != targets:
        raise malformed(f"coefficients for {len(weights)} targets, not {targets}")
    return linear_scores(x, weights, _intercepts(intercepts, targets))


@handles("LinearClassifier", since=(1,), domain=DOMAIN, axes=axis_rules.row_by_row)
def linear_classifier(
    x: Input,
    *,
    context: Context,
    coefficients: Sequence[float] = (),
    intercepts: Sequence[float] = (),
    classlabels_ints: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> Rule | Composition | Worded:
    """The label of the best score, the first one among equals, and all scores.

    A single score of two classes is that of the second one; the label is the second if it is positive.
    """
    x = variable(x, "X")
    weights = matrix(coefficients, x.shape[-1] if x.ndim else 0, "coefficients")
    classes = len(classlabels_ints) or len(classlabels_strings)
    single = len(weights) == 1 and classes == 2
    if len(weights) != classes and not single:
        raise malformed(f"coefficients for {len(weights)} scores and {classes} class labels")
    scores = linear_scores(x, weights, _intercepts(intercepts, len(weights)))
    if context.output == 0:
        labels = numbers(classlabels_ints, classlabels_strings)
        label = chain(scores, _sign(labels)) if single else chain(scores, *best(labels))
        return worded(label, classlabels_strings)
    transform(post_transform)
    if single:
        return _two_scores(scores, post_transform)
    return scores if post_transform == "NONE" else chain(scores, transformed(post_transform))


def best(labels: Array) -> tuple[Winner, Gated]:
    """From scores (samples, classes) to the label of the largest, the first one among equals."""
    place = Winner(lambda scores: np.moveaxis(scores, -1, 0))
    return place, Gated(evaluate=partial(_labelled, labels=labels), gates=(0,))


def _labelled(i: Array, labels: Array) -> Array:
    return np.asarray(labels[i.astype(np.intp)])


def _sign(labels: Array) -> Step:
    return Step(switches=lambda s: (s,), evaluate=partial(_by_sign, labels=labels))


def _by_sign(score: Array, labels: Array) -> Array:
    return np.asarray(np.where(score[..., 0] > 0, labels[1], labels[0]))


def _logistic_of_both(score: Array) -> Array:
    return np.asarray(special.expit(score * np.array([-1.0, 1.0])))


def _two_scores(score: Affine, post_transform: str) -> Composition:
    """1 - s and s as they are, or the logistic functions of -s and s."""
    if post_transform == "LOGISTIC":
        return chain(score, opaque(_logistic_of_both))
    both = Affine(linear=lambda s, w: s * w, weights=(np.array([-1.0, 1.0]),), offset=np.array([1.0, 0.0]))
    return chain(score, both)
