"""The ONNX package's own node cases, through `onnx_si.evaluate`."""

import contextlib

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnx_si
from onnx_si.errors import UnsupportedOp
from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind

from .hidden import hidden
from .node_cases import DISPUTED, node_cases

LOOSE = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": 5e-4,
    "test_gridsample_bicubic": 5e-4,
    "test_roialign_aligned_false": 5e-4,
    "test_roialign_aligned_true": 5e-4,
}
"""Cases whose expected values are written with few digits."""

EITHER = {
    *("Add", "And", "Attention", "CastLike", "Concat", "DequantizeLinear", "Div", "Einsum", "Gemm", "GRU"),
    *("Greater", "GreaterOrEqual", "GridSample", "GroupNormalization", "InstanceNormalization", "LSTM"),
    *("LayerNormalization", "Less", "LessOrEqual", "LinearAttention", "MatMul", "Max", "Mean", "Min"),
    *("Mod", "Mul", "NonMaxSuppression", "OneHot", "Or", "Pow", "QLinearConv", "QLinearMatMul"),
    *("RMSNormalization", "RNN", "Range", "RotaryEmbedding", "STFT", "Scatter", "ScatterElements"),
    *("ScatterND", "Sub", "Sum", "SwiGLU", "TensorScatter", "Where", "Xor"),
}
"""Ops of which any input may change."""


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


def warned_of(name):
    """Whether the warning that a case ends in is the right one: none, if runtimes agree with it."""
    dispute = DISPUTED.get(name)
    return contextlib.nullcontext() if dispute is None else pytest.warns(RuntimeWarning, match=dispute)


@pytest.mark.parametrize("name", sorted(node_cases()))
def test_evaluate(name):
    case = node_cases()[name]
    model = model_from_proto(case.model)
    for feeds, expected in data_sets(case, model):
        with warned_of(name):
            results = onnx_si.evaluate(model, feeds)
        for got, value in zip(results.values(), expected, strict=True):
            assert_same(got, value, name)


@pytest.mark.parametrize("name", sorted(DISPUTED))
def test_a_disputed_node_has_no_p_value(name):
    case = node_cases()[name]
    model = model_from_proto(case.model)
    ((feeds, _),) = data_sets(case, model)
    image, *_ = names = [info.name for info in model.inputs]
    given = {other: feeds[other] for other in names[1:]}
    program = bind(model, feeds[image], (model.outputs[0].name,), input_name=image, given=given)
    with pytest.raises(UnsupportedOp, match=DISPUTED[name]):
        program.require_exact()


def with_several_floats():
    return sorted(
        name
        for name, case in node_cases().items()
        if sum(numbers(v).dtype.kind == "f" for v in case.data_sets[0][0]) > 1
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
            assert not any(hidden(step.rule) for step in program.evaluation)
            if not program.gaps:
                for output, value in zip(outputs, expected, strict=True):
                    assert_same(program.values[output], value, name)
