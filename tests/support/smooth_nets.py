"""Small networks that are not piecewise linear, one for each kind of architecture, built with numpy alone."""

import numpy as np
from onnx import TensorProto, helper

from onnx_si.graph import model_from_proto
from support.nets import Net


def instance_norm(net, x, channels):
    return net.add("InstanceNormalization", x, net.const(np.ones(channels)), net.const(np.zeros(channels)))


def silu(net, x):
    return net.add("Mul", x, net.add("Sigmoid", x))


def unet(seed=0, size=16, width=4, act="LeakyRelu", batch=1):
    """Two levels, instance normalisation, a skip connection, Sigmoid: as MONAI's and nnU-Net's default."""
    net = Net(seed, (batch, 1, size, size))  # a batch that has a name is free

    def block(x, inside, outside):
        return net.add(act, instance_norm(net, net.conv(x, inside, outside), outside))

    top = block("x", 1, width)
    low = block(net.add("MaxPool", top, kernel_shape=[2, 2], strides=[2, 2]), width, 2 * width)
    scales = net.const(np.array([1, 1, 2, 2], np.float32))
    up = net.add("Resize", low, "", scales, mode="nearest")
    x = block(net.add("Concat", top, up, axis=1), 3 * width, width)
    return net.finish(net.add("Sigmoid", net.conv(x, width, 1, kernel=1), out="mask"))


def squeeze_excite(seed=0, size=16, width=6, classes=3):
    """SiLU convolutions with a squeeze-and-excitation block, then a CAM head: as EfficientNet."""
    net = Net(seed, (1, 1, size, size))
    x = silu(net, net.conv("x", 1, width))
    pooled = net.add("GlobalAveragePool", x)
    gate = net.add(
        "Conv", silu(net, net.add("Conv", pooled, net.normal(2, width, 1, 1))), net.normal(width, 2, 1, 1)
    )
    x = net.add("Mul", x, net.add("Sigmoid", gate))
    x = silu(net, net.conv(x, width, width))
    flat = net.add("Flatten", net.add("GlobalAveragePool", x))
    return net.finish(net.add("Gemm", flat, net.normal(classes, width), net.normal(classes), transB=1))


def transformer(seed=0, size=16, patch=4, width=8, heads=2, fused=False):
    """Patches, layer normalisation, attention (one op of the standard's or its parts) and Gelu by Erf; the
    output is a map of the patches.
    """
    net = Net(seed, (1, 1, size, size), opset=23 if fused else 17)
    side = size // patch
    tokens, each = side * side, width // heads
    patches = net.add(
        "Conv", "x", net.normal(width, 1, patch, patch, scale=1 / patch), strides=[patch, patch]
    )
    x = net.add("Transpose", net.add("Reshape", patches, net.ints(1, width, tokens)), perm=[0, 2, 1])
    x = net.add("Add", x, net.normal(1, tokens, width, scale=0.2))

    def norm(y):
        return net.add(
            "LayerNormalization", y, net.const(np.ones(width)), net.const(np.zeros(width)), axis=-1
        )

    def linear(y, inside, outside):
        return net.add(
            "Add",
            net.add("MatMul", y, net.normal(inside, outside, scale=1 / np.sqrt(inside))),
            net.normal(outside, scale=0.1),
        )

    def split(y):
        return net.add(
            "Transpose", net.add("Reshape", y, net.ints(1, tokens, heads, each)), perm=[0, 2, 1, 3]
        )

    y = norm(x)
    if fused:
        made = [linear(y, width, width) for _ in range(3)]
        mixed = net.add("Attention", *made, q_num_heads=heads, kv_num_heads=heads)
    else:
        query, key, value = (split(linear(y, width, width)) for _ in range(3))
        scores = net.add(
            "Mul",
            net.add("MatMul", query, net.add("Transpose", key, perm=[0, 1, 3, 2])),
            net.const(np.array(each**-0.5)),
        )
        mixed = net.add("MatMul", net.add("Softmax", scores, axis=-1), value)
        moved = net.add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = net.add("Reshape", moved, net.ints(1, tokens, width))
    x = net.add("Add", x, linear(mixed, width, width))
    hidden = linear(norm(x), width, 2 * width)
    bell = net.add(
        "Add", net.add("Erf", net.add("Mul", hidden, net.const(np.array(0.5**0.5)))), net.const(np.array(1.0))
    )
    hidden = net.add("Mul", net.add("Mul", hidden, bell), net.const(np.array(0.5)))
    x = net.add("Add", x, linear(hidden, 2 * width, width))
    score = net.add("Transpose", linear(norm(x), width, 1), perm=[0, 2, 1])
    return net.finish(net.add("Reshape", score, net.ints(1, 1, side, side), out="map"))


