"""Gradient rules of smooth ops: every one against differences of the score, in float64 and in onnxruntime."""

import numpy as np
import onnx
import pytest
from support.maps import differences, run_onnx, view_of, with_gradient
from test_backward import EVERY, SHAPE, at, classifier

from onnx_si.maps.backward import site as registry
from onnx_si.maps.scores import find_scores
from onnx_si.program.program import bind


def plain(op, **attributes):
    return lambda n, x: n.add(op, x, **attributes)


def inside(op):
    """An argument between -0.9 and 0.9."""
    return lambda n, x: n.add(op, n.add("Mul", n.add("Tanh", x), n.const(0.9)))


def beyond(op, start):
    """An argument above a number."""
    return lambda n, x: n.add(op, n.add("Add", n.add("Softplus", x), n.const(start)))


def positive(n, x):
    return n.add("Add", n.add("Softplus", x), n.const(0.2))


def over(op, *axes, opset=17, keepdims=0, of=None):
    def part(n, x):
        x = x if of is None else of(n, x)
        if opset < 18:
            return n.add(op, x, axes=list(axes), keepdims=keepdims)
        return n.add(op, x, n.ints(*axes), keepdims=keepdims)

    return part


def several(n, op, inputs, count, **attributes):
    """A node with more outputs than one; gives the first."""
    outputs = [n.name(op.lower()) for _ in range(count)]
    n.nodes.append(onnx.helper.make_node(op, inputs, outputs, name=n.name(op), **attributes))
    return outputs[0]


def own_statistics(n, x):
    given = [n.normal(2, shift=1), n.normal(2), n.normal(2), n.const(np.array([0.5, 2.0]))]
    return several(n, "BatchNormalization", [x, *given], 3, training_mode=1)


def weights_from_the_image(n, x):
    """Scale and offset of each channel are computed from the image, as a style is."""
    made = n.add("Reshape", n.add("GlobalAveragePool", n.conv("x", 2, 4)), n.ints(4))
    scale, offset = n.add("Gather", made, n.ints(0, 2)), n.add("Gather", made, n.ints(1, 3))
    return n.add("InstanceNormalization", x, scale, offset)


def last_axis_weights(n, x):
    row = n.add("ReduceMean", n.conv("x", 2, 2), axes=[0, 1, 2], keepdims=0)
    return n.add("LayerNormalization", x, row, n.add("Neg", row), axis=-1)


def token_rows(n, x, width=8):
    return n.add("Reshape", x, n.ints(1, 9, width))


def attention(**attributes):
    def part(n, x):
        rows = token_rows(n, x)
        q, k, v = (n.add("MatMul", rows, n.normal(8, 8)) for _ in range(3))
        return n.add("Attention", q, k, v, q_num_heads=2, kv_num_heads=2, **attributes)

    return part


def masked_attention(n, x):
    rows = token_rows(n, x)
    bias = n.normal(9, 9)
    return n.add("Attention", rows, rows, rows, bias, q_num_heads=2, kv_num_heads=2)


def written_out(n, x):
    """Attention as exporters write it, with a residual."""
    rows = token_rows(n, x)
    q, k, v = (n.add("MatMul", rows, n.normal(8, 8, scale=0.4)) for _ in range(3))
    q, k, v = (
        n.add("Transpose", n.add("Reshape", part, n.ints(1, 9, 2, 4)), perm=[0, 2, 1, 3])
        for part in (q, k, v)
    )
    scores = n.add("MatMul", q, n.add("Transpose", k, perm=[0, 1, 3, 2]))
    mixed = n.add("MatMul", n.add("Softmax", scores, axis=-1), v)
    mixed = n.add("Reshape", n.add("Transpose", mixed, perm=[0, 2, 1, 3]), n.ints(1, 9, 8))
    return n.add("LayerNormalization", n.add("Add", rows, mixed), n.normal(8), n.normal(8))


def einsum(equation, *shapes):
    def part(n, x):
        return n.add(
            "Einsum",
            *(x if s == "x" else n.conv("x", 2, 2) if s == "y" else n.normal(*s) for s in shapes),
            equation=equation,
        )

    return part


def rotary(n, x):
    rows = n.add("Reshape", x, n.ints(1, 2, 9, 4))
    return n.add("RotaryEmbedding", rows, n.normal(1, 9, 2), n.normal(1, 9, 2))


