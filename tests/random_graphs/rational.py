"""A graph in rational arithmetic: no rounding anywhere, written from the text of the ONNX operators.

Tensors are object arrays of `Fraction` (floating point of any width), `int` or `bool`. Nothing of onnx_si is
used, so that the two can only agree by being right. NaN, infinities and overflow don't exist here; the
generator keeps clear of them.
"""

from fractions import Fraction

import numpy as np
from onnx import helper, numpy_helper

from . import rational_layers, rational_moves, rational_points

OPS = {**rational_points.OPS, **rational_moves.OPS, **rational_layers.OPS}


def exact(array):
    """A numpy array as an object array of exact numbers."""
    array = np.asarray(array)
    kind = {"f": lambda v: Fraction(float(v)), "b": bool}.get(array.dtype.kind, int)
    out = np.empty(array.shape, object)
    out.ravel()[:] = [kind(v) for v in array.ravel().tolist()]
    return out


def attributes_of(node):
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def run_node(node, env):
    """Evaluate one node; its outputs are added to `env` (name to array)."""
    attributes = attributes_of(node)
    if node.op_type in ("If", "Loop"):
        outputs = {"If": _if, "Loop": _loop}[node.op_type](node, attributes, env)
    else:
        inputs = [env[name] if name else None for name in node.input]
        outputs = OPS[node.op_type](*inputs, wanted=len(node.output), **attributes)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for name, value in zip(node.output, outputs, strict=False):
        env[name] = np.asarray(value, dtype=object)


def run_graph(graph, env):
    """All nodes of a graph, in order; `env` holds inputs and what lies outside, and is not changed."""
    env = {**env, **{one.name: exact(numpy_helper.to_array(one)) for one in graph.initializer}}
    for node in graph.node:
        run_node(node, env)
    return [env[output.name] for output in graph.output]


class Exact:
    """A model's first output as a function of the image."""

    def __init__(self, proto):
        self.graph = proto.graph
        self.constants = {one.name: exact(numpy_helper.to_array(one)) for one in proto.graph.initializer}

    def __call__(self, image):
        env = {**self.constants, self.graph.input[0].name: image}
        for node in self.graph.node:
            run_node(node, env)
        return env[self.graph.output[0].name]


def _if(node, attributes, env):
    (truth,) = env[node.input[0]].ravel()
    return tuple(run_graph(attributes["then_branch" if truth else "else_branch"], env))


def _loop(node, attributes, env):
    body = attributes["body"]
    (turns,) = env[node.input[0]].ravel()
    going = True if not node.input[1] else bool(env[node.input[1]].ravel()[0])
    state = [env[name] for name in node.input[2:]]
    stacked = [[] for _ in body.output[1 + len(state) :]]
    turn = 0
    while turn < turns and going:
        given = [np.array(turn, object), np.array(going, object), *state]
        inner = {**env, **{one.name: value for one, value in zip(body.input, given, strict=True)}}
        condition, *rest = run_graph(body, inner)
        going, state = bool(condition.ravel()[0]), rest[: len(state)]
        for parts, part in zip(stacked, rest[len(state) :], strict=True):
            parts.append(part)
        turn += 1
    return (*state, *(np.stack(parts) for parts in stacked))
