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


@pytest.mark.parametrize(
    "noise",
    [
        {"covariance": np.ones((1, 1, 16, 16))},
        {"covariance": np.eye(256)},
        {"covariance": {"H": np.eye(16), "W": np.eye(16)}},
        {"noise": "poisson:0.001"},
        {"noise": "rician:0.1"},
    ],
    ids=["diagonal", "full", "separable", "poisson", "rician"],
)
def test_a_noise_that_is_no_one_number_is_compared_too(noise):
    (text,) = [text for text in warned(sigma=None, **noise) if "units" in text]
    assert "the stated noise has finest details of" in text


@pytest.mark.parametrize(
    "noise",
    [{"covariance": np.full((1, 1, 16, 16), 400.0)}, {"noise": "poisson:3"}],
    ids=["diagonal", "poisson"],
)
def test_such_a_noise_that_may_be_right_is_not(noise):
    assert not doubted(warned(sigma=None, **noise))


def test_smooth_noise_of_the_stated_covariance_is_not_doubted():
    """Its finest details are small, as the covariance says."""
    distance = np.abs(np.arange(16)[:, None] - np.arange(16))
    rows = 400.0 * np.exp(-((distance / 4) ** 2)) + 1e-3 * np.eye(16)
    columns = np.exp(-((distance / 4) ** 2)) + 1e-6 * np.eye(16)
    white = np.random.default_rng(3).normal(size=(16, 16))
    image = 128 + np.linalg.cholesky(rows) @ white @ np.linalg.cholesky(columns).T
    assert not doubted(warned(image, sigma=None, covariance={"H": rows, "W": columns}))


def test_pixels_outside_the_mask_say_nothing_of_the_noise():
    """Estimated, and compared: a dark frame around the object has no noise, or another."""
    image, mask = RNG.normal(0.0, 0.01, size=(32, 32)), np.zeros((32, 32))
    image[10:26, 10:26] += RNG.normal(128.0, 20.0, size=(16, 16))
    mask[10:26, 10:26] = 1
    model = nets.map_net(seed=3, size=32)
    how = {"scale": 1 / 255, "threshold": "minmax:0.5", "mask": mask}
    assert 14 < onnx_si.test(model, image, **how).to_dict()["noise"]["std"] < 28
    assert not doubted(onnx_si.test(model, image, sigma=20.0, **how).warnings)
    assert doubted(onnx_si.test(model, image, sigma=0.01, **how).warnings)


def test_empty_pixels_say_nothing_of_the_noise():
    image = RNG.normal(128.0, 20.0, size=(32, 32))
    image[:13] = 0.0
    found = onnx_si.test(nets.map_net(seed=3, size=32), image, scale=1 / 255, threshold="minmax:0.5")
    assert 15 < found.to_dict()["noise"]["std"] < 26


def test_a_reference_in_other_units_or_clipped_is_told():
    other = RNG.normal(128.0, 20.0, size=(16, 16))
    assert any("reference 1 has much more noise" in text for text in warned(reference=255 * other))
    assert any(
        "1. reference's values are its largest" in text for text in warned(reference=other.clip(0, 140))
    )
    assert not doubted(warned(reference=other))


def test_images_of_noise_without_noise_are_refused():
    noisy = [RNG.normal(128.0, 20.0, size=(16, 16)) for _ in range(2)]
    with pytest.raises(InputError, match="noise image 2 is 0 everywhere: there is no noise in it"):
        warned(sigma=None, noise_from=[noisy[0], np.zeros((16, 16))])
    with pytest.raises(InputError, match="noise image 2 is noise image 1, value by value"):
        warned(sigma=None, noise_from=[noisy[0], noisy[0]])


def test_a_masked_array_is_refused():
    with pytest.raises(onnx_si.UsageError, match="image: a masked array; give its values, and mask="):
        warned(np.ma.masked_less(IMAGE, 100))
    assert warned(np.ma.masked_less(IMAGE, -1e9)) == warned()


def test_where_nothing_is_marked_the_warnings_are_in_the_document():
    from onnx_si.analysis.outcome import refusal

    options = {"sigma": 0.08, "scale": 1 / 255, "threshold": 1e9}
    with pytest.raises(onnx_si.NothingToTest) as caught:
        onnx_si.test(MODEL, IMAGE, **options)
    document = refusal(caught.value, MODEL, has_reference=False, **options).to_dict()
    assert any("sigma is 0.08" in text for text in document["warnings"])
