"""Nodes that stand for other nodes: an If for its branch, a Loop or a Scan for its turns, as far as the image
tells.
"""

import dataclasses
from collections.abc import Callable

import onnx

from onnx_si.errors import Refusal
from onnx_si.graph import (
    BATCHED,
    Turn,
    after_last_turn,
    chosen_branch,
    each_image,
    first_turn,
    one_turn,
    scanned_axes,
)
from onnx_si.graph.loops import length_of, one_number, require_few
from onnx_si.graph.turns import require_few_in_all
from onnx_si.program.known import Known, Work
from onnx_si.program.node import domain_of, schema_version


def expands(node: onnx.NodeProto) -> Callable[[Known, Work], list[Work]] | None:
    """What gives the nodes that a node stands for; None where it stands for itself."""
    return EXPANSIONS.get(node.op_type) if not domain_of(node) else None


def branch(known: Known, work: Work) -> list[Work]:
    """An `If` is the branch that it takes at the image; exact only where it always takes that one."""
    why = "the condition depends on the image, and branches are not compared"
    condition = _decided(known, work, work.node.input[0], why, "export with a fixed condition, or with Where")
    return work.parts(chosen_branch(work.node, bool(condition)))


def _decided(known: Known, work: Work, name: str, why: str, advice: str) -> float:
    """The number that a tensor holds, at the image if it changes; a finding then."""
    value = known.constants.get(name)
    if value is None:
        _decide(known, work, name, why, advice)
        value = known.values[name][0]
    return one_number(value, name)


def _decide(known: Known, work: Work, name: str, why: str, advice: str) -> None:
    """Note that a node has its outputs, constant or not, and their shapes by this image only."""
    known.decided.update(dict.fromkeys(filter(None, work.node.output), name))
    known.loose.update(work.node.output)
    known.particular.add(known.at)
    known.find(work, Refusal(why, advice), "discrete")


def unroll(known: Known, work: Work) -> list[Work]:
    """One more turn of a loop and the rest of it, or its outputs after the last one."""
    node = work.node
    version = schema_version(node.op_type, "", known.opsets[""])
    if node.op_type == "Scan" and version == BATCHED and work.turn is None:
        return _unbatch(known, work)
    at = work.turn or first_turn(node, version)
    if at.condition in known.unknown:
        known.lose(node)  # its reason is on record already
        return []
    turns = _turns(known, work, at)
    known.written_out = require_few(node, at, turns, known.written_out)
    require_few_in_all(known.foreseen)
    if at.done >= turns:
        return work.parts(after_last_turn(node, at, known.opsets[""]))
    nodes, following = one_turn(node, at, turns)
    known.remaining.update(following.made)  # kept until the last turn, whose nodes stack them
    made = {name for inner in nodes for name in inner.output if name}
    if any(name in known.values or name in known.constants for name in made):
        raise Refusal("tensors of its turns have names that are taken", "rename the loop's outputs")
    return [*work.parts(nodes), work.after(following)]


def _unbatch(known: Known, work: Work) -> list[Work]:
    """A Scan for each image of a batch."""
    first = known.input(work.node.input[-1])
    before, scans, after = each_image(work.node, 0 if first is None else first.shape[0], known.opsets[""])
    started = [
        dataclasses.replace(part, turn=first_turn(part.node, BATCHED + 1)) for part in work.parts(scans)
    ]
    return [*work.parts(before), *started, *work.parts(after)]


def _turns(known: Known, work: Work, at: Turn) -> int:
    """How many turns a loop makes, as far as it is known before the next one."""
    node = work.node
    why, advice = "the number of its turns depends on the image", "export with a fixed number of turns"
    if node.op_type == "Scan":
        for name in known.loose & {name for name, _ in scanned_axes(node)}:
            _decide(known, work, name, why, advice)
        shapes = [(known.input(name), axis) for name, axis in scanned_axes(node)]
        lengths = {length_of(value.shape, axis) for value, axis in shapes if value is not None}
        if len(lengths) != 1:
            raise Refusal(f"scanned axes of lengths {sorted(lengths)}", "export it again")
        return int(lengths.pop())
    if at.condition and not _decided(known, work, at.condition, why, advice):
        return at.done
    limit = node.input[0] if node.input else ""
    return int(_decided(known, work, limit, why, advice)) if limit else at.done + 1


EXPANSIONS = {"If": branch, "Loop": unroll, "Scan": unroll}
