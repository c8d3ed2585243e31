"""Recipes: layers, pools, resampling, products, bodies. Each takes (graph, x) of four axes and gives one."""

import math

import numpy as np
from onnx import TensorProto, helper


def conv(g, x):
    return g.conv(x)


def depthwise(g, x):
    weight = g.weights(x.channels, 1, 3, 3)
    return g.op("Conv", x, weight, group=x.channels, pads=[2] * 4, dilations=[2, 2])


def strided(g, x):
    """Half the size, then back by a transposed convolution."""
    if any(n % 2 or n < 4 for n in x.space):
        return conv(g, x)
    small = g.op("Conv", x, g.weights(2, x.channels, 2, 2), strides=[2, 2])
    return g.op("ConvTranspose", g.op("Relu", small), g.weights(2, g.pick(1, 2), 2, 2), strides=[2, 2])


def pool(g, x):
    kind = g.rng.integers(3)
    if kind == 0:
        return g.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)
    if kind == 1:
        return g.op("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=g.pick(0, 1))
    return g.op("LpPool", x, kernel_shape=[3, 3], pads=[1] * 4, p=1)


def globally(g, x):
    op = g.pick("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    extra = {"p": 1} if op == "GlobalLpPool" else {}
    return g.op(g.pick("Sub", "Add"), x, g.op(op, x, **extra))


def smaller_and_back(g, x):
    """A coarse map brought back to the size, in all the ways there are."""
    if any(n < 4 for n in x.space):
        return conv(g, x)
    down = g.pick("MaxPool", "AveragePool")
    small = g.op(down, x, kernel_shape=[2, 2], strides=[2, 2])
    mode = g.pick("nearest", "linear")
    extra = {"nearest_mode": g.pick("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")}
    where = g.pick("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    return g.op(
        "Resize",
        small,
        "",
        "",
        g.ints(1, small.channels, *x.space),
        mode=mode,
        coordinate_transformation_mode=where,
        **(extra if mode == "nearest" else {}),
    )


def normalised(g, x):
    """BatchNormalization with variances that have exact roots."""
    roots = g.rng.integers(1, 5, size=x.channels) / 2
    given = (g.weights(x.channels), g.weights(x.channels), g.weights(x.channels), g.fixed(roots**2))
    return g.op("BatchNormalization", x, *given, epsilon=0.0)


def share_of_steps(g, x):
    """Divided by the sum of absolute values, which only jumps."""
    steps = g.op("Add", g.op("Abs", g.op("Round", x)), g.fixed(1.0))
    return g.op("LpNormalization", steps, axis=g.pick(1, 2, 3), p=1)


def reduced(g, x):
    op = g.pick("ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceL1")
    axes = g.pick((1,), (2,), (3,), (2, 3), (1, 2, 3))
    return g.op(g.pick("Sub", "Add"), x, g.op(op, x, g.ints(*axes), keepdims=1))


def chosen(g, x):
    axis = g.pick(1, 2, 3)
    if g.chance(0.5):
        place = g.op(g.pick("ArgMax", "ArgMin"), x, axis=axis, keepdims=1, select_last_index=g.pick(0, 1))
        return g.op("Sub", x, g.cast(place))
    return g.op("Hardmax", x, axis=axis)


def top(g, x):
    axis = g.pick(2, 3)
    count = g.pick(1, 2)
    values, places = g.op("TopK", x, g.ints(count), outputs=2, axis=axis, largest=g.pick(0, 1))
    kind = g.cast(places) if g.chance(0.4) else values
    return g.op("Sub", x, g.op("ReduceSum", kind, g.ints(axis), keepdims=1))


def matrix(g, x):
    """A product over columns."""
    width = x.space[1]
    return g.op("MatMul", x, g.weights(width, width))


def dense(g, x):
    flat = g.op("Flatten", x, axis=2)
    width = flat.shape[1]
    y = g.op(
        "Gemm", flat, g.weights(width, width), g.weights(width), transB=g.pick(0, 1), alpha=g.pick(1.0, 0.5)
    )
    return g.shape_to(y, *x.shape)


def einsum(g, x):
    if g.chance(0.5):
        return g.op("Einsum", x, g.weights(x.channels, 2), equation="nchw,cd->ndhw")
    return g.op("Einsum", g.weights(x.space[0], x.space[0]), x, equation="hk,nckw->nchw")


def of_bytes(g, x):
    """Integer products: a convolution or a matrix of bytes."""
    byte, zero = g.to_bytes(x), g.fixed(np.array(g.pick(0, 3), np.uint8))
    if g.chance(0.5):
        weight = g.fixed(g.rng.integers(0, 4, size=(1, x.channels, 1, 1)).astype(np.uint8))
        return g.cast(g.op("ConvInteger", byte, weight, zero))
    weight = g.fixed(g.rng.integers(0, 4, size=(x.space[1], x.space[1])).astype(np.uint8))
    return g.cast(g.op("MatMulInteger", byte, weight, zero))


def branch(g, x):
    """An If on a constant, or on the image."""
    if g.chance(0.5):
        condition = g.fixed(np.array(bool(g.rng.integers(2))))
    else:
        highest = g.op("ReduceMax", x, keepdims=0)
        condition = g.op("Greater", highest, g.fixed(float(np.round(float(highest.value.ravel()[0]))) - 0.5))
    bodies = []
    for op in (g.pick("Relu", "Neg"), g.pick("Abs", "Floor")):
        out = g.name("chosen")
        node = helper.make_node(op, [x.name], [out], name=g.name("inner"))
        bodies.append(g.subgraph([node], [], [(out, g.element, x.shape)], g.name("branch")))
    return g.op("If", condition, then_branch=bodies[0], else_branch=bodies[1])


def loop(g, x):
    """A few turns of a small body that reads its state, and the image's tensor from outside."""
    turn, going, state, inner, made, more = (
        g.name(n) for n in ["turn", "going", "state", "inner", "made", "more"]
    )
    nodes = [
        helper.make_node("Relu", [state], [inner], name=g.name("inner")),
        helper.make_node(g.pick("Sub", "Add"), [inner, x.name], [made], name=g.name("inner")),
        helper.make_node("Identity", [going], [more], name=g.name("inner")),
    ]
    inputs = [(turn, TensorProto.INT64, ()), (going, TensorProto.BOOL, ()), (state, g.element, x.shape)]
    body = g.subgraph(
        nodes, inputs, [(more, TensorProto.BOOL, ()), (made, g.element, x.shape)], g.name("body")
    )
    return g.op("Loop", g.fixed(np.array(g.pick(1, 2, 3))), g.fixed(np.array(True)), x, body=body)


def shuffled(g, x):
    """Space into channels and back in another order."""
    if any(n % 2 for n in x.space):
        return conv(g, x)
    deep = g.op("Relu", g.op("SpaceToDepth", x, blocksize=2))
    return g.op("DepthToSpace", deep, blocksize=2, mode=g.pick("DCR", "CRD"))


def rows_of_products(g, x):
    """Sums along an axis, from either end."""
    total = g.op("CumSum", x, g.fixed(np.array(g.pick(2, 3))), exclusive=g.pick(0, 1), reverse=g.pick(0, 1))
    return g.op("Div", total, g.fixed(float(math.prod(x.space))))


RECIPES = (
    *(
        conv,
        depthwise,
        strided,
        pool,
        globally,
        smaller_and_back,
        normalised,
        share_of_steps,
        reduced,
        chosen,
    ),
    *(top, matrix, dense, einsum, of_bytes, branch, loop, shuffled, rows_of_products),
)
