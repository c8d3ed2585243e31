"""Maps made of gradients agree with PyTorch's automatic differentiation, at bends and ties as well."""

import contextlib
import io
import logging

import numpy as np
import onnx
import pytest
from support.extras import needed

import onnx_si
from onnx_si.graph import model_from_proto

from .test_exports import deployed

torch = needed("torch", reason="PyTorch isn't installed: nothing to compare with")
pytestmark = [pytest.mark.converters, pytest.mark.filterwarnings("ignore")]  # the exporters' own notices
nn, functional = torch.nn, torch.nn.functional


class Net(nn.Module):
    """Feature maps, and class scores made of them."""

    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x):
        return self.head(self.features(x))


class Residual(nn.Module):
    """Two convolutions around a shortcut, with stride two."""

    def __init__(self, inside, outside):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inside, outside, 3, 2, 1), nn.BatchNorm2d(outside), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, 1, 1), nn.BatchNorm2d(outside))
        self.short = nn.Conv2d(inside, outside, 1, 2)

    def forward(self, x):
        return functional.relu(self.second(self.first(x)) + self.short(x))


class Hourglass(nn.Module):
    """Down by pooling, up by a transposed convolution and by interpolation, with joined skips."""

    def __init__(self):
        super().__init__()
        self.down, self.bottom = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.up, self.last = nn.ConvTranspose2d(6, 4, 2, 2), nn.Conv2d(14, 5, 3, padding=1)

    def forward(self, x):
        above = functional.relu(self.down(x))
        below = functional.relu(self.bottom(functional.max_pool2d(above, 2)))
        wide = functional.interpolate(below, scale_factor=2, mode="bilinear")
        return functional.relu(self.last(torch.cat([above, self.up(below), wide], 1)))


