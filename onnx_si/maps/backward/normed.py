"""Softmax, and normalisations by statistics of the image itself.

With h = (x - mean) / deviation of a row, the gradient of x is (g - mean(g) - h mean(g h)) / deviation.
"""

import math

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.maps.backward.formula import Term, given, operand, result
from onnx_si.maps.backward.rows import Rows, axis_of
from onnx_si.maps.backward.site import OTHER_LAYER, Site, backwards
from onnx_si.program.node import schema_version
from onnx_si.rules.rules import Affine


def _classes(at: Site) -> Rows:
    """What a Softmax runs over: before opset 13 all axes from its own on."""
    shape, before = at.wanted, schema_version(at.node.op_type, "", at.model.opset) < 13
    axis = axis_of(at, 1 if before else -1)
    return Rows(shape, tuple(range(axis, len(shape))) if before else (axis,))


@backwards("Softmax")
def softmax(at: Site) -> str:
    rows = _classes(at)
    y, g = rows.of(result(at)), rows.of(given(at))
    return rows.back(y * (g - rows.total(g * y))).tensor


@backwards("LogSoftmax")
def log_softmax(at: Site) -> str:
    rows = _classes(at)
    y, g = rows.of(result(at)), rows.of(given(at))
    return rows.back(g - y.apply("Exp") * rows.total(g)).tensor


def _require_main_output(at: Site) -> None:
    if at.step.output != at.node.output[0]:
        raise Refusal("only its first output has a gradient rule", OTHER_LAYER)


def _normalised(at: Site, rows: Rows, *, centred: bool = True) -> tuple[Term, Term]:
    """The rows by their statistics, and one over each row's deviation."""
    x = rows.of(operand(at, 0))
    x = x - rows.mean(x) if centred else x
    epsilon = float(at.attributes.get("epsilon", 1e-5))
    share = 1.0 / (rows.mean(x * x) + epsilon).apply("Sqrt")
    return x * share, share


def _normalisation(at: Site, rows: Rows, weights: Term, *, centred: bool = True) -> str:
    """Gradient of the first input, of the weights, or of what is added."""
    _require_main_output(at)
    if at.position == 2:
        return given(at).summed(at.given, _lined_up(at)).shaped(at.wanted).tensor
    h, share = _normalised(at, rows, centred=centred)
    if at.position == 1:
        return (given(at) * rows.back(h)).summed(at.given, _lined_up(at)).shaped(at.wanted).tensor
    g = rows.of(given(at) * weights)
    less = h * rows.mean(g * h)
    return rows.back(share * (g - rows.mean(g) - less if centred else g - less)).tensor


def _lined_up(at: Site) -> tuple[int, ...]:
    """The shape of weights against the first input: one for each channel, or along the last axes."""
    shape, rank = at.shape(1), len(at.shape(0))
    if at.node.op_type in ("LayerNormalization", "RMSNormalization"):
        return (1,) * (rank - len(shape)) + shape
    return (1, shape[0], *(1,) * (rank - 2))


@backwards("LayerNormalization", "RMSNormalization")
def layer_normalization(at: Site) -> str:
    shape = at.shape(0)
    rows = Rows(shape, tuple(range(axis_of(at, -1), len(shape))))
    centred = at.node.op_type == "LayerNormalization"
    return _normalisation(at, rows, operand(at, 1), centred=centred)


@backwards("InstanceNormalization")
def instance_normalization(at: Site) -> str:
    shape = at.shape(0)
    weights = operand(at, 1).shaped(_lined_up(at))
    return _normalisation(at, Rows(shape, tuple(range(2, len(shape)))), weights)


@backwards("BatchNormalization")
def batch_normalization(at: Site) -> str:
    """One factor for each channel; in training mode statistics of the batch."""
    if at.attributes.get("training_mode", 0):
        shape = at.shape(0)
        weights = operand(at, 1).shaped(_lined_up(at))
        if at.position > 2:
            raise Refusal("its running statistics depend on the image", OTHER_LAYER)
        return _normalisation(at, Rows(shape, (0, *range(2, len(shape)))), weights)
    if not isinstance(at.rule, Affine) or at.position:
        raise Refusal("its statistics depend on the image", OTHER_LAYER)
    return at.add("Mul", [at.gradient, at.constant(at.rule.weights[0])])


@backwards("LpNormalization")
def lp_normalization(at: Site) -> str:
    """y = x / |x|: what is left of the gradient beside the row; a row of zeros passes it on."""
    rows, p = Rows(at.wanted, (axis_of(at, -1),)), int(at.attributes.get("p", 2))
    x, y, g = (rows.of(term) for term in (operand(at), result(at), given(at)))
    size = rows.total(x * x).apply("Sqrt") if p == 2 else rows.total(x.apply("Abs"))
    along = y if p == 2 else x.sign()
    return rows.back((g - along * rows.total(g * y)) / size.never_zero()).tensor


@backwards("LRN")
def local_response_normalization(at: Site) -> str:
    """y = x s^-b with s a constant and a sum of squares over neighbouring channels."""
    attributes, shape = at.attributes, at.wanted
    size = int(attributes["size"])
    alpha, beta = float(attributes.get("alpha", 1e-4)), float(attributes.get("beta", 0.75))
    offset = np.subtract.outer(np.arange(shape[1]), np.arange(shape[1]))  # of a channel from its neighbour
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    near = ((offset <= before) & (-offset <= after)).astype(np.float64)
    flat = (shape[0], shape[1], math.prod(shape[2:]))
    x, g = operand(at).shaped(flat), given(at).shaped(flat)
    s = (x * x).before(near * alpha / size) + float(attributes.get("bias", 1.0))
    through = (g * x * s ** (-beta - 1)).before(near.T * (2 * alpha * beta / size))
    return (g * s**-beta - x * through).shaped(shape).tensor
