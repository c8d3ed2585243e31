"""The networks of `benchmarks.speed`, at any size. The same seed gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.peer.graphs import INPUT, SALIENCY, Net, NetBuilder

TRAINED = Path(__file__).resolve().parents[2] / "models" / "paper_cam_32.onnx"


def paper_cnn(side: int, seed: int = 0) -> Net:
    """The paper's classifier (Miwa, Duy, Takeuchi 2023) with He-initialised weights and zero biases."""
    b = NetBuilder(np.random.default_rng([seed, 1]), bias_std=0.0)
    channels = (1, 4, 4, 4)
    x = _paper_layers(b, lambda x, layer: b.conv(x, channels[layer], 4))
    return b.classifier(x, 4, side, kind=f"paper-cnn-random-{side}", sigmoid=True)


def trained_paper_cnn(side: int) -> Net:
    """The same with the weights of `models/paper_cam_32.onnx`, which was trained by the paper's recipe.

    Nothing but the head's average depends on the size, so the weights serve for all sizes.
    """
    graph = onnx.load(TRAINED).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [list(node.input) for node in graph.node if node.op_type == "Conv"]
    (head,) = (node.input[1] for node in graph.node if node.op_type == "MatMul")
    (bias,) = (node.input[1] for node in graph.node if node.op_type == "Add")
    b = NetBuilder(np.random.default_rng(0))
    x = _paper_layers(b, lambda x, layer: b.conv_with(x, values[inputs[layer][1]], values[inputs[layer][2]]))
    trained = values[head].T.copy(), values[bias]
    return b.classifier(x, 4, side, kind=f"paper-cnn-{side}", sigmoid=True, trained=trained)


def _paper_layers(b: NetBuilder, conv: Callable[[str, int], str]) -> str:
    """Two convolutions, pooling, two convolutions, upsampling; `conv` appends layer 0, 1, 2 or 3."""
    x = b.relu(conv(b.relu(conv(INPUT, 0)), 1))
    x = b.max_pool(x)
    x = b.relu(conv(b.relu(conv(x, 2)), 3))
    return b.upsample(x)


def unet(side: int, seed: int = 0, width: int = 8) -> Net:
    """U-Net of 11 convolutions: two levels down, two up, `width` channels everywhere, one-channel map.

    The last bias is set on a 32 x 32 noise image, so the weights do not depend on `side`.
    """
    net = _unet(32, seed, width)
    if side == 32:
        return net
    model = onnx.ModelProto()
    model.CopyFrom(net.model)
    for value in (model.graph.input[0], model.graph.output[0]):
        for dimension in value.type.tensor_type.shape.dim[2:]:
            dimension.dim_value = side
    onnx.checker.check_model(model, full_check=True)
    return Net(f"unet-{side}", side, model, model, net.saliency)


def _unet(side: int, seed: int, width: int) -> Net:
    b = NetBuilder(np.random.default_rng([seed, 2]))

    def two(x: str, channels: int) -> str:
        return b.relu(b.conv(b.relu(b.conv(x, channels, width)), width, width))

    first = two(INPUT, 1)
    second = two(b.max_pool(first), width)
    x = two(b.max_pool(second), width)
    x = two(b.add("Concat", b.upsample(x), second, axis=1), 2 * width)
    x = two(b.add("Concat", b.upsample(x), first, axis=1), 2 * width)
    return b.mapper(x, width, side, kind=f"unet-{side}")


def resnet18(
    channels: tuple[int, int, int, int],
    side: int,
    seed: int = 0,
    *,
    stem: str = "fine",
    strides: tuple[int, int, int, int] = (1, 2, 2, 2),
    classes: int = 10,
    resize: str = "linear",
) -> Net:
    """ResNet-18: four stages of two BasicBlocks, each BatchNormalization merged into its convolution.

    The map is the class activation map of class 0.

    Parameters
    ----------
    channels, strides : of the stages
    stem : "photograph", a 7x7 convolution and a max pool, both of stride 2; or "fine", one 3x3 convolution
    resize : "linear" brings the map to the image's size as saliency="cam" does (half-pixel); with "nearest"
        every value of the map stands for its block of pixels, so the region is that of the map at its own
        resolution, and the network itself ends in that map
    """
    b = NetBuilder(np.random.default_rng([seed, 3]))

    def conv(x: str, channels_in: int, channels_out: int, kernel: int, stride: int) -> str:
        weights = b.he_weights((channels_out, channels_in, kernel, kernel), channels_in * kernel**2)
        scale = b.rng.uniform(0.5, 1.0, channels_out).astype(np.float32)
        shift, mean = b.bias(channels_out), b.bias(channels_out)
        variance = b.rng.uniform(0.5, 1.5, channels_out).astype(np.float32)
        gain = scale / np.sqrt(variance + np.float32(1e-5))
        return b.conv_with(x, weights * gain[:, None, None, None], shift - mean * gain, stride=stride)

    def block(x: str, channels_in: int, channels_out: int, stride: int) -> str:
        y = b.relu(conv(x, channels_in, channels_out, 3, stride))
        y = conv(y, channels_out, channels_out, 3, 1)
        if stride != 1 or channels_in != channels_out:
            x = conv(x, channels_in, channels_out, 1, stride)
        return b.relu(b.add("Add", y, x))

    have, reduction = channels[0], math.prod(strides)
    if stem == "photograph":
        x = b.overlapping_max_pool(b.relu(conv(INPUT, 1, have, 7, 2)))
        reduction *= 4
    else:
        x = b.relu(conv(INPUT, 1, have, 3, 1))
    for wanted, stride in zip(channels, strides, strict=True):
        x = block(block(x, have, wanted, stride), wanted, wanted, 1)
        have = wanted
    kind = f"resnet18-{stem}-{channels[0]}-{side}"
    net = b.classifier(
        x, have, side, kind=kind, classes=classes, target=0, upsampling=reduction, resize=resize
    )
    if resize == "nearest":
        return replace(net, model=net.saliency_model, saliency=f"output:{SALIENCY}", target=None)
    return net
