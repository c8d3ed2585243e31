"""Images without colours for models that take colours: the noise of three equal channels is one."""

import numpy as np
import onnx
import pytest
from support import nets

import onnx_si

RNG = np.random.default_rng(3)
FILTERS = RNG.normal(size=(1, 3, 3, 3))
IMAGE = RNG.normal(size=(8, 8))
IMAGE[2:5, 2:5] += 1
HOW = {"sigma": 1.0, "threshold": "max:0.5"}


def coloured(channels=3, repeated=False):
    """A model that takes colours; `repeated`: one channel, which it gives to each."""
    net = nets.Net(0, (1, 1 if repeated else channels, 8, 8))
    x = net.add("Concat", *["x"] * channels, axis=1) if repeated else "x"
    net.add("Conv", x, net.const(FILTERS[:, :channels]), pads=[1, 1, 1, 1], out="map")
    return net.finish("map")


@pytest.mark.parametrize(
    "image",
    [IMAGE, IMAGE[None], IMAGE[None, None], np.stack([IMAGE] * 3), np.stack([IMAGE] * 3, -1)],
    ids=lambda image: "x".join(map(str, image.shape)),
)
@pytest.mark.parametrize("how", [{}, {"mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 3.0)}])
def test_one_channel_on_each(image, how):
    found = onnx_si.test(coloured(), image, **HOW, **how, gray=True)
    if how:  # the same in front of the repeating model: factors of the filters
        mean, std = (np.array(how[name])[:, None, None] for name in ("mean", "std"))
        net = nets.Net(0, (1, 1, 8, 8))
        x = net.add("Sub", net.add("Concat", "x", "x", "x", axis=1), net.const(mean))
        net.add("Conv", net.add("Div", x, net.const(std)), net.const(FILTERS), pads=[1, 1, 1, 1], out="map")
        wanted = onnx_si.test(net.finish("map"), IMAGE, **HOW)
    else:
        wanted = onnx_si.test(coloured(repeated=True), IMAGE, **HOW)
    assert np.array_equal(found.region, wanted.region)
    assert found.p_value == pytest.approx(wanted.p_value, rel=1e-6)
    assert found.parity.agreeing == found.parity.points


def test_sizes_in_space_change_as_well():
    image = np.kron(IMAGE, np.ones((2, 2)))
    found = onnx_si.test(coloured(), image, **HOW, gray=True, resize_input="nearest")
    wanted = onnx_si.test(coloured(repeated=True), image, **HOW, resize_input="nearest")
    assert found.p_value == pytest.approx(wanted.p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("image", "how", "words"),
    [
        (np.stack([IMAGE] * 3), {}, "channels 0 and 1 of the image are the same.*--gray"),
        (np.stack([IMAGE, -IMAGE, IMAGE]), {}, "channels 0 and 2 of the image are the same"),
        (IMAGE, {}, "it has 1, the model takes 3; --gray"),
        (np.stack([IMAGE, IMAGE, -IMAGE]), {"gray": True}, "3 channels that differ"),
    ],
)
def test_what_is_refused(image, how, words):
    with pytest.raises(onnx_si.InputError, match=words):
        onnx_si.test(coloured(), image, **HOW, **how)


def test_a_model_of_one_channel_takes_no_such_option():
    with pytest.raises(onnx_si.UsageError, match="--gray gives one channel to a model that takes several"):
        onnx_si.test(coloured(repeated=True), IMAGE, **HOW, gray=True)


def test_channels_that_a_covariance_ties_are_tested():
    """Whoever states how channels go together may have equal ones."""
    joint = np.kron(np.full((3, 3), 0.999) + 0.001 * np.eye(3), np.eye(64))
    found = onnx_si.test(coloured(), np.stack([IMAGE] * 3), threshold="max:0.5", covariance=joint)
    wanted = onnx_si.test(coloured(), IMAGE, **HOW, gray=True)
    assert found.p_value == pytest.approx(wanted.p_value, abs=2e-3)


@pytest.mark.parametrize(("share", "told"), [(0.02, True), (10.0, False)])
def test_channels_of_hardly_another_noise_are_told(share, told):
    net = nets.Net(0, (1, 3, 32, 32))
    net.add("Conv", "x", net.const(FILTERS), pads=[1, 1, 1, 1], out="map")
    rng = np.random.default_rng(5)
    image = rng.normal(size=(32, 32)) + share * rng.normal(size=(3, 32, 32))
    warnings = onnx_si.test(net.finish("map"), image, sigma=1.0 + share, threshold="max:0.5").warnings
    assert any("go together" in text for text in warnings) == told


def test_noise_of_gray_images_has_its_level():
    """Pure noise saved in colour: as one channel 5 of 100, where three independent ones would give 30."""
    net = nets.Net(0, (1, 3, 8, 8))
    net.add("Conv", "x", net.const(np.full((1, 3, 1, 1), 1 / 3)), out="map")
    model, rng, small = net.finish("map"), np.random.default_rng(7), []
    analysis = onnx_si.prepare(model, sigma=1.0, threshold=0.8, gray=True, p_value_only=True)
    for _ in range(120):
        small.append(analysis.test(np.stack([rng.normal(size=(8, 8))] * 3)).p_value <= 0.2)
    assert 0.09 <= np.mean(small) <= 0.33


def test_files_in_colour(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = (128 + 20 * IMAGE).clip(0, 255).astype(np.uint8)
    image.fromarray(pixels).save(tmp_path / "gray.png")
    image.fromarray(np.stack([pixels] * 3, -1)).save(tmp_path / "colour.png")
    onnx.save(coloured().proto, tmp_path / "m.onnx")
    found = [
        onnx_si.test(
            str(tmp_path / "m.onnx"),
            tmp_path / name,
            sigma=20.0,
            scale=1.0,
            threshold="minmax:0.6",
            gray=True,
        )
        for name in ("gray.png", "colour.png")
    ]
    assert found[0].p_value == found[1].p_value
