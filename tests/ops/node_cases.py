"""The ONNX package's node cases, and those that runtimes contradict."""

import functools
import warnings

from onnx.backend.test.case.node import collect_testcases

from onnx_si.graph.dag import subgraphs

from .cases import CLASSIC, HANDLERS, REVIEWED


@functools.cache
def all_cases():
    """Every case of the package, by name."""
    with warnings.catch_warnings():  # its own code overflows in casts while it makes the cases
        warnings.simplefilter("ignore")
        return {case.name: case for case in collect_testcases(None)}


UNROLLED = ("If", "Loop", "Scan", "FlexAttention")
"""Ops without a handler that stand for the nodes of their bodies, or of their definition."""
DOMAINS = ("", CLASSIC, "ai.onnx.preview")


def ops_in(graph):
    """Op types of a graph, those inside its nodes' bodies included."""
    inner = (ops_in(body) for node in graph.node for body in subgraphs(node))
    return {node.op_type for node in graph.node}.union(*inner)


@functools.cache
def node_cases():
    """Every case of handled ops alone, the function bodies ("_expanded") among them, by name."""
    allowed = set(HANDLERS) | set(UNROLLED) | {"Constant"}
    cases = [case for case in all_cases().values() if all(n.domain in DOMAINS for n in case.model.graph.node)]
    return {
        case.name: case
        for case in cases
        if ops_in(case.model.graph) <= allowed
        and any(node.op_type != "Constant" for node in case.model.graph.node)
        and all(opset.version <= REVIEWED for opset in case.model.opset_import)
    }


DISPUTED = {
    "test_maxunpool_export_with_output_shape": "runtimes count places in",
    "test_resize_downsample_scales_cubic_align_corners": "with a scale that runtimes round",
    "test_resize_downsample_scales_linear_align_corners": "with a scale that runtimes round",
    **{
        f"test_training_dropout{kind}": "runtimes draw other numbers"
        for kind in ("", "_mask", "_default", "_default_mask")
    },
}
"""Cases that contradict onnxruntime, with words of the warning that `evaluate` gives."""
