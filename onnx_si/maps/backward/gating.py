"""Functions of one element with bends: the slope of the piece, told by comparisons.

At a bend the gradient is that of the flatter piece, or zero between a falling and a rising one: relu'(0) = 0
and abs'(0) = 0, as in PyTorch. That matters for elements that stay on the bend, such as a unit that is always
zero.
"""

import numpy as np
import onnx

from onnx_si.errors import Refusal
from onnx_si.maps.backward.nodes import summed_to
from onnx_si.maps.backward.site import OTHER_LAYER, Site, backwards
from onnx_si.rules.rules import Affine, Kinked


def number(at: Site, gate: str) -> str:
    """A truth value as 0 or 1."""
    return at.add("Cast", [gate], to=onnx.TensorProto.FLOAT)


def above(at: Site, bound: object = 0.0) -> str:
    """Whether the input is greater than a bound."""
    return at.add("Greater", [at.single(at.position), at.constant(np.asarray(bound, np.float64))])


def below(at: Site, bound: object = 0.0) -> str:
    """Whether the input is less than a bound."""
    return at.add("Less", [at.single(at.position), at.constant(np.asarray(bound, np.float64))])


def times(at: Site, slope: str) -> str:
    """The gradient times a slope."""
    return at.add("Mul", [at.gradient, slope])


def kinked(at: Site) -> Kinked:
    """The op as a function with breakpoints."""
    if not isinstance(at.rule, Kinked):
        raise Refusal("with these attributes it has no gradient rule", OTHER_LAYER)
    return at.rule


@backwards("Relu")
def relu(at: Site) -> str:
    return times(at, number(at, above(at)))


@backwards("LeakyRelu", "PRelu")
def leaky_relu(at: Site) -> str:
    """1 above zero; at zero and below, what the function is at -1."""
    slope = -kinked(at).function(np.full((1, *at.wanted), -1.0))[0]
    positive = above(at)
    low = at.constant(slope if at.node.op_type == "PRelu" else slope.ravel()[:1])
    negative = at.add("Mul", [number(at, at.add("Not", [positive])), low])
    return times(at, at.add("Add", [number(at, positive), negative]))


@backwards("Abs")
def absolute(at: Site) -> str:
    return times(at, at.add("Sub", [number(at, above(at)), number(at, below(at))]))


def between(at: Site, low: object, high: object) -> str:
    """Whether the input lies strictly between two bounds."""
    return number(at, at.add("And", [above(at, low), below(at, high)]))


@backwards("Clip")
def clip(at: Site) -> str:
    """0 at both limits, as Relu6 and Hardtanh have it."""
    if isinstance(at.rule, Affine):
        return at.gradient  # without limits
    low, high = kinked(at).function(np.array([-np.inf, np.inf]))
    largest = float(np.finfo(np.float32).max)
    return times(at, between(at, np.clip(low, -largest, largest), np.clip(high, -largest, largest)))


@backwards("HardSigmoid")
def hard_sigmoid(at: Site) -> str:
    low, high = kinked(at).breakpoints
    alpha = float(at.attributes.get("alpha", 0.2))
    return times(at, at.add("Mul", [between(at, low, high), at.constant(alpha)]))


@backwards("ThresholdedRelu")
def thresholded_relu(at: Site) -> str:
    return times(at, number(at, above(at, at.attributes.get("alpha", 1.0))))


@backwards("Where")
def where(at: Site) -> str:
    """To the tensor that was chosen; the condition itself only jumps."""
    chosen = at.node.input[0]
    gate = number(at, chosen if at.position == 1 else at.add("Not", [chosen]))
    return summed_to(at, times(at, gate), at.given, at.wanted)
