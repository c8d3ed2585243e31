"""The exact domain: knots, jumps, merging, splitting, refining, handovers, against values at points."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import nets
from support.scenes import draw_case

from onnx_si.domains.piecewise import crossings, envelope, kinks
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.crossings import Crossings, refine, zero_crossings
from onnx_si.domains.piecewise.value import PiecewiseLinear, from_pieces, interpolate, line_segment, merge
from onnx_si.domains.walker import NeedsSplit, Tally, walk
from onnx_si.ops.activation import clip, relu
from onnx_si.rules.registry import Variable
from onnx_si.rules.rules import Affine, Gated, Kinked, Maximum, Step, Winner

ZERO = (np.zeros(()),)
RELU = Kinked(lambda x: np.maximum(x, 0.0), ZERO)
ABS = Kinked(np.abs, ZERO)


def function(knots, values):
    knots = np.asarray(knots, dtype=np.float64)
    return PiecewiseLinear(knots, np.asarray(values, dtype=np.float64).reshape(len(knots), -1))


def limits(f, z):
    """Values from the left and from the right of a point, by plain interpolation."""
    left = np.searchsorted(f.knots, z, "left")
    right = np.searchsorted(f.knots, z, "right")
    if left < right:
        return f.values[left], f.values[right - 1]
    share = (z - f.knots[left - 1]) / (f.knots[left] - f.knots[left - 1])
    value = (1 - share) * f.values[left - 1] + share * f.values[left]
    return value, value


def at(f, z):
    """Value at a point where f does not jump."""
    left, right = limits(f, z)
    np.testing.assert_array_equal(left, right)
    return left


def between(*fs):
    """Points strictly between all knots."""
    knots = np.unique(np.concatenate([f.knots for f in fs]))
    return 0.5 * (knots[1:] + knots[:-1])


# --------------------------------------------------------------------------------
# Strategies

PLACES = st.integers(-20, 20).map(lambda n: n / 4)
NUMBERS = st.integers(-40, 40).map(lambda n: n / 8)


@st.composite
def functions(draw, size=2, jumps=True):
    """A piecewise-linear function on [-6, 6]; knots on a grid, so that those of two often coincide."""
    inner = sorted(draw(st.lists(PLACES, max_size=5, unique=True)))
    doubled = [draw(st.integers(1, 2)) if jumps else 1 for _ in inner]
    knots = np.array([-6.0, *np.repeat(inner, doubled), 6.0])
    return PiecewiseLinear(knots, draw(hnp.arrays(np.float64, (len(knots), size), elements=NUMBERS)))


# --------------------------------------------------------------------------------
# merge


def test_merge_keeps_functions_with_the_same_knots_as_they_are():
    f, g = function([0, 1, 1, 2], [0, 1, 5, 6]), function([0, 1, 1, 2], [3, 3, 4, 4])
    assert all(before is after for before, after in zip((f, g), merge([f, g]), strict=True))


def test_a_jump_of_one_is_a_double_knot_of_all():
    jump, smooth = function([0, 1, 1, 2], [0, 0, 1, 1]), function([0, 2], [0, 4])
    a, b = merge([jump, smooth])
    assert a.knots.tolist() == b.knots.tolist() == [0, 1, 1, 2]
    assert a.values.ravel().tolist() == [0, 0, 1, 1]
    assert b.values.ravel().tolist() == [0, 2, 2, 4]


def test_a_knot_at_a_jump_of_the_other_is_doubled_too():
    _, b = merge([function([0, 1, 1, 2], [0, 0, 1, 1]), function([0, 1, 2], [0, 3, 0])])
    assert b.knots.tolist() == [0, 1, 1, 2] and b.values.ravel().tolist() == [0, 3, 3, 0]


def test_two_jumps_at_one_place_are_one_double_knot():
    a, b = merge([function([0, 1, 1, 2], [0, 0, 1, 1]), function([0, 0.5, 1, 1, 2], [0, 0, 2, -2, 0])])
    assert a.knots.tolist() == b.knots.tolist() == [0, 0.5, 1, 1, 2]
    assert a.values.ravel().tolist() == [0, 0, 0, 1, 1]


@given(st.lists(functions(), min_size=2, max_size=3))
def test_merging_changes_no_value(fs):
    merged = merge(fs)
    knots = merged[0].knots
    assert np.all(np.diff(knots) >= 0) and np.unique(knots, return_counts=True)[1].max() <= 2
    assert set(knots) == set(np.concatenate([f.knots for f in fs]))
    for before, after in zip(fs, merged, strict=True):
        assert np.array_equal(after.knots, knots)
        for z in knots:
            np.testing.assert_allclose(limits(after, z), limits(before, z), atol=1e-12)
        for z in between(*fs):
            np.testing.assert_allclose(at(after, z), at(before, z), atol=1e-12)


# --------------------------------------------------------------------------------
# split


def test_split_between_knots():
    left, right = function([0, 2], [0, 4]).split(0.5)
    assert left.knots.tolist() == [0, 0.5] and left.values.ravel().tolist() == [0, 1]
    assert right.knots.tolist() == [0.5, 2] and right.values.ravel().tolist() == [1, 4]


def test_split_at_a_knot_shares_it():
    left, right = function([0, 1, 2], [0, 7, 1]).split(1.0)
    assert left.values.ravel().tolist() == [0, 7] and right.values.ravel().tolist() == [7, 1]


def test_split_at_a_jump_parts_the_limits():
    left, right = function([0, 1, 1, 2], [0, 3, 8, 9]).split(1.0)
    assert left.knots.tolist() == [0, 1] and left.values.ravel().tolist() == [0, 3]
    assert right.knots.tolist() == [1, 2] and right.values.ravel().tolist() == [8, 9]


@given(functions(), st.integers(-23, 23))
def test_both_parts_of_a_split_are_the_function(f, quarter):
    z = quarter / 4
    left, right = f.split(z)
    assert (
        left.knots[0] == f.knots[0]
        and left.knots[-1] == right.knots[0] == z
        and right.knots[-1] == f.knots[-1]
    )
    assert not (left.knots[:-1] == z).any() and not (right.knots[1:] == z).any()
    np.testing.assert_allclose(left.values[-1], limits(f, z)[0], atol=1e-12)
    np.testing.assert_allclose(right.values[0], limits(f, z)[1], atol=1e-12)
    for part in (left, right):
        for point in between(part):
            np.testing.assert_allclose(at(part, point), at(f, point), atol=1e-12)


# --------------------------------------------------------------------------------
# refine


def places(interval, element, at):
    slope = np.ones(len(interval))
    return Crossings(
        interval=np.array(interval, np.intp),
        element=np.array(element, np.intp),
        at=np.array(at, np.float64),
        slope=slope,
    )


def test_crossings_at_one_place_share_a_knot():
    refinement = refine(
        np.array([0.0, 1.0, 2.0]), places([1, 0, 0, 1], [0, 1, 2, 3], [1.5, 0.25, 0.25, 1.25])
    )
    assert refinement.knots.tolist() == [0, 0.25, 1, 1.25, 1.5, 2]
    assert refinement.knots[refinement.position].tolist() == [1.5, 0.25, 0.25, 1.25]
    assert refinement.old.tolist() == [0, 2, 5] and refinement.new.tolist() == [1, 3, 4]


def test_a_crossing_that_rounds_to_an_end_uses_the_knot_that_is_there():
    knots = np.array([0.0, 1.0, 2.0])
    refinement = refine(knots, places([0, 1, 1], [0, 1, 2], [1.0, 1.0, 2.0]))
    assert refinement.knots.tolist() == [0, 1, 2]
    assert refinement.position.tolist() == [1, 1, 2]


def test_crossings_on_both_sides_of_a_jump_stay_apart():
    """An end of the left interval is the left limit, an end of the right one the right limit."""
    knots = np.array([0.0, 1.0, 1.0, 2.0])
    refinement = refine(knots, places([0, 2, 2], [0, 0, 0], [1.0, 1.0, 1.5]))
    assert refinement.knots.tolist() == [0, 1, 1, 1.5, 2]
    assert refinement.position.tolist() == [1, 2, 3]


@given(functions(), st.data())
def test_refining_changes_no_value_and_keeps_jumps(f, data):
    real = np.nonzero(np.diff(f.knots) > 0)[0]
    interval = np.array(data.draw(st.lists(st.sampled_from(list(real)), max_size=8)), dtype=np.intp)
    share = (
        np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(interval), max_size=len(interval)))) / 4
    )
    spots = f.knots[interval] + share * (f.knots[interval + 1] - f.knots[interval])
    refinement = refine(
        f.knots,
        Crossings(interval=interval, element=np.zeros_like(interval), at=spots, slope=np.ones(len(spots))),
    )
    refined = refinement(f)
    assert np.all(np.diff(refined.knots) >= 0)
    assert np.array_equal(refined.knots[refinement.position], spots)
    assert np.array_equal(refined.values[refinement.old], f.values)
    assert np.array_equal(refined.knots[refinement.old], f.knots)
    assert len(np.unique(np.concatenate([refinement.old, refinement.new]))) == len(refined.knots)
    # knots are doubled where they were, and nowhere else
    assert len(refined.knots) - len(np.unique(refined.knots)) == len(f.knots) - len(np.unique(f.knots))
    # the position is inside its own interval: between the two old knots
    assert np.all(refinement.position >= refinement.old[interval])
    assert np.all(refinement.position <= refinement.old[interval + 1])
    for z in refined.knots:
        np.testing.assert_allclose(limits(refined, z), limits(f, z), atol=1e-12)


# --------------------------------------------------------------------------------
# Crossings of zero, kinks, plateaus


def test_a_switch_that_only_touches_zero_does_not_cross():
    switch = np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, -1.0, 0.0]])
    assert len(zero_crossings(np.array([0.0, 1.0, 2.0]), switch).at) == 0


def test_no_crossing_inside_a_jump():
    found = zero_crossings(np.array([0.0, 1.0, 1.0, 2.0]), np.array([[1.0], [1.0], [-1.0], [1.0]]))
    assert found.interval.tolist() == [2] and found.at.tolist() == [1.5]


def test_a_crossing_far_below_the_spacing_of_knots_stays_inside():
    low = 1e6
    knots = np.array([low, np.nextafter(low, np.inf)])
    found = zero_crossings(knots, np.array([[1e-30], [-1.0]]))
    assert knots[0] <= found.at[0] <= knots[1]


def test_relu_by_hand():
    f = function([0, 4], [[-1.0, 2.0], [3.0, -2.0]])  # zero at 1 and at 2
    y = ExactDomain().apply(RELU, [f])
    assert y.knots.tolist() == [0, 1, 2, 4]
    assert y.values.tolist() == [[0, 2], [0, 1], [1, 0], [3, 0]]


def test_a_kink_stands_exactly_on_its_breakpoint():
    """The value there is the breakpoint itself, so that the next op sees a zero and no sign of rounding."""
    rng = np.random.default_rng(0)
    f = PiecewiseLinear(np.array([-1.1, 0.3, 2.7]), rng.normal(size=(3, 200)))
    y = ExactDomain().apply(RELU, [f])
    crossing = (f.values[:-1] * f.values[1:] < 0).sum()
    assert len(y.knots) == 3 + crossing > 100
    # after Relu every element is exactly zero at its own kink: as many exact zeros beside a positive value
    kinks = (y.values[1:-1] == 0) & ((y.values[:-2] > 0) != (y.values[2:] > 0))
    assert kinks.sum() >= crossing


def test_a_plateau_is_exactly_flat_after_knots_of_other_elements():
    """Relu's zero and Clip's ends stay what they are at every knot that other elements bring in."""
    rng = np.random.default_rng(1)
    f = line_segment(rng.normal(size=300), rng.normal(size=300), -3.0, 3.0)
    clip = Kinked(lambda x: np.minimum(np.maximum(x, -0.3), 0.7), (np.asarray(-0.3), np.asarray(0.7)))
    y = ExactDomain().apply(clip, [f])
    assert len(y.knots) > 300
    truth = f.values[0] + (f.values[1] - f.values[0]) * ((y.knots - f.knots[0]) / 6)[:, None]
    assert np.all(y.values[truth < -0.3 - 1e-12] == -0.3)
    assert np.all(y.values[truth > 0.7 + 1e-12] == 0.7)
    z = ExactDomain().apply(RELU, [ExactDomain().apply(RELU, [f])])
    refined, _ = merge([z, function([-3, -1.7, 0.1, 3], np.zeros(4))])
    truth = f.values[0] + (f.values[1] - f.values[0]) * ((refined.knots - f.knots[0]) / 6)[:, None]
    assert np.all(refined.values[truth < -1e-12] == 0)


@pytest.mark.parametrize("rule", [relu(None), clip(Variable((70, 80)), np.asarray(-0.3), np.asarray(0.7))])
def test_large_rows_get_the_same_bits_one_by_one(rule, monkeypatch):
    """With infinite elements among them, jumps, and the columns looked at in blocks."""
    rng, knots = np.random.default_rng(2), np.array([-1.0, 0.25, 0.25, 2.0, 3.0])
    values = np.repeat(rng.normal(size=(1, 70, 80)), 5, axis=0)
    values[:, ::7, ::5] = rng.normal(size=(5, 10, 16))  # the others stay what they are
    values[:, 3, 4], values[:, 5, 6] = np.inf, -np.inf
    monkeypatch.setattr(crossings, "BLOCK_BYTES", 1000)
    ours = ExactDomain().apply(rule, [PiecewiseLinear(knots, values)])
    monkeypatch.setattr(crossings, "BLOCK_BYTES", 1 << 30)
    plain = replace(rule, uniform=False)
    expected = ExactDomain().apply(plain, [PiecewiseLinear(knots, values)])
    assert rule.uniform and values[0].size > kinks.LEAST_ROW and len(ours.knots) > 100
    np.testing.assert_array_equal(ours.knots, expected.knots)
    np.testing.assert_array_equal(ours.values, expected.values)


def test_no_kink_writes_into_what_it_is_given():
    values = np.array([[-1.0, 2.0], [1.0, 3.0]])
    for size in (2, 2 * kinks.LEAST_ROW):
        given_ = np.repeat(values, size // 2, axis=1)
        before = given_.copy()
        ExactDomain().apply(relu(None), [PiecewiseLinear(np.array([0.0, 1.0]), given_)])
        np.testing.assert_array_equal(given_, before)


def test_interpolation_of_a_constant_is_that_constant():
    value = 0.1 + 0.2
    f = function([-1 / 3, 2 / 7], [value, value])
    z = np.linspace(-0.33, 0.28, 1001)
    assert np.all(interpolate(f, np.zeros(1001, np.intp), z) == value)


def test_intervals_of_no_length_bring_no_knots():
    f = function([0, 1, 1, 2], [1, 1, -1, -1])
    for rule in (RELU, ABS, Step(switches=lambda x: (x,), evaluate=lambda x: (x > 0).astype(float))):
        y = ExactDomain().apply(rule, [f])
        assert y.knots.tolist() == [0, 1, 1, 2]
        assert np.all(np.isfinite(y.values))


def test_the_narrowest_interval_there_is():
    low = 1.0
    f = function([low, np.nextafter(low, 2)], [[-1.0, 1.0], [1.0, -2.0]])
    for rule in (RELU, Maximum(lambda x: x.reshape(-1, 2, 1).transpose(1, 0, 2))):
        y = ExactDomain().apply(rule, [f])
        assert set(y.knots) <= set(f.knots) and np.all(np.abs(y.values) <= 2)


@given(functions(size=3))
def test_kinked_rules_against_points(f):
    clip = Kinked(lambda x: np.minimum(np.maximum(x, -1.0), 2.0), (np.asarray(-1.0), np.asarray(2.0)))
    for rule in (RELU, ABS, clip):
        y = ExactDomain().apply(rule, [f])
        for z in between(y, f):
            np.testing.assert_allclose(at(y, z), rule.function(at(f, z)), atol=1e-12)
        for z in f.knots:
            np.testing.assert_allclose(limits(y, z), [rule.function(v) for v in limits(f, z)], atol=1e-12)


# --------------------------------------------------------------------------------
# Jumps


def test_pieces_of_equal_value_are_one_piece():
    f = from_pieces(np.array([0.0, 1.0, 2.0, 3.0]), np.array([[1.0], [1.0], [2.0]]))
    assert f.knots.tolist() == [0, 2, 2, 3] and f.values.ravel().tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_a_single_piece(shape):
    f = from_pieces(np.array([0.0, 1.0]), np.full((1, *shape), 4.0))
    assert f.knots.tolist() == [0, 1] and np.all(f.values == 4) and f.values.shape == (2, *shape)


def test_steps_jump_where_the_sign_changes():
    step = Step(switches=lambda x: (x,), evaluate=lambda x: (x > 0).astype(float))
    y = ExactDomain().apply(step, [function([0, 4], [-1, 3])])
    assert y.knots.tolist() == [0, 1, 1, 4] and y.values.ravel().tolist() == [0, 0, 1, 1]


def test_a_step_on_a_plateau_takes_the_plateaus_own_value():
    """x > 0 is false where x is exactly zero over a stretch, x >= 0 is true there."""
    f = function([0, 1, 2, 3], [1, 0, 0, 1])
    strict = ExactDomain().apply(Step(switches=lambda x: (x,), evaluate=lambda x: (x > 0).astype(float)), [f])
    weak = ExactDomain().apply(Step(switches=lambda x: (x,), evaluate=lambda x: (x >= 0).astype(float)), [f])
    assert strict.knots.tolist() == [0, 1, 1, 2, 2, 3] and strict.values.ravel().tolist() == [
        1,
        1,
        0,
        0,
        1,
        1,
    ]
    assert weak.knots.tolist() == [0, 3] and weak.values.ravel().tolist() == [1, 1]


def test_the_winner_is_the_first_among_equals():
    columns = Winner(lambda x: x.T[:, :, None])
    y = ExactDomain().apply(
        columns, [function([0, 1, 2], [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 3.0]])]
    )
    assert y.values.ravel()[0] == 0 and y.values.ravel()[-1] == 2
    assert y.knots[1] == pytest.approx(1 + 1 / 3, abs=1e-15)


def test_gates_switch_a_signal_on_and_off():
    gate, signal = function([0, 1, 1, 2], [0, 0, 1, 1]), function([0, 2], [2, 4])
    y = ExactDomain().apply(Gated(evaluate=np.multiply, gates=(0,)), merge([gate, signal]))
    assert y.knots.tolist() == [0, 1, 1, 2] and y.values.ravel().tolist() == [0, 0, 3, 4]


def test_a_gate_that_is_not_constant_on_pieces_is_our_own_bug():
    with pytest.raises(AssertionError, match="gate"):
        ExactDomain().apply(
            Gated(evaluate=np.multiply, gates=(0,)), [function([0, 2], [0, 1]), function([0, 2], [2, 4])]
        )


# --------------------------------------------------------------------------------
# Handovers of a maximum


def apply_maximum(knots, candidates, sign=1):
    """Candidates (n, K, m) through the domain."""
    stacked = PiecewiseLinear(np.asarray(knots, float), np.moveaxis(np.asarray(candidates, float), 0, 1))
    return ExactDomain().apply(Maximum(lambda x: np.moveaxis(x, 1, 0), sign), [stacked])


def test_handovers_by_hand():
    # 3 - z, 1 and z - 3 on [0, 6]: handovers at 2 and 4
    y = apply_maximum([0, 6], [[[3], [-3]], [[1], [1]], [[-3], [3]]])
    assert y.knots.tolist() == [0, 2, 4, 6] and y.values.ravel().tolist() == [3, 1, 1, 3]


def test_a_candidate_that_wins_only_inside_is_found():
    y = apply_maximum([0, 2], [[[2], [-2]], [[-2], [2]], [[1e-9], [1e-9]]])
    assert len(y.knots) == 4
    np.testing.assert_allclose(y.knots[1:3], [1 - 5e-10, 1 + 5e-10], rtol=0, atol=1e-15)
    np.testing.assert_allclose(y.values[1:3, 0], 1e-9, rtol=1e-6)


def test_three_lines_through_one_point_hand_over_once():
    y = apply_maximum([0, 2], [[[1], [-1]], [[0], [0]], [[-1], [1]]])
    assert y.knots.tolist() == [0, 1, 2] and y.values.ravel().tolist() == [1, 0, 1]


def test_a_handover_to_a_plateau_stands_exactly_on_it():
    """Whichever of the two lines is the plateau, the value is its own, without rounding."""
    rng = np.random.default_rng(3)
    level = 0.1 + 0.2
    slopes = rng.uniform(0.5, 3.0, size=200)
    ends = np.stack(
        [level + slopes * rng.uniform(0.1, 0.9, size=200), level - slopes]
    )  # falls to the plateau
    for line in (ends, ends[::-1]):
        y = apply_maximum([0, 1], [line, np.full((2, 200), level)])
        assert len(y.knots) > 150
        top = np.where(np.diff(y.values, axis=0) == 0, y.values[1:], level)
        assert np.all(top == level) and np.all((y.values == level).any(axis=0))
        assert np.all(y.values >= level)


def test_ties_over_a_whole_interval_bring_no_knot():
    y = apply_maximum([0, 1, 2], [[[1], [2], [1]], [[1], [2], [1]], [[0], [0], [0]]])
    assert y.knots.tolist() == [0, 1, 2]


def test_missing_candidates():
    rule = Maximum(lambda x: np.stack([np.full((len(x), 1), -np.inf), x[:, :1], x[:, 1:]]))
    y = ExactDomain().apply(rule, [function([0, 2], [[-1, 1], [1, -1]])])
    assert y.knots.tolist() == [0, 1, 2] and y.values.ravel().tolist() == [1, 0, 1]


@pytest.mark.parametrize("floor", [-1e3, -1e20, -3.4028234663852886e38, -1e300])
def test_a_candidate_far_below_does_not_blur_the_others(floor):
    """Exporters write a finite lowest number for padding."""
    y = apply_maximum([0, 2], [[[floor], [floor]], [[-1], [1]], [[1], [-1]]])
    assert y.knots.tolist() == [0, 1, 2] and y.values.ravel().tolist() == [1, 0, 1]


def test_a_minimum_is_the_mirrored_maximum():
    y = apply_maximum([0, 2], [[[1], [-1]], [[-1], [1]]], sign=-1)
    assert y.knots.tolist() == [0, 1, 2] and y.values.ravel().tolist() == [-1, 0, -1]


def brute_handovers(knots, candidates):
    """Every place strictly inside an interval where two lines meet on the top, pair by pair."""
    found = []
    for k in range(len(knots) - 1):
        width = knots[k + 1] - knots[k]
        for m in range(candidates.shape[2]):
            left, right = candidates[:, k, m], candidates[:, k + 1, m]
            usable = np.nonzero(np.isfinite(left))[0]
            for i in usable:
                for j in usable[usable > i]:
                    before, after = left[i] - left[j], right[i] - right[j]
                    if before * after >= 0:
                        continue
                    share = before / (before - after)
                    height = left[i] + share * (right[i] - left[i])
                    if height >= np.max(left[usable] + share * (right[usable] - left[usable])) - 1e-12:
                        found.append((k, m, knots[k] + share * width))
    return sorted(found)


@pytest.mark.parametrize("lines", [2, 3, 5, 12, 40])
@pytest.mark.parametrize("kind", ["random", "grid", "missing", "mirrored"])
def test_handovers_against_brute_force(lines, kind):
    rng = np.random.default_rng([lines, len(kind)])
    knots = np.array([-2.0, -0.5, 0.75, 0.75, 3.0])
    values = rng.normal(size=(lines, len(knots), 8))
    if kind == "grid":  # many exact ties
        values = np.round(values)
    elif kind == "missing":
        gone = rng.random((lines, 8)) < 0.3
        gone[0] = False
        values[np.broadcast_to(gone[:, None], values.shape)] = -np.inf
    elif kind == "mirrored":
        values[lines // 2 :] = -values[: lines - lines // 2]
    top, found = envelope.crossings(knots, values)
    np.testing.assert_array_equal(top, values.max(axis=0))
    lowest, mirrored = envelope.crossings(knots, -values, sign=-1)
    np.testing.assert_array_equal(lowest, -top)
    np.testing.assert_array_equal(mirrored.at, found.at)
    truth = [place for place in brute_handovers(knots, values) if knots[place[0]] < knots[place[0] + 1]]
    ours = sorted(zip(found.interval.tolist(), found.element.tolist(), found.at.tolist(), strict=True))

    def distinct(places):
        kept = []
        for k, m, z in places:
            if not kept or kept[-1][:2] != (k, m) or z - kept[-1][2] > 1e-9:
                kept.append((k, m, z))
        return kept

    assert [p[:2] for p in distinct(ours)] == [p[:2] for p in distinct(truth)]
    np.testing.assert_allclose(
        [p[2] for p in distinct(ours)], [p[2] for p in distinct(truth)], rtol=0, atol=1e-12
    )
    # the value recorded is that of the envelope
    for k, m, z, value in zip(found.interval, found.element, found.at, found.value, strict=True):
        share = (z - knots[k]) / (knots[k + 1] - knots[k])
        with np.errstate(invalid="ignore"):
            column = values[:, k, m] + share * (values[:, k + 1, m] - values[:, k, m])
        assert value == pytest.approx(np.nanmax(column), abs=1e-12)


@given(hnp.arrays(np.float64, (4, 3, 2), elements=st.integers(-6, 6).map(float)))
def test_maximum_against_points(values):
    knots = np.array([-1.0, 0.5, 2.0])
    y = apply_maximum(knots, values)
    candidates = [PiecewiseLinear(knots, v) for v in values]
    for z in np.concatenate([between(y), y.knots]):
        truth = np.max([at(c, z) for c in candidates], axis=0)
        np.testing.assert_allclose(at(y, z), truth, atol=1e-12)


# --------------------------------------------------------------------------------
# Memory


def test_a_split_is_asked_for_and_is_strictly_inside():
    rng = np.random.default_rng(2)
    f = line_segment(rng.normal(size=100), rng.normal(size=100), -2.0, 2.0)
    with pytest.raises(NeedsSplit) as split:
        ExactDomain(budget=100 * 8 * 10).apply(RELU, [f])
    assert -2 < split.value.at < 2
    left, right = f.split(split.value.at)
    pieces = [len(ExactDomain().apply(RELU, [part]).knots) for part in (left, right)]
    assert abs(pieces[0] - pieces[1]) <= 2


def test_nothing_is_split_that_can_not_get_smaller():
    f = line_segment(np.zeros(1000), np.ones(1000), -1.0, 1.0)  # all cross at one place
    y = ExactDomain(budget=1).apply(RELU, [f])
    assert y.knots.tolist() == [-1, 0, 1]


def test_affine_ops_keep_knots():
    rule = Affine(linear=lambda x, w: x @ w, weights=(np.array([[1.0], [2.0]]),), offset=np.array([0.5]))
    y = ExactDomain().apply(rule, [function([0, 1, 1, 2], [[0, 0], [1, 1], [5, 5], [0, 0]])])
    assert y.knots.tolist() == [0, 1, 1, 2] and y.values.ravel().tolist() == [0.5, 3.5, 15.5, 0.5]


# --------------------------------------------------------------------------------
# Whole networks

NETS = {
    "cam": (nets.cam_nchw, {"threshold": "max:0.5"}),
    "cam of 3, predicted": (lambda seed: nets.cam_nchw(seed, classes=3), {"threshold": "minmax:0.5"}),
    "NHWC": (nets.cam_nhwc, {"threshold": 0.1}),
    "extremes": (nets.extremes_net, {"threshold": "max:0.5"}),
    "gates": (nets.gated_net, {"threshold": 0.5}),
    "plateau": (lambda seed: nets.map_net(seed, last="Relu"), {"threshold": 0.0}),
}


@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_the_margin_of_a_whole_network_against_points(name, tight):
    make_model, options = NETS[name]
    case = draw_case(make_model, 1, **options)
    start = line_segment(case.line.start, case.line.direction, -8.0, 8.0)
    domain = ExactDomain(budget=case.tight_budget()) if tight else ExactDomain()
    parts = [part[case.margin] for part in walk(case.program, domain.apply, start, Tally())]
    assert (len(parts) > 1) == tight
    knots = np.concatenate([part.knots for part in parts])
    assert knots[0] == -8 and knots[-1] == 8 and np.all(np.diff(knots) >= 0)
    rng = np.random.default_rng(0)
    for part in parts:
        wide = np.nonzero(np.diff(part.knots) > 1e-9)[0]
        share = rng.uniform(0.01, 0.99, size=len(wide))
        z = part.knots[wide] + share * (part.knots[wide + 1] - part.knots[wide])
        ours = interpolate(part, wide, z).reshape(len(z), part.values[0].size)
        np.testing.assert_allclose(
            ours, nets.margins_on(case.program, case.margin, case.line, z), rtol=0, atol=1e-10
        )
