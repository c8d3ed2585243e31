"""Seeded ONNX networks and test cases for the benchmarks.

Every network comes twice: `model` is the file as a user has it, `saliency_model` is the same network ending
in its saliency map. The second one is for programs that only know "threshold a graph output" (si4onnx, by way
of `for_si4onnx`); for a classifier it replaces the head by the class activation map, a 1x1 convolution with
the head's weights and no bias.

Only `numpy` and `onnx` are needed. The same seed gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSET = 17
IR_VERSION = 8
INPUT = "image"
SCORE = "score"
MAP = "map"
SALIENCY = "saliency"

# A saliency value this close to the threshold (relative to the map's range) would make the observed region
# depend on the evaluator's rounding; such a draw is not used. Exact equality (dead units) is no tie.
TIE_MARGIN = 1e-5


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


@dataclass
class GraphBuilder:
    """Appends float32 nodes to a graph; every method takes and returns tensor names."""

    rng: np.random.Generator
    bias_std: float = 0.1
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, op: str, inputs: list[str], **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        name = f"const_{len(self.initializers)}"
        self.initializers[name] = values
        return name

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
        inputs = [x, self.constant(weights)] + ([] if bias is None else [self.constant(bias)])
        return self.add(
            "Conv",
            inputs,
            kernel_shape=[kernel, kernel],
            pads=[dilation * (kernel // 2)] * 4,
            strides=[stride, stride],
            dilations=[dilation, dilation],
            group=group,
        )

    def batch_norm(
        self, x: str, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray, var: np.ndarray
    ) -> str:
        inputs = [x] + [self.constant(v) for v in (scale, shift, mean, var)]
        return self.add("BatchNormalization", inputs, epsilon=BATCH_NORM_EPSILON, training_mode=0)

    def relu(self, x: str) -> str:
        return self.add("Relu", [x])

    def leaky_relu(self, x: str) -> str:
        return self.add("LeakyRelu", [x], alpha=0.125)

    def max_pool(self, x: str) -> str:
        return self.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])

    def average_pool(self, x: str) -> str:
        # nothing is padded, so count_include_pad changes nothing; si4onnx fails without it
        return self.add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2], count_include_pad=1)

    def upsample(self, x: str, mode: str = "nearest", factor: int = 2) -> str:
        scales = self.constant(np.array([1, 1, factor, factor], np.float32))
        if mode == "nearest":
            how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        else:
            how = {"coordinate_transformation_mode": "half_pixel"}
        return self.add("Resize", [x, "", scales], mode=mode, **how)

    def conv_transpose(self, x: str, channels_in: int, channels_out: int) -> str:
        """Doubles the side: 2x2 kernel, stride 2, no overlap."""
        weights = self.he_weights((channels_in, channels_out, 2, 2), channels_in)
        inputs = [x, self.constant(weights), self.constant(self.bias(channels_out))]
        return self.add("ConvTranspose", inputs, kernel_shape=[2, 2], strides=[2, 2])

    def model(self, output: str, output_name: str, side: int, output_shape: list[int]) -> onnx.ModelProto:
        """The part of the graph that `output` needs, with that tensor renamed to `output_name`."""
        nodes = _ancestors(self.nodes, output)
        for node in nodes:
            node.output[:] = [output_name if name == output else name for name in node.output]
            node.input[:] = [output_name if name == output else name for name in node.input]
        used = {name for node in nodes for name in node.input}
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, [1, 1, side, side])],
            [helper.make_tensor_value_info(output_name, onnx.TensorProto.FLOAT, output_shape)],
            [numpy_helper.from_array(v, name) for name, v in self.initializers.items() if name in used],
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
    ) -> Net:
        """Global average pooling and one Gemm on `features`; the map is the class activation map.

        upsampling : image pixels per side of one feature pixel; the map is resized linearly if it is not 1
        """
        weights = self.rng.normal(0.0, np.sqrt(1.0 / channels), (classes, channels)).astype(np.float32)
        row = weights[target or 0]
        if channels > 1 and (np.all(row > 0) or np.all(row < 0)):
            row[0] = -row[0]  # a map of one sign has no boundary at threshold 0
        cam = self.conv_with(features, row.reshape(1, channels, 1, 1).copy(), None)
        if upsampling > 1:
            cam = self.upsample(cam, "linear", upsampling)
        pooled = self.add("Flatten", [self.add("GlobalAveragePool", [features])], axis=1)
        score = self.add(
            "Gemm", [pooled, self.constant(weights), self.constant(self.bias(classes))], transB=1
        )
        if sigmoid:
            score = self.add("Sigmoid", [score])
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
        bias[0] = -np.round(np.quantile(values, 0.7) * 256) / 256
        if sigmoid:
            output = self.add("Sigmoid", [output])
        model = self.model(output, MAP, side, [1, 1, side, side])
        return Net(
            kind=kind,
            side=side,
            model=model,
            saliency_model=model,
            saliency=f"output:{MAP}",
            ends_in_sigmoid=sigmoid,
        )


def _ancestors(nodes: list[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """Copies of the nodes that `output` depends on, in the same order."""
    needed, kept = {output}, []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            kept.append(copy)
    return kept[::-1]


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


# --- random small networks ---


def paper_like(rng: np.random.Generator, side: int) -> Net:
    """The paper's layers: two convolutions, pooling, one or two more, upsampling, one logistic unit."""
    b = GraphBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.relu(b.conv(INPUT, 1, width))
    x = b.relu(b.conv(x, width, width))
    x = b.max_pool(x)
    for _ in range(int(rng.integers(1, 3))):
        x = b.relu(b.conv(x, width, width))
    x = b.upsample(x)
    return b.classifier(x, width, side, kind="paper-like", sigmoid=True)


