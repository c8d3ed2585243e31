"""What a mask may hold: truth values or whole numbers; of anything else no one knows what it means."""

import numpy as np
import pytest
from PIL import Image
from support import nets

import onnx_si
from onnx_si.analysis.scene import pixels_of
from onnx_si.cli.main import main

SPACE = (2, 3)
YES = np.array([[1, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    "mask",
    [
        YES.astype(bool),
        YES,
        YES * 255,
        (YES * 255).astype(np.uint8),
        YES.astype(np.float32),
        YES * 255.0,
        YES * np.arange(1, 7).reshape(SPACE),  # labels
        YES * np.arange(1, 7.0).reshape(SPACE),
        YES[None].astype(np.float16),
    ],
)
def test_what_says_yes_and_no(mask):
    np.testing.assert_array_equal(pixels_of(mask, SPACE), YES.astype(bool))


@pytest.mark.parametrize(
    "mask",
    [
        np.full(SPACE, 0.5),
        YES * 0.5,
        YES * 0.99,
        YES - 1,
        YES * -1.0,
        np.array([[1, 0, 1], [0, 1e-30, 1]]),
        np.array([[1, 0, 1], [0, 0, np.nan]]),
        np.array([[1, 0, 1], [0, 0, np.inf]]),
        YES.astype(str),
        YES.astype(complex),
    ],
)
def test_what_does_not(mask):
    with pytest.raises(onnx_si.InputError, match=r"the mask holds .*truth values"):
        pixels_of(mask, SPACE)


@pytest.mark.parametrize("role", ["mask", "sigma-from"])
def test_the_command_line(role, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "m.onnx").write_bytes(nets.map_net(seed=1, size=8).proto.SerializeToString())
    np.save("x.npy", rng.normal(size=(8, 8)))
    np.save("half.npy", np.full((8, 8), 0.5))
    line = ["m.onnx", "x.npy", "--threshold", "minmax:0.5", "--quiet", f"--{role}"]
    sigma = ["--sigma", "1"] if role == "mask" else []
    assert main([*line, "half.npy", *sigma]) == 4
    assert "from 0.5 to 0.5 that are fractions" in capsys.readouterr().err


def test_a_picture_of_0_and_255(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, half = np.random.default_rng(0).normal(size=(8, 8)), np.zeros((8, 8), np.uint8)
    half[:, :4] = 255
    Image.fromarray(half).save("half.png")
    asked = {"sigma": 1.0, "threshold": "minmax:0.5", "p_value_only": True}
    model = nets.map_net(seed=1, size=8)
    found = onnx_si.test(model, image, mask="half.png", **asked)
    assert found.p_value == onnx_si.test(model, image, mask=half == 255, **asked).p_value
    assert not found.region[:, 4:].any() and found.region.any()
