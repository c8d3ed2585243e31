"""The stand-alone converters: what they make agrees with the framework, and they refuse code in files."""

from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from support.extras import needed

CONVERTERS = Path(__file__).parents[2] / "converters"
MODELS = Path(__file__).parents[2] / "models"
PAPER_MODELS = Path(__file__).parents[3] / "shared" / "paper"

# the frameworks' own notices, about themselves
pytestmark = [pytest.mark.converters, pytest.mark.filterwarnings("ignore")]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, CONVERTERS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run(proto: onnx.ModelProto, *arrays: np.ndarray) -> list[np.ndarray]:
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime isn't installed: nothing to compare with"
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def shape(value: onnx.ValueInfoProto) -> list[int | None]:
    return [size.dim_value or None for size in value.type.tensor_type.shape.dim]


def metadata(proto: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in proto.metadata_props}


# Keras ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras_to_onnx(keras) -> ModuleType:
    needed("tf2onnx", reason="tf2onnx isn't installed: the Keras converter can't run")
    return script("keras_to_onnx")


@pytest.fixture(scope="module")
def keras():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        needed("tensorflow", reason="TensorFlow isn't installed: the Keras converter can't run")
        module = needed("keras", reason="Keras isn't installed: the Keras converter can't run")
        module.utils.set_random_seed(0)
        return module


def sequential(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(3, 3, padding="same", activation="relu", bias_initializer="random_normal"),
            layers.BatchNormalization(),
            layers.UpSampling2D(2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax", name="probability"),
        ]
    )


def functional(keras):
    layers = keras.layers
    image, reference = keras.Input((8, 6, 1), name="image"), keras.Input((8, 6, 1), name="reference")
    joined = layers.Concatenate()([image, reference])
    features = layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(joined)
    score = layers.Dense(1, name="score")(layers.Flatten()(layers.MaxPooling2D(2)(features)))
    return keras.Model([image, reference], [score, features])


def saved(model, kind, folder):
    """Where a model was written: a file of Keras, or the folder of a SavedModel."""
    if kind == "folder":
        path = folder / "saved"
        model.export(path, verbose=False)
    else:
        path = folder / f"model{kind}"
        model.save(path)
    return path


@pytest.mark.parametrize("kind", [".keras", ".h5", "folder"])
def test_sequential_from_every_kind_of_file(kind, keras, keras_to_onnx, tmp_path):
    model = sequential(keras)
    proto = keras_to_onnx.convert(saved(model, kind, tmp_path), metadata={"onnx_si.noise_std": "1"})
    images = np.random.default_rng(1).standard_normal((4, 8, 8, 1)).astype(np.float32)
    (ours,) = run(proto, images)
    np.testing.assert_allclose(ours, model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)
    assert shape(proto.graph.input[0]) == [None, 8, 8, 1]
    assert metadata(proto) == {"onnx_si.noise_std": "1"}
    assert {entry.version for entry in proto.opset_import if entry.domain == ""} == {17}


@pytest.mark.parametrize("kind", [".keras", ".h5", "folder"])
def test_functional_with_two_inputs_and_two_outputs(kind, keras, keras_to_onnx, tmp_path):
    model = functional(keras)
    proto = keras_to_onnx.convert(saved(model, kind, tmp_path), batch=2, opset=18)
    assert [shape(value) for value in proto.graph.input] == [[2, 8, 6, 1]] * 2
    images = np.random.default_rng(2).standard_normal((2, 2, 8, 6, 1)).astype(np.float32)
    expected = {tuple(value.shape): value for value in model.predict(list(images), verbose=0)}
    results = run(proto, *images)
    assert {value.shape for value in results} == set(expected) == {(2, 1), (2, 8, 6, 4)}
    for value in results:
        np.testing.assert_allclose(value, expected[value.shape], rtol=1e-4, atol=1e-5)
    if kind != "folder":
        assert [value.name for value in proto.graph.output] == ["score", "features"]
        assert [value.name for value in proto.graph.input] == ["image", "reference"]


