"""Nodes that stand for others: the branch of an `If`, and ops that the standard defines by a function."""

from collections.abc import Mapping

import onnx
from onnx import helper, inliner

from onnx_si.graph.dag import subgraphs


def chosen_branch(node: onnx.NodeProto, condition: bool) -> list[onnx.NodeProto]:
    """The nodes of the branch that an `If` takes, writing the node's own outputs.

    What is made inside the branch gets names that start with the node's first output: two branches may use
    the same names.
    """
    wanted = "then_branch" if condition else "else_branch"
    graph = next(a.g for a in node.attribute if a.name == wanted)
    stored = [helper.make_node("Constant", [], [t.name], value=t) for t in graph.initializer]
    made = {name for inner in (*stored, *graph.node) for name in inner.output if name}
    names = {name: f"{node.output[0]}/{name}" for name in made}
    results = [names.get(value.name, value.name) for value in graph.output]
    copies = [
        helper.make_node("Identity", [made], [output], name=node.name)
        for made, output in zip(results, node.output, strict=True)
        if output
    ]
    return [renamed(inner, names) for inner in (*stored, *graph.node)] + copies


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """A copy of a node with other names for some tensors, in its subgraphs too.

    Scope is lexical: a name that a subgraph defines itself means its own tensor there.
    """
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    _rename(copy, names)
    return copy


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for graph in subgraphs(node):
        own = _defined(graph)
        seen = {name: new for name, new in names.items() if name not in own}
        for inner in graph.node:
            _rename(inner, seen)
        for value in graph.output:
            value.name = seen.get(value.name, value.name)


def _defined(graph: onnx.GraphProto) -> set[str]:
    """Tensors that a graph defines itself."""
    stored = [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
    made = [name for node in graph.node for name in node.output if name]
    return {*(value.name for value in graph.input), *stored, *made}


def function_body(
    node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto], opsets: Mapping[str, int]
) -> list[onnx.NodeProto]:
    """The nodes that the standard defines an op by, with the node's own inputs and outputs; none if it does
    not.

    Parameters
    ----------
    node : NodeProto
    types : mapping of str to TypeProto
        Of every input: some definitions depend on them.
    opsets : mapping of str to int
        Version of each op set by domain.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    graph = helper.make_graph(
        [_with_defaults(node, domain, opsets)],
        "function",
        [helper.make_value_info(name, kind) for name, kind in types.items()],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    imports = [helper.make_opsetid(name, version) for name, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports)
    nodes = inliner.inline_selected_functions(
        model, [(domain, node.op_type)], inline_schema_functions=True
    ).graph.node
    if any(inner.op_type == node.op_type and inner.domain == node.domain for inner in nodes):
        return []
    kept = {*node.input, *node.output}
    stem = next(name for name in node.output if name)
    names = {name: f"{stem}/{name}" for inner in nodes for name in inner.output if name and name not in kept}
    return [renamed(inner, names) for inner in nodes]


def _with_defaults(node: onnx.NodeProto, domain: str, opsets: Mapping[str, int]) -> onnx.NodeProto:
    """The node with every attribute that has a default: the inliner drops constants made of one left out."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return node
    full = onnx.NodeProto()
    full.CopyFrom(node)
    given = {attribute.name for attribute in node.attribute}
    unset = onnx.AttributeProto.UNDEFINED
    full.attribute.extend(
        a.default_value
        for a in schema.attributes.values()
        if a.name not in given and a.default_value.type != unset
    )
    return full
