"""A map that is nearly constant: the threshold is chosen between its ends, given that it was chosen."""

import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si

SHAPE = (1, 1, 4, 4)


def raised(height, opset=17):
    """A map of rectified values above a height."""
    net = nets.Net(3, SHAPE, opset=opset)
    x = net.add("Relu", net.conv("x", 1, 1))
    return net.finish(net.add("Add", x, net.const(np.full((1, 1, 1, 1), height)), out="map"))


def chosen_by_hand(shown):
    """The rule itself: its name and the region."""
    if (shown > 0.5 * shown.max()).all():
        return "minmax:0.5", shown > 0.5 * shown.max() + 0.5 * shown.min()
    return "max:0.5", shown > 0.5 * shown.max()


@pytest.mark.parametrize("opset", [7, 17])
@pytest.mark.parametrize("height", [2.2, 1e4])
def test_the_choice_stays_along_the_line(height, opset):
    """S is where rule and region are the observed ones, on a dense sample of the line."""
    model, seen = raised(height, opset), set()
    for number in range(8):
        image = np.random.default_rng(number).normal(size=SHAPE)
        result = onnx_si.test(model, image, sigma=1.0, precision=1e-9)
        shown = nets.value_of(model, image, "map")
        name, region = chosen_by_hand(shown)
        seen.add(name)
        assert result.saliency["threshold"] == name and result.guarantee == "exact"
        np.testing.assert_array_equal(result.region, region[0, 0])
        inside = region.astype(float)
        outside = 1 - inside
        eta = inside / inside.sum() - outside / outside.sum()
        direction = eta / (eta**2).sum()
        centre = (eta * image).sum()
        parts = [(float(low), float(high)) for low, high in result.truncation.to_list()]
        for z in centre + np.linspace(-3, 3, 201):
            moved = nets.value_of(model, image + direction * (z - centre), "map")
            same = chosen_by_hand(moved)
            holds = same[0] == name and np.array_equal(same[1], region)
            place = [low <= z <= high for low, high in parts]
            assert any(place) == holds or min(abs(z - end) for pair in parts for end in pair) < 1e-6
    assert height != 2.2 or seen == {"max:0.5", "minmax:0.5"}


def test_it_says_why_and_leaves_a_given_threshold_alone():
    model, image = raised(1e4), np.random.default_rng(1).normal(size=SHAPE)
    result = onnx_si.test(model, image, sigma=1.0)
    assert any("smallest value exceeds half of its largest" in line for line in result.defaults)
    with pytest.raises(onnx_si.NothingToTest, match=r"all 16 pixels pass the threshold max:0.5"):
        onnx_si.test(model, image, sigma=1.0, threshold="max:0.5")
    flat = nets.Net(0, SHAPE)
    flat = flat.finish(flat.add("Add", flat.add("Relu", "x"), flat.const(np.ones((1, 1, 1, 1))), out="map"))
    with pytest.raises(onnx_si.NothingToTest, match=r"no pixel passes the threshold minmax:0.5"):
        onnx_si.test(flat, -np.ones(SHAPE), sigma=1.0)


def test_p_values_are_uniform_where_the_choice_varies():
    model, found = raised(2.2), {"max:0.5": [], "minmax:0.5": []}
    rng = np.random.default_rng(7)
    for _ in range(600):
        result = onnx_si.test(model, rng.normal(size=SHAPE), sigma=1.0, p_value_only=True)
        found[result.saliency["threshold"]].append(result.p_value)
    for values in found.values():
        assert len(values) > 100
        assert stats.kstest(values, "uniform").pvalue > 0.01
