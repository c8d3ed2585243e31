"""SVMRegressor and SVMClassifier of the domain ai.onnx.ml."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from onnx_si.kernels.arrays import malformed
from onnx_si.ops.elementwise import opaque
from onnx_si.ops.ml.linear_models import linear_scores
from onnx_si.ops.ml.post_transform import DOMAIN, matrix, no_transform, numbers, rows, worded
from onnx_si.rules import axis_rules
from onnx_si.rules.composing import chain
from onnx_si.rules.registry import Context, Input, Variable, Worded, handles, variable
from onnx_si.rules.rules import Affine, Array, Composition, Rule, Step

Kernel = Callable[[Array, Array, tuple[float, float, float]], Array]
KERNELS: dict[str, Kernel] = {
    "POLY": lambda x, v, p: np.power(p[0] * (x @ v.T) + p[1], p[2]),
    "RBF": lambda x, v, p: np.exp(-p[0] * np.sum((x[..., None, :] - v) ** 2, axis=-1)),
    "SIGMOID": lambda x, v, p: np.tanh(p[0] * (x @ v.T) + p[1]),
}
"""Kernels but the linear one, of samples (..., features) and vectors, with gamma, coef0 and degree."""


def _decisions(
    x: Variable, kernel: str, vectors: Array, weights: Array, rho: Array, parameters: Sequence[float]
) -> Rule:
    """weights @ kernel(vectors, x) + rho: (samples, decisions)."""
    if kernel == "LINEAR":
        return linear_scores(x, weights @ vectors, rho)
    if kernel not in KERNELS or len(parameters) != 3:
        raise malformed(f"kernel {kernel} with {len(parameters)} parameters")
    gamma, offset, degree = parameters
    return opaque(
        _OfKernel(
            samples=rows(x),
            kernel=KERNELS[kernel],
            parameters=(gamma, offset, degree),
            vectors=vectors,
            weights=weights,
            rho=rho,
        )
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _OfKernel:
    samples: Callable[[Array], Array]
    kernel: Kernel
    parameters: tuple[float, float, float]
    vectors: Array
    weights: Array
    rho: Array

    def __call__(self, x: Array) -> Array:
        return self.kernel(self.samples(x), self.vectors, self.parameters) @ self.weights.T + self.rho


@handles("SVMRegressor", since=(1,), domain=DOMAIN, axes=axis_rules.row_by_row)
def svm_regressor(
    x: Input,
    *,
    coefficients: Sequence[float] = (),
    kernel_params: Sequence[float] = (),
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    rho: Sequence[float] = (),
    support_vectors: Sequence[float] = (),
) -> Rule | Composition:
    """A sum of kernels, or its sign as 1 or -1; without support vectors the coefficients are of features."""
    x = variable(x, "X")
    no_transform(post_transform, "a regression")
    features = x.shape[-1] if x.ndim else 0
    if n_supports:
        vectors, weights = (
            matrix(support_vectors, features, "support vectors"),
            matrix(coefficients, n_supports, "coefficients"),
        )
    else:
        vectors, weights = np.eye(features), matrix(coefficients, features, "coefficients")
        kernel_type = "LINEAR"
    if len(weights) != 1 or len(vectors) != weights.shape[1] or len(rho) != 1:
        raise malformed(f"{len(vectors)} vectors, {weights.size} coefficients and {len(rho)} numbers in rho")
    value = _decisions(x, kernel_type, vectors, weights, np.asarray(rho, dtype=np.float64), kernel_params)
    if not one_class:
        return value
    return chain(value, Step(switches=lambda s: (s,), evaluate=lambda s: np.where(s > 0, 1.0, -1.0)))


@handles("SVMClassifier", since=(1,), domain=DOMAIN, axes=axis_rules.row_by_row)
def svm_classifier(
    x: Input,
    *,
    context: Context,
    classlabels_ints: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
    coefficients: Sequence[float] = (),
    kernel_params: Sequence[float] = (),
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: Sequence[float] = (),
    prob_b: Sequence[float] = (),
    rho: Sequence[float] = (),
    support_vectors: Sequence[float] = (),
    vectors_per_class: Sequence[int] = (),
) -> Rule | Composition | Worded:
    """The label with the most votes of pairs of classes; the pairs' decisions, or probabilities."""
    x = variable(x, "X")
    no_transform(post_transform, "a support vector machine")
    classes, count = len(classlabels_ints) or len(classlabels_strings), sum(vectors_per_class)
    pairs = list(combinations(range(classes), 2))
    if classes < 2 or len(vectors_per_class) != classes or len(rho) != len(pairs):
        raise malformed(f"{classes} labels, vectors of {len(vectors_per_class)} classes, {len(rho)} in rho")
    if len(prob_a) != len(prob_b) or len(prob_a) not in (0, len(pairs)):
        raise malformed(f"{len(prob_a)} and {len(prob_b)} numbers for probabilities of {len(pairs)} pairs")
    vectors = matrix(support_vectors, x.shape[-1] if x.ndim else 0, "support vectors")
    weights = matrix(coefficients, count, "coefficients")
    if len(vectors) != count or len(weights) != classes - 1:
        raise malformed(f"{len(vectors)} vectors, {len(weights)} rows of coefficients for {classes} classes")
    decisions = _decisions(
        x,
        kernel_type,
        vectors,
        _weights_of_pairs(weights, pairs, vectors_per_class),
        np.asarray(rho, dtype=np.float64),
        kernel_params,
    )
    if context.output == 0:
        labels = numbers(classlabels_ints, classlabels_strings)
        voted = partial(_voted, labels=labels, pairs=pairs)
        label = chain(decisions, Step(switches=lambda d: (d,), evaluate=voted))
        return worded(label, classlabels_strings)
    if prob_a:
        a, b = np.asarray(prob_a, dtype=np.float64), np.asarray(prob_b, dtype=np.float64)
        return chain(
            decisions, opaque(partial(_probabilities, slope=a, shift=b, pairs=pairs, classes=classes))
        )
    if classes > 2:
        return decisions
    return chain(decisions, Affine(linear=lambda d, w: d * w, weights=(np.array([-1.0, 1.0]),)))


