"""What runtimes run although the checker refuses it, or no handler reads it, in plain form."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnx_si.errors import Refusal, UnsupportedModel
from onnx_si.graph.constants import affordable
from onnx_si.graph.dag import read_by, subgraphs
from onnx_si.graph.lift import LIFTED
from onnx_si.graph.survivable import STANDARD

UNLISTED = 4  # the IR version from which on an initialiser need not be an input as well
GROUPED = range(18, 21)  # opsets whose GroupNormalization is deprecated: a scale for each group


def mended(proto: onnx.ModelProto, opset: int, where: str) -> onnx.ModelProto:
    """The model itself, or a copy that means the same to a runtime.

    Nodes are sorted, sparse tensors stored in full, free axes that are declared as -1 left open, the
    normalisation of groups of opset 18 to 20 is written out, and a file of an IR version before 4 need not
    list its initialisers as inputs.

    Parameters
    ----------
    proto : ModelProto
    opset : int
        Its version of the standard op set.
    where : str
        The model's name, for messages.

    Raises
    ------
    UnsupportedModel
        If a sparse tensor does not hold what it says, or too much.
    """
    if not _needed(proto, opset):
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    graphs = list(_graphs(copy.graph))
    for graph in graphs:
        for value in (*graph.input, *graph.output, *graph.value_info):
            _open_axes(value)
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [node for function in copy.functions for node in function.node]
    try:
        for graph in graphs:
            graph.initializer.extend(dense(tensor) for tensor in graph.sparse_initializer)
            del graph.sparse_initializer[:]
        for node in nodes:
            _store_in_full(node)
    except Refusal as refusal:
        raise UnsupportedModel(f"{where}: {refusal}") from refusal
    if opset in GROUPED:
        for graph in graphs:
            _rewrite(graph, _group_normalization)
    _sort(copy.graph)
    copy.ir_version = max(copy.ir_version, UNLISTED)
    return copy


def told_of(file: onnx.ModelProto) -> Iterator[str]:
    """What the user should know of a file that is read as a newer one than it is."""
    listed = {value.name for value in file.graph.input}
    missing = [tensor.name for tensor in file.graph.initializer if tensor.name not in listed]
    if file.ir_version < UNLISTED and missing:
        yield (
            f"the model's file, of IR version {file.ir_version}, does not list {len(missing)} of its stored "
            f"tensors as inputs, as the ONNX specification wants before version {UNLISTED}: it is read as "
            "onnxruntime reads it"
        )
    opset = next((o.version for o in file.opset_import if o.domain in STANDARD), LIFTED)
    if opset < LIFTED:
        yield (
            f"the model's file is of opset {opset}: its ops are read as those of opset {LIFTED} that mean "
            "the same; onnxruntime need not have the file's own"
        )


def _needed(proto: onnx.ModelProto, opset: int) -> bool:
    """Whether anything is to be mended; a large model is not copied in vain."""
    graphs = list(_graphs(proto.graph))
    nodes = [node for graph in graphs for node in graph.node]
    nodes += [node for function in proto.functions for node in function.node]
    values = (v for graph in graphs for v in (*graph.input, *graph.output, *graph.value_info))
    return (
        proto.ir_version < UNLISTED
        or any(graph.sparse_initializer for graph in graphs)
        or any(attribute.HasField("sparse_tensor") for node in nodes for attribute in node.attribute)
        or any(dim.dim_value < 0 for value in values for dim in value.type.tensor_type.shape.dim)
        or (opset in GROUPED and any(node.op_type == "GroupNormalization" for node in nodes))
        or _sorted(list(proto.graph.node)) is not None
    )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and every one inside its nodes."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _graphs(inner)


def _open_axes(value: onnx.ValueInfoProto) -> None:
    """A declared size of -1 is none."""
    if value.type.WhichOneof("value") == "tensor_type":
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value < 0:
                dim.ClearField("dim_value")


def dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    """A sparse tensor with its zeros, under the name of its values.

    Raises
    ------
    Refusal
        If its places and its values do not fit its shape, or it is too large.
    """
    name, shape = sparse.values.name, affordable(tuple(sparse.dims))
    try:
        values = numpy_helper.to_array(sparse.values).ravel()
        places = numpy_helper.to_array(sparse.indices)
        flat = np.ravel_multi_index(tuple(places.T), shape) if places.ndim == 2 else places.ravel()
        full = np.zeros(shape, values.dtype)
        if len(flat) != len(values) or np.any(flat < 0):
            raise ValueError(f"{len(flat)} places for {len(values)} values")
        full.reshape(-1)[flat] = values
    except (ValueError, IndexError, TypeError) as error:
        raise Refusal(
            f"sparse tensor '{name}' of shape {list(shape)} does not hold what it says ({error})",
            "export it again",
        ) from error
    return numpy_helper.from_array(full, name)


def _store_in_full(node: onnx.NodeProto) -> None:
    """A `Constant` of a sparse tensor becomes one of a tensor."""
    if node.op_type == "Constant":
        for attribute in node.attribute:
            if attribute.name == "sparse_value" and attribute.HasField("sparse_tensor"):
                attribute.CopyFrom(helper.make_attribute("value", dense(attribute.sparse_tensor)))


Rewrite = Callable[[onnx.NodeProto], list[onnx.NodeProto]]


def _rewrite(graph: onnx.GraphProto, rewrite: Rewrite) -> None:
    nodes = [made for node in graph.node for made in rewrite(node)]
    del graph.node[:]
    graph.node.extend(nodes)


def _group_normalization(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Each group is normalised as an instance of one channel, which has the group's scale and bias."""
    if node.op_type != "GroupNormalization" or node.domain not in ("", "ai.onnx") or len(node.input) != 3:
        return [node]
    groups = next((a.i for a in node.attribute if a.name == "num_groups"), 0)
    kept = {a.name: a.f for a in node.attribute if a.name == "epsilon"}
    x, scale, bias = node.input
    shape, wanted, grouped, y = (f"{node.output[0]}/{part}" for part in ("shape", "groups", "grouped", "y"))
    lengths = numpy_helper.from_array(np.array([0, groups, -1], np.int64))
    return [  # only one has the name: runtimes refuse a model with a name twice
        helper.make_node("Shape", [x], [shape]),
        helper.make_node("Constant", [], [wanted], value=lengths),
        helper.make_node("Reshape", [x, wanted], [grouped]),
        helper.make_node("InstanceNormalization", [grouped, scale, bias], [y], name=node.name, **kept),
        helper.make_node("Reshape", [y, shape], [node.output[0]]),
    ]


def _sort(graph: onnx.GraphProto) -> None:
    """Every node behind those that make what it reads, else in the order of the file; a circle stays."""
    order = _sorted(list(graph.node))
    if order is not None:
        nodes = [graph.node[position] for position in order]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)


def _sorted(nodes: list[onnx.NodeProto]) -> Iterable[int] | None:
    """The new order; None where the old one will do, or none will."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [{makers[name] for name in read_by(node) if name in makers} for node in nodes]
    if all(maker < i for i, makers_ in enumerate(needs) for maker in makers_):
        return None
    done, order = set[int](), list[int]()
    for start in range(len(nodes)):
        pending, open_ = [start], set[int]()
        while pending:
            at = pending[-1]
            missing = sorted(needs[at] - done)
            if at in done or not missing:
                pending.pop()
                if at not in done:
                    done.add(at)
                    order.append(at)
            elif at in open_:
                return None
            else:
                open_.add(at)
                pending += missing[::-1]
    return order
