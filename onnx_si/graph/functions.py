"""Local functions of a model put in the place of their calls."""

from collections.abc import Iterable, Iterator

import onnx
from onnx import helper, inliner

from onnx_si.graph.dag import is_copy, subgraphs

Key = tuple[str, str, str]
"""A function's domain, name and overload."""


def inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model without local functions: every call is the function's own nodes.

    Every call first gets a copy of its function with the attributes of that call written in, defaults
    included, and an output that is one of the function's inputs gets a node of its own: the inliner of the
    ONNX package drops defaults and can't name such an output.
    """
    if not proto.functions:
        return proto
    full = onnx.ModelProto()
    full.CopyFrom(proto)
    copies = _Copies(full.functions)
    copies.call(full.graph.node)
    del full.functions[:]
    full.functions.extend(copies.made.values())
    return inliner.inline_local_functions(full)


class _Copies:
    """Copies of a model's functions, one for each set of attributes that they are called with."""

    def __init__(self, functions: Iterable[onnx.FunctionProto]):
        self._functions = {(f.domain, f.name, f.overload): f for f in functions}
        self.made: dict[tuple[Key, bytes], onnx.FunctionProto] = {}

    def call(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Let every call among some nodes name the copy for its attributes; make those that are missing."""
        for node in _all(nodes):
            key = (node.domain, node.op_type, node.overload)
            if key in self._functions:
                node.op_type, node.overload = self._copy(key, node).name, ""
                del node.attribute[:]

    def _copy(self, key: Key, node: onnx.NodeProto) -> onnx.FunctionProto:
        function = self._functions[key]
        given = {a.name: a for a in function.attribute_proto} | {a.name: a for a in node.attribute}
        called = key, b"".join(given[name].SerializeToString() for name in sorted(given))
        if called not in self.made:
            copy = onnx.FunctionProto()
            copy.CopyFrom(function)
            copy.name, copy.overload = f"{function.name}/{len(self.made)}", ""
            del copy.attribute[:], copy.attribute_proto[:]
            _write(copy.node, given)
            _name_outputs(copy)
            self.made[called] = copy  # takes its number before those it calls
            self.call(copy.node)
        return self.made[called]


def _write(nodes: Iterable[onnx.NodeProto], given: dict[str, onnx.AttributeProto]) -> None:
    """Put values in the place of references to a function's attributes; one that has no value is left out."""
    for node in _all(nodes):
        attributes = list(node.attribute)
        del node.attribute[:]
        for attribute in attributes:
            value = given.get(attribute.ref_attr_name)
            if not attribute.ref_attr_name:
                node.attribute.append(attribute)
            elif value is not None:
                own = node.attribute.add()
                own.CopyFrom(value)
                own.name = attribute.name


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
    if any(is_copy(node) and not node.domain for node in function.node):
        function.opset_import.append(helper.make_opsetid("", 17))
