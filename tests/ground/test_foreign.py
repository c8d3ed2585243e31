"""What is no model or no image, or does not fit: the message names what it is, and the command that works."""

import numpy as np
import onnx
import pytest
from onnx import parser
from support import nets

import onnx_si
from onnx_si.cli.main import main
from onnx_si.errors import InputError, SaliencyUnavailable
from onnx_si.ground.files import read_image
from onnx_si.ground.misfit import advice

IMAGE = np.random.default_rng(5).normal(size=(8, 8))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.png", "swapped?"),
        ("a.npy", "swapped?"),
        ("net.keras", "a Keras model; convert it: uv run converters/keras_to_onnx.py {} -o net.onnx"),
        ("net.h5", "a Keras model; convert it: uv run converters/keras_to_onnx.py {} -o net.onnx"),
        ("net.pt2", "a PyTorch model; convert it: uv run converters/torch_to_onnx.py {} -o net.onnx"),
        ("net.pt", "what torch.save wrote is a pickle"),
        ("net.pt", "{} -o net.onnx --input-shape 1,C,H,W (without uv"),
        ("net.ts", "{} -o net.onnx --input-shape 1,C,H,W (without uv"),
        ("net.pth", "what torch.save wrote is a pickle"),
        ("net.tflite", "python -m tf2onnx.convert --tflite {} --output net.onnx"),
    ],
)
def test_files_that_are_no_model(tmp_path, name, words):
    file = tmp_path / name
    file.write_bytes(b"PK anything")
    with pytest.raises(InputError) as caught:
        onnx_si.load(file)
    assert words.format(file) in str(caught.value)


def test_folders_as_a_model(tmp_path):
    with pytest.raises(InputError, match="is a folder; give the path of an"):
        onnx_si.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InputError, match="a TensorFlow SavedModel; convert it: uv run converters/keras"):
        onnx_si.load(tmp_path)


def test_what_is_no_image(tmp_path):
    with pytest.raises(InputError, match="is a folder; onnx-si audit MODEL FOLDER"):
        read_image(tmp_path)
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="is a model, where an image is wanted; swapped"):
        read_image(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((9, 8), "--resize-input"),
        ((1, 1, 4, 4), "--resize-input"),
        ((16, 24), "--window-size N lays a model that gives maps over it window by window"),
        (
            (3, 8, 8),
            "the model takes 1; save it with 1 (with Pillow: Image.open(FILE).convert('L')",
        ),
        ((8, 8, 3), "the channels differ: it has 3, the model takes 1; save it with 1"),
        ((3, 9, 8), "it has 3, the model takes 1"),
        ((3, 9, 8), "the size differs: --resize-input"),
        ((9, 9, 9, 9, 9), "give one image of that size"),
        ((30, 20, 9), "give one image of that size"),
        ((2, 1, 8, 8), "it holds 2 images: give one image"),
        ((2, 8, 8, 1), "it holds 2 images: give one image"),
        (
            (2, 8, 8, 3),
            "it holds 2 images: give one image (onnx-si audit tests several); the channels differ: it",
        ),
        ((5, 8, 8), "the channels differ: it has 5 channels, or is 5 images, the model takes 1"),
    ],
)
def test_what_does_not_fit(shape, words):
    with pytest.raises(InputError) as caught:
        onnx_si.test(nets.map_net(seed=3, size=8), np.random.default_rng(0).normal(size=shape), sigma=1.0)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 32, 32), "the channels differ: it has 3, the model takes 1; save it with 1"),
        ((1, 3, 32, 32), "the channels differ: it has 3, the model takes 1"),
        ((2, 32, 32), "the channels differ: it has 2 channels, or is 2 images, the model takes 1"),
        ((2, 32, 32, 1), "it holds 2 images: give one image"),
        ((2, 1, 32, 32), "it holds 2 images: give one image"),
        ((40, 40), "the size differs: --resize-input"),
    ],
)
def test_what_does_not_fit_a_free_batch_with_channels_behind(shape, words):
    assert words in advice(shape, ("N", 32, 32, 1), "NHWC")


