"""Loop and Scan as the nodes of their turns, one turn at a time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import Refusal
from onnx_si.graph.inline import renamed
from onnx_si.graph.stacking import constant_node, stacked
from onnx_si.graph.turns import body_of, count_decides, nodes_of, require_few_in_all, scanned
from onnx_si.ground.terminal import shown

VERSIONS = {
    "Loop": (1, 11, 13, 16, 19, 21, 23, 24, 25),
    "Scan": (9, 11, 16, 19, 21, 23, 24, 25),
}
"""Schema versions that were read; `each_image` makes such nodes of a Scan with a batch axis (version 8)."""
BATCHED = 8
MOST_TURNS = 5_000  # of a loop that only a computed condition ends, so that no one knows before


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How far a loop is unrolled.

    Parameters
    ----------
    done : int
        Turns so far.
    condition : str
        The tensor that tells whether there is another turn; empty where nothing does.
    state : tuple of str
        The tensors carried into the next turn.
    made : tuple of str
        The parts of the outputs that are stacked, of the last turn.
    before : Turn, optional
        The turn before, which has the parts of its own last one: a list of all of them in every turn would
        take quadratic time.
    """

    done: int
    condition: str
    state: tuple[str, ...]
    made: tuple[str, ...] = ()
    before: "Turn | None" = None

    @property
    def reads(self) -> frozenset[str]:
        """Tensors that the next turn reads."""
        return frozenset(filter(None, (self.condition, *self.state)))

    def parts(self) -> list[tuple[str, ...]]:
        """For each turn, the parts of the outputs that are stacked."""
        found: list[tuple[str, ...]] = []
        at: Turn | None = self
        while at is not None and at.done:
            found.append(at.made)
            at = at.before
        return found[::-1]


def first_turn(node: onnx.NodeProto, version: int) -> Turn:
    """A loop before its first turn.

    Raises
    ------
    Refusal
        If this version of the op was not read.
    """
    if version not in VERSIONS[node.op_type]:
        raise Refusal(
            f"version {version} of {node.op_type}", f"export to one of the versions {VERSIONS[node.op_type]}"
        )
    scans = node.op_type == "Scan"
    state = tuple(node.input[: _states(node)] if scans else node.input[2:])
    _check(node, state)
    return Turn(done=0, condition="" if scans or len(node.input) < 2 else node.input[1], state=state)


def _check(node: onnx.NodeProto, state: tuple[str, ...]) -> None:
    """Body and node must have inputs and outputs that fit each other; the checker does not compare them."""
    body, alone = body_of(node), 0 if node.op_type == "Scan" else 1
    read = len(node.input) if node.op_type == "Scan" else 2 + len(state)
    written, stacked = len(body.output) - alone, len(body.output) - alone - len(state)
    lists = {"scan_input_axes": read - len(state), "scan_input_directions": read - len(state)}
    lists |= {"scan_output_axes": stacked, "scan_output_directions": stacked}
    fits = all(len(a.ints) == lists[a.name] for a in node.attribute if a.name in lists)
    if len(body.input) != read or len(node.output) > written or stacked < 0 or not fits:
        raise Refusal(
            f"a body of {len(body.input)} inputs and {len(body.output)} outputs in a node with "
            f"{len(node.input)} and {len(node.output)}",
            "the model breaks the specification; export it again",
        )


def each_image(
    node: onnx.NodeProto, images: int, opset: int
) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto], list[onnx.NodeProto]]:
    """A Scan of version 8, which goes through every image of a batch by itself: the nodes that pick the
    images, a Scan of version 9 for each, and the nodes that stack what these give.

    Raises
    ------
    Refusal
        If the images' sequences have lengths of their own.
    """
    lengths, *tensors = node.input
    if lengths:
        raise Refusal("sequence_lens", "export with sequences of one length")
    stem, before, scans = _stem(node), [], []
    for image in range(images):
        index = f"{stem}/image_{image}"
        before.append(constant_node(index, np.int64(image)))
        picked = [f"{index}:input_{place}" for place in range(len(tensors))]
        before += [
            helper.make_node("Gather", [name, index], [one], name=node.name, axis=0)
            for name, one in zip(tensors, picked, strict=True)
        ]
        made = [f"{output}:image_{image}" if output else "" for output in node.output]
        scan = helper.make_node("Scan", picked, made)
        scan.name = node.name
        scan.attribute.extend(node.attribute)
        for attribute in scan.attribute:
            attribute.name = {"directions": "scan_input_directions"}.get(attribute.name, attribute.name)
        scans.append(scan)
    after = [
        made
        for place, output in enumerate(node.output)
        if output
        for made in stacked([scan.output[place] for scan in scans], output, 0, opset, node.name)
    ]
    return before, scans, after


def scanned_axes(node: onnx.NodeProto) -> list[tuple[str, int]]:
    """The tensors that a Scan goes through, each with the axis whose length is the number of turns."""
    names = node.input[_states(node) :]
    return [(name, _listed(node, "scan_input_axes", place)) for place, name in enumerate(names)]