def softmax_segmentation(seed=0, size=16, width=4, classes=3):
    """Several classes of each pixel, as probabilities."""
    net = Net(seed, (1, 1, size, size))
    x = net.add("Relu", net.conv("x", 1, width))
    return net.finish(net.add("Softmax", net.conv(x, width, classes), axis=1, out="map"))


def convnext(seed=0, size=16, width=4):
    """A depthwise 7 x 7 convolution, layer normalisation over channels, Gelu, a residual: as ConvNeXt."""
    net = Net(seed, (1, 1, size, size))
    x = net.conv("x", 1, width)
    weight = net.normal(width, 1, 7, 7, scale=1 / 7)
    y = net.add("Conv", x, weight, group=width, pads=[3] * 4)
    y = net.add("Transpose", y, perm=[0, 2, 3, 1])
    y = net.add("LayerNormalization", y, net.const(np.ones(width)), net.const(np.zeros(width)), axis=-1)
    y = net.add("MatMul", y, net.normal(width, 2 * width, scale=0.5))
    bell = net.add("Add", net.add("Erf", y), net.const(np.array(1.0)))
    y = net.add("MatMul", net.add("Mul", y, bell), net.normal(2 * width, width, scale=0.3))
    x = net.add("Add", x, net.add("Transpose", y, perm=[0, 3, 1, 2]))
    return net.finish(net.conv(x, width, 1))


def one_activation(op, seed=0, size=12, width=3, **attributes):
    """A convolution, one smooth function, a convolution."""
    net = Net(seed, (1, 1, size, size), opset=22)
    x = net.add(op, net.conv("x", 1, width), **attributes)
    return net.finish(net.conv(x, width, 1))


def group_norm(seed=0, size=12, width=4):
    net = Net(seed, (1, 1, size, size), opset=21)
    x = net.conv("x", 1, width)
    x = net.add("GroupNormalization", x, net.const(np.ones(width)), net.const(np.zeros(width)), num_groups=2)
    return net.finish(net.conv(net.add("Relu", x), width, 1))


def batch_norm_in_training(seed=0, size=12, width=3):
    """Batch normalisation left in training mode: statistics of the image itself."""
    net = Net(seed, ("n", 1, size, size), opset=15)
    x = net.conv("x", 1, width)
    fixed = [net.const(value) for value in (np.ones(width), np.zeros(width), np.zeros(width), np.ones(width))]
    names = [net.name("norm") for _ in range(3)]
    node = helper.make_node("BatchNormalization", [x, *fixed], names, training_mode=1, name="norm")
    net.nodes.append(node)
    return net.finish(net.conv(net.add("Relu", names[0]), width, 1))


def local_response(seed=0, size=12, width=4):
    net = Net(seed, (1, 1, size, size))
    x = net.add("LRN", net.add("Relu", net.conv("x", 1, width)), size=3)
    return net.finish(net.conv(x, width, 1))


