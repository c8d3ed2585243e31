"""A bed of small exports from PyTorch (both exporters) and Keras: `evaluate` agrees with onnxruntime, and
what is piecewise linear gets an exact p-value.

The frameworks come with the extra `bed`; without one of them its models are skipped.
"""

import contextlib
import io
import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from support import scenes
from support.extras import needed

import onnx_si
from onnx_si.graph import model_from_proto

pytestmark = [pytest.mark.converters, pytest.mark.filterwarnings("ignore")]  # the frameworks' own notices

OPSETS = {"torchscript": (9, 13, 17), "dynamo": (18, 20, 23)}
LOOSE = {"half precision": 5e-3}
TORCH_NAMES = (
    *(
        "classifier",
        "unet",
        "unet, free size",
        "unet, 3-D",
        "unet, 1-D",
        "unet, PReLU",
        "unet, instance norm",
    ),
    *("unet, sigmoid", "unet, softmax", "unet, argmax", "encoder", "moves", "coordinates", "masks", "pools"),
    *("maxout", "pixel shuffle", "gated", "half precision"),
)
KERAS_NAMES = ("convolutional", "autoencoder", "unet", "attention", "causal", "mobilenet v2")
NOT_EXPORTED = {
    ("encoder", "torchscript", 9): "no LayerNormalization that keeps the specification",
    ("masks", "torchscript", 9): "tril needs opset 14",
    ("masks", "torchscript", 13): "tril needs opset 14",
}


def deployed(proto, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, feeds)


def check(proto, feeds, tolerance=1e-4):
    """Every output agrees to a tolerance of its own largest value."""
    model = model_from_proto(proto)
    ours = onnx_si.evaluate(model, feeds)
    for (name, got), wanted in zip(ours.items(), deployed(proto, feeds), strict=True):
        assert got.shape == wanted.shape, name
        scale = np.abs(wanted).max(initial=0)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * float(scale), err_msg=name)
    return model


@pytest.fixture(scope="module")
def torch_models():
    needed("torch", reason="PyTorch isn't installed: nothing to export")
    needed("onnxscript", reason="onnxscript isn't installed: PyTorch's exporter needs it")
    from . import torch_models

    assert set(torch_models.MODELS) == set(TORCH_NAMES)
    return torch_models.MODELS


def exported(models, name, exporter, opset):
    """The model as a proto, and a value for its input."""
    import torch

    make, shape, free, _ = models[name]
    torch.manual_seed(0)
    module = make().eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d | torch.nn.BatchNorm3d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
    x = torch.randn(shape).to(next((p.dtype for p in module.parameters()), torch.float32))
    stream = io.BytesIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if exporter == "torchscript":
            free_axes = {"x": free} if free else None
            torch.onnx.export(
                module,
                (x,),
                stream,
                dynamo=False,
                input_names=["x"],
                opset_version=opset,
                dynamic_axes=free_axes,
            )
            proto = onnx.load_from_string(stream.getvalue())
        else:
            free_axes = (dict.fromkeys(free, torch.export.Dim.DYNAMIC),) if free else None
            program = torch.onnx.export(
                module,
                (x,),
                dynamo=True,
                input_names=["x"],
                opset_version=opset,
                dynamic_shapes=free_axes,
                verbose=False,
            )
            proto = program.model_proto
    return proto, {"x": x.numpy()}


def torch_cases():
    return [
        pytest.param(name, exporter, opset, id=f"{name}-{exporter}-{opset}")
        for position, name in enumerate(TORCH_NAMES)
        for exporter, opsets in OPSETS.items()
        for opset in opsets[position % 3 :: 2] or opsets[:1]
        if (name, exporter, opset) not in NOT_EXPORTED
    ]


@pytest.mark.parametrize(("name", "exporter", "opset"), torch_cases())
def test_torch(torch_models, name, exporter, opset):
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    proto, feeds = exported(torch_models, name, exporter, opset)
    model = check(proto, feeds, LOOSE.get(name, 1e-4))
    if torch_models[name][-1]:
        program = onnx_si.program.program.bind(model, feeds["x"], (model.outputs[0].name,))
        program.require_exact()


@pytest.fixture(scope="module")
def keras_models():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        needed("tensorflow", reason="TensorFlow isn't installed: nothing to export")
        needed("tf2onnx", reason="tf2onnx isn't installed: Keras models can't be exported")
        from . import keras_models

        assert set(keras_models.MODELS) == set(KERAS_NAMES)
        return keras_models.MODELS


@pytest.mark.parametrize("name", KERAS_NAMES)
def test_keras(keras_models, name):
    import keras
    import tensorflow as tf
    import tf2onnx

    keras.utils.set_random_seed(0)
    module = keras_models[name]()
    spec = tf.TensorSpec((None, *module.input_shape[1:]), tf.float32, name="x")
    function = tf.function(lambda x: module(x, training=False))
    opset = 13 + KERAS_NAMES.index(name)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=opset)
    x = np.random.default_rng(0).normal(size=(1, *module.input_shape[1:])).astype(np.float32)
    check(proto, {"x": x})


P_VALUES = {
    "unet": {},
    "unet, PReLU": {},
    "unet, 3-D": {"threshold": "minmax:0.7"},
    "unet, argmax": {"target": 1},
    "unet, sigmoid": {},
    "classifier": {"saliency": "cam", "threshold": "minmax:0.5"},
}


def question(models, name, exporter):
    """The model, a noisy image, and options that select some of its pixels."""
    proto, feeds = exported(models, name, exporter, OPSETS[exporter][-1])
    image = 2 * np.random.default_rng(1).normal(size=feeds["x"].shape)
    model, options = model_from_proto(proto), dict(P_VALUES[name])
    if "sigmoid" in name:  # a region of half of the pixels
        options["threshold"] = float(np.median(onnx_si.evaluate(model, {"x": image})[model.outputs[0].name]))
    return model, image, options


@pytest.mark.parametrize("exporter", OPSETS)
@pytest.mark.parametrize("name", P_VALUES)
def test_an_exact_p_value(torch_models, name, exporter):
    model, image, options = question(torch_models, name, exporter)
    result = onnx_si.test(model, image, sigma=2.0, **options)
    assert result.guarantee == "exact" and 0 <= result.p_value <= 1
    assert result.truncation.contains(result.statistic) and result.parity.pixels == ()


@pytest.mark.parametrize("exporter", OPSETS)
@pytest.mark.parametrize("name", P_VALUES)
def test_the_truncation_set_is_what_a_dense_scan_finds(torch_models, name, exporter):
    """The region at 600 points of the line, by the ops at single points: inside exactly where S says so."""
    model, image, options = question(torch_models, name, exporter)
    threshold = options.pop("threshold", None)
    case = scenes.make_case(
        model, image, sigma=2.0, threshold=None if threshold is None else str(threshold), **options
    )
    found = case.search(precision=1e-6)
    spread = case.line.standard_error
    z = case.line.statistic + spread * np.linspace(-4, 4, 601)
    ends = np.array([end for part in (*found.inside, *found.undecided) for end in part])
    clear = np.min(np.abs(z[:, None] - ends), axis=1, initial=np.inf) > 1e-9 * spread
    clear &= [not found.undecided.contains(value) for value in z]
    inside, member = np.array([found.inside.contains(value) for value in z]), case.member(z)
    assert clear.mean() > 0.9 and member.any() and not member.all()
    np.testing.assert_array_equal(inside[clear], member[clear])
