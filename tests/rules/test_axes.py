"""Which axis of a tensor follows which of the image's, through every kind of node."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import helper
from support import nets

from onnx_si.ground.layout import Layout
from onnx_si.maps import View
from onnx_si.maps.reading import read_tensor
from onnx_si.maps.trace import trace
from onnx_si.rules.axes import follows, is_fresh

ROWS, COLUMNS = 12, 8


def told(make, shape=(1, 3, ROWS, COLUMNS)):
    """For each axis of what is made: the image's axis and stride, `new`, or `?`."""
    net = nets.Net(0, shape)
    net.add("Identity", make(net), out="y")
    model = net.finish("y")
    axes = trace(model, np.random.default_rng(0).normal(size=shape), ("y",)).get("y")
    if axes is None:
        return None
    return tuple(_told(axis) for axis in axes)


def _told(axis):
    part = follows(axis)
    if part is not None:
        return (part.source, float(part.stride))
    return "new" if is_fresh(axis) else "?"


def split_part(net, x, position, axis, parts):
    names = [net.name("part") for _ in parts]
    net.nodes.append(helper.make_node("Split", [x, net.ints(*parts)], names, axis=axis))
    return names[position]


def shuffled(net):
    """What PyTorch's pixel shuffle is exported as."""
    x = net.add("Conv", "x", net.normal(4, 3, 2, 2), strides=[2, 2])
    x = net.add("Reshape", x, net.ints(1, 1, 2, 2, ROWS // 2, COLUMNS // 2))
    x = net.add("Transpose", x, perm=[0, 1, 4, 2, 5, 3])
    return net.add("Reshape", x, net.ints(1, 1, ROWS, COLUMNS))


def windows(net):
    """Blocks of 4 x 4 cut out and put back, as transformers with windows do."""
    x = net.add("Transpose", "x", perm=[0, 2, 3, 1])
    x = net.add("Reshape", x, net.ints(1, ROWS // 4, 4, COLUMNS // 4, 4, 3))
    x = net.add("Transpose", x, perm=[0, 1, 3, 2, 4, 5])
    x = net.add("Relu", net.add("Reshape", x, net.ints(-1, 16, 3)))
    x = net.add("Reshape", x, net.ints(1, ROWS // 4, COLUMNS // 4, 4, 4, 3))
    x = net.add("Transpose", x, perm=[0, 1, 3, 2, 4, 5])
    return net.add("Reshape", x, net.ints(1, ROWS, COLUMNS, 3))


def tokens(net):
    x = net.add("Conv", "x", net.normal(5, 3, 4, 4), strides=[4, 4])
    x = net.add("Transpose", net.add("Reshape", x, net.ints(1, 5, -1)), perm=[0, 2, 1])
    return net.add("Concat", net.normal(1, 1, 5), x, axis=1)


def attention(net):
    x = net.add("Conv", "x", net.normal(4, 3, 2, 2), strides=[2, 2])
    x = net.add("Transpose", net.add("Reshape", x, net.ints(1, 4, -1)), perm=[0, 2, 1])
    q, k, v = (net.add("MatMul", x, net.normal(4, 4)) for _ in range(3))
    weights = net.add("Softmax", net.add("MatMul", q, net.add("Transpose", k, perm=[0, 2, 1])), axis=-1)
    x = net.add("Transpose", net.add("MatMul", weights, v), perm=[0, 2, 1])
    return net.add("Reshape", x, net.ints(1, 4, ROWS // 2, COLUMNS // 2))


def resized(net):
    empty = net.const(np.empty(0, np.float32))
    x = net.add("MaxPool", "x", kernel_shape=[4, 4], strides=[4, 4])
    return net.add("Resize", x, empty, empty, net.ints(1, 3, ROWS, COLUMNS), mode="linear")


def matrix_resize(net):
    """The way in which this package resizes an image for the model."""
    from onnx_si.maps import resize_matrix

    return net.add("MatMul", "x", net.const(resize_matrix(COLUMNS, 5, "linear").T.astype(np.float32)))


IMAGE = (2, 1.0), (3, 1.0)
CASES = {
    "valid convolution": (lambda n: n.add("Conv", "x", n.normal(5, 3, 3, 3)), ("new", *IMAGE)),
    "strided": (
        lambda n: n.add("Conv", "x", n.normal(5, 3, 3, 3), strides=[2, 1]),
        ("new", (2, 2.0), (3, 1.0)),
    ),
    "transposed convolution": (
        lambda n: n.add("ConvTranspose", "x", n.normal(3, 1, 2, 2), strides=[2, 2]),
        ("new", (2, 0.5), (3, 0.5)),
    ),
    "turned": (lambda n: n.add("Transpose", "x", perm=[0, 3, 2, 1]), ((3, 1.0), (2, 1.0), (1, 1.0))),
    "pixel shuffle": (shuffled, ("new", *IMAGE)),
    "windows": (windows, (*IMAGE, (1, 1.0))),
    "tokens": (tokens, ("?", "new")),
    "attention": (attention, ("new", (2, 2.0), (3, 2.0))),
    "resized": (resized, ((1, 1.0), *IMAGE)),
    "resized by a matrix": (matrix_resize, ((1, 1.0), (2, 1.0), (3, COLUMNS / 5))),
    "flattened": (lambda n: n.add("Flatten", "x"), ("?",)),
    "mirrored": (
        lambda n: n.add("Slice", "x", n.ints(-1), n.ints(-999), n.ints(3), n.ints(-1)),
        ((1, 1.0), (2, 1.0), (3, -1.0)),
    ),
    "every other row": (
        lambda n: n.add("Slice", "x", n.ints(0), n.ints(99), n.ints(2), n.ints(2)),
        ((1, 1.0), (2, 2.0), (3, 1.0)),
    ),
    "a part of the channels": (lambda n: split_part(n, "x", 1, 1, (1, 2)), ((1, 1.0), *IMAGE)),
    "rows joined anew": (lambda n: n.add("Concat", "x", "x", axis=2), ((1, 1.0), "?", (3, 1.0))),
    "rows gathered": (
        lambda n: n.add("Gather", "x", n.ints(3, 1, 2), axis=2),
        ((1, 1.0), "?", (3, 1.0)),
    ),
    "rows mixed by a dense layer": (
        lambda n: n.add("MatMul", n.normal(ROWS, ROWS), "x"),
        ((1, 1.0), "new", (3, 1.0)),
    ),
    "one row": (lambda n: n.add("ReduceMax", "x", axes=[2], keepdims=0), ((1, 1.0), (3, 1.0))),
    "dense": (
        lambda n: n.add(
            "Reshape",
            n.add("MatMul", n.add("Flatten", "x"), n.normal(3 * ROWS * COLUMNS, ROWS * COLUMNS)),
            n.ints(1, 1, ROWS, COLUMNS),
        ),
        ("new", "new", "new"),
    ),
    "dense, compared with the image": (
        lambda n: n.add(
            "Sub",
            n.add(
                "Reshape",
                n.add("MatMul", n.add("Flatten", "x"), n.normal(3 * ROWS * COLUMNS, ROWS * COLUMNS)),
                n.ints(1, 1, ROWS, COLUMNS),
            ),
            "x",
        ),
        ((1, 1.0), *IMAGE),
    ),
    "a gate for each channel": (
        lambda n: n.add("Mul", n.add("GlobalAveragePool", "x"), "x"),
        ((1, 1.0), *IMAGE),
    ),
    "rows meet columns": (
        lambda n: n.add(
            "Add",
            n.add("Slice", "x", n.ints(0), n.ints(8), n.ints(2)),
            n.add("Transpose", n.add("Slice", "x", n.ints(0), n.ints(8), n.ints(2)), perm=[0, 1, 3, 2]),
        ),
        ((1, 1.0), "?", "?"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_nodes_tell_where_axes_come_from(name):
    make, truth = CASES[name]
    assert told(make)[1:] == truth


def test_an_op_that_is_not_known_tells_nothing():
    assert told(lambda n: n.add("GridSample", "x", n.normal(1, ROWS, COLUMNS, 2))) is None


@pytest.mark.parametrize("left", [False, True])
def test_a_product_with_a_vector_tells_nothing(left):
    """It has no rows, or no columns."""
    vector = (
        (lambda n: n.add("MatMul", n.normal(ROWS), "x"))
        if left
        else (lambda n: n.add("MatMul", "x", n.normal(COLUMNS)))
    )
    assert told(vector) is None


VIEW = View(shape=(1, 3, 16, 16), layout=Layout("NCHW", ""))


@pytest.mark.parametrize(
    ("shape", "readable"),
    [
        ((1, 1, 16, 16), "NCHW"),
        ((1, 16, 16, 5), "NHWC"),
        ((1, 16, 16), "NHW"),
        ((16, 16), "HW"),
        ((1, 16, 16, 16), None),  # channels first or last
        ((1, 1, 8, 8), None),  # half the size by chance
        ((1, 100, 92), None),
        ((1, 1, 5, 7), None),
        ((2, 16, 16), None),
    ],
)
def test_without_nodes_that_tell_a_map_has_the_image_s_size(shape, readable):
    from onnx_si.errors import SaliencyUnavailable

    if readable is None:
        with pytest.raises(SaliencyUnavailable, match=r"is no map|more than one way"):
            read_tensor(shape, VIEW, None)
    else:
        reading = read_tensor(shape, VIEW, None)
        assert reading.layout.axes == readable and reading.size == (16, 16) and reading.strides is None


def test_sizes_are_whole_fractions_by_the_graph_s_own_strides():
    rng = np.random.default_rng(0)
    for rows, stride, kernel, whole in (
        (16, 2, 2, True),
        (15, 2, 2, True),
        (15, 4, 4, True),
        (16, 1, 3, False),
    ):
        net = nets.Net(0, (1, 1, rows, rows))
        net.add("Conv", "x", net.normal(1, 1, kernel, kernel), strides=[stride] * 2, out="y")
        model, image = net.finish("y"), rng.normal(size=(1, 1, rows, rows))
        view = View(shape=image.shape, layout=Layout("NCHW", ""))
        size = (rows - kernel) // stride + 1
        reading = read_tensor((1, 1, size, size), view, trace(model, image, ("y",))["y"])
        assert reading.strides == (Fraction(stride),) * 2
        assert reading.is_whole(view) == whole and bool(reading.note("y", view)) != whole
