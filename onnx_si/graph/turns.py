"""How many nodes the turns of a model's loops stand for, counted before any is written out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnx_si.errors import Refusal
from onnx_si.graph.constants import is_constant, stored
from onnx_si.graph.dag import is_copy
from onnx_si.graph.survivable import STANDARD
from onnx_si.ground.budget import NODE_BYTES, excess
from onnx_si.ground.terminal import shown

MOST_NODES = 20_000  # of all loops of a model together, with one for each turn itself


def body_of(node: onnx.NodeProto) -> onnx.GraphProto:
    """The graph that a Loop or a Scan goes through in every turn."""
    return next(attribute.g for attribute in node.attribute if attribute.name == "body")


def scanned(node: onnx.NodeProto) -> int:
    """How many of a Scan's inputs are gone through."""
    return next(int(attribute.i) for attribute in node.attribute if attribute.name == "num_scan_inputs")


def count_decides(node: onnx.NodeProto) -> bool:
    """Whether no turn of a loop computes a condition of its own, so that it makes as many as it says."""
    if node.op_type == "Scan":
        return True
    if not node.input or not node.input[0]:
        return False
    body = body_of(node)
    name, makers = body.output[0].name, {name: inner for inner in body.node for name in inner.output}
    while name in makers and is_copy(makers[name]):
        name = makers[name].input[0]
    return name not in makers or makers[name].op_type == "Constant"


def nodes_of(node: onnx.NodeProto, turns: int) -> int:
    """The nodes that some turns of a loop stand for.

    Raises
    ------
    Refusal
        If they are too many for one loop.
    """
    body = body_of(node)
    handed = 2 * scanned(node) if node.op_type == "Scan" else 0  # a slice and its place for each
    count = turns * (1 + max(len(body.node), handed, len(body.output)))
    why = excess(count * NODE_BYTES) if count <= MOST_NODES else f"at most {MOST_NODES} nodes are written out"
    if why is not None:
        raise Refusal(
            f"a loop of {shown(turns)} turns of {len(body.node)} nodes ({why})", "export with fewer turns"
        )
    return count


def require_few_in_all(total: int) -> int:
    """The nodes that all loops of a model stand for; refuses too many."""
    if total > MOST_NODES:
        raise Refusal(
            f"the model's loops stand for {shown(total)} nodes (at most {MOST_NODES} are written out)",
            "export with fewer turns",
        )
    return total


@dataclass(frozen=True, kw_only=True)
class _Scope:
    """What a graph's names stand for, without computing anything."""

    constants: Mapping[str, NDArray[Any]]
    makers: Mapping[str, onnx.NodeProto]
    outer: "_Scope | None" = None
    own: frozenset[str] = frozenset()

    def value(self, name: str) -> NDArray[Any] | None:
        """What a tensor holds, if the file itself says so."""
        scope: _Scope | None = self
        while scope is not None:
            node = scope.makers.get(name)
            if name in scope.constants:
                return scope.constants[name]
            if node is not None and is_constant(node):
                return stored(node)
            if node is not None and is_copy(node):
                name = node.input[0]
                continue
            scope = None if node is not None or name in scope.own else scope.outer
        return None


def foreseen(nodes: Iterable[onnx.NodeProto], constants: Mapping[str, NDArray[Any]]) -> int:
    """The nodes that loops stand for at least, as far as the file itself tells their turns.

    Parameters
    ----------
    nodes : iterable of NodeProto
        Of the graph.
    constants : mapping of str to array
        What its tensors hold that are known already.
    """
    listed = list(nodes)
    return _within(listed, _Scope(constants=constants, makers=_makers(listed)))


def _makers(nodes: Iterable[onnx.NodeProto]) -> dict[str, onnx.NodeProto]:
    return {name: node for node in nodes for name in node.output}


def _within(nodes: Iterable[onnx.NodeProto], scope: _Scope) -> int:
    loops = (node for node in nodes if node.op_type == "Loop" and node.domain in STANDARD)
    return sum(_of_loop(node, scope) for node in loops if count_decides(node))


def _of_loop(node: onnx.NodeProto, scope: _Scope) -> int:
    """Nodes of a loop's turns, and of those of the loops within it."""
    turns = scope.value(node.input[0])
    if turns is None or turns.size != 1 or turns.dtype.kind not in "iu":
        return 0  # whatever it is, it is looked at when the loop's turn comes
    going_on = scope.value(node.input[1]) if len(node.input) > 1 and node.input[1] else np.True_
    if going_on is None or not np.all(going_on):
        return 0
    body = body_of(node)
    stored_inside = {tensor.name: numpy_helper.to_array(tensor) for tensor in body.initializer}
    own = frozenset(value.name for value in body.input)
    within = _Scope(constants=stored_inside, makers=_makers(body.node), outer=scope, own=own)
    inside = _within(body.node, within)
    return max(0, int(turns.ravel()[0])) * (1 + len(body.node) + inside)
