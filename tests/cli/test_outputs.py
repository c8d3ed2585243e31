"""What is written never takes the place of what is read, and a wrong first word gets its command."""

import numpy as np
import onnx
import pytest
from support import nets

from onnx_si.cli.main import main

TEST = ("model.onnx", "image.npy", "--sigma", "1")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(nets.map_net(seed=3, size=8).proto, "model.onnx")
    for number, name in enumerate(("image.npy", "other.npy")):
        np.save(name, np.random.default_rng(number).normal(size=(8, 8)))
    (tmp_path / "region_region.nii.gz").write_bytes(b"")
    (tmp_path / "link.npy").symlink_to("image.npy")
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*TEST, "--output", "./image.npy"), "--output ./image.npy would overwrite the image"),
        ((*TEST, "--output", "link.npy"), "would overwrite the image"),
        ((*TEST, "--html", "model.onnx"), "--html model.onnx would overwrite the model"),
        ((*TEST, "--dicom-seg", "image.npy"), "would overwrite the image"),
        (("model.onnx", "region_region.nii.gz", "--nifti", "region"), "--nifti region_region.nii.gz would"),
        ((*TEST, "--reference", "other.npy", "--output", "other.npy"), "the file of --reference"),
        ((*TEST, "--mask", "other.npy", "--output", "other.npy"), "the file of --mask"),
        (("model.onnx", "image.npy", "--noise-from", "other.npy", "--output", "other.npy"), "--noise-from"),
        ((*TEST, "--output", "a.png", "--plot", "a.png"), "--output and --plot are one file, a.png"),
        (("saliency", "model.onnx", "--output", "model.onnx"), "would overwrite the model"),
        (("simulate", "model.onnx", "--base", "image.npy", "--output", "image.npy"), "the file of --base"),
        (
            ("simulate", "model.onnx", "--resume", "model.onnx"),
            "--resume model.onnx would overwrite",
        ),
    ],
)
def test_nothing_that_is_read_is_written_over(place, capsys, arguments, words):
    before = contents(place)
    assert main(list(arguments)) == 2
    assert words in capsys.readouterr().err
    assert contents(place) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("help",), "did you mean --help?"),
        (("version",), "did you mean --version?"),
        (("model.onnx", "inspect"), "'inspect' comes first: onnx-si inspect model.onnx"),
        (("model.onnx", "image.npy", "-sigma", "1"), "unknown option -sigma; did you mean --sigma?"),
        (("model.onnx", "image.npy", "--scale", "1/0"), "such as 1/255"),
        (("model.onnx", "image.npy", "--scale", "1/2/3"), "such as 1/255"),
    ],
)
def test_the_command_that_was_meant(place, capsys, arguments, words):
    assert main(list(arguments)) == 2
    assert words in capsys.readouterr().err


def test_a_default_that_is_a_note_is_told_whole(place, capsys):
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("Identity", net.conv("x", 1, 3), out="map")
    onnx.save(net.proto("map"), "three.onnx")
    main(["three.onnx", "image.npy", "--sigma", "1", "--threshold", "0", "--saliency", "output:map"])
    assert "map: 'map' has 3 channels: their mean is the map (--verbose" in capsys.readouterr().err


def test_a_class_that_has_every_pixel_is_told_how_to_take_one_channel(place, capsys):
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("Identity", net.conv("x", 1, 2, shift=np.array([-99.0, 99.0])), out="map")
    onnx.save(net.proto("map"), "two.onnx")
    assert main(["two.onnx", "image.npy", "--sigma", "1"]) == 5
    told = capsys.readouterr().err
    assert "--target K takes another class, or with --threshold T the map of one channel" in told
    assert "inside" not in told
    one_channel = ("--target", "1", "--threshold", "minmax:0.5")
    assert main(["two.onnx", "image.npy", "--sigma", "1", *one_channel]) == 0
