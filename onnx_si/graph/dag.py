"""The graph as a networkx DAG whose nodes are ("tensor", name) and ("op", position)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    import networkx as nx


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node carries as attributes: branches and bodies."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def is_copy(node: onnx.NodeProto) -> bool:
    """Whether it hands its input on as it is."""
    return bool(node.op_type == "Identity" and node.domain in ("", "ai.onnx"))


def read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Tensors that a node reads, those that its subgraphs capture included."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        made = {name for inner in graph.node for name in inner.output}
        made |= {t.name for t in graph.initializer} | {v.name for v in graph.input}
        used = {name for inner in graph.node for name in read_by(inner)} | {v.name for v in graph.output}
        yield from used - made


def dag(graph: onnx.GraphProto) -> nx.DiGraph:
    """Directed graph of tensors and ops; an op node carries its NodeProto as `node`."""
    import networkx as nx  # takes as long as a small test

    result = nx.DiGraph()
    for position, node in enumerate(graph.node):
        op = ("op", position)
        result.add_node(op, node=node)
        result.add_edges_from((("tensor", name), op) for name in read_by(node))
        result.add_edges_from((op, ("tensor", name)) for name in node.output if name)
    return result


def nodes_between(graph: onnx.GraphProto, outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that the outputs need, in execution order (ONNX stores them so)."""
    needed, kept = set(outputs), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(read_by(node))
    return kept[::-1]
