"""How deep branches and loops lie in each other, and how many nodes functions stand for."""

from collections.abc import Iterable

import onnx

from onnx_si.errors import UnsupportedModel
from onnx_si.graph.dag import subgraphs

MOST_NESTED = 8  # graphs inside nodes of graphs
MOST_CALLS = 32  # functions that call functions
MOST_NODES = 20_000  # after every call of a function is written out

Key = tuple[str, str]


def require_shallow(proto: onnx.ModelProto, where: str) -> None:
    """Refuse a model whose nesting or whose functions would take time or memory without bound.

    Raises
    ------
    UnsupportedModel
        With what was found and what is allowed.
    """
    depth = max(map(_depth, [proto.graph.node, *(function.node for function in proto.functions)]))
    if depth > MOST_NESTED:
        raise UnsupportedModel(
            f"{where}: branches and loops lie {depth} deep in each other, at most {MOST_NESTED} are read; "
            "export it without control flow (traced)"
        )
    _Calls(proto, where).count()


def _depth(nodes: Iterable[onnx.NodeProto]) -> int:
    """Levels of graphs inside nodes."""
    level, depth = list(nodes), 0
    while level := [node for outer in level for graph in subgraphs(outer) for node in graph.node]:
        depth += 1
    return depth


def _within(nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Nodes, and those of graphs inside them."""
    found, level = list[onnx.NodeProto](), list(nodes)
    while level:
        found += level
        level = [node for outer in level for graph in subgraphs(outer) for node in graph.node]
    return found


class _Calls:
    """Nodes that a model has once its functions are written out."""

    def __init__(self, proto: onnx.ModelProto, where: str):
        self._bodies = {(f.domain, f.name): _within(f.node) for f in proto.functions}
        self._main, self._where = _within(proto.graph.node), where
        self._known: dict[Key, int] = {}

    def count(self) -> int:
        if not self._bodies:
            return len(self._main)
        return self._sum(self._main, ())

    def _sum(self, nodes: list[onnx.NodeProto], calling: tuple[Key, ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key not in self._bodies:
                total += 1
                continue
            if key not in self._known:
                if key in calling or len(calling) >= MOST_CALLS:
                    raise UnsupportedModel(
                        f"{self._where}: the function '{node.op_type}' is called {len(calling)} deep or "
                        f"calls itself, at most {MOST_CALLS} are read; export it with functions inlined"
                    )
                self._known[key] = self._sum(self._bodies[key], (*calling, key))
            total += self._known[key]
        if total > MOST_NODES:
            raise UnsupportedModel(
                f"{self._where}: its functions stand for {total} nodes, at most {MOST_NODES} are read; "
                "export it with functions inlined"
            )
        return total
