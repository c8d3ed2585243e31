"""How far maps are from an event: many at once, as each of them alone by its definition."""

import numpy as np
import pytest

from onnx_si.analysis.blackbox import NOWHERE, SMALLEST, Judge, counted, distances
from onnx_si.analysis.marking import Marker
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.maps import Threshold, top_region

SHAPE = (3, 4)
KINDS = [
    *(Threshold("value", 0.3), Threshold("max", 0.5), Threshold("minmax", 0.4)),
    *(Threshold("minmax", 0.5, chosen=True), Threshold("top", 0.3), Threshold("argmax", 0.5)),
]


def bound_of(values, threshold):
    """What a pixel has to exceed."""
    low, high, level = values.min(), values.max(), threshold.level
    match threshold.kind:
        case "value" | "argmax":
            return level
        case "max":
            return level * high
    if threshold.chosen and not low > level * high:
        return low - 1.0  # everything is the region
    return level * high + (1 - level) * low


def by_definition(shown, threshold, mask, observed):
    """Of a map whose threshold is no share of the pixels."""
    counting = np.ones(SHAPE, bool) if mask is None else mask
    off = shown - bound_of(shown[counting], threshold)
    wrong = ((off > 0) & counting) != observed
    if threshold.kind == "argmax":
        return np.count_nonzero(wrong)
    return max(np.abs(off)[wrong].max(), SMALLEST) if wrong.any() else -np.abs(off).min()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("threshold", KINDS, ids=str)
def test_many_as_one(threshold, masked):
    rng = np.random.default_rng(2)
    mask = rng.uniform(size=SHAPE) < 0.7 if masked else None
    maps = rng.normal(0.6, 0.4, size=(40, *SHAPE))
    maps[20:] = maps[0] + 0.02 * rng.normal(size=(20, *SHAPE))  # some have the region of the first
    maps[0:2], maps[5, 1, 1], maps[6, 0, 2], maps[7, 2, 2] = maps[0], np.nan, np.inf, -np.inf
    marker = Marker(model=None, tensor="", threshold=threshold, mask=mask, is_map=True)
    observed = marker.region_of(maps[0])
    event = (TopEvent if threshold.kind == "top" else RegionEvent)(observed)
    together = distances(marker, maps, event, counted(event, mask))
    alone = [distances(marker, shown[None], event, counted(event, mask))[0] for shown in maps]
    np.testing.assert_array_equal(together, alone)
    assert (together[5:8] == NOWHERE).all() and together[0] == together[1] <= 0
    for number in (*range(5), *range(8, 40)):
        if threshold.kind == "top":
            same = np.array_equal(top_region(maps[number], threshold, mask, mask), observed)
            assert (together[number] <= 0) == same
        else:
            assert together[number] == by_definition(maps[number], threshold, mask, observed)
    assert 1 < np.count_nonzero(together <= 0) < 40


@pytest.mark.parametrize("matters", ["everything", "the mask", "one pixel more"])
@pytest.mark.parametrize("threshold", KINDS, ids=str)
def test_what_is_made_once_for_a_line_changes_no_distance(threshold, matters):
    """With pixels exactly at the threshold, on both sides, and maps that are not finite."""
    rng = np.random.default_rng(3)
    mask = None if matters == "everything" else rng.uniform(size=SHAPE) < 0.7
    maps = rng.normal(0.6, 0.4, size=(30, *SHAPE)).round(1)  # many are equal, and at a level
    maps[10:] = maps[0]
    for number in range(10, 30):
        maps[number].flat[rng.integers(12)] = 0.3
    maps[5, 1, 1], maps[6, 0, 2] = np.nan, -np.inf
    marker = Marker(model=None, tensor="", threshold=threshold, mask=mask, is_map=True)
    observed = marker.region_of(maps[0])
    pixels = None if mask is None else mask.copy()
    if matters == "one pixel more":
        pixels.flat[np.flatnonzero(~mask)[0]] = True
    top = threshold.kind == "top"
    event = TopEvent(observed) if top else RegionEvent(observed, pixels)
    judge = Judge(marker, event, counted(event, mask))
    wanted = distances(marker, maps, event, counted(event, mask))
    np.testing.assert_array_equal(judge(maps), wanted)
    np.testing.assert_array_equal(judge(maps[10:]), wanted[10:])  # all of them finite
    np.testing.assert_array_equal(judge.holds(maps), wanted <= 0)
    np.testing.assert_array_equal(judge.holds(maps[10:]), wanted[10:] <= 0)
    assert wanted[0] <= 0 < wanted.max()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("level", [0.3, 0.7, 1 / 3])
@pytest.mark.parametrize("threshold", ["value", "max", "minmax"])
def test_pixels_next_to_a_threshold_that_their_type_does_not_hold(threshold, level, kind):
    """The numbers of a map's type around the threshold are each on their own side of it."""
    maps = np.tile(np.linspace(-1, 1, 12, dtype=kind).reshape(1, *SHAPE), (7, 1, 1))
    marker = Marker(model=None, tensor="", threshold=Threshold(threshold, level), mask=None, is_map=True)
    near = kind(bound_of(maps[0].astype(float), marker.threshold))
    for number, step in enumerate((-2, -1, 0, 1, 2)):
        value = near
        for _ in range(abs(step)):
            value = np.nextafter(value, kind(np.sign(step) * np.inf))
        maps[number, 1, 1] = value
    observed = marker.region_of(maps[4].astype(float))
    event = RegionEvent(observed)
    judge, wanted = (
        Judge(marker, event, counted(event, None)),
        distances(marker, maps.astype(float), event, counted(event, None)),
    )
    np.testing.assert_array_equal(judge.holds(maps), wanted <= 0)
    np.testing.assert_array_equal(judge.holds(maps), judge(maps) <= 0)
    assert judge.holds(maps)[4] and not judge.holds(maps)[0]


def test_a_threshold_beyond_the_largest_number_of_a_type():
    """A share above one of a large value: nothing exceeds it, and no warning is given."""
    maps = np.full((1, *SHAPE), 3e38, np.float32)
    marker = Marker(model=None, tensor="", threshold=Threshold("value", 1e39), mask=None, is_map=True)
    event = RegionEvent(np.zeros(SHAPE, bool))
    assert Judge(marker, event, counted(event, None)).holds(maps).tolist() == [True]
