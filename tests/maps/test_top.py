"""Threshold `top:`: which pixels it takes, ties, masks, and its event against points of the line."""

import numpy as np
import pytest
from support import nets
from support.scenes import TINY, NoJudge, make_case

import onnx_si
from onnx_si.domains.event import TopEvent
from onnx_si.domains.piecewise.value import PiecewiseLinear
from onnx_si.domains.piecewise.verdict import verdict_on
from onnx_si.maps import parse_threshold, top_region


def largest(scores, k):
    """The k largest by sorting; values that tie with the next one are out."""
    order = np.sort(scores, axis=None)[::-1]
    return scores > order[k]


@pytest.mark.parametrize(("share", "pixels", "k"), [("0.29", 100, 29), ("0.1", 64, 6), ("0.7", 10, 7)])
def test_the_share_is_taken_as_it_was_written(share, pixels, k):
    """0.29 * 100 is 28.999... in floating point."""
    assert parse_threshold(f"top:{share}").count(pixels) == k


def test_less_than_one_pixel_is_refused():
    with pytest.raises(onnx_si.UsageError, match="less than one pixel"):
        parse_threshold("top:0.01").count(64)


def test_ties_are_outside():
    scores = np.array([3.0, 1.0, 1.0, 0.0])
    assert top_region(scores, parse_threshold("top:0.5"), None).tolist() == [True, False, False, False]
    assert top_region(scores, parse_threshold("top:0.75"), None).tolist() == [True, True, True, False]
    counts = np.array([False, True, True, True])
    assert top_region(scores, parse_threshold("top:0.7"), counts).tolist() == [False, True, True, False]


def members(case, share, z):
    """Whether the region at each point is the observed one, from the map alone."""
    k = parse_threshold(share).count(case.event.observed.size)
    margins = nets.margins_on(case.program, case.margin, case.line, z)
    regions = [largest(m, k) for m in margins]  # the map less one number has the same largest values
    return np.array([np.array_equal(region, case.event.observed.ravel()) for region in regions])


def relu_map(seed, size=5):
    """A map that is zero in many places."""
    net = nets.Net(seed, (1, 1, size, size))
    net.add("Relu", net.conv(net.add("Relu", net.conv("x", 1, 2)), 2, 1, shift=-0.1), out="map")
    return net.finish("map")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("make", "share"), [(nets.map_net, "top:0.15"), (nets.extremes_net, "top:0.3"), (relu_map, "top:0.6")]
)
def test_the_truncation_set_is_that_of_points_on_the_line(make, share, seed):
    model, rng = make(seed), np.random.default_rng([seed, 5])
    image, reference = rng.normal(size=(2, *model.inputs[0].shape))
    case = make_case(model, image, (reference,), threshold=share)
    if case is None:
        assert make is relu_map
        return
    found = case.search(TINY)
    se = case.line.standard_error
    z = case.line.statistic + np.concatenate([[0.0], np.linspace(-5, 5, 3001) * se])
    inside, unclear = ([s.contains(float(p)) for p in z] for s in (found.inside, found.undecided))
    ends = np.concatenate([found.inside.bounds.ravel(), found.undecided.bounds.ravel()])
    clear = ~np.array(unclear) & (np.abs(z[:, None] - ends).min(axis=1) > 1e-9)
    np.testing.assert_array_equal(np.array(inside)[clear], members(case, share, z)[clear])
    assert np.mean(clear) > 0.9


def test_a_tied_map_keeps_its_event():
    """More zeros than the share leaves out: the region is all that is positive while enough stay zero."""
    hit = 0
    for seed in range(12):
        model, rng = relu_map(seed), np.random.default_rng([seed, 5])
        image, reference = rng.normal(size=(2, 1, 1, 5, 5))
        case = make_case(model, image, (reference,), threshold="top:0.8")
        if case is not None and case.event.ties > 1:
            hit += 1
            result = onnx_si.test(model, image, reference, sigma=1.0, threshold="top:0.8")
            assert np.array_equal(result.region, result.saliency_map > 0)
            assert result.truncation.contains(result.statistic) and result.parity.pixels == ()
    assert hit >= 3


