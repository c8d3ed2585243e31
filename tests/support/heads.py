"""Heads of classifiers, as exporters write them."""

import numpy as np
import onnx

from support import nets

CHANNELS, CLASSES, SIZE = 3, 4, 6


def dense(net, x, op="Gemm", classes=CLASSES, channels=CHANNELS, **attributes):
    """Class scores of pooled features (1, channels)."""
    weights = net.normal(classes, channels)
    if op == "Gemm":
        return net.add("Gemm", x, weights, net.normal(classes), transB=1, **attributes)
    return net.add(
        "Add", net.add("MatMul", x, net.add("Transpose", weights, perm=[1, 0])), net.normal(classes)
    )


def reduced(net, x, axes, keepdims):
    if net.opset >= 18:
        return net.add("ReduceMean", x, net.ints(*axes), keepdims=keepdims)
    return net.add("ReduceMean", x, axes=list(axes), keepdims=keepdims)


def summed(net, x, *axes):
    if net.opset >= 13:
        return net.add("ReduceSum", x, net.ints(*axes), keepdims=0)
    return net.add("ReduceSum", x, axes=list(axes), keepdims=0)


def squeezed(net, x, *axes):
    return (
        net.add("Squeeze", x, net.ints(*axes)) if net.opset >= 13 else net.add("Squeeze", x, axes=list(axes))
    )


FIRST_HEADS = {
    "GlobalAveragePool, Flatten, Gemm": lambda n, x: dense(
        n, n.add("Flatten", n.add("GlobalAveragePool", x))
    ),
    "GlobalAveragePool, Reshape, Gemm alpha": lambda n, x: dense(
        n, n.add("Reshape", n.add("GlobalAveragePool", x), n.ints(1, CHANNELS)), alpha=0.5
    ),
    "GlobalAveragePool, Squeeze, MatMul, Add": lambda n, x: dense(
        n, squeezed(n, n.add("GlobalAveragePool", x), 2, 3), "MatMul"
    ),
    "ReduceMean, Gemm": lambda n, x: dense(n, reduced(n, x, (2, 3), 0)),
    "ReduceMean of negative axes, Gemm": lambda n, x: dense(n, reduced(n, x, (-1, -2), 0)),
    "ReduceMean that keeps axes, Flatten, Gemm, Softmax": lambda n, x: n.add(
        "Softmax", dense(n, n.add("Flatten", reduced(n, x, (2, 3), 1))), axis=1
    ),
    "ReduceMean, MatMul, Add, Sigmoid": lambda n, x: n.add(
        "Sigmoid", dense(n, reduced(n, x, (2, 3), 0), "MatMul")
    ),
    "ReduceSum, Gemm": lambda n, x: dense(n, summed(n, x, 2, 3)),
    "a number times ReduceSum, Gemm": lambda n, x: dense(
        n, n.add("Mul", n.const(1 / SIZE**2), summed(n, x, 2, 3))
    ),
    "AveragePool of all, Flatten, Dropout, Gemm": lambda n, x: dense(
        n, n.add("Dropout", n.add("Flatten", n.add("AveragePool", x, kernel_shape=[SIZE, SIZE])))
    ),
}


LAST_HEADS = {
    "ReduceSum, Div, Gemm": lambda n, x: dense(
        n, n.add("Div", summed(n, x, 1, 2), n.const(np.float32(SIZE**2)))
    ),
    "ReduceMean, MatMul, Add": lambda n, x: dense(n, reduced(n, x, (1, 2), 0), "MatMul"),
    "ReduceMean that keeps axes, Squeeze, MatMul, Add, Softmax": lambda n, x: n.add(
        "Softmax", dense(n, squeezed(n, reduced(n, x, (1, 2), 1), 1, 2), "MatMul"), axis=1
    ),
    "ReduceMean of negative axes, Gemm": lambda n, x: dense(n, reduced(n, x, (-2, -3), 0)),
}


def classifier(head, opset=17, channels_last=False, seed=0, size=SIZE, channels=CHANNELS):
    """An image, one convolution called `features`, and a head."""
    net = nets.Net(seed, (1, size, size, 1) if channels_last else (1, 1, size, size), opset=opset)
    x = net.add("Transpose", "x", perm=[0, 3, 1, 2]) if channels_last else "x"
    x = net.add("Relu", net.conv(x, 1, channels), out=None if channels_last else "features")
    if channels_last:
        x = net.add("Transpose", x, perm=[0, 2, 3, 1], out="features")
    return net.finish(head(net, x))


def weights_of(model):
    """The head's weights (classes, channels), read off the initialisers."""
    shape = (CLASSES, CHANNELS)
    (weights,) = (
        onnx.numpy_helper.to_array(t) for t in model.proto.graph.initializer if tuple(t.dims) == shape
    )
    return weights.astype(np.float64)


EVERY_HEAD = [
    (name, head, last)
    for last, heads in ((False, FIRST_HEADS), (True, LAST_HEADS))
    for name, head in heads.items()
]


def hidden(net, x):
    x = net.add("Relu", dense(net, net.add("Flatten", net.add("GlobalAveragePool", x))))
    return net.add("Gemm", x, net.normal(2, CLASSES), net.normal(2), transB=1)
