"""Every architecture gets a p-value by the plain command: exported from PyTorch and Keras, with one option,
the size of the noise, and with whatever a runtime makes of them (fused, half precision, quantised).
"""

import json
import logging

import numpy as np
import onnx
import onnxruntime
import pytest
from support.extras import needed

from onnx_si.cli.main import main

torch = needed("torch", reason="PyTorch isn't installed: nothing to export")
needed("onnxscript", reason="onnxscript isn't installed: PyTorch's exporter needs it")
pytestmark = [pytest.mark.converters, pytest.mark.filterwarnings("ignore")]  # the frameworks' own notices

from . import zoo_torch  # noqa: E402
from .test_gradients import exported  # noqa: E402

SIDE = 16
EXACT = {"ResNet-18", "MobileNetV2", "DenseNet", "softmax segmentation"}  # classes need no Softmax
NOT_EXACT = ("certified", "monte-carlo")  # which one, a forecast for the image's line says
BY_DYNAMO = ("GroupNorm U-Net", "ConvNeXt", "ViT, PyTorch's attention", "Swin", "ResNet-18")
KERAS = ("Xception, swish", "ViT", "softmax segmentation", "ConvNeXt")


def image_for(shape):
    """Noise and a bright square in its middle."""
    image = np.random.default_rng(1).normal(size=shape)
    place = tuple(slice(4, 12) if size == SIDE else slice(None) for size in shape)
    image[place] += 2.0
    return image


def module_of(name):
    torch.manual_seed(0)
    net = zoo_torch.ZOO[name]().eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
    return net


def proto_of(name, exporter="torchscript"):
    return exported(module_of(name), torch.zeros(1, 1, SIDE, SIDE), exporter, 17)


def p_value_of(path, folder, capsys, shape=(1, 1, SIDE, SIDE)):
    """What the plain command says."""
    image = folder / "image.npy"
    np.save(image, image_for(shape))
    code = main([str(path), str(image), "--sigma", "1", "--json"])
    stdout, stderr = capsys.readouterr()
    assert code == 0, stderr
    document = json.loads(stdout)
    low, high = document["p_value_bounds"]
    assert 0 < document["p_value"] <= 1 and low <= document["p_value"] <= high
    if document["guarantee"] == "certified":
        assert all("the search ended with bounds" in text for text in document["warnings"])
    else:
        assert document["search"]["complete"] and document["warnings"] == []
    return document


