"""Saliency method `rollout`: how much each place of the image is looked at, through all attention layers."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import SaliencyUnavailable
from onnx_si.graph import Editor, Model, function_body, nodes_between, read_by, renamed
from onnx_si.maps.appended import reshaped, row_sums
from onnx_si.maps.map import SaliencyMap, View, name_map, resize_map, single_precision
from onnx_si.maps.token_layer import is_plain_product
from onnx_si.maps.tokens import Row, on_grid, row_of
from onnx_si.maps.trace import trace
from onnx_si.program.program import Program, bind
from onnx_si.rules.axes import Axes
from onnx_si.rules.registry import traits_of
from onnx_si.rules.traits import IN_ORDER, Combination, Increasing

OTHERWISE = "choose gradcam, or output:NAME"

Makers = Mapping[str, onnx.NodeProto]


@dataclass(frozen=True)
class Layer:
    """One layer of attention: the node that has it, the tensor (..., heads, tokens, tokens) that a Softmax
    gives ("" where it is inside the node), and the row of its tokens.
    """

    node: onnx.NodeProto
    tensor: str
    row: Row


def rollout(model: Model, image: NDArray[np.float64], target: int | str, view: View) -> SaliencyMap:
    """Append attention rollout: where the class token (without one, all tokens on average) looks.

    Of each layer the mean over heads plus the identity, its rows normalised; all layers multiplied, the last
    one first. It does not depend on a class.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    target : int or "predicted"
        Ignored.
    view : View

    Raises
    ------
    SaliencyUnavailable
        If there are no layers of attention among the image's tokens, one behind the other.

    Source
    ------
    Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020, section 3.
    """
    layers, program = find_attention(model, image, view)
    row, editor = layers[0].row, Editor(model)
    start = np.full((1, row.length), 1 / row.length)
    if len(row.others):
        start = np.eye(row.length)[row.others[:1]]
    weights = editor.constant(start.astype(np.float32))
    identity = editor.constant(np.eye(row.length, dtype=np.float32))
    for layer in reversed(layers):
        matrix = layer.tensor or _inner_softmax(editor, model, layer.node, program)
        mixed = editor.add("Add", [_mean_over_heads(editor, matrix, row.length, program, layer), identity])
        shares = editor.add("Div", [mixed, row_sums(editor, mixed, row.length)])
        weights = editor.add("MatMul", [weights, shares])
    placed = on_grid(editor, reshaped(editor, weights, (1, row.length, 1)), _alone(row), 2, 1, view)
    size = row.in_order(view)[0]
    public = name_map(editor, resize_map(editor, reshaped(editor, placed, size), size, view))
    start_note = f"token {row.others[0]}, which is no place" if len(row.others) else "the mean of all tokens"
    notes = [
        f"{len(layers)} layers of attention among {row.length} tokens, from {start_note}, on {size} places"
    ]
    if target != "predicted":
        notes.append(f"attention has no class: target {target} changes nothing")
    return SaliencyMap(
        model=editor.finish(),
        tensor=public,
        margin_tensor=public,
        link="",
        method="rollout",
        target=None,
        notes=tuple(notes),
    )


def find_attention(model: Model, image: NDArray[np.float64], view: View) -> tuple[list[Layer], Program]:
    """The layers of attention among the tokens of the image, first to last, and values of what they read.

    Raises
    ------
    SaliencyUnavailable
        If there are none, or they don't follow each other on the same tokens.
    """
    outputs = tuple(info.name for info in model.outputs)
    nodes = nodes_between(model.proto.graph, outputs)
    makers = {name: node for node in nodes for name in node.output if name}
    traced = trace(model, image, outputs)
    found, untold = list[Layer](), list[str]()
    for node in nodes:
        tensor = _attention(makers, node)
        if tensor is None or (tensor and not _is_over_keys(makers[tensor], traced, model.opset)):
            continue
        row = _row(traced, node, tensor, view)
        if row is None:
            untold.append(tensor or node.output[0])
        else:
            found.append(Layer(node, tensor, row))
    _require_chain(found, untold, nodes)
    fused = [name for layer in found for name in layer.node.input if name and not layer.tensor]
    shown = tuple(dict.fromkeys([*fused, *(layer.tensor for layer in found if layer.tensor)]))
    program = bind(model, image, (), shown=shown)
    program.require_values()
    return found, program


def _attention(makers: Makers, node: onnx.NodeProto) -> str | None:
    """The tensor of weights that a node adds values up by; "" where the node makes it itself."""
    combines = traits_of(node).combines
    if combines is Combination.ATTENTION:
        return ""
    return _softmaxed(makers, node.input[0]) if is_plain_product(node) else None


def _softmaxed(makers: Makers, name: str) -> str | None:
    """The Softmax over the last axis that a tensor comes from, over ops that pass it on."""
    node = makers.get(name)
    if node is None:
        return None
    traits = traits_of(node)
    if traits.increasing is Increasing.SOFTMAX:
        return name
    if traits.combines is Combination.CHOICE:  # rows without any key are set to zero
        return _softmaxed(makers, node.input[1]) or _softmaxed(makers, node.input[2])
    return _softmaxed(makers, node.input[0]) if traits.moves in IN_ORDER else None


def _is_over_keys(node: onnx.NodeProto, traced: Mapping[str, Axes], opset: int) -> bool:
    """Whether a Softmax runs over the last axis, as far as its rank can be told."""
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), -1 if opset >= 13 else 1)
    rank = len(traced.get(node.output[0], ()))
    return axis == -1 or axis == rank - 1 or not rank


def _row(traced: Mapping[str, Axes], node: onnx.NodeProto, tensor: str, view: View) -> Row | None:
    """The tokens that look and are looked at: the same ones."""
    if not tensor:
        rows = [row_of(traced.get(name), -2, view) for name in node.input[:2]]
    else:
        rows = [row_of(traced.get(tensor), axis, view) for axis in (-2, -1)]
    pair = [(row.sources, row.sizes, row.lead, row.length) for row in rows if row is not None]
    return rows[0] if len(pair) == 2 and pair[0] == pair[1] else None


def _require_chain(found: list[Layer], untold: list[str], nodes: list[onnx.NodeProto]) -> None:
    """Refuse what is no row of layers on the same tokens."""
    if untold:
        raise SaliencyUnavailable(
            f"no attention rollout: the attention '{untold[0]}' is not among the tokens of the whole image, "
            f"each with all (windows, or keys of another size); {OTHERWISE}"
        )
    if not found:
        raise SaliencyUnavailable(f"no attention rollout: no Softmax weighs tokens of the image; {OTHERWISE}")
    kinds = {(layer.row.sources, layer.row.sizes, layer.row.lead, layer.row.length) for layer in found}
    if len(kinds) > 1:
        raise SaliencyUnavailable(
            f"no attention rollout: its layers have {sorted(kind[-1] for kind in kinds)} tokens; {OTHERWISE}"
        )
    for first, second in itertools.pairwise(found):
        if not _reaches(nodes, first.node, second.node):
            raise SaliencyUnavailable(
                f"no attention rollout: the attention of '{second.node.output[0]}' is not behind that of "
                f"'{first.node.output[0]}'; {OTHERWISE}"
            )


def _reaches(nodes: list[onnx.NodeProto], first: onnx.NodeProto, second: onnx.NodeProto) -> bool:
    """Whether a node is computed from another one."""
    known = set(first.output)
    for node in nodes:
        if known.intersection(read_by(node)):
            if node is second:
                return True
            known.update(node.output)
    return False


def _mean_over_heads(editor: Editor, matrix: str, length: int, program: Program, layer: Layer) -> str:
    rows = reshaped(editor, single_precision(editor, matrix), (-1, length * length))
    heads = _heads(program, layer, length)
    mean = editor.add("MatMul", [editor.constant(np.full((1, heads), 1 / heads, np.float32)), rows])
    return reshaped(editor, mean, (length, length))


def _heads(program: Program, layer: Layer, length: int) -> int:
    if layer.tensor:
        return program.values[layer.tensor].size // length**2
    named = next((int(a.i) for a in layer.node.attribute if a.name == "q_num_heads"), 0)
    return named or program.values[layer.node.input[0]].shape[1]


def _inner_softmax(editor: Editor, model: Model, node: onnx.NodeProto, program: Program) -> str:
    """Append the nodes that the standard defines Attention by; gives the tensor of its Softmax."""
    types = {
        name: helper.make_tensor_type_proto(program.elements[name], program.values[name].shape)
        for name in node.input
        if name
    }
    nodes = function_body(node, types, model.opsets)
    names = {name: editor.fresh(name) for part in nodes for name in part.output if name}
    copies = [renamed(part, names) for part in nodes]
    for copy in copies:
        copy.name = editor.fresh(f"{copy.op_type}_node")
    editor.proto.graph.node.extend(copies)
    weights = [copy.output[0] for copy in copies if traits_of(copy).increasing is Increasing.SOFTMAX]
    if len(weights) != 1:
        raise SaliencyUnavailable(f"no attention rollout: '{node.output[0]}' has no Softmax; {OTHERWISE}")
    return str(weights[0])


def _alone(row: Row) -> Row:
    """The same tokens along the middle of three axes."""
    return Row(axis=1, sources=row.sources, sizes=row.sizes, lead=row.lead, length=row.length, rank=3)
