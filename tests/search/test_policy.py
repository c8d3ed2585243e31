"""How a cell is examined follows from counted work alone."""

from dataclasses import replace

import numpy as np
import pytest
from support.scenes import LARGER, draw_case

from onnx_si.domains.standard import STANDARD
from onnx_si.search.frontier import Cell
from onnx_si.search.policy import NO_PARTS, Action, Chances, Density, Policy, blocks

PIXELS = np.ones((16, 16), dtype=bool)


def cell(width, **known):
    return Cell(priority=0.0, low=0.0, high=width, **{"open": PIXELS, **known})


def policy(shares=NO_PARTS, overhead=0.1):
    """One that has met 64 knots on a stretch of length one."""
    made = Policy(domains=STANDARD, overhead=overhead, batch=8, shares=shares)
    made.learn_resolved(cell(1.0), 63, 1.0)
    return made


def test_nothing_is_known_before_the_first_cell_was_examined_exactly():
    assert (
        Policy(domains=STANDARD, overhead=0.1, batch=8, shares=NO_PARTS).decide(cell(1.0)) is Action.RESOLVE
    )


def test_failures_count_for_harder_widths_and_successes_for_easier_ones():
    wide_is_hard = Chances(harder=+1)
    assert wide_is_hard.of(1.0) == 0.5
    wide_is_hard.learn(0.5, False)
    wide_is_hard.learn(0.125, True)
    assert wide_is_hard.of(2.0) < 0.5 < wide_is_hard.of(0.0625)
    narrow_is_hard = Chances(harder=-1)
    narrow_is_hard.learn(0.5, False)
    narrow_is_hard.learn(0.5, True)
    narrow_is_hard.learn(0.5, True)
    assert narrow_is_hard.of(0.25) < narrow_is_hard.of(0.5) < narrow_is_hard.of(1.0)


def test_failed_enclosures_may_lose_a_small_share_of_the_exact_work_only():
    tried, made = 0, policy()
    for _ in range(200):
        if made.decide(cell(4.0)) is Action.CLAIM:
            made.learn_claimed(cell(4.0), False)
            tried += 1
        else:
            made.learn_resolved(cell(4.0), 256, 4.0)
    lost = tried * made.cost_of_claim
    assert 0 < lost < 12 + 0.05 * 200 * (2 + 0.6 * 256) + made.cost_of_claim


def test_successes_pay_for_more_enclosures():
    made = policy()
    for _ in range(20):
        made.learn_claimed(cell(1.0), True)
    assert made.decide(cell(1.0)) is Action.CLAIM


def test_a_cheap_part_is_probed_for_and_a_probed_cell_is_not_probed_again():
    made = policy(shares=((2, 0.01), (4, 0.02)))
    assert made.decide(cell(1.0)) is Action.PROBE
    assert made.decide(cell(1.0, probed=True)) is not Action.PROBE
    assert policy().decide(cell(1.0)) is not Action.PROBE


def test_few_open_pixels_are_settled_in_parts_by_the_cheapest_boxes():
    few = np.zeros_like(PIXELS)
    few[3, 3] = few[5, 5] = True
    made = policy(shares=((2, 0.01), (8, 0.015)), overhead=0.001)
    assert made.cheapest_cover(cell(1.0, open=few)).boxes == [np.s_[0:8, 0:8]]  # one of eight holds both
    known = cell(1.0, open=few, undecided=40, probed=True)
    assert made.decide(known) is Action.PARTS
    costly = policy(shares=((2, 0.2), (8, 0.4)), overhead=0.001)
    assert not costly.cheapest_cover(cell(0.01)).boxes  # four boxes of 0.4 cost more than one network


def test_open_pixels_are_settled_by_the_one_box_around_them_where_that_costs_less():
    few = np.zeros_like(PIXELS)
    few[7:9, 3] = few[7:9, 11] = True
    asked = []

    def share_of(box):
        asked.append(box)
        return 0.03

    grid = replace(policy(shares=((2, 0.01), (8, 0.02)), overhead=0.001), share_of=share_of)
    known = cell(1.0, open=few)
    assert grid.cheapest_cover(known).boxes == [np.s_[7:9, 3:12]] and asked == [np.s_[7:9, 3:12]]
    dear = replace(grid, share_of=lambda box: 0.2)
    assert len(dear.cheapest_cover(known).boxes) == 4


def test_a_cell_whose_cover_is_most_of_the_network_is_halved():
    made = policy(shares=((2, 0.2), (8, 0.3)), overhead=0.001)
    made = replace(made, share_of=lambda box: 0.6, parts=Density(knots=10, length=1.0))
    made.learn_resolved(cell(1.0), 1000, 1.0)
    wide = cell(1.0, probed=True, undecided=10_000, open=PIXELS)
    assert made.cheapest_cover(wide).share == 0.6
    assert made.decide(wide) is Action.SPLIT
    assert replace(made, share_of=lambda box: 0.4).decide(wide) is Action.PARTS


def test_what_a_part_left_unclear_is_never_given_to_parts_again():
    made = policy(shares=((2, 0.01), (8, 0.01)), overhead=0.0)
    assert made.decide(cell(1.0, probed=True, undecided=0)) is Action.PARTS
    assert made.decide(cell(1.0, unclear=True)) is Action.RESOLVE


def test_blocks_hold_every_pixel():
    rng = np.random.default_rng(0)
    pixels = rng.random((7, 10)) < 0.1
    held = np.zeros_like(pixels)
    for row, column in blocks(pixels, 3) * 3:
        held[row : row + 3, column : column + 3] = True
    assert (held | ~pixels).all()
    assert all(pixels[r : r + 3, c : c + 3].any() for r, c in blocks(pixels, 3) * 3)


@pytest.mark.parametrize("name", LARGER)
def test_the_same_input_takes_the_same_path(name):
    make, options, seeds = LARGER[name]
    first, again = (draw_case(make, seeds[0], **options).search(precision=1e-4) for _ in range(2))
    assert first.fates == again.fates and first.pieces == again.pieces
    assert first.forward_passes == again.forward_passes and first.inside == again.inside