def _weights_of_pairs(weights: Array, pairs: list[tuple[int, int]], sizes: Sequence[int]) -> Array:
    """(pairs, vectors): of each class the vectors' weights against every other one, as LIBSVM keeps them."""
    ends = np.cumsum(sizes)
    starts, result = ends - np.asarray(sizes), np.zeros((len(pairs), weights.shape[1]))
    for row, (i, j) in zip(result, pairs, strict=True):
        row[starts[i] : ends[i]] = weights[j - 1, starts[i] : ends[i]]
        row[starts[j] : ends[j]] = weights[i, starts[j] : ends[j]]
    return result


def _voted(decisions: Array, labels: Array, pairs: list[tuple[int, int]]) -> Array:
    """The label of most votes."""
    return np.asarray(labels[_most_votes(decisions, pairs, len(labels))])


def _most_votes(decisions: Array, pairs: list[tuple[int, int]], classes: int) -> np.ndarray:
    votes = np.zeros((*decisions.shape[:-1], classes))
    for k, (i, j) in enumerate(pairs):
        votes[..., i] += decisions[..., k] > 0
        votes[..., j] += decisions[..., k] <= 0
    return np.asarray(np.argmax(votes, axis=-1))


def _probabilities(
    decisions: Array, slope: Array, shift: Array, pairs: list[tuple[int, int]], classes: int
) -> Array:
    """Pairwise probabilities coupled as in LIBSVM (Wu, Lin, Weng, JMLR 2004, algorithm 2)."""
    logits = decisions * slope + shift
    r = np.zeros((*logits.shape[:-1], classes, classes))
    for k, (i, j) in enumerate(pairs):
        r[..., i, j] = np.clip(1 / (1 + np.exp(logits[..., k])), 1e-7, 1 - 1e-7)
        r[..., j, i] = 1 - r[..., i, j]
    flat = r.reshape(-1, classes, classes)
    return np.stack([_coupled(one) for one in flat]).reshape(*logits.shape[:-1], classes)


def _coupled(r: Array) -> Array:
    """The iteration with LIBSVM's own stopping rule, which runtimes use as well: the result is that of its
    last step.
    """
    classes = len(r)
    q = -r.T * r
    q[np.diag_indices(classes)] = np.sum(r.T**2, axis=1)
    p = np.full(classes, 1 / classes, dtype=r.dtype)
    for _ in range(max(100, classes)):
        qp = q @ p
        pqp = p @ qp
        if np.max(np.abs(qp - pqp)) < 0.005 / classes:
            break
        for t in range(classes):
            move = (pqp - qp[t]) / q[t, t]
            p[t] += move
            pqp = (pqp + move * (move * q[t, t] + 2 * qp[t])) / (1 + move) ** 2
            qp = (qp + move * q[t]) / (1 + move)
            p = p / (1 + move)
    return p