def test_channels_at_the_other_end_and_layouts_without_a_batch():
    assert "the model reads them behind" in advice((3, 32, 32), ("N", 32, 32, 3), "NHWC")
    assert "the model reads them in front" in advice((1, 32, 32, 3), (1, 3, 32, 32), "NCHW")
    assert "it holds 2 images" in advice((2, 3, 32, 32), (3, 32, 32), "CHW")
    assert "it holds 4 images" in advice((4, 32, 32), (32, 32), "HW")


@pytest.mark.parametrize("mode", ["linear"])
def test_the_named_option_works(mode):
    image = np.random.default_rng(0).normal(size=(9, 8))
    options = {"sigma": 1.0, "threshold": "minmax:0.5", "resize_input": mode}
    assert onnx_si.test(nets.map_net(seed=3, size=8), image, **options).status == "tested"


THREE = """<ir_version: 9, opset_import: ["" : 17]> g (float[1, 1, 8, 8] x) => (float[1, 3, 4, 4] y) {
  w = Constant <value = float[3, 1, 2, 2] {1, 2, 3, 4, -1, 2, -3, 1, 2, 2, -1, 1}> ()
  inner = Conv <strides = [2, 2]> (x, w)
  y = Relu (inner)
}"""


def test_several_channels_name_a_command_that_works(tmp_path):
    onnx.save(parser.parse_model(THREE), tmp_path / "m.onnx")
    np.save(tmp_path / "a.npy", IMAGE)
    with pytest.raises(SaliencyUnavailable) as caught:
        onnx_si.test(tmp_path / "m.onnx", IMAGE, sigma=1.0, methods=[], saliency="auto", threshold=0.25)
    command = str(caught.value).split("for example ")[1].split(": no output")[0]
    assert command == "--saliency output:y --target 1 --threshold 0"
    files = [str(tmp_path / "m.onnx"), str(tmp_path / "a.npy")]
    assert main([*files, "--sigma", "1", *command.split()]) == 0


def test_inner_tensors_are_listed(tmp_path, capsys):
    onnx.save(parser.parse_model(THREE), tmp_path / "m.onnx")
    assert main(["inspect", str(tmp_path / "m.onnx")]) == 0
    assert "\ninner " not in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "m.onnx"), "--tensors"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("inner"))
    assert "1x3x4x4" in line and "NCHW" in line
    found = onnx_si.inspection.inspector.inspect_model(tmp_path / "m.onnx", tensors=True).to_dict()
    assert [tensor["name"] for tensor in found["tensors"]] == ["inner"]
    assert onnx_si.inspection.inspector.inspect_model(tmp_path / "m.onnx").to_dict()["tensors"] is None


@pytest.mark.parametrize(
    ("image", "words", "silent"),
    [
        (
            np.full((8, 8), 7, np.uint8),
            "(uint8, 7 to 7); say how they become the model's input: --scale 1/255",
            "655",
        ),
        (np.full((8, 8), 7, np.uint16), "--scale 1/65535 maps 0..65535 to 0..1, --scale 1 takes", "255 "),
        (np.full((8, 8), 3000), "--scale 1/65535", "1/255"),
        (np.full((8, 8), -1000, np.int16), "input: --scale 1 takes them as they are", "maps"),
        (np.zeros((0, 8)), "the image is empty: its shape is (0, 8)", "floating"),
    ],
)
def test_values_that_are_no_image_yet(image, words, silent):
    with pytest.raises(InputError) as caught:
        onnx_si.test(nets.map_net(seed=3, size=8), image, sigma=1.0)
    assert words in str(caught.value) and silent not in str(caught.value)


def test_a_converter_runs_without_uv(tmp_path):
    (tmp_path / "net.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match="python in place of uv run"):
        onnx_si.load(tmp_path / "net.keras")
