"""Units, clipped values, data that is there twice: each is told, or refused, in its own words."""

import numpy as np
import pytest
from support import nets

import onnx_si
from onnx_si.errors import InputError

RNG = np.random.default_rng(210)
IMAGE = RNG.normal(128.0, 20.0, size=(16, 16))
MODEL = nets.map_net(seed=3, size=16)


def warned(image=IMAGE, reference=None, **options):
    return onnx_si.test(
        MODEL, image, reference, **{"sigma": 20.0, "scale": 1 / 255, "threshold": "minmax:0.5", **options}
    ).warnings


def doubted(warnings):
    """The warnings of this kind."""
    return [
        text for text in warnings if any(word in text for word in ("finest", "clipped", "value by value"))
    ]


@pytest.mark.parametrize("sigma", [0.08, 4000.0])
def test_a_sigma_in_other_units_is_told_with_both_numbers(sigma):
    (text,) = [text for text in warned(sigma=sigma) if "units" in text]
    assert f"sigma is {sigma:g}" in text and "sigma is in the file's units, before --scale" in text
    own = float(text.split("details give ")[1].split(",")[0])
    assert 15 < own < 25


@pytest.mark.parametrize("sigma", [20.0, 5.0, 80.0])
def test_a_sigma_that_may_be_right_is_not(sigma):
    assert not doubted(warned(sigma=sigma))


def test_the_noise_of_other_images_is_compared_too():
    (text,) = warned(sigma=None, noise_from=[RNG.normal(size=(16, 16)), RNG.normal(size=(16, 16))])
    assert "a factor of" in text


@pytest.mark.parametrize(
    ("low", "high", "words"), [(128.0, np.inf, "smallest, 128"), (0.0, 140.0, "largest, 140")]
)
def test_clipped_values(low, high, words):
    assert any(words in text for text in warned(np.clip(IMAGE, low, high)))


def test_clipped_values_that_a_mask_leaves_out_are_not_told():
    image, mask = IMAGE.copy(), np.ones((16, 16))
    image[:4], mask[:4] = 0.0, 0.0
    assert any("smallest, 0" in text for text in warned(image))
    assert not any("smallest" in text for text in warned(image, mask=mask))


def test_a_constant_image():
    options = {"threshold": "minmax:0.5", "hypothesis": "mean"}
    found = warned(np.full((16, 16), 7.0), RNG.normal(128.0, 20.0, size=(16, 16)), **options)
    assert any("every value of the image is 7" in text for text in found)


def test_a_reference_without_noise():
    assert any("reference 1 has next to no noise" in text for text in warned(IMAGE, np.full((16, 16), 128.0)))
    assert not doubted(warned(IMAGE, RNG.normal(128.0, 20.0, size=(16, 16))))


def test_the_same_data_twice():
    with pytest.raises(InputError, match="reference 1 is the image, value by value"):
        warned(IMAGE, IMAGE.copy())
    other = RNG.normal(128.0, 20.0, size=(16, 16))
    with pytest.raises(InputError, match="reference 2 is reference 1, value by value"):
        warned(IMAGE, [other, other])
    with pytest.raises(InputError, match="noise image 1 is the image, value by value"):
        warned(IMAGE, sigma=None, noise_from=IMAGE)


def test_not_a_number_under_a_mask():
    image, mask = IMAGE.copy(), np.ones((16, 16))
    image[3, 3], mask[3, 3] = np.nan, 0.0
    with pytest.raises(InputError, match="those under a mask too"):
        warned(image, mask=mask)