def saved(proto, folder):
    onnx.save(proto, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("name", zoo_torch.ZOO)
def test_torch(name, tmp_path, capsys):
    document = p_value_of(saved(proto_of(name), tmp_path), tmp_path, capsys)
    assert document["guarantee"] in (("exact",) if name in EXACT else NOT_EXACT)


@pytest.mark.parametrize("name", BY_DYNAMO)
def test_the_other_exporter(name, tmp_path, capsys):
    document = p_value_of(saved(proto_of(name, "dynamo"), tmp_path), tmp_path, capsys)
    assert document["guarantee"] in (("exact",) if name in EXACT else NOT_EXACT)


def test_the_zoo_is_large_enough():
    assert len(zoo_torch.ZOO) + len(KERAS) >= 20


def test_batch_norm_in_training_mode(tmp_path, capsys):
    net = module_of("ResNet-18").train()
    path = tmp_path / "model.onnx"
    mode = torch.onnx.TrainingMode.TRAINING
    x = torch.randn(1, 1, SIDE, SIDE)
    torch.onnx.export(net, (x,), path, dynamo=False, training=mode, do_constant_folding=False)
    nodes = onnx.load(path).graph.node
    assert any(a.name == "training_mode" and a.i for node in nodes for a in node.attribute)
    assert p_value_of(path, tmp_path, capsys)["guarantee"] in NOT_EXACT


@pytest.mark.parametrize("name", ["SiLU", "InstanceNorm U-Net", "ViT"])
def test_half_precision(name, tmp_path, capsys):
    net = module_of(name).half()
    proto = exported(net, torch.zeros(1, 1, SIDE, SIDE).half(), "torchscript", 17)
    assert proto.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    assert p_value_of(saved(proto, tmp_path), tmp_path, capsys)["guarantee"] in NOT_EXACT


@pytest.mark.parametrize("name", ["ViT", "MobileNetV2", "ConvNeXt"])
def test_as_a_runtime_fuses_it(name, tmp_path, capsys):
    """The graph that onnxruntime makes for itself, with ops of its own."""
    path, options = tmp_path / "fused.onnx", onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(saved(proto_of(name), tmp_path), options, ["CPUExecutionProvider"])
    assert any(node.domain == "com.microsoft" for node in onnx.load(path).graph.node)
    document = p_value_of(path, tmp_path, capsys)
    assert document["guarantee"] in (("exact",) if name in EXACT else NOT_EXACT)


def test_as_its_transformer_optimizer_fuses_it(tmp_path, capsys):
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer", reason="onnxruntime is without it")
    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    path = saved(proto_of("PyTorch's encoder layer"), tmp_path)
    made = optimizer.optimize_model(str(path), "vit", num_heads=2, hidden_size=8, opt_level=0)
    assert any(node.domain == "com.microsoft" for node in made.model.graph.node)
    onnx.save(made.model, path)
    capsys.readouterr()  # what it had to say
    assert p_value_of(path, tmp_path, capsys)["guarantee"] in NOT_EXACT


@pytest.mark.parametrize("name", ["softmax segmentation", "DeepLab"])
def test_quantised_as_it_runs(name, tmp_path, capsys):
    from onnxruntime.quantization import quantize_dynamic

    path, quantised = saved(proto_of(name), tmp_path), tmp_path / "quantised.onnx"
    logging.getLogger().setLevel(logging.ERROR)
    quantize_dynamic(path, quantised)
    assert any("Quantize" in node.op_type for node in onnx.load(quantised).graph.node)
    assert p_value_of(quantised, tmp_path, capsys)["guarantee"] in NOT_EXACT


def test_quantised_beforehand(tmp_path, capsys):
    """Two convolutions on 8 x 8 pixels: as many jumps as an exact search counts in a second."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Few(CalibrationDataReader):
        def __init__(self):
            self.left = iter(np.random.default_rng(0).normal(size=(4, 1, 1, 8, 8)).astype(np.float32))

        def get_next(self):
            found = next(self.left, None)
            return None if found is None else {"x": found}

    torch.manual_seed(0)
    net = torch.nn.Sequential(zoo_torch.conv(1, 2), torch.nn.Conv2d(2, 1, 1)).eval()
    proto = exported(net, torch.zeros(1, 1, 8, 8), "torchscript", 17)
    path, quantised = saved(proto, tmp_path), tmp_path / "quantised.onnx"
    logging.getLogger().setLevel(logging.ERROR)
    quantize_static(path, quantised, Few())
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(quantised).graph.node)
    assert p_value_of(quantised, tmp_path, capsys, (1, 1, 8, 8))["guarantee"] == "exact"


@pytest.fixture(scope="module")
def keras_zoo():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        needed("tensorflow", reason="TensorFlow isn't installed: nothing to export")
        needed("tf2onnx", reason="tf2onnx isn't installed: Keras models can't be exported")
        from . import zoo_keras

        assert set(zoo_keras.ZOO) == set(KERAS)
        return zoo_keras.ZOO


@pytest.mark.parametrize("name", KERAS)
def test_keras(keras_zoo, name, tmp_path, capsys):
    import keras
    import tensorflow as tf
    import tf2onnx

    keras.utils.set_random_seed(0)
    module = keras_zoo[name]()
    spec = tf.TensorSpec((1, *module.input_shape[1:]), tf.float32, name="x")
    function = tf.function(lambda x: module(x, training=False))
    proto, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=17)
    document = p_value_of(saved(proto, tmp_path), tmp_path, capsys, (1, *module.input_shape[1:]))
    assert document["guarantee"] in NOT_EXACT
