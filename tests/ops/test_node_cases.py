"""The ONNX package's own node cases, through `onnx_si.evaluate`."""

import functools
import re
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

import onnx_si
from onnx_si.errors import InputError, UnsupportedModel
from onnx_si.graph import model_from_proto
from onnx_si.line.program import bind

from .cases import HANDLERS, REVIEWED


@functools.cache
def node_cases():
    """Every case of handled ops alone, the function bodies ("_expanded") among them, by name."""
    allowed = set(HANDLERS) | {"Constant"}
    with warnings.catch_warnings():  # the package's own code overflows in casts while it makes the cases
        warnings.simplefilter("ignore")
        made = collect_testcases(None)
    cases = [case for case in made if all(n.domain == "" for n in case.model.graph.node)]
    return {
        case.name: case
        for case in cases
        if {node.op_type for node in case.model.graph.node} <= allowed
        and any(node.op_type in HANDLERS for node in case.model.graph.node)
        and all(opset.version <= REVIEWED for opset in case.model.opset_import)
    }


EXCLUDED = (
    (r"test_not_[234]d", "opset 1: models before opset 7 are not read"),
    (r"test_equal_string.*", "strings are no numbers"),
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
    (r"test_resize_.*_antialias", "antialias"),
    (r"test_resize_.*_not_(larger|smaller)", "an aspect ratio policy"),
    (r"test_resize_tf_crop_and_resize.*", "tf_crop_and_resize"),
)
"""Patterns of the names of cases that are refused, with the reason in words; a case that passes must go."""

LOOSE = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": 5e-4,
    "test_gridsample_bicubic": 5e-4,
    "test_roialign_aligned_false": 5e-4,
    "test_roialign_aligned_true": 5e-4,
    "test_dynamicquantizelinear": 0.05,
    "test_dynamicquantizelinear_expanded": 0.05,
}
"""Cases whose expected values are written with few digits; in the last two a value lies half way between two
levels, and float32 arithmetic rounds it to the other one."""

EITHER = {
    *("Add", "And", "Attention", "CastLike", "Concat", "DequantizeLinear", "Div", "Einsum", "GRU"),
    *("Greater", "GreaterOrEqual", "GridSample", "GroupNormalization", "InstanceNormalization", "LSTM"),
    *("LayerNormalization", "Less", "LessOrEqual", "LinearAttention", "MatMul", "Max", "Mean", "Min"),
    *("Mod", "Mul", "NonMaxSuppression", "OneHot", "Or", "Pow", "QLinearConv", "QLinearMatMul"),
    *("RMSNormalization", "RNN", "Range", "RotaryEmbedding", "STFT", "Scatter", "ScatterElements"),
    *("ScatterND", "Sub", "Sum", "SwiGLU", "TensorScatter", "Where", "Xor"),
}
"""Ops of which any input may change."""


def reason_to_exclude(name):
    found = [reason for pattern, reason in EXCLUDED if re.fullmatch(pattern, name)]
    assert len(found) <= 1, f"{name} is excluded twice"
    return found[0] if found else None


def numbers(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def data_sets(case, model):
    """Inputs by name, and expected outputs."""
    for inputs, outputs in case.data_sets:
        feeds = {info.name: numbers(value) for info, value in zip(model.inputs, inputs, strict=True)}
        yield feeds, [numbers(value) for value in outputs]


def assert_same(got, expected, name):
    """Cases are computed in float32; a cast to 16 bits is left unrounded here (see the handler)."""
    assert np.shape(got) == expected.shape
    rounding = {"float16": 2e-3, "bfloat16": 1e-2}.get(expected.dtype.name, LOOSE.get(name, 1e-4))
    np.testing.assert_allclose(got, expected.astype(np.float64), rtol=rounding, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", sorted(name for name in node_cases() if not reason_to_exclude(name)))
def test_evaluate(name):
    case = node_cases()[name]
    model = model_from_proto(case.model)
    for feeds, expected in data_sets(case, model):
        for got, value in zip(onnx_si.evaluate(model, feeds).values(), expected, strict=True):
            assert_same(got, value, name)


@pytest.mark.parametrize("name", sorted(name for name in node_cases() if reason_to_exclude(name)))
def test_excluded_cases_are_refused(name):
    case = node_cases()[name]
    with pytest.raises((InputError, UnsupportedModel)):
        model = model_from_proto(case.model)
        for feeds, _ in data_sets(case, model):
            onnx_si.evaluate(model, feeds)


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in EXCLUDED])
def test_every_exclusion_is_used(pattern):
    assert any(re.fullmatch(pattern, name) for name in node_cases())


def with_several_floats():
    return sorted(
        name
        for name, case in node_cases().items()
        if not reason_to_exclude(name) and sum(numbers(v).dtype.kind == "f" for v in case.data_sets[0][0]) > 1
    )


@pytest.mark.parametrize("name", with_several_floats())
def test_any_input_may_change(name):
    """Whichever input changes with the image, the output is right or the node is refused."""
    case = node_cases()[name]
    model = model_from_proto(case.model)
    outputs = tuple(info.name for info in model.outputs)
    for feeds, expected in data_sets(case, model):
        for changing in (name for name, value in feeds.items() if value.dtype.kind == "f"):
            given = {other: value for other, value in feeds.items() if other != changing}
            with np.errstate(all="ignore"):  # constants may be infinite
                program = bind(model, feeds[changing], outputs, input_name=changing, given=given)
            assert not program.gaps or model.proto.graph.node[0].op_type not in EITHER
            if not program.gaps:
                for output, value in zip(outputs, expected, strict=True):
                    assert_same(program.values[output], value, name)
