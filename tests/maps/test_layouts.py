"""How an input's axes are read: by the nodes first, by the shape second, never by chance."""

import numpy as np
import pytest
from onnx import helper
from support import nets
from support.scenes import margin_program

import onnx_si
from onnx_si.errors import AmbiguousLayout
from onnx_si.graph import model_from_proto
from onnx_si.ground.layout import ALL_LAYOUTS, fit, layout_of
from onnx_si.inspection.inspector import inspect_model
from onnx_si.inspection.probe import image_input
from onnx_si.maps.trace import input_layout


def axes_of(model):
    return input_layout(model, image_input(model), None).axes


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((7,), "W"),
        ((1, 7), "NW"),
        ((5, 6), "HW"),
        ((1, 1, 9), "NCW"),
        ((1, 9, 1), "NCW"),
        ((1, 1, 8, 8), "NCHW"),
        ((1, 3, 8, 8), "NCHW"),
        ((1, 8, 8, 3), "NHWC"),
        ((1, 1, 4, 4), "NCHW"),
        ((1, 4, 4, 1), "NHWC"),
        (("n", 1, "h", "w"), "NCHW"),
        ((1, 1, 6, 6, 6), "NCDHW"),
        ((1, 6, 6, 6, 2), "NDHWC"),
    ],
)
def test_shapes_with_one_reading(shape, axes):
    layout = layout_of(shape)
    if len(shape) == 3:  # a line: which of the axes of length one is which means nothing
        assert layout.axes.replace("H", "W").count("W") + layout.axes.count("C") == 2
        assert [n for n, name in zip(shape, layout.axes, strict=True) if name in "HW" and n > 1] == [9]
    else:
        assert layout.axes == axes


@pytest.mark.parametrize(
    ("shape", "readings"),
    [
        ((1, 16, 16), ("NHW", "NCW", "NWC")),
        ((1, 3, 16), ("NHW", "NCW", "NWC")),
        (("n", 16, 16), ("NHW", "NCW", "CHW")),
        ((16, 16, 3), ("HWC", "CHW", "DHW")),
        ((1, 3, 128, 1), ("NCHW", "NHWC")),
        ((1, 9, 9, 103), ("NCHW", "NHWC")),
        (("n", "c", "h", "w"), ("NCHW", "NHWC")),
        ((1, 2, 4, 4), ("NCHW", "NHWC")),
        ((1, 6, 6, 6, 6), ("NCDHW", "NDHWC")),
    ],
)
def test_shapes_with_several_are_asked_about(shape, readings):
    with pytest.raises(AmbiguousLayout, match="--layout") as asked:
        layout_of(shape)
    assert all(axes in str(asked.value) for axes in readings)
    for axes in readings:
        assert layout_of(shape, axes).axes == axes


def test_a_layout_of_another_rank_is_refused():
    with pytest.raises(onnx_si.UsageError, match=r"NCHW has 4 axes.*\(16, 16, 3\) has 3.*HWC"):
        layout_of((16, 16, 3), "NCHW")
    with pytest.raises(onnx_si.UsageError, match="allowed are"):
        layout_of((1, 1, 4, 4), "CHWN")


def around_a_conv(shape, to_conv, channels, back):
    """A model whose convolution tells the layout: nodes in front, and back to the input's own axes."""
    net = nets.Net(2, shape)
    x = net.add("Relu", net.conv(to_conv(net), channels, 1))
    net.add("Identity", back(net, x), out="map")
    return net.finish("map")


