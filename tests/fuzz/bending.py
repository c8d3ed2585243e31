"""Small models of one op whose attributes, inputs and outputs are bent: what a malformed file may hold."""

import random

import numpy as np
import onnx
from onnx import helper, numpy_helper
from ops.cases import CASES, POINTS, SMOOTH, model_of

WHOLE = (0, -1, 1, 2, 3, 5, -2, 100, 10**6, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63))
REAL = (0.0, -1.0, 0.5, 1e-45, 1e30, float("nan"), float("inf"), -float("inf"))
SHAPES = ((), (1,), (2,), (3,), (0,), (2, 3), (1, 1, 1, 1), (1, 2, 3, 4, 5), (2, 0))
TYPES = (np.float32, np.int64, np.int32, np.bool_, np.float64, np.uint8, np.float16)
ADDED = ("axis", "axes", "k", "foo", "to", "value", "mode", "kernel_shape")


def bent(seed):
    """A model with the input `x` of shape (1, 6), and the op that was bent; the same for a seed."""
    rng = random.Random(seed)
    case = rng.choice(CASES + SMOOTH + POINTS)
    proto = onnx.ModelProto()
    proto.CopyFrom(model_of(case, rng.choice(case.opsets()), bent=rng.random() < 0.3).proto)
    del proto.graph.value_info[:]
    node = proto.graph.node[-1]
    for _ in range(rng.randrange(1, 3)):
        if rng.random() < 0.5:
            _bend_attribute(rng, node)
        else:
            _bend_tensors(rng, proto, node)
    return case.op, proto


def _bend_attribute(rng, node):
    if not node.attribute or rng.random() < 0.1:
        value = rng.choice((1, [1, 2], "x", 1.5, [0.5]))
        node.attribute.append(helper.make_attribute(rng.choice(ADDED), value))
        return
    attribute = rng.choice(node.attribute)
    match rng.choice(("drop", "whole", "list", "real", "word", "length", "type")):
        case "drop":
            node.attribute.remove(attribute)
            return
        case "whole":
            value = rng.choice(WHOLE)
        case "list":
            value = [rng.choice(WHOLE) for _ in range(rng.randrange(1, 6))]
        case "real":
            value = rng.choice(REAL)
        case "word":
            value = rng.choice(("x", "SAME_UPPER", "linear", "\u00ff"))
        case "length":
            value = list(attribute.ints or attribute.floats or [1])
            value = value[:-1] if len(value) > 1 and rng.random() < 0.5 else [*value, value[0]]
        case _:
            value = rng.choice((numpy_helper.from_array(np.array([1, 2])), [1.5, 2.0], ["a"], b"\xff\xfe"))
    attribute.CopyFrom(helper.make_attribute(attribute.name, value))


def _bend_tensors(rng, proto, node):
    kind = rng.choice(("drop", "leave out", "more", "constant", "swap", "outputs"))
    if kind == "outputs":
        node.output.append("one_more")
        return
    if not node.input:
        return
    place = rng.randrange(len(node.input))
    match kind:
        case "drop":
            del node.input[place]
        case "leave out":
            node.input[place] = ""
        case "more":
            node.input.append(rng.choice(list(node.input)))
        case "swap":
            other = rng.randrange(len(node.input))
            node.input[place], node.input[other] = node.input[other], node.input[place]
        case _:
            shape, dtype = rng.choice(SHAPES), np.dtype(rng.choice(TYPES))
            numbers = REAL if dtype.kind == "f" else WHOLE
            values = [rng.choice(numbers) for _ in range(int(np.prod(shape)))]
            wide = np.array(values, np.float64 if dtype.kind == "f" else np.int64)
            with np.errstate(over="ignore"):
                proto.graph.initializer.append(
                    numpy_helper.from_array(wide.astype(dtype).reshape(shape), "bent")
                )
            node.input[place] = "bent"
