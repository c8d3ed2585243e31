"""What newcomers met in their first minutes: words that mislead, and silence where something is wrong."""

import numpy as np
import pytest
from PIL import Image
from support import nets

import onnx_si
from onnx_si.cli.main import main
from onnx_si.report.text import in_words


@pytest.fixture
def files(tmp_path):
    """A model and an image beside it."""
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("Conv", "x", net.const(np.ones((1, 1, 1, 1))), out="map")
    path = tmp_path / "m.onnx"
    path.write_bytes(net.finish("map").proto.SerializeToString())
    image = np.random.default_rng(0).normal(100, 20, size=(8, 8)).clip(0, 255).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    return tmp_path


def result_with(information):
    image = np.zeros((1, 1, 4, 4))
    image[..., 1:3, 1:3] = 1.0
    net = nets.Net(0, (1, 1, 4, 4))
    net.add("Conv", "x", net.const(np.ones((1, 1, 1, 1))), out="map")
    noisy = image + 0.01 * np.random.default_rng(1).normal(size=image.shape)
    document = onnx_si.test(net.finish("map"), noisy, sigma=1.0, threshold=0.5, verify=0).to_dict()
    document["fragility"] = {"distance": 0.01, "information": information}
    return {**document, "p_value_bounds": (0.4, 0.4)}


def test_a_large_p_value_of_a_fragile_region_is_no_verdict():
    assert "may well be noise" in in_words(result_with(0.5))
    words = in_words(result_with(0.004))
    assert "may well be noise" not in words and "neither that the region is real nor" in words


def test_a_plain_difference_that_the_selection_explains_is_told_as_both():
    document = {**result_with(0.5), "statistic": 1.0, "standard_error": 0.05}
    assert "or as real as it looks" in in_words({**document, "confidence_interval": (-3.8, 1.1)})
    assert "or as real as it looks" not in in_words({**document, "confidence_interval": (-3.8, 0.3)})
    assert "or as real as it looks" not in in_words({**document, "confidence_interval": None})


def test_an_audit_of_which_every_image_fails_does_not_pass(files, capsys):
    (files / "images").mkdir()
    (files / "a.png").rename(files / "images" / "a.png")
    where = [str(files / "m.onnx"), str(files / "images"), "--output", str(files / "out"), "--jobs", "0"]
    assert main(["audit", *where, "--sigma", "20"]) == 1  # whole numbers without --scale
    said = capsys.readouterr().out
    assert "FAILED max_failed 0: 1 of 1 images failed" in said and "--scale" in said


def test_jpeg_is_told(files):
    image = Image.open(files / "a.png")
    image.save(files / "a.jpg")
    results = [
        onnx_si.test(str(files / "m.onnx"), files / name, sigma=20.0, scale=1.0, threshold="max:0.7")
        for name in ("a.png", "a.jpg")
    ]
    assert [any("JPEG" in text for text in result.warnings) for result in results] == [False, True]


def test_a_region_of_nearly_everything_is_told(files):
    image = np.random.default_rng(0).normal(100, 20, size=(8, 8))
    image[0, 0] = 0
    warned = [
        any("% of the image" in text for text in onnx_si.test(str(files / "m.onnx"), image, **how).warnings)
        for how in ({"sigma": 20.0, "threshold": 1.0}, {"sigma": 20.0, "threshold": 100.0})
    ]
    assert warned == [True, False]


def test_no_region_is_no_fault_of_the_user(files, capsys):
    assert main([str(files / "m.onnx"), str(files / "a.png"), "--scale", "1", "--threshold", "500"]) == 5
    assert "the model marks nothing here, so there is nothing to test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test", "m.onnx", "a.png"], "a test has no verb: onnx-si MODEL IMAGE"),
        (["m.onnx", "a.png", "b.png"], "onnx-si audit MODEL IMAGES --output DIR tests several"),
        (["m.pt", "a.png"], "torch.export.save"),
    ],
)
def test_a_command_that_nearly_works_is_told(files, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(files)
    (files / "m.pt").write_bytes(b"PK")
    assert main(arguments) in (2, 3, 4)
    assert words in capsys.readouterr().err


def test_sigma_may_be_a_fraction(files, capsys):
    how = [str(files / "m.onnx"), str(files / "a.png"), "--scale", "1", "--threshold", "max:0.7", "--json"]
    assert main([*how, "--sigma", "40/2"]) == main([*how, "--sigma", "20"]) == 0
    first, second = capsys.readouterr().out.split("\n}\n")[:2]
    assert '"std": 20.0' in first and '"std": 20.0' in second


def test_the_folder_of_an_audit_has_its_name_in_python(files):
    with pytest.raises(onnx_si.UsageError, match="third argument, folder="):
        onnx_si.audit(str(files / "m.onnx"), [str(files / "a.png")], output="out")


def warnings_of(files, **how):
    return onnx_si.test(str(files / "m.onnx"), files / "a.png", **how).warnings


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.arange(64).reshape(8, 8), "64 different numbers, as a photo does"),
        (np.full((8, 8), 255), "the mask is 0 nowhere"),
        (np.arange(64).reshape(8, 8) % 3, None),
    ],
)
def test_a_mask_that_looks_like_a_photo_is_told(files, mask, words):
    Image.fromarray(mask.astype(np.uint8)).save(files / "mask.png")
    how = {"sigma": 20.0, "scale": 1.0, "threshold": "max:0.7", "mask": files / "mask.png"}
    told = [text for text in warnings_of(files, **how) if "mask" in text]
    assert (told == []) if words is None else any(words in text for text in told)


@pytest.mark.parametrize(("scale", "told"), [(1.0, False), (1 / 255, True)])
def test_an_image_scaled_twice_is_told(files, scale, told):
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("Mul", "x", net.const(1 / 255), out="inner")
    net.add("Conv", "inner", net.const(np.ones((1, 1, 1, 1))), out="map")
    (files / "m.onnx").write_bytes(net.finish("map").proto.SerializeToString())
    said = warnings_of(files, sigma=20.0, scale=scale, threshold="max:0.7")
    assert any("scaled twice" in text and "--scale 1 leaves it" in text for text in said) == told


def test_sixteen_bits_with_the_scale_of_eight_are_told(files):
    """The model rescales nothing, so nothing is scaled twice: the scale is that of another file."""
    Image.fromarray((np.arange(64).reshape(8, 8) * 400 + 12000).astype(np.uint16)).save(files / "deep.png")
    how = {"sigma": 3000.0, "scale": 1 / 255, "threshold": "max:0.7"}
    said = onnx_si.test(str(files / "m.onnx"), files / "deep.png", **how).warnings
    assert any("takes values from 0 to 255: is that --scale one for such a file" in text for text in said)


def test_a_method_written_otherwise(files):
    with pytest.raises(onnx_si.UsageError, match="did you mean gradcam"):
        onnx_si.test(str(files / "m.onnx"), files / "a.png", saliency="Grad-CAM", sigma=20.0, scale=1.0)


def test_a_rare_event_is_not_told_to_the_last_digit():
    words = in_words({**result_with(None), "p_value": 2.3e-8, "p_value_bounds": (2.3356e-8, 2.3356e-8)})
    assert "one in 43,000,000 images" in words


def test_a_finished_audit_leaves_no_lock(files):
    (files / "images").mkdir()
    (files / "a.png").rename(files / "images" / "a.png")
    where = [str(files / "m.onnx"), str(files / "images"), "--output", str(files / "out"), "--jobs", "0"]
    assert main(["audit", *where, "--sigma", "20", "--scale", "1", "--threshold", "max:0.7"]) == 0
    assert not (files / "out" / ".running").exists()
