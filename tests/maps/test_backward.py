"""Gradient rules: every one against differences of the score, in float64 and in onnxruntime."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support import nets
from support.maps import differences, run_onnx, with_gradient

import onnx_si
from onnx_si.maps.backward import has_gradient
from onnx_si.maps.backward import site as registry
from onnx_si.program.program import bind

SHAPE = (1, 2, 6, 6)


def classifier(part, seed=0, classes=3, shape=SHAPE, opset=17, smooth=False):
    """A convolution, what is tested, and a dense layer over everything."""
    net = nets.Net(seed, shape, opset=opset)
    x = part(net, net.conv("x", shape[1], 2) if len(shape) == 4 else "x")
    x = net.add("Reshape", x, net.ints(1, -1))
    size = bind(net.finish(x), np.zeros(shape), (x,)).values[x].size
    scores = net.add("MatMul", x, net.normal(size, classes))
    return net.finish(net.add("Softmax", scores, axis=1) if smooth else scores)


def split_in_two(net, x):
    parts = [net.name("part"), net.name("part")]
    net.nodes.append(
        onnx.helper.make_node("Split", [x, net.ints(2, 4)], parts, name=net.name("split"), axis=3)
    )
    return net.add("Concat", *parts[::-1], parts[0], axis=3)


def upsampled(mode, **options):
    def part(net, x):
        scales = net.const(np.array([1, 1, 2, 1.5], np.float32))
        return net.add("Resize", x, "", scales, mode=mode, **options)

    return part


def gated(net, x):
    """A mask times a signal: the mask only jumps."""
    mask = net.add("Cast", net.add("Greater", net.conv("x", 2, 2), net.const(0.0)), to=TensorProto.FLOAT)
    return net.add("Mul", net.add("Relu", x), mask)


def chosen(net, x):
    condition = net.add("Greater", net.conv("x", 2, 1), net.const(0.0))
    return net.add("Where", condition, x, net.add("Neg", net.conv("x", 2, 2)))


def small_and_wide(op):
    """An operand that is repeated along space."""
    return lambda net, x: net.add(op, net.add("GlobalMaxPool", x), net.add("Relu", x))


def gemm(a, b, **options):
    def part(net, x):
        rows = net.add("Reshape", net.add("Relu", x), net.ints(*a))
        return net.add("Gemm", rows, net.normal(*b), net.normal(6), **options)

    return part


def product(left, right, shape):
    """A matrix product with a constant on one side."""

    def part(net, x):
        x = net.add("Reshape", net.add("Relu", x), net.ints(*shape))
        return net.add("MatMul", *(x if side is None else net.normal(*side) for side in (left, right)))

    return part


def reduced(op, axes, keepdims=1):
    return lambda net, x: net.add(op, net.add("Relu", x), axes=axes, keepdims=keepdims)


def normalised(net, x):
    given = [net.normal(2, shift=1), net.normal(2), net.normal(2), net.const(np.array([0.5, 2.0]))]
    return net.add("Relu", net.add("BatchNormalization", x, *given))


PARTS = {
    "Relu": lambda n, x: n.add("Relu", x),
    "LeakyRelu": lambda n, x: n.add("LeakyRelu", x, alpha=0.2),
    "PRelu": lambda n, x: n.add("PRelu", x, n.normal(2, 1, 1)),
    "Abs": lambda n, x: n.add("Abs", x),
    "Clip": lambda n, x: n.add("Clip", x, n.const(-0.3), n.const(0.6)),
    "Clip below only": lambda n, x: n.add("Clip", x, n.const(-0.3)),
    "Clip without limits": lambda n, x: n.add("Clip", x),
    "HardSigmoid": lambda n, x: n.add("HardSigmoid", x, alpha=0.9, beta=0.4),
    "ThresholdedRelu": lambda n, x: n.add("ThresholdedRelu", x, alpha=0.3),
    "Add, twice the same": lambda n, x: n.add("Relu", n.add("Add", x, x)),
    "Sub": lambda n, x: n.add("Relu", n.add("Sub", n.const(0.2), x)),
    "Sum, Mean, Neg": lambda n, x: n.add(
        "Sum", n.add("Mean", n.add("Relu", x), x, n.const(1.0)), n.add("Neg", n.add("Abs", x))
    ),
    "Mul, Div": lambda n, x: n.add("Div", n.add("Mul", n.normal(2, 1, 1), n.add("Relu", x)), n.const(0.7)),
    "mask times signal": gated,
    "Where": chosen,
    "Add, broadcast": small_and_wide("Add"),
    "Max, broadcast": small_and_wide("Max"),
    "Max of three with a constant": lambda n, x: n.add("Max", x, n.const(0.1), n.conv("x", 2, 2)),
    "Min with a constant": lambda n, x: n.add("Min", x, n.const(0.1)),
    "Max with a constant": lambda n, x: n.add("Max", n.const(0.1), x),
    "BatchNormalization": normalised,
    "Gemm": gemm((1, 72), (72, 6)),
    "Gemm, both turned, alpha": gemm((9, 8), (6, 9), transA=1, transB=1, alpha=0.5, beta=2.0),
    "Gemm with a changing addend": lambda n, x: n.add(
        "Gemm",
        n.add("Flatten", n.add("Relu", x)),
        n.normal(72, 6),
        n.add("ReduceMean", x, axes=[0, 1, 2], keepdims=0),
        beta=0.5,
    ),
    "MatMul by the right": product(None, (6, 5), (1, 2, 6, 6)),
    "MatMul by the left": product((5, 6), None, (1, 2, 6, 6)),
    "MatMul of a vector": product(None, (72,), (72,)),
    "MatMul, stacked on the other side": product((3, 4, 6), None, (6, 12)),
    "ReduceMean": reduced("ReduceMean", [2, 3], 0),
    "ReduceMean of one axis": reduced("ReduceMean", [1]),
    "ReduceSum": lambda n, x: n.add("ReduceSum", n.add("Relu", x), n.ints(-1, 1), keepdims=0),
    "ReduceMax": reduced("ReduceMax", [2], 0),
    "ReduceMin": lambda n, x: n.add("ReduceMin", n.add("Abs", x), axes=[1, 3]),
    "GlobalAveragePool": lambda n, x: n.add("GlobalAveragePool", n.add("Relu", x)),
    "GlobalMaxPool": lambda n, x: n.add("GlobalMaxPool", x),
    "Conv with strides": lambda n, x: n.add(
        "Conv", n.add("Relu", x), n.normal(3, 2, 3, 2), strides=[2, 3], pads=[1, 0, 0, 1]
    ),
    "Conv with dilations and groups": lambda n, x: n.add(
        "Conv", n.add("Relu", x), n.normal(4, 1, 2, 3), group=2, dilations=[2, 1], pads=[1, 1, 1, 1]
    ),
    "Conv, auto_pad": lambda n, x: n.add(
        "Conv", n.add("Relu", x), n.normal(1, 2, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER"
    ),
    "ConvTranspose": lambda n, x: n.add(
        "ConvTranspose", n.add("Relu", x), n.normal(2, 2, 3, 2), strides=[2, 2], pads=[1, 0, 0, 1]
    ),
    "ConvTranspose with groups and padding": lambda n, x: n.add(
        "ConvTranspose", x, n.normal(2, 2, 3, 3), group=2, strides=[2, 3], output_padding=[1, 2]
    ),
    "AveragePool": lambda n, x: n.add(
        "AveragePool", n.add("Relu", x), kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]
    ),
    "AveragePool over pads": lambda n, x: n.add(
        "AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1
    ),
    "AveragePool, ceil_mode": lambda n, x: n.add(
        "AveragePool", x, kernel_shape=[4, 4], strides=[3, 3], ceil_mode=1
    ),
    "MaxPool": lambda n, x: n.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]),
    "MaxPool, overlapping and padded": lambda n, x: n.add(
        "MaxPool", n.add("Neg", n.add("Abs", x)), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "MaxPool with dilations": lambda n, x: n.add("MaxPool", x, kernel_shape=[2, 3], dilations=[2, 1]),
    "Concat": lambda n, x: n.add("Concat", n.add("Relu", x), n.const(np.ones((1, 1, 6, 6))), x, axis=1),
    "Split": split_in_two,
    "Slice": lambda n, x: n.add("Slice", x, n.ints(5, 1), n.ints(0, 6), n.ints(2, 3), n.ints(-2, 2)),
    "Gather": lambda n, x: n.add("Gather", x, n.ints(0, 3, 3, -1), axis=2),
    "GatherElements": lambda n, x: n.add(
        "GatherElements", x, n.const(np.zeros((1, 2, 2, 6), np.int64)), axis=2
    ),
    "GatherND": lambda n, x: n.add("GatherND", x, n.const(np.array([[0, 1, 2], [0, 0, 0]]))),
    "Pad": lambda n, x: n.add("Pad", x, n.ints(0, 0, 1, 2, 0, 0, 0, -1), n.const(0.5)),
    "Pad, reflect": lambda n, x: n.add("Pad", x, n.ints(0, 0, 2, 1, 0, 0, 1, 0), mode="reflect"),
    "Expand": lambda n, x: n.add("Expand", n.add("GlobalMaxPool", x), n.ints(1, 2, 3, 2)),
    "Tile": lambda n, x: n.add("Tile", x, n.ints(1, 2, 1, 2)),
    "Transpose, Squeeze, Unsqueeze": lambda n, x: n.add(
        "Unsqueeze", n.add("Transpose", n.add("Squeeze", x, n.ints(0)), perm=[2, 0, 1]), n.ints(0)
    ),
    "Transpose without order, Flatten": lambda n, x: n.add("Flatten", n.add("Transpose", x), axis=2),
    "DepthToSpace, SpaceToDepth": lambda n, x: n.add(
        "DepthToSpace", n.add("SpaceToDepth", x, blocksize=3), blocksize=3
    ),
    "Resize, linear": upsampled("linear"),
    "Resize, nearest": upsampled("nearest"),
    "Resize, cubic": upsampled("cubic"),
    "Identity, Dropout, Cast": lambda n, x: n.add(
        "Identity", n.add("Dropout", n.add("Cast", x, to=TensorProto.FLOAT))
    ),
}
OTHER_OPSETS = {
    "CenterCropPad": (18, lambda n, x: n.add("CenterCropPad", x, n.ints(4, 9), axes=[2, 3])),
    "Upsample": (
        9,
        lambda n, x: n.add("Upsample", x, n.const(np.array([1, 1, 2, 2.0], np.float32)), mode="linear"),
    ),
    "Relu, MaxPool and Clip in opset 7": (
        7,
        lambda n, x: n.add("MaxPool", n.add("Clip", n.add("Relu", x), max=0.8), kernel_shape=[2, 2]),
    ),
    "ReduceMean in opset 18": (
        18,
        lambda n, x: n.add("ReduceMean", n.add("Relu", x), n.ints(2, 3), keepdims=0),
    ),
    "ReduceMax in opset 20": (20, lambda n, x: n.add("ReduceMax", x, n.ints(1), keepdims=0)),
}
EVERY = {**{name: (17, part) for name, part in PARTS.items()}, **OTHER_OPSETS}


@pytest.mark.parametrize("target", ["predicted", 1])
@pytest.mark.parametrize("name", EVERY)
def test_the_gradient_is_the_difference_of_scores(name, target):
    opset, part = EVERY[name]
    model = classifier(part, seed=3, opset=opset)
    for number in range(2):
        image = np.random.default_rng(number).normal(size=SHAPE)
        extended, tensor, scores = with_gradient(model, image, target)
        ours = bind(extended, image, (tensor,)).values[tensor]
        wanted = differences(model, image, scores, target)
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-7 * (1 + np.abs(wanted).max()))
        (deployed,) = run_onnx(extended, image, tensor)
        np.testing.assert_allclose(deployed, ours, rtol=0, atol=1e-5 * (1 + np.abs(wanted).max()))


# --------------------------------------------------------------------------------
# Bends and ties, where a difference says nothing


def at(part, values, exact=0.0):
    """The gradient of the sum of what is tested, at an image given as numbers."""
    values = np.asarray(values, np.float64)
    net = nets.Net(0, (1, 1, *values.shape))
    x = net.add("Flatten", part(net, "x"))
    size = bind(net.finish(x), values[None, None], (x,)).values[x].size
    model = net.finish(net.add("MatMul", x, net.const(np.ones((size, 1)))))
    extended, tensor, _ = with_gradient(model, values[None, None])
    ours = bind(extended, values[None, None], (tensor,)).values[tensor]
    (deployed,) = run_onnx(extended, values[None, None], tensor)
    np.testing.assert_allclose(ours, deployed, rtol=0, atol=exact)
    return ours[0, 0].tolist()


BENDS = {
    "relu": (lambda n, x: n.add("Relu", x), [[-1, 0, 1]], [[0, 0, 1]]),
    "leaky": (lambda n, x: n.add("LeakyRelu", x, alpha=0.25), [[-1, 0, 1]], [[0.25, 0.25, 1]]),
    "abs": (lambda n, x: n.add("Abs", x), [[-1, 0, 1]], [[-1, 0, 1]]),
    "clip": (lambda n, x: n.add("Clip", x, n.const(-1.0), n.const(1.0)), [[-1, 0, 1, 2]], [[0, 1, 0, 0]]),
    "hard": (lambda n, x: n.add("HardSigmoid", x, alpha=0.5, beta=0.5), [[-1, 0, 1]], [[0, 0.5, 0]]),
    "threshold": (lambda n, x: n.add("ThresholdedRelu", x, alpha=1.0), [[0, 1, 2]], [[0, 0, 1]]),
    "max": (lambda n, x: n.add("Max", x, n.const(1.0)), [[0, 1, 2]], [[0, 0, 1]]),
    "min": (lambda n, x: n.add("Min", x, n.const(1.0)), [[0, 1, 2]], [[1, 0, 0]]),
    "two inputs": (lambda n, x: n.add("Max", x, n.add("Mul", x, n.const(3.0))), [[-1, 0, 1]], [[1, 1, 3]]),
    "three inputs": (
        lambda n, x: n.add("Min", x, n.add("Mul", x, n.const(3.0)), n.const(0.0)),
        [[-1, 0, 1]],
        [[3, 0, 0]],
    ),
    "pool": (
        lambda n, x: n.add("MaxPool", x, kernel_shape=[2, 2]),
        [[5, 5, 1], [5, 5, 5]],
        [[1, 1, 0], [0, 0, 0]],
    ),
    "pool with pads": (
        lambda n, x: n.add("MaxPool", x, kernel_shape=[1, 3], strides=[1, 3], pads=[0, 2, 0, 1]),
        [[-7, -7, -8, -7]],
        [[1, 1, 0, 0]],
    ),
    "along an axis": (
        lambda n, x: n.add("ReduceMax", x, axes=[3]),
        [[1, 2, 2], [3, 1, 3]],
        [[0, 1, 0], [1, 0, 0]],
    ),
}


@pytest.mark.parametrize("name", BENDS)
def test_on_a_bend_and_among_equals(name):
    part, values, wanted = BENDS[name]
    assert at(part, values) == wanted


def test_a_unit_that_is_always_zero_passes_nothing():
    """Its slope is zero on both sides, so one half, or one, would be wrong everywhere."""

    def dead(net, x):
        return net.add("Relu", net.add("Mul", x, net.const(0.0)))

    assert at(dead, [[-1, 0, 2]]) == [[0, 0, 0]]
    twice = at(lambda n, x: n.add("Relu", n.add("Relu", x)), [[-1, 0, 2]])
    assert twice == [[0, 0, 1]]


# --------------------------------------------------------------------------------
# Settings that are refused


def by_the_winner(net, x):
    best = net.add("ArgMax", net.add("GlobalMaxPool", x), axis=1, keepdims=0)
    return net.add("Gather", x, net.add("Reshape", best, net.ints(1)), axis=1)


SETTINGS = {
    "output_shape": (
        lambda n, x: n.add("ConvTranspose", x, n.normal(2, 1, 2, 2), strides=[2, 2], output_shape=[12, 12]),
        "auto_pad or output_shape",
    ),
    "index from the image": (by_the_winner, "where its values come from depends on the image"),
    "divisor of a remainder": (
        lambda n, x: n.add("Mod", n.const(1.0), n.add("Abs", x), fmod=1),
        "its divisor depends on the image",
    ),
    "no rule": (lambda n, x: n.add("Det", x), "op Det has no gradient rule"),
    "too many candidates": (
        lambda n, x: n.add("GlobalMaxPool", n.add("Tile", x, n.ints(1, 1, 8, 8))),
        "one of 2304 is chosen; at most 2048",
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_refused_with_reason_and_advice(name):
    part, words = SETTINGS[name]
    model, image = classifier(part), np.random.default_rng(0).normal(size=SHAPE)
    with pytest.raises(onnx_si.UnsupportedOp, match=words) as caught:
        with_gradient(model, image)
    assert all(finding.advice for finding in caught.value.findings)


def test_a_rule_is_registered_once():
    with pytest.raises(ValueError, match="Relu has a gradient rule already"):
        registry.backwards("Relu")(lambda site: site.gradient)
    assert has_gradient("Relu", "") and not has_gradient("Relu", "com.example")
    assert not has_gradient("ArgMax", "")