def squeeze_excite(n, x):
    """Channels weighted by a gate of their own means, behind a SiLU."""
    x = n.add("Mul", x, n.add("Sigmoid", x))
    pooled = n.add("GlobalAveragePool", x)
    return n.add("Mul", x, n.add("Sigmoid", n.add("Conv", pooled, n.normal(2, 2, 1, 1))))


def scattered(n, x):
    places = n.const(np.array([[0, 1, 2], [0, 0, 5]]))
    row = n.add("ReduceMean", n.conv("x", 2, 6), axes=[2, 3], keepdims=0)
    updates = n.add("Concat", row, n.add("Neg", row), axis=0)
    return n.add("ScatterND", n.add("Tanh", x), places, updates)


PARTS = {
    **{
        op: plain(op)
        for op in ("Asinh", "Atan", "Cos", "Cosh", "Erf", "Exp", "Mish", "Sigmoid", "Sin", "Sinh")
    },
    **{
        op: plain(op) for op in ("Softplus", "Softsign", "Tanh", "HardSwish", "Selu", "Softmax", "LogSoftmax")
    },
    **{op: inside(op) for op in ("Acos", "Asin", "Atanh", "Tan")},
    "Acosh": beyond("Acosh", 1.2),
    "Log": beyond("Log", 0.2),
    "Sqrt": beyond("Sqrt", 0.2),
    "Reciprocal": beyond("Reciprocal", 0.2),
    "Elu": plain("Elu", alpha=0.7),
    "Celu": plain("Celu", alpha=0.7),
    "Shrink": plain("Shrink", lambd=0.3, bias=0.1),
    "Softmax over channels": plain("Softmax", axis=1),
    "LogSoftmax over channels": plain("LogSoftmax", axis=1),
    "Pow, square": lambda n, x: n.add("Pow", x, n.const(2.0)),
    "Pow, exponents of each channel": lambda n, x: n.add(
        "Pow", positive(n, x), n.const(np.array([0.5, -1.5]).reshape(2, 1, 1))
    ),
    "Pow, exponent zero": lambda n, x: n.add("Pow", x, n.const(np.array([0.0, 3.0]).reshape(2, 1, 1))),
    "Pow, both change": lambda n, x: n.add("Pow", positive(n, x), n.conv("x", 2, 1)),
    "Mod": lambda n, x: n.add("Mod", n.add("Mul", x, n.const(3.0)), n.const(0.7), fmod=1),
    "Mul of two": lambda n, x: n.add("Mul", x, n.conv("x", 2, 1)),
    "Mul by itself": lambda n, x: n.add("Mul", x, x),
    "Div of two": lambda n, x: n.add("Div", n.conv("x", 2, 1), positive(n, x)),
    "MatMul of two": lambda n, x: n.add("MatMul", x, n.conv("x", 2, 2)),
    "Gemm of two": lambda n, x: n.add(
        "Gemm",
        n.add("Reshape", x, n.ints(8, 9)),
        n.add("Reshape", n.conv("x", 2, 2), n.ints(8, 9)),
        transB=1,
        alpha=0.5,
    ),
    "squeeze and excite": squeeze_excite,
    "Where of smooth ones": lambda n, x: n.add(
        "Where", n.add("Greater", x, n.const(0.0)), n.add("Exp", x), n.add("Tanh", x)
    ),
    "LayerNormalization": lambda n, x: n.add("LayerNormalization", x, n.normal(6), n.normal(6)),
    "LayerNormalization over space": lambda n, x: n.add(
        "LayerNormalization", x, n.normal(6, 6), axis=2, epsilon=0.1
    ),
    "LayerNormalization, weights from the image": last_axis_weights,
    "InstanceNormalization": lambda n, x: n.add(
        "InstanceNormalization", x, n.normal(2), n.normal(2), epsilon=0.01
    ),
    "InstanceNormalization, weights from the image": weights_from_the_image,
    "BatchNormalization in training mode": own_statistics,
    "MeanVarianceNormalization": plain("MeanVarianceNormalization"),
    "LpNormalization": plain("LpNormalization", axis=1),
    "LpNormalization, p 1": plain("LpNormalization", axis=3, p=1),
    "LRN": lambda n, x: n.add("LRN", n.add("Concat", x, n.conv("x", 2, 3), axis=1), size=3, alpha=0.9),
    "LRN, even": lambda n, x: n.add("LRN", n.add("Concat", x, n.conv("x", 2, 3), axis=1), size=4, alpha=0.9),
    "LRN, one channel": plain("LRN", size=1, alpha=0.5, beta=0.6, bias=0.7),
    "ReduceL1": over("ReduceL1", 2, 3),
    "ReduceL2": over("ReduceL2", 1, keepdims=1),
    "ReduceSumSquare": over("ReduceSumSquare", -1),
    "ReduceLogSum": over("ReduceLogSum", 2, of=positive),
    "ReduceLogSumExp": over("ReduceLogSumExp", 1, 3),
    "ReduceProd": over("ReduceProd", 1, 2),
    "ReduceProd of one": lambda n, x: n.add("ReduceProd", n.add("GlobalAveragePool", x), axes=[2]),
    "GlobalLpPool": plain("GlobalLpPool"),
    "GlobalLpPool, p 3": plain("GlobalLpPool", p=3),
    "LpPool": plain("LpPool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], p=3),
    "CumSum": lambda n, x: n.add("CumSum", n.add("Tanh", x), n.const(np.array(2)), exclusive=1),
    "CumSum, reverse": lambda n, x: n.add("CumSum", n.add("Tanh", x), n.const(np.array(3)), reverse=1),
    "Trilu": plain("Trilu", upper=0),
    "Compress": lambda n, x: n.add("Compress", x, n.const(np.array([True, False, True])), axis=2),
    "CastLike": lambda n, x: n.add("CastLike", n.add("Tanh", x), n.const(1.0)),
    "ReverseSequence": lambda n, x: n.add(
        "ReverseSequence", n.add("Squeeze", x, n.ints(0)), n.ints(4, 2), batch_axis=0, time_axis=1
    ),
    "ScatterND": scattered,
    "ScatterElements": lambda n, x: n.add(
        "ScatterElements",
        x,
        n.const(np.full((1, 2, 1, 6), 3)),
        n.add("Slice", n.add("Exp", x), n.ints(0), n.ints(1), n.ints(2)),
        axis=2,
    ),
    "attention, written out": written_out,
    "Einsum of one": einsum("bchw->bch", "x"),
    "Einsum with a constant": einsum("bchw,wk->bkhc", "x", (6, 5)),
    "Einsum of two": einsum("bchw,bchv->bcwv", "x", "y"),
    "Einsum of three, a letter summed over alone": einsum("bchw,bdhv,v->bcd", "x", "y", (6,)),
    "Einsum with an ellipsis, without an arrow": einsum("...w,wk", "x", (6, 3)),
}
OTHER_OPSETS = {
    "Scatter": (
        10,
        lambda n, x: n.add(
            "Scatter",
            x,
            n.const(np.full((1, 2, 1, 6), 3)),
            n.add("Reshape", n.add("GlobalMaxPool", n.conv("x", 2, 12)), n.ints(1, 2, 1, 6)),
            axis=2,
        ),
    ),
    "Gelu": (20, plain("Gelu")),
    "Gelu, tanh": (20, plain("Gelu", approximate="tanh")),
    "Mish in opset 18": (18, plain("Mish")),
    "Swish": (24, plain("Swish", alpha=1.5)),
    "SwiGLU": (28, lambda n, x: n.add("SwiGLU", x, n.conv("x", 2, 2))),
    "RMSNormalization": (23, lambda n, x: n.add("RMSNormalization", x, n.normal(6), axis=-1)),
    "RMSNormalization over space": (23, lambda n, x: n.add("RMSNormalization", x, n.normal(6, 6), axis=-2)),
    "GroupNormalization": (
        21,
        lambda n, x: n.add("GroupNormalization", n.conv("x", 2, 4), n.normal(4), n.normal(4), num_groups=2),
    ),
    "GroupNormalization, weights of each group": (
        18,
        lambda n, x: n.add("GroupNormalization", n.conv("x", 2, 4), n.normal(2), n.normal(2), num_groups=2),
    ),
    "Attention": (23, attention()),
    "Attention, causal": (23, attention(is_causal=1, scale=0.3)),
    "Attention, softcap": (23, attention(softcap=2.0)),
    "Attention, bias": (23, masked_attention),
    "RotaryEmbedding": (23, rotary),
    "Softmax over everything in opset 11": (11, plain("Softmax")),
    "LogSoftmax in opset 11": (11, plain("LogSoftmax", axis=2)),
    "ReduceL2 in opset 18": (18, over("ReduceL2", 3, opset=18)),
    "ReduceLogSumExp of everything": (18, lambda n, x: n.add("ReduceLogSumExp", x, keepdims=1)),
}
SMOOTH = {**{name: (17, part) for name, part in PARTS.items()}, **OTHER_OPSETS}
SMOOTH["Mish"] = (18, PARTS["Mish"])
NOT_DEPLOYED = frozenset({"LRN, even", "SwiGLU", "Swish"})  # onnxruntime has no such sizes and ops


@pytest.mark.parametrize("target", ["predicted", 1])
@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_is_the_difference_of_scores(name, target):
    opset, part = SMOOTH[name]
    model = classifier(part, seed=3, opset=opset)
    image = np.random.default_rng(5).normal(size=SHAPE)
    extended, tensor, scores = with_gradient(model, image, target)
    ours = bind(extended, image, (tensor,)).values[tensor]
    wanted = differences(model, image, scores, target)
    size = 1 + np.abs(wanted).max()
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-6 * size)
    if name not in NOT_DEPLOYED:
        (deployed,) = run_onnx(extended, image, tensor)
        np.testing.assert_allclose(deployed, ours, rtol=0, atol=2e-5 * size)