def recurrent(seed=0, size=12, hidden=3):
    """Rows of the image through a GRU."""
    net = Net(seed, (1, 1, size, size))
    rows = net.add("Transpose", net.add("Reshape", "x", net.ints(1, size, size)), perm=[1, 0, 2])
    weight, again = net.normal(1, 3 * hidden, size, scale=0.3), net.normal(1, 3 * hidden, hidden, scale=0.3)
    out = net.add("GRU", rows, weight, again, hidden_size=hidden)
    flat = net.add("Reshape", out, net.ints(size, hidden))
    spread = net.add("MatMul", flat, net.normal(hidden, size))
    return net.finish(net.add("Reshape", spread, net.ints(1, 1, size, size)))


def fused(seed=0, size=12, width=3):
    """An op of onnxruntime's own domain, as its optimiser writes it."""
    net = Net(seed, (1, 1, size, size))
    x = net.conv("x", 1, width)
    y = net.name("gelu")
    net.nodes.append(
        helper.make_node("BiasGelu" if False else "Gelu", [x], [y], domain="com.microsoft", name="fused")
    )
    weight = net.normal(1, width, 3, 3, scale=0.4)
    return net.finish(net.add("Conv", y, weight, pads=[1] * 4), domains=("com.microsoft",))


def half_precision(seed=0, size=12, width=3):
    net = Net(seed, (1, 1, size, size), dtype=np.float16)
    return net.finish(net.conv(net.add("Tanh", net.conv("x", 1, width)), width, 1))


def bytes_in(seed=0, size=12, width=3):
    """8-bit images, cast and scaled inside."""
    net = Net(seed, (1, 1, size, size))
    x = net.add("Mul", net.add("Cast", "x", to=TensorProto.FLOAT), net.const(np.array(1 / 255)))
    out = net.conv(net.add("Relu", net.conv(x, 1, width)), width, 1)
    proto = net.proto(out)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    return model_from_proto(proto)


def dynamic_quantized(seed=0, size=12, width=3):
    """Activations quantised by the range that they have: DynamicQuantizeLinear and ConvInteger."""
    net = Net(seed, ("n", 1, size, size))
    q, scale, zero = (net.name("q") for _ in range(3))
    net.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], [q, scale, zero], name="quantise"))
    weight = net.const(net.rng.integers(-20, 20, (width, 1, 3, 3)).astype(np.int8))
    whole = net.add("ConvInteger", q, weight, zero, pads=[1] * 4)
    real = net.add(
        "Mul", net.add("Cast", whole, to=TensorProto.FLOAT), net.add("Mul", scale, net.const(np.array(0.02)))
    )
    return net.finish(net.conv(net.add("Relu", real), width, 1))


def random_model(seed=0, size=12):
    """Adds noise of its own."""
    net = Net(seed, (1, 1, size, size))
    noise = net.add("RandomNormalLike", "x", scale=0.1)
    return net.finish(net.conv(net.add("Add", "x", noise), 1, 1))


def random_dropout(seed=0, size=12):
    """Dropout made of random numbers, as a runtime that trains writes it."""
    net = Net(seed, (1, 1, size, size))
    kept = net.add("Greater", net.add("RandomUniformLike", "x"), net.const(np.array(0.5)))
    x = net.add("Mul", "x", net.add("Cast", kept, to=TensorProto.FLOAT))
    return net.finish(net.conv(x, 1, 1))


ZOO = {
    "InstanceNorm U-Net": unet,
    "SiLU squeeze-excite": squeeze_excite,
    "transformer": transformer,
    "softmax segmentation": softmax_segmentation,
    "ConvNeXt block": convnext,
    "group normalisation": group_norm,
    "batch normalisation in training": batch_norm_in_training,
    "local response normalisation": local_response,
    "GRU": recurrent,
    "com.microsoft": fused,
    "float16": half_precision,
    "uint8": bytes_in,
    "dynamically quantised": dynamic_quantized,
    **{
        op: (lambda op=op: one_activation(op))
        for op in ("Tanh", "Elu", "Softplus", "Mish", "HardSwish", "Gelu", "Sin", "Selu")
    },
}
