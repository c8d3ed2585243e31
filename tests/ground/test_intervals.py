"""Unions of intervals against a boolean oracle on unit cells, and against plain Python on floats."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnx_si.ground.intervals import Intervals

pytestmark = pytest.mark.filterwarnings("error")

INF = math.inf
REACH = 8

# The line cut at the integers: a left ray, 2 * REACH unit cells, a right ray.
EDGES = np.array([-INF, *range(-REACH, REACH + 1), INF])
CELLS = len(EDGES) - 1

ends = st.one_of(st.integers(-REACH, REACH).map(float), st.sampled_from([-INF, INF]))
pair_lists = st.lists(st.tuples(ends, ends), max_size=12)
reals = st.floats(-1e6, 1e6)
float_pair_lists = st.lists(st.tuples(reals, reals), max_size=30)


def covered(pairs):
    """Tell which cells a list of pairs covers, one comparison per cell and pair."""
    return np.array(
        [any(lo <= EDGES[k] and EDGES[k + 1] <= hi for lo, hi in pairs) for k in range(CELLS)], dtype=bool
    )


def runs(cells):
    """List the intervals that a boolean array of cells stands for."""
    found, start = [], None
    for k, on in enumerate([*cells, False]):
        if on and start is None:
            start = EDGES[k]
        if not on and start is not None:
            found.append((start, EDGES[k]))
            start = None
    return found


def assert_is(intervals, cells):
    """Check for the same set in the one canonical form: sorted, disjoint, touching merged, no points."""
    assert list(intervals) == runs(cells)
    assert intervals == Intervals.of(runs(cells))


@given(pair_lists)
def test_of_matches_the_cells(pairs):
    assert_is(Intervals.of(pairs), covered(pairs))


@given(pair_lists, pair_lists)
def test_set_operations_match_the_cells(first, second):
    a, b = Intervals.of(first), Intervals.of(second)
    in_a, in_b = covered(first), covered(second)
    assert_is(a.union(b), in_a | in_b)
    assert_is(a.intersect(b), in_a & in_b)
    assert_is(a.subtract(b), in_a & ~in_b)
    assert_is(a.complement(), ~in_a)


@given(float_pair_lists, st.lists(reals, min_size=1, max_size=20))
def test_contains_matches_a_scan(pairs, points):
    intervals = Intervals.of(pairs)
    kept = [(lo, hi) for lo, hi in pairs if lo < hi]
    # The ends themselves are the points where a closed and an open interval differ.
    for z in [*points, *(end for pair in kept for end in pair)]:
        assert intervals.contains(z) == any(lo <= z <= hi for lo, hi in kept)


@given(pair_lists, st.sampled_from([-4.0, -1.0, -0.5, 0.25, 1.0, 2.0]), st.integers(-5, 5))
def test_scaled_maps_the_ends(pairs, factor, shift):
    intervals = Intervals.of(pairs)
    expected = sorted(tuple(sorted((factor * lo + shift, factor * hi + shift))) for lo, hi in intervals)
    assert list(intervals.scaled(factor, shift)) == expected


@given(float_pair_lists, float_pair_lists)
def test_algebra_on_floats(first, second):
    a, b = Intervals.of(first), Intervals.of(second)
    assert a.complement().complement() == a
    assert a.intersect(b).union(a.subtract(b)) == a
    assert a.union(b).complement() == a.complement().intersect(b.complement())


@pytest.mark.parametrize("count", [20_000])
def test_many_intervals(count):
    rng = np.random.default_rng(7)
    lo = rng.uniform(-100, 100, (2, count))
    pairs = np.stack([lo, lo + rng.exponential(2e-3, (2, count))], axis=2)
    a, b = Intervals.of(pairs[0]), Intervals.of(pairs[1])
    assert min(len(a), len(b), len(a.intersect(b)), len(a.subtract(b))) > 1000
    points = rng.uniform(-100, 100, 4000)
    in_a, in_b = (
        ((pairs[k][:, 0] <= points[:, None]) & (points[:, None] <= pairs[k][:, 1])).any(axis=1)
        for k in (0, 1)
    )
    for result, expected in (
        (a, in_a),
        (a.union(b), in_a | in_b),
        (a.intersect(b), in_a & in_b),
        (a.subtract(b), in_a & ~in_b),
        (a.complement(), ~in_a),
    ):
        assert [result.contains(z) for z in points] == expected.tolist()


def test_small_surface():
    both = Intervals.of([(3, 4), (0, 1), (1, 2), (5, 5), (7, 6)])
    assert both.to_list() == [[0.0, 2.0], [3.0, 4.0]]
    assert list(both) == [(0.0, 2.0), (3.0, 4.0)]
    assert len(both) == 2 and bool(both)
    assert not Intervals.empty() and len(Intervals.empty()) == 0
    assert Intervals.line().to_list() == [[-INF, INF]]
    assert Intervals.line().complement() == Intervals.empty()
    assert both != Intervals.line() and both != [(0.0, 2.0), (3.0, 4.0)]
    assert hash(Intervals.of([(-0.0, 1)])) == hash(Intervals.of([(0.0, 1)]))


def test_values_are_frozen():
    source = np.array([[0.0, 1.0]])
    intervals = Intervals(source)
    source[0, 0] = -5.0
    assert intervals.to_list() == [[0.0, 1.0]]
    with pytest.raises(ValueError, match="read-only"):
        intervals.bounds[0, 0] = 2.0
    with pytest.raises(AttributeError):
        intervals.bounds = source


@pytest.mark.parametrize(
    "bounds", [[[1, 0]], [[0, 0]], [[0, 1], [1, 2]], [[2, 3], [0, 1]], [[0, math.nan]], [0, 1], [[0, 1, 2]]]
)
def test_bounds_out_of_form_are_refused(bounds):
    with pytest.raises(ValueError, match="increases strictly"):
        Intervals(np.array(bounds, dtype=float))


def test_bad_pairs_and_maps_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        Intervals.of([(0.0, math.nan)])
    with pytest.raises(ValueError, match="pairs"):
        Intervals.of(np.zeros((2, 3)))
    for factor, shift in ((0.0, 1.0), (INF, 0.0), (math.nan, 0.0), (1.0, INF)):
        with pytest.raises(ValueError, match="affine"):
            Intervals.line().scaled(factor, shift)