@pytest.mark.parametrize("kind", [".keras", "folder"])
def test_constants_that_a_layer_holds_outside_its_function(kind, keras, keras_to_onnx, tmp_path):
    """They are stored in the model; its only input is the image."""
    layers = keras.layers
    image = keras.Input((6, 6, 3), name="image")
    scaled = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.5])(image)
    model = keras.Model(image, layers.Conv2D(2, 3, activation="gelu")(scaled))
    path = saved(model, kind, tmp_path)
    proto = keras_to_onnx.convert(path)
    assert [value.name for value in proto.graph.input] == ["image"]
    images = np.random.default_rng(1).standard_normal((2, 6, 6, 3)).astype(np.float32)
    (ours,) = run(proto, images)
    np.testing.assert_allclose(ours, model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)


def test_operations_without_a_translation_are_named(keras, keras_to_onnx):
    layers = keras.layers
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3, groups=3)])
    with pytest.raises(keras_to_onnx.ConversionError, match="no translation of the operations Stateful"):
        keras_to_onnx.convert(model)


def test_keras_inputs_as_nchw(keras, keras_to_onnx):
    model = sequential(keras)
    proto = keras_to_onnx.convert(model, inputs_as_nchw=True)
    assert shape(proto.graph.input[0]) == [None, 1, 8, 8]
    images = np.random.default_rng(3).standard_normal((2, 8, 8, 1)).astype(np.float32)
    (ours,) = run(proto, images.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(ours, model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [".keras", ".h5"])
@pytest.mark.parametrize("nested", [False, True])
def test_lambda_layers_are_refused_and_never_run(kind, nested, keras, keras_to_onnx, tmp_path, capsys):
    trace = tmp_path / "ran"

    def code(x, path=str(trace)):
        open(path, "a").close()  # noqa: PTH123 - a builtin, so it works when unpacked elsewhere
        return x

    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Lambda(code, name="sneaky"), keras.layers.Dense(1)]
    )
    model = keras.Sequential([keras.Input((4,)), inner]) if nested else inner
    path = tmp_path / f"model{kind}"
    model.save(path)
    trace.unlink()  # it ran when the model was built
    assert keras_to_onnx.main([str(path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert "'sneaky' is a Lambda" in message
    assert not trace.exists() and not path.with_suffix(".onnx").exists()


def test_foreign_classes_are_refused(keras, keras_to_onnx, tmp_path):
    path, changed = tmp_path / "model.keras", tmp_path / "changed.keras"
    sequential(keras).save(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1].update(module="subprocess", class_name="Popen")
                content = json.dumps(config).encode()
            new.writestr(name, content)
    with pytest.raises(keras_to_onnx.ConversionError, match=r"subprocess\.Popen, which isn't part of Keras"):
        keras_to_onnx.convert(changed)


def test_saved_model_that_writes_files_is_refused(keras, keras_to_onnx, tmp_path):
    import tensorflow as tf

    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
        def __call__(self, x):
            tf.io.write_file(str(tmp_path / "ran"), "x")
            return x

    module = Writer()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.__call__)
    with pytest.raises(keras_to_onnx.ConversionError, match="WriteFile, which reaches outside the graph"):
        keras_to_onnx.convert(tmp_path / "saved")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.keras", None, "no such file"),
        ("broken.keras", b"not a zip", "not a .keras file"),
        ("broken.h5", b"not hdf5", "not a Keras HDF5 file"),
        ("model.pkl", b"", "expected a .keras"),
    ],
)
def test_keras_command_line_errors_are_one_line(name, content, message, keras_to_onnx, tmp_path, capsys):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert keras_to_onnx.main([str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err


def test_keras_disagreement_is_an_error(keras, keras_to_onnx, monkeypatch):
    monkeypatch.setattr(keras_to_onnx, "RELATIVE_TOLERANCE", -1.0)
    with pytest.raises(keras_to_onnx.ConversionError, match="onnxruntime and TensorFlow differ"):
        keras_to_onnx.convert(sequential(keras))


@pytest.mark.parametrize("side", [16, 32])
def test_paper_models_from_legacy_hdf5(side, keras, keras_to_onnx, tmp_path):
    path = PAPER_MODELS / f"model_{side}.h5"
    if not path.exists():
        pytest.skip(f"the authors' trained model {path} isn't on this machine")
    output = tmp_path / "model.onnx"
    arguments = [str(path), "-o", str(output), "--metadata", "onnx_si.saliency=cam", "--batch", "2"]
    assert keras_to_onnx.main(arguments) == 0
    proto = onnx.load(output)
    images = np.random.default_rng(side).standard_normal((2, side, side, 1)).astype(np.float32)
    model = keras.saving.load_model(path, compile=False)
    np.testing.assert_allclose(run(proto, images)[0], model.predict(images, verbose=0), rtol=1e-4, atol=1e-6)
    assert metadata(proto) == {"onnx_si.saliency": "cam"}


# PyTorch -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    module = needed("torch", reason="PyTorch isn't installed: its converter can't run")
    module.manual_seed(0)
    return module


@pytest.fixture(scope="module")
def torch_to_onnx(torch) -> ModuleType:
    needed("onnxscript", reason="onnxscript isn't installed: PyTorch's exporter needs it")
    return script("torch_to_onnx")


def network(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(3, 2, 1),
        nn.Dropout(0.5),
        nn.Sigmoid(),
    )


def agrees(torch, proto, module, size: tuple[int, ...]) -> None:
    images = np.random.default_rng(4).standard_normal(size).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run(proto, images)[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dynamic_batch", [False, True])
@pytest.mark.parametrize(("exporter", "opset"), [("dynamo", 18), ("torchscript", 18), ("torchscript", 13)])
def test_module_with_both_exporters(exporter, opset, dynamic_batch, torch, torch_to_onnx):
    module = network(torch)  # in training mode: the converter must switch BatchNorm and Dropout
    module[1].eval()
    proto = torch_to_onnx.convert(
        module,
        torch.zeros(2, 1, 8, 8),
        exporter=exporter,
        opset=opset,
        dynamic_batch=dynamic_batch,
        input_names=["image"],
        output_names=["mask"],
        metadata={"onnx_si.saliency": "output:mask"},
    )
    assert module.training and not module[1].training and module[6].training
    agrees(torch, proto, module.eval(), (5 if dynamic_batch else 2, 1, 8, 8))
    assert [value.name for value in proto.graph.input] == ["image"]
    assert [value.name for value in proto.graph.output] == ["mask"]
    assert shape(proto.graph.input[0]) == [None if dynamic_batch else 2, 1, 8, 8]
    assert metadata(proto) == {"onnx_si.saliency": "output:mask"}
    assert {entry.version for entry in proto.opset_import if entry.domain == ""} == {opset}
    assert b"stack_trace" not in proto.SerializeToString()


@pytest.mark.parametrize("dynamic", [False, True])
def test_exported_program_file(dynamic, torch, torch_to_onnx, tmp_path):
    module = network(torch).eval()
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes), path)
    assert torch_to_onnx.main([str(path), "--metadata", "onnx_si.noise_std=0.5"]) == 0
    proto = onnx.load(path.with_suffix(".onnx"))
    agrees(torch, proto, module, (4 if dynamic else 2, 1, 8, 8))
    assert metadata(proto) == {"onnx_si.noise_std": "0.5"}


def test_torchscript_file(torch, torch_to_onnx, tmp_path):
    module = network(torch).eval()
    path = tmp_path / "model.pt"
    torch.jit.script(module).save(path)
    output = tmp_path / "other.onnx"
    arguments = [str(path), "-o", str(output), "--input-shape", "1,1,8,8", "--dynamic-batch", "--opset", "17"]
    assert torch_to_onnx.main(arguments) == 0
    agrees(torch, onnx.load(output), module, (3, 1, 8, 8))


def test_pickles_are_refused_and_never_loaded(torch, torch_to_onnx, tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    torch.save({"weight": Trap()}, tmp_path / "model.pt")
    assert torch_to_onnx.main([str(tmp_path / "model.pt")]) == 1
    assert "run code when loaded" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def replaced(path: Path, changed: Path, ending: str, old: bytes, new: bytes) -> Path:
    """A copy of an archive with one text replaced in one entry."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(ending):
                assert old in content
                content = content.replace(old, new)
            target.writestr(name, content)
    return changed


@pytest.mark.parametrize(
    ("ending", "old", "new", "message"),
    [
        ("model.json", b"torch.ops.aten.relu.default", b"torch.hub.load", "'torch.hub.load' isn't one of"),
        ("model.json", b"torch.ops.aten.relu.default", b"torch.ops.aten.from_file.default", "from_file"),
        ("model.json", b"Symbol('s", b"__import__('s", "more than arithmetic"),
        ("model.json", b'"guards_code": []', b'"guards_code": ["print(1)"]', "guards as Python code"),
        (
            "weights_config.json",
            b'"use_pickle": false',
            b'"use_pickle": true',
            "isn't stored as a plain tensor",
        ),
        ("sample_inputs/model.pt", b"data.pkl", b"data.pk_", "sample inputs"),
    ],
)
def test_programs_with_more_than_tensors_are_refused(
    ending, old, new, message, torch, torch_to_onnx, tmp_path
):
    path = tmp_path / "model.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network(torch).eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    with pytest.raises(torch_to_onnx.ConversionError, match=message):
        torch_to_onnx.load(replaced(path, tmp_path / "changed.pt2", ending, old, new))


def test_torchscript_that_saves_files_is_refused(torch, torch_to_onnx, tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.script(torch.nn.ReLU()).save(path)
    old, new = b"torch.relu(input)", b'torch.save(input, "ran")'
    changed = replaced(path, tmp_path / "changed.pt", "functional.py", old, new)
    with pytest.raises(torch_to_onnx.ConversionError, match=r"uses 'torch\.save'"):
        torch_to_onnx.load(changed)


def test_wrong_exporter_for_the_kind_of_module(torch, torch_to_onnx):
    example = torch.zeros(1, 1, 8, 8)
    program = torch.export.export(network(torch).eval(), (example,))
    with pytest.raises(torch_to_onnx.ConversionError, match="needs the dynamo exporter"):
        torch_to_onnx.convert(program, example, exporter="torchscript")
    with pytest.raises(torch_to_onnx.ConversionError, match="needs the torchscript exporter"):
        torch_to_onnx.convert(torch.jit.script(network(torch)), example)
    with pytest.raises(torch_to_onnx.ConversionError, match="exporter is"):
        torch_to_onnx.convert(network(torch), example, exporter="other")


def test_torch_disagreement_is_an_error(torch, torch_to_onnx):
    class Random(torch.nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    with pytest.raises(torch_to_onnx.ConversionError, match="onnxruntime and PyTorch differ"):
        torch_to_onnx.convert(Random(), torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("absent.pt2", None, "no such file"), ("broken.pt2", b"not a zip", "not a PyTorch archive")],
)
def test_torch_command_line_errors_are_one_line(name, content, message, torch_to_onnx, tmp_path, capsys):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert torch_to_onnx.main([str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err


# The models in models/ ------------------------------------------------------------------------------------

INPUT_SHAPES = {
    "paper_cam_8": (1, 8, 8, 1),
    "paper_cam_16": (1, 16, 16, 1),
    "paper_cam_32": (1, 32, 32, 1),
    "paper_cam_64": (1, 64, 64, 1),
    "unet_32": (1, 1, 32, 32),
    "autoencoder_32": (1, 1, 32, 32),
    "digits_8": (1, 1, 8, 8),
}


def test_every_model_is_listed_here_and_in_the_readme():
    names = {path.stem for path in MODELS.glob("*.onnx")}
    assert names == {*INPUT_SHAPES, "unet_3d"}  # whose volumes models/make_volume.py draws
    readme = (MODELS / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"`{name}.onnx`" not in readme] == []


@pytest.mark.parametrize("name", sorted(INPUT_SHAPES))
def test_model_runs_on_its_example_and_carries_its_defaults(name):
    path = MODELS / f"{name}.onnx"
    assert path.stat().st_size < 1_000_000
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    defaults = metadata(proto)
    assert {"onnx_si.noise_std", "onnx_si.saliency", "onnx_si.threshold"} <= set(defaults)
    image = np.load(MODELS / f"{name}_image.npy", allow_pickle=False)
    assert image.dtype == np.float32 and image.shape == tuple(size for size in INPUT_SHAPES[name] if size > 1)
    (output,) = run(proto, image.reshape(INPUT_SHAPES[name]))
    assert np.isfinite(output).all()
    if defaults["onnx_si.saliency"].startswith("output:"):
        assert defaults["onnx_si.saliency"] == f"output:{proto.graph.output[0].name}"
        region = output > float(defaults["onnx_si.threshold"])
        assert 0 < region.sum() < region.size
    else:
        assert defaults["onnx_si.saliency"] == "cam"
