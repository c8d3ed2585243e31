"""Local functions of a model put in the place of their calls."""

from collections.abc import Iterable, Iterator

import onnx
from onnx import helper, inliner

from onnx_si.graph.dag import subgraphs


def inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model without local functions: every call is the function's own nodes.

    Defaults of a function's attributes are written into the calls that leave them out, and an output that is
    one of the function's inputs gets a node of its own: the inliner of the ONNX package drops the first and
    can't name the second.
    """
    if not proto.functions:
        return proto
    full = onnx.ModelProto()
    full.CopyFrom(proto)
    defaults = {
        (function.domain, function.name, function.overload): list(function.attribute_proto)
        for function in full.functions
    }
    for nodes in (full.graph.node, *(function.node for function in full.functions)):
        for node in _all(nodes):
            given = {attribute.name for attribute in node.attribute}
            missing = defaults.get((node.domain, node.op_type, node.overload), [])
            node.attribute.extend(a for a in missing if a.name not in given)
    for function in full.functions:
        _name_outputs(function)
    return inliner.inline_local_functions(full)


def _all(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes and those of their subgraphs."""
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _all(graph.node)


def _name_outputs(function: onnx.FunctionProto) -> None:
    """Give every output of a function that is one of its inputs, or an output twice, a name of its own."""
    taken = {*function.input, *function.output, *(n for node in _all(function.node) for n in node.output)}
    seen: set[str] = set(function.input)
    for place, name in enumerate(function.output):
        if name in seen:
            own = f"{name}/output_{place}"
            while own in taken:
                own += "_"
            taken.add(own)
            function.node.append(helper.make_node("Identity", [name], [own]))
            function.output[place] = own
        seen.add(name)
    if not any(opset.domain == "" for opset in function.opset_import) and function.node:
        _import_standard(function)


def _import_standard(function: onnx.FunctionProto) -> None:
    """Identity is of the standard op set, which a function need not import."""
    if any(node.op_type == "Identity" and not node.domain for node in function.node):
        function.opset_import.append(helper.make_opsetid("", 17))
