"""Connected components are those of scipy, in its order."""

import numpy as np
import pytest
import scipy.ndimage

from onnx_si.kernels.labels import connected


@pytest.mark.parametrize("shape", [(40,), (23, 31), (9, 8, 11), (1, 1), (0, 3)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.55, 0.8, 1.0])
def test_they_are_those_of_scipy(shape, share):
    region = np.random.default_rng(1).random(shape) < share
    labels, count = scipy.ndimage.label(region)
    found = connected(region)
    assert len(found) == count
    for number, mask in enumerate(found, start=1):
        assert np.array_equal(mask, labels == number)


def test_a_long_way_round_is_one_component():
    """A snake through all of the region, forwards and backwards."""
    region = np.ones((41, 30), np.bool_)
    region[1::4, :-1] = region[3::4, 1:] = False
    assert len(connected(region)) == 1
