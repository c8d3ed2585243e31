"""Tiny random networks for the tests, and an evaluation of them on many points of a line at once.

Nothing here knows the exact domain: `margins_on` runs each op at single points, an oracle for it.
"""

import numpy as np
from onnx import TensorProto, helper, shape_inference

from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind
from onnx_si.rules.rules import Kinked, Maximum, Step, Winner, loosely
from support.builder import GraphBuilder


class Net(GraphBuilder):
    """A graph with one image `x`: weights drawn from one seed, names given in order."""

    def __init__(self, seed, shape, *, opset=17, dtype=np.float32):
        super().__init__(np.random.default_rng(seed), dtype)
        self.shape, self.opset = tuple(shape), opset
        self.metadata = {}

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def normal(self, *shape, scale=1.0, shift=0.0):
        return self.const(shift + scale * self.rng.normal(size=shape))

    def conv(self, x, inside, outside, kernel=3, shift=0.0):
        """A convolution that keeps the size, with weights of unit gain and small biases."""
        weight = self.normal(outside, inside, kernel, kernel, scale=1 / np.sqrt(inside * kernel**2))
        bias = self.normal(outside, scale=0.3, shift=shift)
        return self.add("Conv", x, weight, bias, pads=[kernel // 2] * 4)

    def finish(self, *outputs, **proto_options):
        """The checked model; outputs are names."""
        return model_from_proto(self.proto(*outputs, **proto_options))

    def proto(self, *outputs, input_shape=None, domains=()):
        element = helper.np_dtype_to_tensor_dtype(self.dtype)
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("x", element, list(input_shape or self.shape))],
            [helper.make_tensor_value_info(name, element, None) for name in outputs],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(name, 1) for name in domains)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        helper.set_model_props(proto, self.metadata)
        proto = shape_inference.infer_shapes(proto)
        for value in proto.graph.output:  # the checker wants a shape even where none can be inferred
            value.type.tensor_type.shape.SetInParent()
        return proto


def cam_nchw(seed=0, size=6, channels=2, classes=1, pool=True, sigmoid=False):
    """Conv, Relu, (MaxPool, Conv, Relu,) GlobalAveragePool, Gemm."""
    net = Net(seed, (1, 1, size, size))
    x = net.add("Relu", net.conv("x", 1, channels))
    if pool:
        x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        x = net.add("Relu", net.conv(x, channels, channels, shift=0.2))
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    y = net.add("Gemm", x, net.normal(classes, channels, shift=0.5), net.normal(classes, scale=0.1), transB=1)
    return net.finish(net.add("Sigmoid", y) if sigmoid else y)


def cam_nhwc(seed=0, size=5, channels=3, classes=1):
    """The same written as tf2onnx does: NHWC outside, NCHW inside, ReduceMean, MatMul, Add."""
    net = Net(seed, (1, size, size, 1))
    x = net.add("Relu", net.conv(net.add("Transpose", "x", perm=[0, 3, 1, 2]), 1, channels))
    x = net.add("Transpose", x, perm=[0, 2, 3, 1])
    x = net.add("ReduceMean", x, axes=[1, 2], keepdims=0)
    return net.finish(
        net.add("Add", net.add("MatMul", x, net.normal(channels, classes, shift=0.5)), net.normal(classes))
    )


def map_net(seed=0, size=5, last="Identity", channels=2, outside=1):
    """Conv, Relu, Conv, then a last op: the model's output `map` is a map."""
    net = Net(seed, (1, 1, size, size))
    x = net.add("Relu", net.conv("x", 1, channels))
    x = net.conv(x, channels, outside)
    attributes = {"axis": 1} if last == "Softmax" else {}
    return net.finish(net.add(last, x, out="map", **attributes))


