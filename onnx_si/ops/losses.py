"""Losses against known labels: affine in logarithms of probabilities, smooth in scores."""

from functools import partial

import numpy as np
from scipy import special

from onnx_si.kernels.arrays import double, malformed, size
from onnx_si.ops.elementwise import opaque
from onnx_si.rules.registry import Context, Input, constant, handles, optional, variable
from onnx_si.rules.rules import Affine, Array, Rule


def _weights(shape: tuple[int, ...], labels: Input, weight: Input, ignored: int | None) -> Array:
    """What each element (N, C, ...) counts: the weight of its class where it is the label, else zero."""
    target = constant(labels, "target").astype(np.int64)
    if len(shape) < 2 or target.shape != (*shape[:1], *shape[2:]):
        raise malformed(f"labels of shape {target.shape} for scores of shape {shape}")
    of_class = optional(weight, "weight")
    each = np.ones(shape[1]) if of_class is None else double(of_class)
    kept = np.ones(target.shape, dtype=bool) if ignored is None else target != ignored
    if each.shape != shape[1:2] or np.any((target < 0) | (target >= shape[1]), where=kept):
        raise malformed(f"labels from {target.min()} to {target.max()} for {shape[1]} classes")
    chosen = np.arange(shape[1]).reshape(-1, *(1,) * (len(shape) - 2)) == target[:, None]
    return np.where(chosen & kept[:, None], each.reshape(-1, *(1,) * (len(shape) - 2)), 0.0)


def _loss(weights: Array, reduction: str) -> Affine:
    """Minus the weighted log-probabilities: each, their sum, or their weighted mean."""
    match reduction:
        case "none":
            return Affine(
                linear=lambda x, w: (x * w).sum(axis=2), weights=(-weights,), terms=weights.shape[1]
            )
        case "sum" | "mean":
            share = weights if reduction == "sum" else _divided(weights)
            axes = tuple(range(1, weights.ndim + 1))
            return Affine(
                linear=lambda x, w: (x * w).sum(axis=axes), weights=(-share,), terms=size(weights.shape)
            )
    raise malformed(f"reduction '{reduction}' is not in the specification")


def _divided(weights: Array) -> Array:
    with np.errstate(invalid="ignore"):  # every label ignored: not a number, as the specification has it
        return np.asarray(weights / weights.sum())


@handles("NegativeLogLikelihoodLoss", since=(12, 13, 22))
def negative_log_likelihood(
    x: Input, target: Input, weight: Input = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> Rule:
    return _loss(_weights(variable(x, "input").shape, target, weight, ignore_index), reduction)


@handles("SoftmaxCrossEntropyLoss", since=(12, 13))
def softmax_cross_entropy(
    x: Input,
    labels: Input,
    weight: Input = None,
    *,
    context: Context,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Rule:
    """The second output is the logarithm of the probabilities."""
    shape = variable(x, "scores").shape
    if context.output == 1:
        return opaque(lambda x: np.asarray(special.log_softmax(x, axis=2)))
    loss = _loss(_weights(shape, labels, weight, ignore_index), reduction)
    return opaque(partial(_of_log_softmax, loss=loss))


def _of_log_softmax(x: Array, loss: Affine) -> Array:
    return loss.evaluate(np.asarray(special.log_softmax(x, axis=2)))
