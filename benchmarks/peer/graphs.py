"""What the benchmarks' networks are built of, and how a network and a test are described.

Every network comes twice: `model` is the file as a user has it, `saliency_model` is the same network ending
in its saliency map. The second one is for programs that only know "threshold a graph output" (si4onnx, by way
of `for_si4onnx`); for a classifier it replaces the head by the class activation map, a 1x1 convolution with
the head's weights and no bias.

The same seed gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from support.builder import GraphBuilder

OPSET = 17
IR_VERSION = 8
INPUT = "image"
SCORE = "score"
MAP = "map"
SALIENCY = "saliency"


@dataclass(frozen=True)
class Net:
    """A network, the same network ending in its saliency map, and how to ask for that map.

    Attributes
    ----------
    kind : short name of the family, with the variant
    side : pixels a side of the square one-channel image
    model : the network as a user has it
    saliency_model : its saliency map as the only output, (1, 1, side, side)
    saliency : "cam" or "output:NAME"
    target : class index of the map, None where the network has one score or a map
    ends_in_sigmoid : whether the map is a probability
    """

    kind: str
    side: int
    model: onnx.ModelProto
    saliency_model: onnx.ModelProto
    saliency: str
    target: int | None = None
    ends_in_sigmoid: bool = False


@dataclass(frozen=True)
class Case:
    """One test to run: network, data and the question asked.

    Attributes
    ----------
    image, reference : (1, 1, side, side), float64 holding float32 values; background has no reference
    threshold : a value, or "minmax:0.5" after min-max normalisation. Values are exact in float32 (see README)
    hypothesis : "mean" or "background"
    region : (side, side) boolean, what the threshold selects in the saliency map
    """

    name: str
    net: Net
    image: np.ndarray
    reference: np.ndarray | None
    threshold: float | str
    hypothesis: str
    region: np.ndarray


class NetBuilder(GraphBuilder):
    """A float32 network of one image; every method takes and returns tensor names."""

    def __init__(self, rng: np.random.Generator, bias_std: float = 0.1) -> None:
        super().__init__(rng)
        self.bias_std = bias_std

    def name(self, hint: str) -> str:
        return f"{hint}_{len(self.initializers if hint == 'const' else self.nodes)}"

    def node_name(self, op: str, out: str) -> str:
        return out

    def he_weights(self, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        return self.rng.normal(0.0, np.sqrt(2.0 / fan_in), shape).astype(np.float32)

    def bias(self, channels: int) -> np.ndarray:
        return self.rng.normal(0.0, self.bias_std, channels).astype(np.float32)

    def conv(
        self,
        x: str,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        group: int = 1,
    ) -> str:
        """He-initialised convolution with symmetric "same" padding."""
        fan_in = channels_in // group * kernel * kernel
        weights = self.he_weights((channels_out, channels_in // group, kernel, kernel), fan_in)
        return self.conv_with(
            x, weights, self.bias(channels_out), stride=stride, dilation=dilation, group=group
        )

    def conv_with(
        self,
        x: str,
        weights: np.ndarray,
        bias: np.ndarray | None,
        *,
        stride: int = 1,
        dilation: int = 1,
        group: int = 1,
    ) -> str:
        kernel = weights.shape[-1]
        constants = (self.const(weights),) if bias is None else (self.const(weights), self.const(bias))
        return self.add(
            "Conv",
            x,
            *constants,
            kernel_shape=[kernel, kernel],
            pads=[dilation * (kernel // 2)] * 4,
            strides=[stride, stride],
            dilations=[dilation, dilation],
            group=group,
        )

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def leaky_relu(self, x: str) -> str:
        return self.add("LeakyRelu", x, alpha=0.125)

    def max_pool(self, x: str) -> str:
        return self.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])

    def overlapping_max_pool(self, x: str) -> str:
        """3x3, stride 2, padded. Only behind a Relu: si4onnx pads with 0, which is no maximum there."""
        return self.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])

    def average_pool(self, x: str) -> str:
        # nothing is padded, so count_include_pad changes nothing; si4onnx fails without it
        return self.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1)

    def upsample(self, x: str, mode: str = "nearest", factor: int = 2) -> str:
        scales = self.const(np.array([1, 1, factor, factor], np.float32))
        if mode == "nearest":
            how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        else:
            how = {"coordinate_transformation_mode": "half_pixel"}
        return self.add("Resize", x, "", scales, mode=mode, **how)

    def conv_transpose(self, x: str, channels_in: int, channels_out: int) -> str:
        """Doubles the side: 2x2 kernel, stride 2, no overlap."""
        weights = self.he_weights((channels_in, channels_out, 2, 2), channels_in)
        constants = self.const(weights), self.const(self.bias(channels_out))
        return self.add("ConvTranspose", x, *constants, kernel_shape=[2, 2], strides=[2, 2])

    def model(self, output: str, output_name: str, side: int, output_shape: list[int]) -> onnx.ModelProto:
        """The part of the graph that `output` needs, with that tensor renamed to `output_name`."""
        nodes, constants = self.needed(output)
        for node in nodes:
            node.output[:] = [output_name if name == output else name for name in node.output]
            node.input[:] = [output_name if name == output else name for name in node.input]
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [1, 1, side, side])],
            [helper.make_tensor_value_info(output_name, onnx.TensorProto.FLOAT, output_shape)],
            constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="onnx-si benchmarks",
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def classifier(
        self,
        features: str,
        channels: int,
        side: int,
        *,
        kind: str,
        classes: int = 1,
        target: int | None = None,
        sigmoid: bool = False,
        upsampling: int = 1,
        resize: str = "linear",
        trained: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Net:
        """Global average pooling and one Gemm on `features`; the map is the class activation map.

        upsampling : image pixels per side of one feature pixel; the map is resized if it is not 1
        resize : how, "linear" (what saliency="cam" does) or "nearest"
        trained : weights (classes, channels) and bias (classes,); drawn where not given
        """
        if trained is None:
            weights = self.rng.normal(0.0, np.sqrt(1.0 / channels), (classes, channels)).astype(np.float32)
        else:
            weights = trained[0]
        row = weights[target or 0]
        if trained is None and channels > 1 and (np.all(row > 0) or np.all(row < 0)):
            row[0] = -row[0]  # a map of one sign has no boundary at threshold 0
        cam = self.conv_with(features, row.reshape(1, channels, 1, 1).copy(), None)
        if upsampling > 1:
            cam = self.upsample(cam, resize, upsampling)
        pooled = self.add("Flatten", self.add("GlobalAveragePool", features), axis=1)
        bias = self.bias(classes) if trained is None else trained[1]
        score = self.add("Gemm", pooled, self.const(weights), self.const(bias), transB=1)
        if sigmoid:
            score = self.add("Sigmoid", score)
        return Net(
            kind=kind,
            side=side,
            model=self.model(score, SCORE, side, [1, classes]),
            saliency_model=self.model(cam, SALIENCY, side, [1, 1, side, side]),
            saliency="cam",
            target=target,
        )

    def mapper(self, features: str, channels: int, side: int, *, kind: str, sigmoid: bool = False) -> Net:
        """A 1x1 convolution to one channel; its bias puts about 30 % of a pure noise image above 0.

        The bias is a multiple of 1/256, so that a last-bit difference between machines does not reach it.
        """
        weights = self.he_weights((1, channels, 1, 1), channels)
        bias = np.zeros(1, np.float32)
        output = self.conv_with(features, weights, bias)
        noise = self.rng.normal(size=(1, 1, side, side)).astype(np.float32)
        values = evaluate(self.model(output, MAP, side, [1, 1, side, side]), noise)
        level = np.round(np.quantile(values, 0.7) * 256) / 256
        self.change(self.nodes[-1].input[2], np.array([-level]))
        if sigmoid:
            output = self.add("Sigmoid", output)
        model = self.model(output, MAP, side, [1, 1, side, side])
        return Net(
            kind=kind,
            side=side,
            model=model,
            saliency_model=model,
            saliency=f"output:{MAP}",
            ends_in_sigmoid=sigmoid,
        )


def for_si4onnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function without nearest-neighbour Resize, where si4onnx 0.1.13 fails (`align_corners` error).

    Each becomes a transposed convolution whose kernel is the identity over channels and 1 over each block of
    pixels: the copies are exact, every other term is a product with 0.
    """
    shapes = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    }
    model_copy = onnx.ModelProto()
    model_copy.CopyFrom(model)
    graph = model_copy.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "Resize" or helper.get_node_attr_value(node, "mode") != b"nearest":
            continue
        factor = int(constants[node.input[2]][2])
        channels = shapes[node.input[0]]
        kernel = np.zeros((channels, channels, factor, factor), np.float32)
        kernel[np.arange(channels), np.arange(channels)] = 1
        kernel_name = f"{node.name}_kernel"
        graph.initializer.append(numpy_helper.from_array(kernel, kernel_name))
        node.CopyFrom(
            helper.make_node(
                "ConvTranspose",
                [node.input[0], kernel_name],
                list(node.output),
                name=node.name,
                kernel_shape=[factor, factor],
                strides=[factor, factor],
            )
        )
    onnx.checker.check_model(model_copy, full_check=True)
    return model_copy


def evaluate(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    """The model's first output by the reference evaluator of the `onnx` package, in float32."""
    return np.asarray(ReferenceEvaluator(model).run(None, {INPUT: image.astype(np.float32)})[0])
