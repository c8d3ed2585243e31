"""The networks of `speed.py`, at any size. The same seed gives the same bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from graphs import BATCH_NORM_EPSILON, INPUT, SALIENCY, GraphBuilder, Net


def paper_cnn(side: int, seed: int = 0) -> Net:
    """The paper's classifier (Miwa, Duy, Takeuchi 2023) with He-initialised weights and zero biases."""
    b = GraphBuilder(np.random.default_rng([seed, 1]), bias_std=0.0)
    x = b.relu(b.conv(INPUT, 1, 4))
    x = b.relu(b.conv(x, 4, 4))
    x = b.max_pool(x)
    x = b.relu(b.conv(x, 4, 4))
    x = b.relu(b.conv(x, 4, 4))
    x = b.upsample(x)
    return b.classifier(x, 4, side, kind=f"paper-cnn-{side}", sigmoid=True)


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
    b = GraphBuilder(np.random.default_rng([seed, 2]))

    def two(x: str, channels: int) -> str:
        return b.relu(b.conv(b.relu(b.conv(x, channels, width)), width, width))

    first = two(INPUT, 1)
    second = two(b.max_pool(first), width)
    x = two(b.max_pool(second), width)
    x = two(b.add("Concat", [b.upsample(x), second], axis=1), 2 * width)
    x = two(b.add("Concat", [b.upsample(x), first], axis=1), 2 * width)
    return b.mapper(x, width, side, kind=f"unet-{side}")


def resnet18(
    width: int,
    side: int,
    seed: int = 0,
    *,
    folded: bool = True,
    classes: int = 10,
    large_stem: bool = False,
    resize: str = "linear",
) -> Net:
    """ResNet-18 on one channel: four stages of two BasicBlocks, `width` to 8 `width` channels.

    The map is the class activation map of class 0.

    Parameters
    ----------
    folded : merges each BatchNormalization into its convolution; both forms compute the same function
    large_stem : 7x7 convolution of stride 2 and a max pool (the feature map has side / 32 pixels a side), as
        for photographs; otherwise one 3x3 convolution (side / 8), as for small images
    resize : "linear" brings the map to the image's size as saliency="cam" does (half-pixel); with "nearest"
        every value of the map stands for its block of pixels, so the region is that of the map at its own
        resolution, and the network itself ends in that map
    """
    b = GraphBuilder(np.random.default_rng([seed, 3]))

    def conv_bn(x: str, channels_in: int, channels_out: int, kernel: int, stride: int) -> str:
        weights = b.he_weights((channels_out, channels_in, kernel, kernel), channels_in * kernel**2)
        scale = b.rng.uniform(0.5, 1.0, channels_out).astype(np.float32)
        shift, mean = b.bias(channels_out), b.bias(channels_out)
        var = b.rng.uniform(0.5, 1.5, channels_out).astype(np.float32)
        if not folded:
            return b.batch_norm(b.conv_with(x, weights, None, stride=stride), scale, shift, mean, var)
        gain = scale / np.sqrt(var + np.float32(BATCH_NORM_EPSILON))
        return b.conv_with(x, weights * gain[:, None, None, None], shift - mean * gain, stride=stride)

    def block(x: str, channels_in: int, channels_out: int, stride: int) -> str:
        y = b.relu(conv_bn(x, channels_in, channels_out, 3, stride))
        y = conv_bn(y, channels_out, channels_out, 3, 1)
        if stride != 1 or channels_in != channels_out:
            x = conv_bn(x, channels_in, channels_out, 1, stride)
        return b.relu(b.add("Add", [y, x]))

    if large_stem:
        x = b.overlapping_max_pool(b.relu(conv_bn(INPUT, 1, width, 7, 2)))
    else:
        x = b.relu(conv_bn(INPUT, 1, width, 3, 1))
    channels = width
    for stage in range(4):
        wider = width * 2**stage
        x = block(x, channels, wider, 1 if stage == 0 else 2)
        x = block(x, wider, wider, 1)
        channels = wider
    kind = f"resnet18-{width}-{side}" + ("" if folded else "-bn")
    reduction = 32 if large_stem else 8
    net = b.classifier(
        x, channels, side, kind=kind, classes=classes, target=0, upsampling=reduction, resize=resize
    )
    if resize == "nearest":
        return replace(net, model=net.saliency_model, saliency=f"output:{SALIENCY}", target=None)
    return net