def plain_classifier(rng: np.random.Generator, side: int) -> Net:
    """Two or three convolutions at full size, several classes, the map of a fixed class."""
    b = GraphBuilder(rng)
    width, classes = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    kernel = int(rng.choice([3, 5]))
    x = b.relu(b.conv(INPUT, 1, width, kernel=kernel))
    for _ in range(int(rng.integers(1, 3))):
        x = b.relu(b.conv(x, width, width))
    target = int(rng.integers(classes))
    return b.classifier(x, width, side, kind="plain", classes=classes, target=target)


def pooled_classifier(rng: np.random.Generator, side: int) -> Net:
    """LeakyRelu, average pooling down, transposed convolution up."""
    b = GraphBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.leaky_relu(b.conv(INPUT, 1, width))
    x = b.average_pool(x)
    x = b.relu(b.conv(x, width, width))
    x = b.relu(b.conv_transpose(x, width, width))
    return b.classifier(x, width, side, kind="average-pool")


def coarse_classifier(rng: np.random.Generator, side: int) -> Net:
    """Pooled twice: a map of side / 4 squares (side rounded down to a multiple of 4), class 0 of two.

    With so few squares the same region comes back further along the line: S has several intervals.
    """
    b = GraphBuilder(rng)
    side -= side % 4
    width = int(rng.integers(3, 6))
    x = b.max_pool(b.relu(b.conv(INPUT, 1, width)))
    x = b.max_pool(b.relu(b.conv(x, width, width)))
    x = b.upsample(b.relu(b.conv(x, width, width)), factor=4)
    return b.classifier(x, width, side, kind="coarse", classes=2, target=0)


def conv_map(rng: np.random.Generator, side: int) -> Net:
    """Two or three convolutions to a one-channel map, some dilated or depthwise."""
    b = GraphBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.relu(b.conv(INPUT, 1, width))
    variant = str(rng.choice(["standard", "dilated", "depthwise"]))
    x = b.relu(
        b.conv(
            x,
            width,
            width,
            dilation=2 if variant == "dilated" else 1,
            group=width if variant == "depthwise" else 1,
        )
    )
    if rng.random() < 0.5:
        x = b.relu(b.conv(x, width, width))
    return b.mapper(x, width, side, kind=f"map-{variant}")


def sigmoid_map(rng: np.random.Generator, side: int) -> Net:
    """A max pooled and linearly upsampled map that ends in Sigmoid."""
    b = GraphBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.max_pool(b.relu(b.conv(INPUT, 1, width)))
    x = b.upsample(b.relu(b.conv(x, width, width)), "linear")
    x = b.relu(b.conv(x, width, width))
    return b.mapper(x, width, side, kind="map-sigmoid", sigmoid=True)


def residual_map(rng: np.random.Generator, side: int) -> Net:
    """One residual block between two convolutions."""
    b = GraphBuilder(rng)
    width = int(rng.integers(2, 4))
    x = b.relu(b.conv(INPUT, 1, width))
    y = b.conv(b.relu(b.conv(x, width, width)), width, width)
    x = b.relu(b.add("Add", [y, x]))
    return b.mapper(x, width, side, kind="map-residual")


def small_unet(rng: np.random.Generator, side: int) -> Net:
    """One level down and up with a skip connection, 5 convolutions."""
    b = GraphBuilder(rng)
    width = int(rng.integers(2, 5))
    skip = b.relu(b.conv(INPUT, 1, width))
    x = b.max_pool(skip)
    x = b.relu(b.conv(x, width, width))
    x = b.relu(b.conv(x, width, width))
    x = b.conv_transpose(x, width, width) if rng.random() < 0.5 else b.upsample(x)
    x = b.add("Concat", [x, skip], axis=1)
    x = b.relu(b.conv(x, 2 * width, width))
    return b.mapper(x, width, side, kind="unet-small")


