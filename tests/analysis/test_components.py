"""One test for each connected component: the event, its validity, and Holm's procedure."""

import numpy as np
import pytest
from scipy import stats
from support import nets
from support.scenes import margin_program

import onnx_si
from onnx_si.analysis.components import component_event, holm
from onnx_si.report.region import component_masks
from onnx_si.search import SearchOptions, search
from onnx_si.statistics.hypotheses import HYPOTHESES, Data, all_pixels
from onnx_si.statistics.noise import Noise

KNOWN = Noise.scalar(1.0, "given", known=True)


def lone_pixels(count):
    """A row of pixels of which every second one is the map, so that every pixel is a component of its own."""
    net = nets.Net(0, (1, 1, 1, 2 * count))
    net.add("Mul", "x", net.const(np.tile([1.0, 0.0], count).reshape(1, 1, 1, -1)), out="map")
    return net.finish("map")


def closed_form(image, reference, share):
    """P-values (greater) of all components of max:share on lone pixels, given component and given region.

    Pixel i at z is x_i + (z - T_i) / 2, and T_i = x_i - r_i has variance 2. It is a component as long as it
    exceeds `share` times the others' maximum; the region stays as long as, besides, no other pixel is lost
    or won.
    """
    region = image > share * image.max()
    given_component, given_region = [], []
    for i in np.flatnonzero(region):
        others = np.delete(image, i)
        t = image[i] - reference[i]
        level = share * max(others.max(), 0)
        left_out = image[~region].max()
        low = t + 2 * (level - image[i])
        still_out = t + 2 * (left_out / share - image[i]) if left_out > level else -np.inf
        kept = np.delete(image, i)[np.delete(region, i)]
        high = t + 2 * (kept.min() / share - image[i]) if kept.size else np.inf
        tail, wide, tight, beyond = stats.norm.sf(np.array([t, low, max(low, still_out), high]) / np.sqrt(2))
        given_component.append(tail / wide)
        given_region.append((tail - beyond) / (tight - beyond))
    return given_component, given_region


@pytest.mark.parametrize("seed", range(6))
def test_p_values_are_those_worked_out_by_hand(seed):
    image, reference = np.random.default_rng(seed).normal(size=(2, 12))
    drawn = [np.stack([x, 0 * x], axis=1).reshape(1, 1, 1, -1) for x in (image, reference)]
    result = onnx_si.test(
        lone_pixels(12),
        *drawn,
        sigma=1.0,
        saliency="output:map",
        threshold="max:0.5",
        alternative="greater",
        components=True,
        precision=1e-8,
    )
    by_place = {
        int(np.argwhere(mask)[0][1]): test
        for mask, test in zip(component_masks(result.region), result.component_tests, strict=True)
    }
    tests = [by_place[place] for place in sorted(by_place)]
    given_component, given_region = closed_form(image, reference, 0.5)
    assert [test.p_value for test in tests] == pytest.approx(given_component, abs=1e-7)
    assert [test.p_value_adjusted for test in tests] == pytest.approx(holm(given_region), abs=1e-6)
    assert all(test.p_value_bounds[0] <= test.p_value <= test.p_value_bounds[1] for test in tests)


def test_holm_on_the_wider_events_would_fail_and_on_the_region_s_holds():
    """The number of components is known only given the region: strong pixels thin out their own family."""
    rng = np.random.default_rng(1)
    draws, level, false = 3000, 0.05, np.zeros(2)
    for _ in range(draws):
        p_values = closed_form(*rng.normal(size=(2, 100)), 0.8)
        false += [min(holm(each)) <= level for each in p_values]
    low, high = stats.binom.interval(0.999, draws, level)
    assert false[0] > 1.5 * level * draws
    assert false[1] <= high and false[1] > 0.4 * low


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_less_conditioning_is_valid_and_has_more_power(share):
    """The first pixel of twelve, whenever it is a component: without a signal, and with one."""
    rng, draws, level = np.random.default_rng(2), 4000, 0.05
    rates = {}
    for signal in (0.0, 2.5):
        found = []
        for _ in range(draws):
            image, reference = rng.normal(size=(2, 12))
            image[0] += signal
            if image[0] > share * image.max() > 0:
                given_component, given_region = closed_form(image, reference, share)
                found.append((given_component[0], given_region[0]))
        p_values = np.array(found).T
        rates[signal] = (p_values <= level).mean(axis=1)
        if not signal:
            low, high = stats.binom.interval(0.999, len(found), level)
            for each, rate in zip(p_values, rates[signal], strict=True):
                assert stats.kstest(each, "uniform").pvalue > 0.01
                assert low / len(found) <= rate <= high / len(found)
    given_component, given_region = rates[2.5]
    assert given_component > 1.1 * given_region


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_event_looks_at_the_component_and_what_touches_it():
    component = np.zeros((4, 5), np.bool_)
    component[1, 1:3] = True
    matters = component_event(component, None).matters
    rows = [".XX..", "XXXX.", ".XX..", "....."]
    assert ["".join(".X"[int(m)] for m in row) for row in matters] == rows
    counts = np.ones((4, 5), np.bool_)
    counts[0, 1] = False
    assert not component_event(component, counts).matters[0, 1]


