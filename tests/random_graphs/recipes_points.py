"""Recipes: element by element, comparisons, jumps. Each takes (graph, x) of four axes and gives one."""

import numpy as np
from onnx import TensorProto

RELATIONS = ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal")


def relu(g, x):
    return g.op("Relu", x)


def slopes(g, x):
    kind = g.rng.integers(5)
    if kind == 0:
        return g.op("LeakyRelu", x, alpha=g.pick(0.1, 0.25, 0.5))
    if kind == 1:
        return g.op("PRelu", x, g.fixed(g.rng.integers(-2, 4, size=(x.channels, 1, 1)) / 4))
    if kind == 2:
        return g.op("HardSigmoid", x, alpha=g.pick(0.25, 0.2), beta=0.5)
    if kind == 3:
        return g.op("ThresholdedRelu", x, alpha=abs(g.level_of(x)))
    return g.op("Shrink", x, lambd=abs(g.level_of(x)), bias=g.pick(0.0, 0.25))


def clip(g, x):
    low, high = sorted((g.level_of(x), g.level_of(x)))
    return g.op("Clip", x, g.fixed(low), g.fixed(high if high > low else low + 1))


def one_element(g, x):
    return g.op(g.pick("Abs", "Neg", "Identity"), x)


def arithmetic(g, x):
    op = g.pick("Add", "Sub", "Mul", "Div")
    if op in ("Add", "Sub") and g.chance(0.6):
        return g.op(op, x, g.partner(x))
    constant = g.fixed(g.factor() if op != "Div" else g.pick(3.0, 7.0, 49.0, 0.5, 10.0))
    return g.op(op, x, constant)


def several(g, x):
    op = g.pick("Max", "Min", "Mean", "Sum")
    more = [g.partner(x) for _ in range(g.pick(1, 2))]
    if g.chance(0.4):
        more.append(g.fixed(g.level_of(x)))
    return g.op(op, x, *more)


def rounding(g, x):
    op = g.pick("Floor", "Ceil", "Round", "Sign")
    return g.op(op, g.op("Mul", x, g.fixed(g.pick(0.5, 1.0, 2.0))))


def truth(g, x):
    """A comparison with a constant or with another tensor."""
    other = g.fixed(g.level_of(x)) if g.chance(0.5) else g.partner(x)
    return g.op(g.pick(*RELATIONS[:4]), x, other)


def compared(g, x):
    return g.cast(truth(g, x))


def logic(g, x):
    a, b = truth(g, x), truth(g, x)
    both = g.op(g.pick("And", "Or", "Xor"), a, b)
    return g.cast(g.op("Not", both) if g.chance(0.5) else both)


def where(g, x):
    other = g.fixed(g.level_of(x)) if g.chance(0.5) else g.partner(x)
    return g.op("Where", truth(g, x), x, other)


def gated(g, x):
    return g.op("Mul", x, g.cast(truth(g, x)))


def modulo(g, x):
    if g.chance(0.5):
        return g.op("Mod", x, g.fixed(g.pick(1.5, 2.0, 3.0)), fmod=1)
    whole = g.op("Cast", g.op("Round", x), to=TensorProto.INT64)
    return g.cast(g.op("Mod", whole, g.ints(g.pick(2, 3))))


def whole_numbers(g, x):
    """Integers are cast, divided, and counted."""
    whole = g.op("Cast", x, to=g.pick(TensorProto.INT64, TensorProto.INT32))
    like = g.fixed(np.array(1.0))
    return g.op("CastLike", whole, like)


def bits(g, x):
    byte = g.to_bytes(g.op("Mul", x, g.fixed(4.0)))
    kind = g.rng.integers(2)
    other = g.fixed(np.array(g.pick(1, 2, 3) if kind else g.pick(6, 12, 3), np.uint8))
    if kind:
        made = g.op("BitShift", byte, other, direction="RIGHT")
    else:
        made = g.op(g.pick("BitwiseAnd", "BitwiseOr", "BitwiseXor"), byte, other)
    return g.cast(made)


def truth_of_value(g, x):
    """A number cast to a truth value: is it zero?"""
    return g.cast(g.op("Cast", g.op("Relu", x), to=TensorProto.BOOL))


def quantised(g, x):
    step = g.pick(0.5, 0.25, 1.0)
    scale, zero = g.fixed(step), g.fixed(np.array(g.pick(0, 10, 128), np.uint8))
    byte = g.op("QuantizeLinear", x, scale, zero)
    return g.op("DequantizeLinear", byte, scale, zero)


def dynamically_quantised(g, x):
    if g.dtype != np.float32 or min(x.value.ravel()) == max(x.value.ravel()) == 0:
        return quantised(g, x)
    return g.op("DequantizeLinear", *g.op("DynamicQuantizeLinear", x, outputs=3))


RECIPES = (
    *(relu, slopes, clip, one_element, arithmetic, several, rounding, compared, logic, where, gated),
    *(modulo, whole_numbers, bits, truth_of_value, quantised, dynamically_quantised),
)