def dense_net(seed=0, size=4, channels=2, classes=3, hidden=5):
    """Conv, LeakyRelu, MaxPool, Conv, Relu, then a head with a hidden layer: no CAM, but gradients."""
    net = Net(seed, (1, 1, size, size))
    x = net.add("LeakyRelu", net.conv("x", 1, channels), alpha=0.1)
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Relu", net.conv(x, channels, channels, shift=0.3), out="features")
    x = net.add("Flatten", x)
    inside = channels * (size // 2) ** 2
    for outside in (hidden, classes):
        x = net.add("Gemm", x, net.normal(inside, outside), net.normal(outside, scale=0.3))
        x, inside = (net.add("Relu", x) if outside == hidden else x), outside
    return net.finish(x)


def residual_net(seed=0, size=4, channels=2):
    """Overlapping pools, a shortcut, a transposed convolution and joined channels in front of one score."""
    net = Net(seed, (1, 1, size, size))
    x = net.add("Relu", net.conv("x", 1, channels))
    pooled = net.add("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = net.add("Relu", net.add("Add", x, net.conv(pooled, channels, channels)))
    weight = net.normal(channels, 1, 2, 2)
    small = net.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Concat", x, net.add("ConvTranspose", small, weight, strides=[2, 2]), axis=1)
    x = net.add("Abs", net.conv(x, channels + 1, channels), out="features")
    x = net.add("Flatten", net.add("GlobalMaxPool", net.add("Clip", x, net.const(0.1), net.const(2.0))))
    return net.finish(net.add("Gemm", x, net.normal(channels, 1), net.normal(1)))


def extremes_net(seed=0, size=5):
    """Abs, Max and Min of several convolutions, then a MaxPool of stride one."""
    net = Net(seed, (1, 1, size, size))
    a, b, c = (net.conv("x", 1, 1) for _ in range(3))
    x = net.add("Max", net.add("Abs", a), b)
    x = net.add("Sub", x, net.add("Min", b, c))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    return net.finish(net.add("LeakyRelu", net.conv(x, 1, 1), out="map", alpha=0.3))


def gated_net(seed=0, size=5):
    """A comparison switches a signal on and off: the map jumps."""
    net = Net(seed, (1, 1, size, size))
    gate = net.add("Greater", net.conv("x", 1, 1), net.const(np.zeros(1)))
    x = net.add("Mul", net.add("Cast", gate, to=TensorProto.FLOAT), net.conv("x", 1, 1))
    y = net.add("Where", gate, net.conv("x", 1, 1), net.const(np.array(0.25)))
    return net.finish(net.add("Add", x, y, out="map"))


def quantised_net(seed=0, size=4):
    """A convolution and a Relu between 8-bit numbers: the map is a step function of the image."""
    net = Net(seed, (1, 1, size, size))

    def rounded(x, scale, zero):
        scale, zero = net.const(scale), net.const(np.array(zero, np.uint8))
        return net.add("DequantizeLinear", net.add("QuantizeLinear", x, scale, zero), scale, zero)

    x = rounded("x", 0.5, 128)
    x = rounded(net.add("Relu", net.conv(x, 1, 2)), 0.4, 0)
    return net.finish(net.add("Relu", rounded(net.conv(x, 2, 1), 0.3, 100), out="map"))


def dynamic_net(seed=0, size=3):
    """The scale follows the image: steps whose width moves along the line."""
    net = Net(seed, (1, 1, size, size))
    hidden = net.add("Relu", net.conv("x", 1, 1))
    parts = [net.name(part) for part in ("bytes", "scale", "zero")]
    net.nodes.append(helper.make_node("DynamicQuantizeLinear", [hidden], parts, name=net.name("dynamic")))
    return net.finish(net.add("DequantizeLinear", *parts, out="map"))


def trees_net(seed, size=3):
    """Each pixel's local sum and own value through two trees: the map has few levels."""
    net = Net(seed, (1, 1, size, size))
    local = net.add("Conv", "x", net.const(np.ones((1, 1, 3, 3))), pads=[1, 1, 1, 1])
    pair = net.add("Concat", local, "x", axis=1)
    rows = net.add("Reshape", net.add("Transpose", pair, perm=[0, 2, 3, 1]), net.const(np.array([-1, 2])))
    forest = {
        "nodes_treeids": [0] * 5 + [1] * 3,
        "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_LT", *["LEAF"] * 3, "BRANCH_GT", "LEAF", "LEAF"],
        "nodes_featureids": [0, 1, 0, 0, 0, 1, 0, 0],
        "nodes_values": [0.8, 0.3, 0, 0, 0, -0.4, 0, 0],
        "nodes_truenodeids": [1, 3, 0, 0, 0, 1, 0, 0],
        "nodes_falsenodeids": [2, 4, 0, 0, 0, 2, 0, 0],
        "target_treeids": [0, 0, 0, 1, 1],
        "target_nodeids": [2, 3, 4, 1, 2],
        "target_ids": [0] * 5,
        "target_weights": [1.0, -0.5, 0.7, 0.4, -0.3],
        "n_targets": 1,
    }
    net.nodes.append(
        helper.make_node("TreeEnsembleRegressor", [rows], ["levels"], "trees", domain="ai.onnx.ml", **forest)
    )
    net.add("Reshape", "levels", net.const(np.array([1, 1, size, size])), out="map")
    return net.finish("map", domains=("ai.onnx.ml",))


def jumping_net(seed=0, size=3):
    """Functions that jump and have a slope, and sums of the largest two of a row."""
    net = Net(seed, (1, 1, size, size))
    x = net.conv("x", 1, 1)
    x = net.add("Add", net.add("ThresholdedRelu", x, alpha=0.4), net.add("Shrink", x, lambd=0.5, bias=0.1))
    x = net.add("Mod", x, net.const(1.5), fmod=1)
    best, places = net.name("best"), net.name("places")
    net.nodes.append(helper.make_node("TopK", [x, net.ints(2)], [best, places], name=net.name("top")))
    best = net.add("ReduceSum", best, net.ints(-1), keepdims=1)
    return net.finish(net.add("Add", net.add("Floor", net.conv("x", 1, 1)), best, out="map"))


def run_rules(program, images, watch=None):
    """All outputs of a bound program on a batch of images; `watch(rule, inputs)` sees every instruction."""
    live = {program.input: images}
    for step in program.instructions:
        inputs = [live[name] for name in step.inputs]
        if watch is not None:
            watch(step.rule, inputs)
        live[step.output] = loosely(step.rule, *inputs)
        for name in step.dead:
            live.pop(name, None)
    return live


def points_of(line, z):
    """Images of a ImageLine at points z (n,)."""
    z = np.asarray(z, dtype=np.float64)
    return line.start + line.direction * z.reshape(-1, *(1,) * line.start.ndim)


def margins_on(program, margin, line, z, chunk=4096):
    """Margins (n, pixels) at points z, each evaluated by itself."""
    z = np.atleast_1d(z)
    parts = [
        run_rules(program, points_of(line, z[i : i + chunk]))[margin].reshape(len(z[i : i + chunk]), -1)
        for i in range(0, len(z), chunk)
    ]
    return np.concatenate(parts) if parts else np.empty((0, program.values[margin].size))


def switch_pattern(rule, inputs, switch):
    """On which side of zero a switch is, or between which multiples of its spacing."""
    if rule.spacing is None:
        return (switch > 0).reshape(len(switch), -1)
    with np.errstate(invalid="ignore"):  # a spacing of zero with a switch of zero
        return np.nan_to_num(np.floor(switch / rule.spacing(*inputs))).reshape(len(switch), -1)


def patterns_on(program, line, z):
    """For every point which piece each unit is on: one row of integers per point."""
    seen = []

    def watch(rule, inputs):
        count = len(inputs[0])
        if isinstance(rule, Kinked):
            seen.extend((inputs[0] > level).reshape(count, -1) for level in rule.breakpoints)
        elif isinstance(rule, Maximum | Winner):
            candidates = np.asarray(rule.candidates(*inputs)) * rule.sign
            seen.append(candidates.argmax(axis=0).reshape(count, -1))
        elif isinstance(rule, Step):
            seen.extend(switch_pattern(rule, inputs, switch) for switch in rule.switches(*inputs))

    run_rules(program, points_of(line, np.atleast_1d(z)), watch)
    return np.concatenate(seen, axis=1).astype(np.int64)


def value_of(model, image, name):
    """One tensor of a model at an image, by this project's own handlers."""
    return bind(model, image, (name,)).values[name]


def bright_spots(seed, size=5, channels_last=False):
    """A map that follows the image's bright spots: a naive test of the region is far too optimistic."""
    net = Net(seed, (1, size, size, 1) if channels_last else (1, 1, size, size))
    x = net.add("Transpose", "x", perm=[0, 3, 1, 2]) if channels_last else "x"
    centre = 2 * np.outer([0, 1, 0], [0, 1, 0])
    weight = net.const(np.abs(net.rng.normal(size=(2, 1, 3, 3))) + centre)
    x = net.add("Relu", net.add("Conv", x, weight, net.normal(2, scale=0.3), pads=[1, 1, 1, 1]))
    if channels_last:
        x = net.add("ReduceMean", net.add("Transpose", x, perm=[0, 2, 3, 1]), axes=[1, 2], keepdims=0)
        return net.finish(net.add("MatMul", x, net.const(np.array([[0.5], [0.4]]))))
    net.add(
        "Conv", x, net.const(np.array([0.5, 0.4]).reshape(1, 2, 1, 1)), net.const(np.array([-1.0])), out="map"
    )
    return net.finish("map")
