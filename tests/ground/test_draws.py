"""What is drawn follows from the seed and the data: one seed serves a batch of images."""

import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si
from onnx_si.ground.seeds import generator

IMAGES = 500


def first(*arguments):
    return generator(*arguments).integers(2**60)


def test_a_generator_repeats_and_differs_with_each_of_its_data():
    image, reference = np.random.default_rng(0).normal(size=(2, 4, 4))
    assert first(3, image, reference) == first(3, image.copy(), reference.astype(np.float64))
    changed = image.copy()
    changed[0, 0] = np.nextafter(changed[0, 0], 1)
    others = [
        *(first(4, image, reference), first(3, reference, image), first(3, image), first(3)),
        *(first(3, changed, reference), first(3, image.reshape(2, 8), reference)),
    ]
    assert len({first(3, image, reference), *others}) == 1 + len(others)


def test_a_batch_with_one_seed_has_independent_p_values():
    """The extra noise of 500 null images: uniform p-values, and as many below 0.05 as there should be."""
    net = nets.Net(0, (1, 1, 3, 3))
    net.add("Conv", "x", net.const(np.ones((1, 1, 1, 1))), out="map")
    model = net.finish("map")
    images = np.random.default_rng(12).normal(size=(IMAGES, 1, 1, 3, 3))
    found = []
    for image in images:
        try:
            result = onnx_si.test(
                model, image, sigma=1.0, threshold=0.0, randomise=1.0, seed=3, verify=0, p_value_only=True
            )
        except onnx_si.NothingToTest:
            continue
        found.append(result.p_value)
    assert len(found) > 0.97 * IMAGES
    assert stats.kstest(found, "uniform").pvalue > 0.01
    low, high = stats.binom.ppf([0.005, 0.995], len(found), 0.05)
    assert low <= np.count_nonzero(np.array(found) <= 0.05) <= high


@pytest.mark.parametrize("options", [{"randomise": 0.5}, {"methods": ("permutation",)}])
def test_a_record_repeats_and_says_what_its_draws_follow_from(options):
    model = nets.map_net(seed=1, size=6)
    image = np.random.default_rng(4).normal(size=(1, 1, 6, 6))
    one, two = (
        onnx_si.test(model, image, sigma=1.0, threshold="max:0.5", seed=5, **options) for _ in range(2)
    )
    assert one.p_value == two.p_value and one.comparison == two.comparison
    assert one.config["seed"] == 5 and any(text.startswith("seed 5") for text in one.defaults)