def test_component_p_values_are_uniform_under_the_null():
    """The component that holds the middle pixel: a rule that looks at the component only."""
    net = nets.Net(2, (1, 1, 4, 4))
    weight = np.abs(net.rng.normal(size=(1, 1, 3, 3))) * 0.5
    weight[0, 0, 1, 1] = 2
    net.add("Relu", net.add("Conv", "x", net.const(weight), pads=[1, 1, 1, 1]), out="map")
    model, rng, found = net.finish("map"), np.random.default_rng(3), {"selective": [], "naive": []}
    while len(found["naive"]) < 160:
        image, reference = rng.normal(size=(2, 1, 1, 4, 4))
        program, margin, axes = margin_program(model, image, threshold="max:0.5")
        region = program.values[margin] > 0
        chosen = [mask for mask in component_masks(region) if mask[1, 1]]
        if not chosen:
            continue
        line = HYPOTHESES["mean"].line(
            Data(image=image, reference=reference, references=1, noise=KNOWN),
            axes.spread(chosen[0], image.shape),
        )
        event = component_event(chosen[0], None)
        p_values = search(
            program, margin, line, event, SearchOptions(alternative="greater", precision=1e-3)
        ).p_value_bounds
        found["selective"].append(np.mean(p_values))
        found["naive"].append(stats.norm.sf(line.statistic / line.standard_error))
    low, high = stats.binom.interval(0.999, 160, 0.05)
    assert stats.kstest(found["selective"], "uniform").pvalue > 0.01
    assert low <= np.sum(np.array(found["selective"]) <= 0.05) <= high
    assert np.sum(np.array(found["naive"]) <= 0.05) > 2 * high


def test_components_of_a_top_threshold_condition_on_the_region():
    image = np.random.default_rng(5).normal(size=(1, 1, 1, 24))
    result = onnx_si.test(
        lone_pixels(12), image, sigma=1.0, saliency="output:map", threshold="top:0.15", components=True
    )
    assert len(result.component_tests) == 3
    adjusted = holm([test.p_value for test in result.component_tests])
    assert [test.p_value_adjusted for test in result.component_tests] == pytest.approx(adjusted)


def test_a_component_without_a_ring_has_a_reason():
    image = np.random.default_rng(6).normal(size=(1, 1, 1, 24))
    image[0, 0, 0, [0, 8]] = 3.0
    mask = np.zeros((1, 24))
    mask[0, [0, 6, 7, 8, 9]] = 1  # the first pixel has no neighbour that may count
    result = onnx_si.test(
        lone_pixels(12),
        image,
        sigma=1.0,
        mask=mask,
        saliency="output:map",
        threshold=1.0,
        components=True,
        hypothesis="neighborhood",
    )
    parts = result.to_dict()["region"]["components"]
    assert [part["p_value"] is None for part in parts] == [True, False]
    assert "ring" in result.to_dict()["reasons"]["region.components.0.*"]
    assert parts[1]["p_value_adjusted"] is not None


@pytest.mark.parametrize("threshold, shift", [(0.0, 0.0), (None, 3.0)])
def test_a_component_that_touches_nothing_that_may_count_is_tested_given_the_region(threshold, shift):
    """Two pixels, neither of which is the other's neighbour: if both are marked there is no test at all, or
    another threshold, so that one of them says nothing of the images that are tested.
    """
    net = nets.Net(0, (1, 1, 1, 4))
    net.add("Identity", "x", out="map")
    model, rng, seen = net.finish("map"), np.random.default_rng(3), []
    options = {"threshold": threshold, "saliency": "output:map", "layout": "NCHW", "hypothesis": "background"}
    for _ in range(60):
        image = shift + rng.normal(size=net.shape)
        try:
            result = onnx_si.test(
                model,
                image,
                mask=[[1, 0, 0, 1]],
                sigma=1.0,
                components=True,
                alternative="greater",
                p_value_only=True,
                **options,
            )
        except onnx_si.NothingToTest:
            continue
        (one,) = result.component_tests
        assert one.p_value_bounds == pytest.approx(result.p_value_bounds, abs=1e-12)
        seen.append(one.p_value)
    assert len(seen) > 20 and stats.kstest(seen, "uniform").pvalue > 0.01


@pytest.mark.parametrize("largest, alike", [(3, True), (100, False)])
def test_where_a_region_may_be_too_large_for_a_test_components_are_tested_given_the_region(
    monkeypatch, largest, alike
):
    """Whether other pixels make the region too large decides whether the component's p-value is told."""
    monkeypatch.setattr(all_pixels, "LARGEST_BLOCK", largest)
    net = nets.Net(0, (1, 1, 1, 6))
    net.add("Identity", "x", out="map")
    image = np.array([2.0, 1.5, -3.0, -0.01, -1.0, -3.0]).reshape(net.shape)
    covariance = 0.3 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    result = onnx_si.test(
        net.finish("map"),
        image,
        np.zeros(net.shape),
        hypothesis="global",
        covariance=covariance,
        threshold=0.0,
        saliency="output:map",
        layout="NCHW",
        components=True,
        verify=0,
    )
    (one,) = result.component_tests
    assert (one.p_value_bounds == pytest.approx(result.p_value_bounds, abs=1e-12)) == alike
