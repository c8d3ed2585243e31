"""What onnxruntime dies of, in a form that it survives: loops whose number of turns is surely one number, as
it reads an empty one from nowhere; no empty names behind the last input.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnx_si.graph.dag import subgraphs
from onnx_si.graph.survivable import STANDARD

COUNTS = 2  # of a Loop's inputs: the number of turns, and whether it begins
SINCE = 5  # opset in which Reshape takes a shape as an input
PREFIX = "onnx_si_single"


def with_single_counts(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, or, if it has loops, one that reshapes what counts their turns to a single number.

    Of no number that is an error in words.
    """
    opset = max((o.version for o in proto.opset_import if o.domain in STANDARD), default=0)
    if opset < SINCE or not any(_has_loop(body.node) for body in (proto.graph, *proto.functions)):
        return proto
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    for body in (made.graph, *made.functions):
        _guard(body)
    return made


def without_gaps(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, or, if nodes have empty names behind their last input, which mean nothing, one
    without these: a LayerNormalization with one ends the process.
    """
    bodies = (proto.graph, *proto.functions)
    if not any(_ends_open(node) for body in bodies for node in _all_nodes(body.node)):
        return proto
    made = onnx.ModelProto()
    made.CopyFrom(proto)
    for body in (made.graph, *made.functions):
        for node in _all_nodes(body.node):
            while _ends_open(node):
                node.input.pop()
    return made


def _ends_open(node: onnx.NodeProto) -> bool:
    return bool(node.input) and not node.input[-1]


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _all_nodes(graph.node)


def _has_loop(nodes: Iterable[onnx.NodeProto]) -> bool:
    return any(_is_loop(node) or any(_has_loop(graph.node) for graph in subgraphs(node)) for node in nodes)


def _is_loop(node: onnx.NodeProto) -> bool:
    return node.op_type == "Loop" and node.domain in STANDARD


def _guard(body: onnx.GraphProto | onnx.FunctionProto) -> None:
    """Put the nodes in front of loops, in place, in graphs inside nodes as well."""
    nodes = list[onnx.NodeProto]()
    for node in body.node:
        for graph in subgraphs(node):
            _guard(graph)
        if _is_loop(node):
            nodes += _singled(node)
        nodes.append(node)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del body.node[:]
    body.node.extend(kept)


def _singled(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Nodes that make each count a scalar, which the loop reads from now on."""
    written = next(filter(None, node.output), "")
    for place, name in enumerate(node.input[:COUNTS]):
        if not name:
            continue
        shape, count = f"{PREFIX}/{written}/shape_{place}", f"{PREFIX}/{written}/count_{place}"
        nothing = numpy_helper.from_array(np.zeros(0, np.int64))
        yield helper.make_node("Constant", [], [shape], value=nothing)
        yield helper.make_node("Reshape", [name, shape], [count])
        node.input[place] = count
