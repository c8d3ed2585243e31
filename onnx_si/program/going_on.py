"""What a walk found is true in a larger graph too, as far as the nodes are the same: there it goes on.

What is known of a tensor follows from the node that makes it, from which of that node's outputs are read,
and from what is known of the tensors that the node reads: nothing else enters. So a node is the same if its
record is, and all that it reads comes from nodes that are the same, or is an equal stored tensor, or the
image.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from onnx_si.graph import Model, read_by, subgraphs
from onnx_si.graph.constants import declared_shapes
from onnx_si.program.binder import Binder
from onnx_si.program.known import key_of

STEPS_BACK = 8  # to nodes whose values were not kept: they are bound again

Asked = Mapping[str, tuple[onnx.NodeProto, tuple[str, ...]]]
"""Nodes by what they go by, with those of their outputs that are read."""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A walk that was made over nodes of a model."""

    model: Model
    binder: Binder
    asked: Asked

    def same(self, model: Model, nodes: Sequence[onnx.NodeProto], asked: Asked) -> set[str]:
        """Which nodes of another model, in execution order, are the same."""
        found, known = set[str](), self.binder
        if known.tangled or known.opsets != model.opsets or not self._same_input(model):
            return found
        declared, changed = declared_shapes(model.proto.graph), set[str]()
        for node in nodes:
            key = key_of(node)
            if (
                self.asked.get(key) == asked[key]
                and all(name not in changed and self._same_stored(name, model) for name in read_by(node))
                and all(
                    known.declared.get(name) == declared.get(name) for name in known.gaps & set(node.output)
                )
            ):
                found.add(key)
            else:
                changed.update(node.output)
        return found

    def _same_input(self, model: Model) -> bool:
        name = self.binder.image_name
        here, there = (
            [value.type.tensor_type.elem_type for value in each.proto.graph.input if value.name == name]
            for each in (self.model, model)
        )
        return here == there

    def _same_stored(self, name: str, model: Model) -> bool:
        return self.model.stored.get(name) == model.stored.get(name)


def read_outputs(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> Asked:
    """Nodes, with those of their outputs that one of them reads, or that are wanted."""
    read = {name for node in nodes for name in read_by(node)}.union(outputs)
    return {key_of(node): (node, tuple(name for name in node.output if name in read)) for node in nodes}


def begun(
    walks: Iterable[Walk],
    model: Model,
    nodes: Sequence[onnx.NodeProto],
    outputs: Iterable[str],
    asked: Asked,
) -> tuple[Binder, list[onnx.NodeProto]] | None:
    """What the walk that has most of the nodes of a model knows of them, and the nodes that it has not.

    None where none has any, or too much of what is needed to go on was not kept.
    """
    chosen, most = None, set[str]()
    for walk in reversed(list(walks)):
        same = walk.same(model, nodes, asked)
        if len(same) > len(most):
            chosen, most = walk, same
        if len(most) == len(nodes):
            break
    if chosen is None:
        return None
    loops = chosen.binder.written_out
    for _ in range(STEPS_BACK):
        left = [node for node in nodes if key_of(node) not in most]
        if loops and (len(most) < len(chosen.asked) or any(next(subgraphs(node), None) for node in left)):
            return None  # how many nodes all loops may stand for is counted in one walk
        wanted = {name for node in left for name in read_by(node)}.union(outputs)
        again = chosen.binder.forgotten(wanted, most)
        if not again:
            return chosen.binder.part(model, most, wanted), left
        if "" in again:  # the image itself
            return None
        most -= again
    return None