def one_turn(node: onnx.NodeProto, at: Turn, turns: int) -> tuple[list[onnx.NodeProto], Turn]:
    """The nodes of the next turn, and the loop after it; what is made inside gets names of this turn.

    Parameters
    ----------
    node : NodeProto
    at : Turn
    turns : int
        Of a Scan: how many there are.

    Raises
    ------
    Refusal
        If the loop is too long.
    """
    body = body_of(node)
    if at.done >= MOST_TURNS and not count_decides(node):
        raise Refusal(f"a loop that goes on after {MOST_TURNS} turns", "export with fewer turns")
    stem = _stem(node)
    prefix = f"{stem}/turn_{at.done}"
    stored = {tensor.name: f"{stem}/stored/{tensor.name}" for tensor in body.initializer}
    nodes = [
        helper.make_node("Constant", [], [stored[tensor.name]], value=tensor)
        for tensor in (body.initializer if at.done == 0 else ())
    ]
    given, made_before = _given(node, at, prefix, turns)
    inside = {name: f"{prefix}/{name}" for inner in body.node for name in inner.output if name}
    names = {**stored, **dict(zip((value.name for value in body.input), given, strict=True)), **inside}
    results = [names.get(value.name, value.name) for value in body.output]
    nodes += [*made_before, *(renamed(inner, names) for inner in body.node)]
    condition = results.pop(0) if node.op_type == "Loop" else ""
    count = len(at.state)
    return nodes, Turn(
        done=at.done + 1,
        condition=condition,
        state=tuple(results[:count]),
        made=tuple(results[count:]),
        before=at,
    )


def require_few(node: onnx.NodeProto, at: Turn, turns: int, before: int) -> int:
    """The nodes that all loops of a model stand for so far, with the turns that are certain to follow.

    Parameters
    ----------
    node : NodeProto
    at : Turn
    turns : int
        Its trip count.
    before : int
        Nodes of the turns that were counted before.

    Raises
    ------
    Refusal
        If there are too many, before any is made.
    """
    sure = turns if count_decides(node) else 1
    if at.done >= turns or 0 < at.done < sure:
        return before
    return require_few_in_all(before + nodes_of(node, sure if at.done == 0 else 1))


def one_number(value: NDArray[Any], name: str) -> float:
    """The number that a condition or a trip count holds.

    Raises
    ------
    Refusal
        If it is not exactly one, finite number.
    """
    if value.dtype.kind not in "biuf" or value.size != 1 or not np.isfinite(value).all():
        raise Refusal(
            f"'{shown(name)}' holds {value.size} values of {value.dtype}, where one finite number is needed",
            "the model breaks the specification; export it again",
        )
    return float(np.ravel(value)[0])


def length_of(shape: tuple[int, ...], axis: int) -> int:
    """The length of an axis that is scanned.

    Raises
    ------
    Refusal
        If there is no such axis.
    """
    if not -len(shape) <= axis < len(shape):
        raise Refusal(
            f"axis {axis} of a tensor of shape {shown(shape)}", "there is no such axis; export it again"
        )
    return shape[axis]


def after_last_turn(node: onnx.NodeProto, at: Turn, opset: int) -> list[onnx.NodeProto]:
    """Nodes that write the loop's outputs: the last state, and the stacked parts of every turn.

    Raises
    ------
    Refusal
        If parts are to be stacked and there was no turn.
    """
    nodes = [
        helper.make_node("Identity", [state], [output], name=node.name)
        for state, output in zip(at.state, node.output, strict=False)
        if output
    ]
    made_by_turns = at.parts()
    for place, output in enumerate(node.output[len(at.state) :]):
        if not output:
            continue
        if not at.done:
            raise Refusal("a loop without a turn, whose parts would be stacked", "export without it")
        axis = _listed(node, "scan_output_axes", place)
        parts = [made[place] for made in made_by_turns]
        ordered = parts[::-1] if _listed(node, "scan_output_directions", place) else parts
        nodes += stacked(ordered, output, axis, opset, node.name)
    return nodes


def _stem(node: onnx.NodeProto) -> str:
    return str(next(name for name in node.output if name))


def _listed(node: onnx.NodeProto, name: str, place: int) -> int:
    """An entry of an attribute that is a list of numbers, zeros where it is left out."""
    values = next((list(a.ints) for a in node.attribute if a.name == name), [])
    return int(values[place]) if values else 0


def _states(node: onnx.NodeProto) -> int:
    """How many of a Scan's inputs are carried."""
    return len(node.input) - scanned(node)


def _given(node: onnx.NodeProto, at: Turn, prefix: str, turns: int) -> tuple[list[str], list[onnx.NodeProto]]:
    """What the body's inputs are in this turn, and the nodes that make them."""
    if node.op_type == "Loop":
        number, condition = body_of(node).input[:2]
        nodes = [constant_node(f"{prefix}:number", np.full(_ones(number), at.done, np.int64))]
        if not at.condition:
            nodes.append(constant_node(f"{prefix}:condition", np.full(_ones(condition), True)))
        return [f"{prefix}:number", at.condition or f"{prefix}:condition", *at.state], nodes
    count, nodes, slices = len(at.state), [], []
    for place, name in enumerate(node.input[count:]):
        backwards = _listed(node, "scan_input_directions", place)
        index, made = f"{prefix}:place_{place}", f"{prefix}:slice_{place}"
        axis = _listed(node, "scan_input_axes", place)
        nodes.append(constant_node(index, np.int64(turns - 1 - at.done if backwards else at.done)))
        nodes.append(helper.make_node("Gather", [name, index], [made], name=node.name, axis=axis))
        slices.append(made)
    return [*at.state, *slices], nodes


def _ones(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape of the single number that a body's input holds."""
    return (1,) * len(value.type.tensor_type.shape.dim)
