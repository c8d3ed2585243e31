"""What is written never takes the place of what is read, and a wrong first word gets its command."""

import errno

import numpy as np
import onnx
import pytest
from PIL import Image
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


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*TEST, "--output", "-"), 2, "--output -: a file is needed; --json writes the result to stdout"),
        ((*TEST, "--output", "gone/a.json"), 2, "can't be written; give a file in a folder that exists"),
        ((*TEST, "--output", "/dev/null"), 2, "is no plain file"),
        ((*TEST, "--output", "folder"), 2, "folder: is a folder; give a file"),
        (
            ("audit", "model.onnx", "nofile.npy", "--output", "a", "--no-isolate"),
            2,
            "nofile.npy: does not exist",
        ),
        (
            ("audit", "model.onnx", "folder", "--output", "a", "--no-isolate"),
            2,
            "is a folder without an image",
        ),
        (("audit", "model.onnx", "*.jpg", "--output", "a", "--no-isolate"), 2, "no image has such a name"),
        (("audit", "nofile.toml"), 2, "nofile.toml: does not exist; give an audit's .toml file"),
        ((*TEST, "--mask", "folder"), 4, "folder: is a folder; mask takes a file"),
        (("simulate", "model.onnx", "--base", "folder"), 4, "folder: is a folder; base takes a file"),
        (("simulate", "model.onnx", "--base", "large.npy"), 4, "give a base of that size, or a single value"),
        (("simulate", "model.onnx", "--base", "whole.png"), 4, "base whole.png holds integers (uint8)"),
        ((*TEST, "--saliency", "map"), 2, "an output of the model is output:NAME, such as output:map"),
    ],
)
def test_what_is_wrong_has_its_own_reason(place, capsys, arguments, code, words):
    (place / "folder").mkdir()
    np.save("large.npy", np.zeros((9, 9)))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("whole.png")
    assert main(list(arguments)) == code
    stderr = capsys.readouterr().err
    assert words in stderr and "--window-size" not in stderr


def test_a_stdout_without_room_is_no_fault_of_the_program(place, capfd, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("onnx_si.cli.main.os.dup2", lambda one, other: None)
    monkeypatch.setattr("onnx_si.cli.verbs.load", full)
    assert main(list(TEST)) == 2
    assert "stdout has no room there (No space left on device)" in capfd.readouterr().err