def test_ties_that_only_rounding_decides_are_not_decided():
    """Two others within rounding of the largest: neither tied for certain nor untied."""
    observed = np.array([True, False, False])
    event = TopEvent(observed, observed, ties=2)
    knots = np.array([0.0, 1.0])
    exact = verdict_on(event, PiecewiseLinear(knots, np.array([[1.0, 0.0, 0.0]] * 2)))
    assert exact.inside.tolist() == [[0.0, 1.0]] and not len(exact.unclear)
    nearly = verdict_on(event, PiecewiseLinear(knots, np.array([[1.0, 0.0, -0.5e-14]] * 2)), NoJudge())
    assert not len(nearly.inside) and nearly.unclear.tolist() == [[0.0, 1.0]]
    untied = verdict_on(event, PiecewiseLinear(knots, np.array([[1.0, 0.0, -0.1]] * 2)))
    assert not len(untied.inside) and not len(untied.unclear)


def test_a_map_that_ends_in_sigmoid_has_a_top():
    """A share does not change under an increasing function, so the logit serves."""
    model = nets.map_net(seed=1, size=5, last="Sigmoid")
    image = np.random.default_rng(3).normal(size=(1, 1, 5, 5))
    result = onnx_si.test(model, image, sigma=1.0, threshold="top:0.2")
    assert result.region.sum() == 5 and result.parity.pixels == ()
    assert result.saliency_map[result.region].min() > result.saliency_map[~result.region].max()


@pytest.mark.parametrize("threshold", ["max:0.5", "minmax:0.6", "top:0.3", "0.1"])
def test_only_pixels_that_may_count_decide(threshold):
    """Pixels outside the mask are in no region, no maximum, no share and no event."""
    model, rng = nets.map_net(seed=2, size=6), np.random.default_rng(4)
    image = rng.normal(size=(1, 1, 6, 6))
    mask = np.zeros((6, 6))
    mask[1:5, 1:5] = 1
    result = onnx_si.test(model, image, sigma=1.0, threshold=threshold, mask=mask)
    values = result.saliency_map[1:5, 1:5]
    kind, _, level = threshold.rpartition(":")
    level = float(level)
    expected = {
        "": values > level,
        "max": values > level * values.max(),
        "minmax": values > values.min() + level * np.ptp(values),
        "top": largest(values, int(level * 16)),
    }[kind]
    assert np.array_equal(result.region[1:5, 1:5], expected) and result.region.sum() == expected.sum()
    inside = image[0, 0][result.region].mean() - image[0, 0][~result.region & (mask > 0)].mean()
    assert result.statistic == pytest.approx(inside)
    assert result.parity.pixels == ()


def test_masks_that_do_not_fit_are_refused():
    model, image = nets.map_net(seed=2, size=6), np.random.default_rng(4).normal(size=(6, 6))
    for mask, words in (
        (np.ones((5, 6)), "shape"),
        (np.full((6, 6), np.nan), "NaN"),
        (np.eye(1, 36), "shape"),
    ):
        with pytest.raises(onnx_si.InputError, match=words):
            onnx_si.test(model, image, sigma=1.0, mask=mask)
    with pytest.raises(onnx_si.InputError, match="at least two"):
        onnx_si.test(model, image, sigma=1.0, mask=np.eye(1, 36).reshape(6, 6))


def test_chosen_channels_enter_the_statistic_only():
    net = nets.Net(4, (1, 3, 5, 5))
    net.conv("x", 3, 1)
    net.nodes[-1].output[0] = "map"
    model, rng = net.finish("map"), np.random.default_rng(5)
    image, reference = rng.normal(size=(2, 1, 3, 5, 5))
    options = {"sigma": 1.0, "threshold": "max:0.5"}
    every = onnx_si.test(model, image, reference, **options)
    chosen = onnx_si.test(model, image, reference, channels=(0, 2), **options)
    assert np.array_equal(every.region, chosen.region)
    difference = (image - reference)[0][:, every.region]
    assert every.statistic == pytest.approx(difference.mean())
    assert chosen.statistic == pytest.approx(difference[[0, 2]].mean())
    assert chosen.standard_error == pytest.approx(np.sqrt(2 / (2 * every.region.sum())))
    pixels = onnx_si.test(model, image, reference, hypothesis="global", channels=(1,), **options)
    assert pixels.degrees_of_freedom == every.region.sum()
    for wrong in ((3,), (-1,), ()):
        with pytest.raises(onnx_si.UsageError, match="channels"):
            onnx_si.test(model, image, reference, channels=wrong, **options)
