"""The ops of a model, each with the kind of function that it is here."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from onnx_si.graph import Model
from onnx_si.graph.doorway import PREFIX
from onnx_si.graph.schema import schema_of
from onnx_si.ground.terminal import text_of
from onnx_si.program.program import Program


@dataclass(frozen=True, kw_only=True)
class OpUse:
    """All nodes of one op that are the same kind of function here; `nodes` names the unsupported ones."""

    op: str
    domain: str
    since_version: int | None
    kind: str
    count: int
    nodes: tuple[str, ...]


def ops_used(model: Model, program: Program | None) -> tuple[OpUse, ...]:
    """Every op with the kind of function that it is in this model, most frequent first."""
    kinds = {} if program is None else program.kinds
    folded = frozenset[str]() if program is None else program.folded
    groups: dict[tuple[str, str, int | None, str], list[str]] = defaultdict(list)
    for node in model.proto.graph.node:
        name = text_of(node.name)
        if name.startswith(PREFIX):
            continue  # of ours, not of the file
        domain = "" if node.domain == "ai.onnx" else text_of(node.domain)
        key = (text_of(node.op_type), domain, _since_version(node, domain, model), _kind(node, kinds, folded))
        groups[key].append(name or f"(unnamed, writes {text_of(next(iter(node.output), '?'))})")
    uses = [
        OpUse(
            op=op,
            domain=domain,
            since_version=version,
            kind=kind,
            count=len(names),
            nodes=tuple(names) if kind == "unsupported" else (),
        )
        for (op, domain, version, kind), names in groups.items()
    ]
    return tuple(sorted(uses, key=lambda use: (-use.count, use.op, use.kind)))


def _kind(node: onnx.NodeProto, kinds: Mapping[str, str], folded: frozenset[str]) -> str:
    named = [name for name in node.output if name]
    if named and all(name in folded for name in named):
        return "constant"
    return next((kinds[name] for name in named if name in kinds), "unsupported")


def _since_version(node: onnx.NodeProto, domain: str, model: Model) -> int | None:
    schema = schema_of(node.op_type, domain, model.opsets.get(domain, 1))
    return None if schema is None else int(schema.since_version)