# Kind, and the thresholds it is asked with. All are exact in float32.
FAMILIES: list[tuple[Callable[[np.random.Generator, int], Net], list[float | str]]] = [
    (paper_like, [0.0, 0.0, 0.25]),
    (conv_map, [0.0, 0.25, "minmax:0.5"]),
    (coarse_classifier, [0.0, "minmax:0.5", 0.125]),
    (plain_classifier, [0.0, 0.125, "minmax:0.5"]),
    (small_unet, [0.0, -0.25, "minmax:0.75"]),
    (pooled_classifier, [0.0, -0.125, "minmax:0.5"]),
    (residual_map, [0.0, 0.5]),
    (sigmoid_map, [0.5, 0.25]),
]
SIDES = [8, 10, 12, 14, 16]
SIGNALS = [0.0, 0.0, 1.0, 2.0]


def cases(count: int = 50, seed: int = 0) -> list[Case]:
    """Random tests on random small networks, with a region that is neither empty nor everything.

    Families, sides, hypotheses, thresholds and signals are dealt in turn; weights, images and references are
    drawn. Case i depends on `seed` and i alone.
    """
    return [_case(index, seed) for index in range(count)]


def digest(chosen: list[Case]) -> str:
    """SHA-256 over networks, data and questions: two runs with the same digest asked the same things."""
    total = hashlib.sha256()
    for case in chosen:
        for model in (case.net.model, case.net.saliency_model):
            total.update(model.SerializeToString(deterministic=True))
        for array in (case.image, case.reference):
            total.update(b"" if array is None else array.tobytes())
        total.update(repr((case.name, case.net.target, case.threshold, case.hypothesis)).encode())
    return total.hexdigest()


def _case(index: int, seed: int) -> Case:
    rng = np.random.default_rng([seed, index])
    family, thresholds = FAMILIES[index % len(FAMILIES)]
    turn = index // len(FAMILIES)
    wanted_side = SIDES[index % len(SIDES)]
    hypothesis = ("mean", "background")[turn % 2]
    threshold = thresholds[turn % len(thresholds)]
    signal = SIGNALS[(index + turn) % len(SIGNALS)]
    while True:
        net = family(rng, wanted_side)
        side = net.side
        image = _image(rng, side, signal)
        reference = _image(rng, side, 0.0) if hypothesis == "mean" else None
        values = evaluate(net.saliency_model, image)[0, 0].astype(np.float64)
        region = _region(values, threshold)
        if region is not None and region.any() and not region.all():
            name = f"{index:02d}-{net.kind}-{side}"
            return Case(name, net, image, reference, threshold, hypothesis, region)


def _image(rng: np.random.Generator, side: int, signal: float) -> np.ndarray:
    """Standard normal noise, with a square of half the side and mean `signal` at a random place."""
    image = rng.normal(size=(1, 1, side, side))
    top, left = rng.integers(0, side - side // 2 + 1, 2)
    image[:, :, top : top + side // 2, left : left + side // 2] += signal
    return image.astype(np.float32).astype(np.float64)


def _region(values: np.ndarray, threshold: float | str) -> np.ndarray | None:
    """Pixels above the threshold; None where rounding could decide."""
    spread = float(np.ptp(values))
    if spread == 0.0:
        return None
    if isinstance(threshold, str):
        level = values.min() + float(threshold.removeprefix("minmax:")) * spread
    else:
        level = threshold
    distance = np.abs(values - level)
    if np.any((distance > 0) & (distance < TIE_MARGIN * spread)):
        return None
    return values > level


# --- larger networks, for timing ---


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


BATCH_NORM_EPSILON = 1e-5


def resnet18(width: int, side: int, seed: int = 0, *, folded: bool = True, classes: int = 10) -> Net:
    """ResNet-18 for small images: 3x3 stem, four stages of two BasicBlocks, `width` to 8 `width` channels.

    The feature map has side / 8 pixels a side. `folded` merges each BatchNormalization into its convolution;
    both forms compute the same function. The map is that of class 0, resized linearly (half-pixel).
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

    x = b.relu(conv_bn(INPUT, 1, width, 3, 1))
    channels = width
    for stage in range(4):
        wider = width * 2**stage
        x = block(x, channels, wider, 1 if stage == 0 else 2)
        x = block(x, wider, wider, 1)
        channels = wider
    kind = f"resnet18-{width}-{side}" + ("" if folded else "-bn")
    return b.classifier(x, channels, side, kind=kind, classes=classes, target=0, upsampling=8)