NODES_FIRST = {
    "channels behind space, many of them": (
        (1, 9, 9, 103),
        lambda n: n.add("Transpose", "x", perm=[0, 3, 1, 2]),
        103,
        "NHWC",
    ),
    "read at once, as high as a line": ((1, 3, 128, 1), lambda n: "x", 3, "NCHW"),
    "few rows": ((1, 3, 4, 2), lambda n: n.add("Transpose", "x", perm=[0, 3, 1, 2]), 2, "NHWC"),
    "no channel axis": ((1, 16, 16), lambda n: n.add("Unsqueeze", "x", n.ints(1)), 1, "NHW"),
    "no batch": ((3, 16, 16), lambda n: n.add("Unsqueeze", "x", n.ints(0)), 3, "CHW"),
    "no batch, channels last": (
        (16, 16, 3),
        lambda n: n.add("Unsqueeze", n.add("Transpose", "x", perm=[2, 0, 1]), n.ints(0)),
        3,
        "HWC",
    ),
    "neither": ((12, 16), lambda n: n.add("Unsqueeze", "x", n.ints(0, 1)), 1, "HW"),
    "scaled and reshaped first": (
        (1, 5, 6, 2),
        lambda n: n.add("Transpose", n.add("Reshape", n.add("Mul", "x", n.const(0.5)), n.ints(1, 5, 6, 2)),
                        perm=[0, 3, 1, 2]),
        2,
        "NHWC",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES_FIRST)
def test_nodes_come_before_shapes(name):
    shape, to_conv, channels, axes = NODES_FIRST[name]
    model = around_a_conv(shape, to_conv, channels, lambda n, x: x)
    assert axes_of(model) == axes
    assert inspect_model(model).inputs[0]["layout"] == axes
    image = np.random.default_rng(0).normal(size=shape)
    space = tuple(n for n, letter in zip(shape, axes, strict=True) if letter in "HW")
    result = onnx_si.test(model, image, sigma=1.0)
    assert result.region.shape == space
    # what a loop over the channels says of the very same region
    found = nets.value_of(model, image, "map").reshape(space)
    assert np.array_equal(result.region, found > 0.5 * found.max())


def test_free_axes_are_told_by_nodes_too():
    net = nets.Net(0, (1, 5, 6, 7))
    net.add("Relu", net.conv(net.add("Transpose", "x", perm=[0, 3, 1, 2]), 7, 1), out="map")
    model = model_from_proto(net.proto("map", input_shape=("n", "a", "b", "c")))
    assert axes_of(model) == "NHWC"


def test_a_flattened_image_is_no_channel():
    net = nets.Net(0, (1, 48))
    net.add("Relu", net.conv(net.add("Reshape", "x", net.ints(1, 3, 4, 4)), 3, 1), out="map")
    assert axes_of(net.finish("map")) == "NW"


def test_nodes_that_contradict_each_other_are_asked_about():
    net = nets.Net(0, (1, 6, 6, 6))
    turned = net.add("Transpose", "x", perm=[0, 3, 1, 2])
    net.add("Add", net.conv("x", 6, 1), net.conv(turned, 6, 1), out="map")
    model = net.finish("map")
    with pytest.raises(AmbiguousLayout, match="in ways that no layout fits"):
        axes_of(model)
    assert "no layout fits" in inspect_model(model).reasons[0]


def test_an_image_is_never_read_as_channels_of_a_line():
    """Input and output (N, H, W), image (H, W), nothing inside that tells."""
    net = nets.Net(0, (1, 16, 16))
    net.add("Abs", "x", out="out")
    model = model_from_proto(net.proto("out", input_shape=("n", 16, 16)))
    image = np.random.default_rng(0).normal(size=(16, 16))
    for saliency in ("auto", "output:out"):
        with pytest.raises(onnx_si.UsageError, match=r"NHW \(16 x 16 pixels of 1 channel\)"):
            onnx_si.test(model, image, sigma=1.0, saliency=saliency)
    result = onnx_si.test(model, image, sigma=1.0, layout="NHW")
    assert result.region.shape == (16, 16)
    assert np.array_equal(result.region, np.abs(image) > 0.5 * np.abs(image).max())


def test_a_picture_for_free_axes_is_turned_only_where_its_channels_tell():
    free = ("n", "c", "h", "w")
    layout = layout_of(free, "NCHW")
    rng = np.random.default_rng(0)
    assert fit(rng.normal(size=(16, 20, 3)), free, layout, "image").shape == (1, 3, 16, 20)
    assert fit(rng.normal(size=(3, 16, 20)), free, layout, "image").shape == (1, 3, 16, 20)
    assert fit(rng.normal(size=(1, 16, 20, 3)), free, layout, "image").shape == (1, 16, 20, 3)
    for shape in ((16, 20, 30), (3, 16, 4)):
        with pytest.raises(onnx_si.InputError, match="takes both"):
            fit(rng.normal(size=shape), free, layout, "image")


# --------------------------------------------------------------------------------
# A turned copy of the model on a turned image says the same


def turned_copy(net, x, order):
    """The same model behind a Transpose: its image has the axes that `order` puts back."""
    inverse = [order.index(axis) for axis in range(len(order))]
    nodes = [helper.make_node("Transpose", ["turned"], ["x"], name="turn", perm=inverse), *net.nodes]
    shape = [net.shape[axis] for axis in order]
    proto = net.proto(x)
    graph = helper.make_graph(
        nodes,
        "turned",
        [helper.make_tensor_value_info("turned", 1, shape)],
        [helper.make_tensor_value_info(x, 1, None)],
        list(proto.graph.initializer),
    )
    graph.output[0].type.tensor_type.shape.SetInParent()
    return model_from_proto(helper.make_model(graph, opset_imports=proto.opset_import, ir_version=8))


def random_net(seed):
    """A net of random sizes with a map, coarse or fine, or with scores; the axes of its input are NCHW."""
    rng = np.random.default_rng(seed)
    channels, rows, columns = (int(n) for n in rng.integers((1, 2, 2), (6, 9, 9)))
    net = nets.Net(seed, (1, channels, 2 * rows, 2 * columns))
    x = net.add("Relu", net.conv("x", channels, 3))
    kind = seed % 4
    if kind in (1, 2):
        x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    if kind == 2:  # maps with their own axes turned inside
        x = net.add("Transpose", x, perm=[0, 3, 1, 2])
        return net, net.add("ReduceMean", x, axes=[2], keepdims=1), "output"
    if kind == 3:
        x = net.add("Flatten", net.add("GlobalAveragePool", x))
        return net, net.add("Gemm", x, net.normal(3, 3), net.normal(3)), "cam"
    return net, net.conv(x, 3, 1), "output"


@pytest.mark.parametrize("seed", range(24))
def test_a_turned_copy_is_read_the_same_or_asked_about(seed):
    """Whatever the sizes: the region of a turned image is the turned region, or a choice is asked for."""
    net, output, kind = random_net(seed)
    method = f"output:{output}" if kind == "output" else "gradcam" if seed % 8 == 3 else "cam"
    model = net.finish(output)
    image = np.random.default_rng(seed).normal(size=net.shape)
    program, margin, _ = margin_program(model, image, "minmax:0.5", method, layout="NCHW")
    region = program.values[margin].reshape(net.shape[2:]) > 0
    assert 0 < region.sum() < region.size
    for axes in ("NHWC", "NWHC", "NCWH", "HWNC"):
        order = ["NCHW".index(letter) for letter in axes]
        copy = turned_copy(net, output, order)
        turned = np.transpose(image, order)
        how = {"saliency": method, "threshold": "minmax:0.5", "sigma": 1.0, "precision": 0.5}
        try:
            result = onnx_si.test(copy, turned, **how)
        except (onnx_si.UsageError, onnx_si.SaliencyUnavailable):
            assert axes == "HWNC"  # a batch behind space has no name
            continue
        wanted = region if axes.index("H") < axes.index("W") else region.T
        assert np.array_equal(np.squeeze(result.region), np.squeeze(wanted))


def test_every_layout_that_is_named_reads_space_where_it_says():
    for axes in ALL_LAYOUTS:
        shape = tuple(1 if letter == "N" else 3 + i for i, letter in enumerate(axes))
        layout = layout_of(shape, axes)
        assert layout.spatial_shape(shape) == tuple(
            n for n, letter in zip(shape, axes, strict=True) if letter in "DHW"
        )
