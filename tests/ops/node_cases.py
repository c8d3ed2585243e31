"""The ONNX package's node cases, and those that are refused with the reason."""

import functools
import re
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


UNROLLED = ("Loop", "Scan")
"""Ops without a handler that stand for the nodes of their bodies."""


def ops_in(graph):
    """Op types of a graph, those inside its nodes' bodies included."""
    inner = (ops_in(body) for node in graph.node for body in subgraphs(node))
    return {node.op_type for node in graph.node}.union(*inner)


@functools.cache
def node_cases():
    """Every case of handled ops alone, the function bodies ("_expanded") among them, by name."""
    allowed = set(HANDLERS) | set(UNROLLED) | {"Constant"}
    cases = [
        case for case in all_cases().values() if all(n.domain in ("", CLASSIC) for n in case.model.graph.node)
    ]
    return {
        case.name: case
        for case in cases
        if ops_in(case.model.graph) <= allowed
        and any(node.op_type != "Constant" for node in case.model.graph.node)
        and all(opset.version <= REVIEWED for opset in case.model.opset_import)
    }


EXCLUDED = (
    (r"test_scan_sum", "Scan of opset 8 has a batch axis"),
    (r"test_not_[234]d", "opset 1: models before opset 7 are not read"),
    (r"test_equal_string.*|test_ai_onnx_ml_label_encoder_.*", "strings are no numbers"),
    (r"test_training_dropout(?!_zero).*", "training mode is random"),
    (
        r"test_cast(like)?_FLOAT(16)?_to_U?INT[24](_expanded)?",
        "values beyond the type: undefined in the text",
    ),
    (r"test_cast_e8m0_FLOAT(16)?_to_.*", "powers of two only: undefined for zero and negative numbers"),
    (
        r"test_resize_downsample_scales_(linear|cubic)_align_corners",
        "the cases contradict text and onnxruntime",
    ),
    (r"test_maxunpool_export_with_output_shape", "runtimes place the values differently"),
)
"""Patterns of the names of cases that are refused, with the reason in words; a case that passes must go."""


def reason_to_exclude(name):
    found = [reason for pattern, reason in EXCLUDED if re.fullmatch(pattern, name)]
    assert len(found) <= 1, f"{name} is excluded twice"
    return found[0] if found else None