class Dead(nn.Module):
    """Units that are zero for every image, and units that rest on a bend wherever the one before does."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.conv.weight.data[1:3] = 0
        self.mixed = nn.Conv2d(4, 4, 3, padding=1, bias=False)

    def forward(self, x):
        x = functional.relu(functional.relu(self.conv(x)))
        x = torch.abs(functional.leaky_relu(x, 0.3)) + functional.relu6(4 * x)
        return functional.max_pool2d(functional.relu(self.mixed(x)), 3, 2, 1)


def dense(inside, classes=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(inside, 6), nn.ReLU(), nn.Linear(6, classes))


def pooled(inside, classes=3):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))


def plain():
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()
    )
    return Net(layers, dense(96))


def leaky():
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 5, 2, 2),
        nn.LeakyReLU(0.1),
        nn.AvgPool2d(3, 2, 1),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2),
        nn.PReLU(6),
        nn.Hardtanh(-0.3, 0.4),
    )
    return Net(layers, dense(24))


NETS = {
    "plain": plain,
    "leaky": leaky,
    "residual": lambda: Net(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), Residual(4, 6)), pooled(6)),
    "hourglass": lambda: Net(Hourglass(), nn.Sequential(nn.AdaptiveMaxPool2d(1), dense(5))),
    "dead": lambda: Net(Dead(), dense(64)),
    "ties in the image": lambda: Net(
        nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(1, 3, 3, padding=1), nn.ReLU()), dense(192)
    ),
}


def made(name):
    torch.manual_seed(3)
    net = NETS[name]().eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
    return net


def exported(net, x, exporter, opset=13):
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    stream = io.BytesIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if exporter == "torchscript":
            torch.onnx.export(net, (x,), stream, dynamo=False, input_names=["x"], opset_version=opset)
            return onnx.load_from_string(stream.getvalue())
        needed("onnxscript", reason="onnxscript isn't installed: PyTorch's exporter needs it")
        return torch.onnx.export(
            net, (x,), dynamo=True, input_names=["x"], opset_version=20, verbose=False
        ).model_proto


def by_autograd(net, image):
    """The three maps of the predicted class in double precision."""
    net = net.double()
    x = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    features = net.features(x)
    scores = net.head(features)
    slope_x, slope = torch.autograd.grad(scores[0, scores.argmax()], (x, features))
    weighted = (slope.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True)
    coarse = functional.interpolate(functional.relu(weighted), image.shape[2:], mode="bilinear")
    return {"gradient": slope_x.abs(), "grad-input": slope_x * x, "gradcam": coarse}


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("name", NETS)
def test_maps_are_those_of_automatic_differentiation(name, exporter):
    net, rng = made(name), np.random.default_rng(4)
    images = rng.normal(size=(4, 1, 1, 8, 8)).astype(np.float32)
    if name.startswith("ties"):
        images = np.round(images)  # few values: most windows have several largest elements
    images[-1] = 0 if name == "dead" else images[-1]
    model = model_from_proto(exported(net, torch.tensor(images[0]), exporter))
    for method in ("gradient", "grad-input", "gradcam"):
        extended = model_from_proto(onnx_si.saliency(model, method))
        for image in images:
            wanted = by_autograd(net, image)[method].detach().numpy()[0, 0]
            ours = onnx_si.evaluate(extended, {"x": image})["saliency"]
            runtime = deployed(extended.proto, {"x": image})[-1]
            tolerance = 1e-6 * max(1.0, float(np.abs(wanted).max()))
            np.testing.assert_allclose(ours, wanted, rtol=0, atol=tolerance)
            np.testing.assert_allclose(runtime, wanted, rtol=0, atol=100 * tolerance)


def bends(layers, x):
    """Feature maps and scores of a network of Relu and pooling."""
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(5, 3, strides=2, padding="same")(layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x)))
    features = layers.LeakyReLU(negative_slope=0.1)(layers.BatchNormalization()(x))
    return features, layers.Dense(3)(layers.Dense(6, activation="relu")(layers.Flatten()(features)))


def smooth(layers, x):
    """And of one with attention, a gate, normalisations and smooth activations."""
    x = layers.Conv2D(4, 3, padding="same", activation="swish")(x)
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.LayerNormalization()(layers.Multiply()([x, gate]))
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="mish")(x)
    tokens = layers.Reshape((16, 6))(x)
    x = layers.Add()([x, layers.Reshape((4, 4, 6))(layers.MultiHeadAttention(2, 3)(tokens, tokens))])
    features = layers.Activation("softplus")(layers.GroupNormalization(2)(x))
    return features, layers.Dense(3)(layers.Dense(5, activation="tanh")(layers.Flatten()(features)))


@pytest.mark.parametrize("net", [bends, smooth])
def test_maps_are_those_of_a_gradient_tape(net, monkeypatch):
    """Channels behind space outside, in front of it inside, as tf2onnx writes it."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    tf = needed("tensorflow", reason="TensorFlow isn't installed: nothing to compare with")
    tf2onnx = needed("tf2onnx", reason="tf2onnx isn't installed: Keras models can't be exported")
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    inside = tf.keras.Input((8, 8, 2))
    features, scores = net(layers, inside)
    module = tf.keras.Model(inside, scores)
    both = tf.keras.Model(inside, [features, module.output])
    spec = tf.TensorSpec((1, 8, 8, 2), tf.float32, name="x")
    function = tf.function(lambda x: tf.nn.softmax(module(x, training=False)))
    proto, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=15)
    model = model_from_proto(proto)
    for number in range(3):
        image = np.random.default_rng(number).normal(size=(1, 8, 8, 2)).astype(np.float32)
        x = tf.constant(image)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            maps, scores = both(x, training=False)
            score = tf.reduce_max(scores)
        slope = tape.gradient(score, x).numpy()[0]
        weights = tape.gradient(score, maps).numpy().mean((0, 1, 2))
        coarse = torch.relu(torch.tensor((maps.numpy() * weights).sum(-1)))[None]
        wanted = {
            "gradient": np.abs(slope).max(-1),
            "grad-input": (slope * image[0]).sum(-1),
            "gradcam": functional.interpolate(coarse, (8, 8), mode="bilinear")[0, 0].numpy(),
        }
        for method, values in wanted.items():
            extended = model_from_proto(onnx_si.saliency(model, method))
            ours = onnx_si.evaluate(extended, {"x": image})["saliency"]
            assert values.max() > 0
            np.testing.assert_allclose(ours, values, rtol=0, atol=1e-5 * (1 + np.abs(values).max()))