def test_every_rule_is_in_a_table():
    ops = set()
    for opset, part in (*EVERY.values(), *SMOOTH.values()):
        model = classifier(part, opset=opset)
        scores = find_scores(model, np.zeros(SHAPE), view_of(model, np.zeros(SHAPE)))
        ops |= {step.op for step in scores.program.evaluation}
        ops |= {node.op_type for node in model.proto.graph.node}
    by_branches = {"If"}  # tests/maps/test_gradient_maps.py
    assert (
        set(registry._RULES) | registry.DEFINED
        == ops & (set(registry._RULES) | registry.DEFINED) | by_branches
    )


# --------------------------------------------------------------------------------
# Bends, zeros and large numbers, where a difference says nothing

BENDS = {
    "HardSwish": (plain("HardSwish"), [[-4, -3, 3, 4]], [[0, 0, 1, 1]]),
    "Elu": (plain("Elu", alpha=0.5), [[-100, 0, 1]], [[0, 0.5, 1]]),
    "Celu": (plain("Celu", alpha=2.0), [[0, 1, 100]], [[1, 1, 1]]),
    "Shrink": (plain("Shrink", lambd=1.0, bias=0.5), [[-2, -1, 0, 1, 2]], [[1, 0, 0, 0, 1]]),
    "ReduceL1": (over("ReduceL1", 3), [[-2, 0, 1]], [[-1, 0, 1]]),
    "ReduceL2 of zeros": (over("ReduceL2", 3), [[0, 0]], [[0, 0]]),
    "ReduceProd with a zero": (over("ReduceProd", 3), [[2, 0, 3]], [[0, 6, 0]]),
    "ReduceProd with two": (over("ReduceProd", 3), [[2, 0, 0]], [[0, 0, 0]]),
    "LpPool of zeros": (plain("LpPool", kernel_shape=[1, 2], p=2), [[0, 0, 3]], [[0, 0, 1]]),
    "GlobalLpPool of zeros": (plain("GlobalLpPool", p=3), [[0, 0]], [[0, 0]]),
    "LpNormalization of zeros": (plain("LpNormalization", axis=3), [[0, 0]], [[1, 1]]),
    "Pow, exponent zero": (lambda n, x: n.add("Pow", x, n.const(0.0)), [[0, 2]], [[0, 0]]),
    "Softmax, saturated": (plain("Softmax"), [[200, 0, -200]], [[0, 0, 0]]),
    "Sigmoid, saturated": (plain("Sigmoid"), [[200, -200]], [[0, 0]]),
    "Softplus of large ones": (plain("Softplus"), [[200, -200]], [[1, 0]]),
}


@pytest.mark.parametrize("name", BENDS)
def test_on_a_bend(name):
    part, values, wanted = BENDS[name]
    np.testing.assert_allclose(at(part, values, 1e-6), wanted, rtol=0, atol=1e-12)
