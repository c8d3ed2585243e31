"""The walk back from a score: gradients of a tensor's readers are added, node after node."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import onnx

from onnx_si.errors import Finding, Refusal, SaliencyUnavailable, UnsupportedOp
from onnx_si.graph import Editor, Model, nodes_between
from onnx_si.graph.dag import read_by
from onnx_si.maps.backward.definition import definition
from onnx_si.maps.backward.site import Site, rule_of
from onnx_si.program.gate import as_refusal
from onnx_si.program.program import Program


def reached(model: Model, program: Program, score: str, *sources: str) -> dict[str, onnx.NodeProto]:
    """Tensors between sources and a score through which a gradient flows, in order, with their nodes.

    A tensor that is constant on pieces of the line (a comparison, an index, a rounded value) ends the flow:
    its derivative is zero wherever it exists.
    """
    moving = {step.output for step in program.evaluation} - program.stepwise
    nodes = nodes_between(model.proto.graph, (score,))
    found: dict[str, onnx.NodeProto] = {}
    for node in nodes:
        if any(name in sources or name in found for name in read_by(node)):
            found.update((name, node) for name in node.output if name in moving and name not in sources)
    connected = {score}
    for node in reversed(nodes):
        if any(name in connected and name in found for name in node.output):
            connected.update(read_by(node))
    return {name: node for name, node in found.items() if name in connected}


def differentiate(editor: Editor, model: Model, program: Program, score: str, seed: str, source: str) -> str:
    """Append the gradient of a score with respect to another tensor.

    Parameters
    ----------
    editor : Editor
        Of the model.
    model : Model
    program : Program
        The model bound for the score, with the values of all tensors in front of it as shown.
    score : str
    seed : str
        The gradient of what is differentiated with respect to the score, in the score's shape.
    source : str

    Returns
    -------
    str
        The gradient's tensor, in the source's shape, float32.

    Raises
    ------
    UnsupportedOp
        With every node on the way that has no gradient rule.
    SaliencyUnavailable
        If the score does not depend on the source other than by jumps.
    """
    found = gradients(editor, model, program, score, seed, (source,))
    if source not in found:
        raise SaliencyUnavailable(
            f"'{score}' does not depend on '{source}', or by jumps only: its gradient is zero; choose "
            "occlusion"
        )
    return found[source]


def gradients(
    editor: Editor, model: Model, program: Program, score: str, seed: str, sources: Sequence[str]
) -> dict[str, str]:
    """Append the gradients of a score with respect to several tensors; gives those that are not zero.

    Parameters and errors are those of `differentiate`.
    """
    flows = reached(model, program, score, *sources)
    steps = {step.output: step for step in program.evaluation}
    pending: dict[str, list[str]] = defaultdict(list, {score: [seed]})
    findings: dict[str, Finding] = {}
    order = list({id(node): node for node in flows.values()}.values())
    for node in reversed(order):
        for output in node.output:
            if output not in flows or output not in pending:
                continue
            gradient = _total(editor, pending.pop(output))
            positions = tuple(_open_inputs(node, {*sources, *flows}))
            site = Site(
                editor=editor,
                model=model,
                program=program,
                node=node,
                step=steps[output],
                gradient=gradient,
                position=positions[0],
            )
            try:
                made = _through(site, positions, {*sources, *flows})
            except Exception as error:
                findings.setdefault(output, _finding(model, node, as_refusal(error)))
                # the gradient stands in for the missing ones, so that the nodes in front are tried
                made = {node.input[i]: [gradient] for i in positions}
            for name, parts in made.items():
                pending[name] += parts
    if findings:
        raise UnsupportedOp(tuple(findings.values())[::-1], "differentiated")
    return {name: _total(editor, pending[name]) for name in sources if pending[name]}


def _through(site: Site, positions: Sequence[int], flows: Collection[str]) -> dict[str, list[str]]:
    """Gradients of a node's inputs, by its op's rule or by the nodes that the standard defines it by."""
    rule = rule_of(site.node)
    made: dict[str, list[str]] = defaultdict(list)
    if rule is None:
        body = definition(site)
        site.editor.proto.graph.node.extend(body.nodes)
        read = tuple(name for name in site.read if name in flows)
        found = gradients(site.editor, body.model, body.program, body.output, site.gradient, read)
        return {name: [gradient] for name, gradient in found.items()}
    for position in positions:
        made[site.node.input[position]].append(rule(replace(site, position=position)))
    return made


def _open_inputs(node: onnx.NodeProto, flows: set[str]) -> Iterator[int]:
    """Positions of the inputs that a gradient flows to; one for a node whose subgraphs read such a tensor."""
    found = [i for i, name in enumerate(node.input) if name in flows]
    yield from found or [0]


def _total(editor: Editor, gradients: list[str]) -> str:
    return gradients[0] if len(gradients) == 1 else editor.add("Sum", gradients)


def _finding(model: Model, node: onnx.NodeProto, refusal: Refusal) -> Finding:
    name = node.name or f"(unnamed, writes {next(iter(node.output), '?')})"
    opset = model.opsets.get("" if node.domain == "ai.onnx" else node.domain, 0)
    return Finding(node=name, op=node.op_type, opset=opset, reason=refusal.reason, advice=refusal.advice)
