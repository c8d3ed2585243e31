"""Margins over the leading value alone: never below the true ones, the same where it leads, and S is what a
scan of the line finds.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
from support import nets
from support.scenes import AS_LARGE, draw_case

from onnx_si.domains.enclosure.domain import Enclosures
from onnx_si.domains.standard import STANDARD
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally
from onnx_si.ground.intervals import Intervals
from onnx_si.program.instruction import with_deaths
from onnx_si.program.leading import largest_above
from onnx_si.program.program import bind
from onnx_si.search.books import Run
from onnx_si.search.frontier import Frontier
from onnx_si.search.leader import over_leader
from onnx_si.search.parts import Parts
from onnx_si.search.tuning import Costs, Tuning

LED = {
    "costs": Costs(per_call=0, making=0.0),
    "tuning": Tuning(widest_first=0.0, relative=0, worthwhile=0.95, smallest_side=1, first_credit=400.0),
}
CAM = functools.partial(nets.cam_nchw, size=7, pool=False)
MAP = functools.partial(nets.map_net, size=7)
CASES = [
    (CAM, {"threshold": "max:0.5"}, 3),
    (CAM, {"threshold": "max:0.7"}, 1),
    (MAP, {"threshold": "max:0.5"}, 3),
    (MAP, {"threshold": "max:0.5", "hypothesis": "background"}, 8),
    (functools.partial(MAP, last="Relu"), {"threshold": "max:0.6"}, 5),
    (functools.partial(nets.extremes_net, size=7), {"threshold": "max:0.4"}, 2),
]


@functools.cache
def the_case(number):
    make_model, options, seed = CASES[number]
    return draw_case(make_model, seed, **options)


def task_of(case):
    return Task(program=case.program, margin=case.margin, line=case.line, event=case.event)


def leader_of(case):
    return over_leader(task_of(case), STANDARD, Tally())


def map_on(case, name, places):
    """The tensor that has the largest value, at places (n, pixels)."""
    steps = with_deaths(case.program.instructions, (name,))
    program = replace(case.program, instructions=steps, outputs=(name,))
    return nets.margins_on(program, name, case.line, places)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_set_agrees_with_a_scan_of_the_line(number):
    case = the_case(number)
    found = case.search(alternative="two-sided", **LED)
    reach = 5.0 * case.line.standard_error
    assert not found.undecided.intersect(Intervals.of([(-reach, reach)]))
    places = np.sort(np.random.default_rng(number).uniform(-reach, reach, 20_000))
    bounds = found.inside.bounds
    ours = np.any((bounds[:, :1] <= places) & (places <= bounds[:, 1:]), axis=0)
    near = np.abs(places[:, None] - bounds.ravel()).min(axis=1) < 1e-9
    np.testing.assert_array_equal(ours[~near], case.member(places)[~near])
    assert found.inside.contains(case.line.statistic)


def test_both_kinds_of_parts_are_used():
    fates = [the_case(number).search(alternative="two-sided", **LED).fates for number in range(len(CASES))]
    assert sum(found["sieved"] for found in fates) > 10
    assert sum(found["in_parts"] for found in fates) > 0


def test_pixels_are_not_settled_by_margins_that_are_only_bounds(monkeypatch):
    """A pixel whose margin over one value is above zero may be below the largest value's level."""
    kept, push, sieve = [], Frontier.push, Run._sieve

    def pushed(self, cell, *ends, **changes):
        if "open" in changes:
            kept.append((changes["open"] >= cell.open).all())
        push(self, cell, *ends, **changes)

    def sieved(self, batch, wrong):
        with pytest.MonkeyPatch.context() as patched:
            if not self.policy.settles:
                patched.setattr(Frontier, "push", pushed)
            sieve(self, batch, wrong)

    monkeypatch.setattr(Run, "_sieve", sieved)
    for number in range(len(CASES)):
        the_case(number).search(alternative="two-sided", **LED)
    assert kept and all(kept)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_margins_are_never_below_the_true_ones_and_equal_where_the_element_leads(number):
    case = the_case(number)
    leader, places = leader_of(case), np.linspace(-9, 9, 400) * case.line.standard_error
    true = nets.margins_on(case.program, case.margin, case.line, places)
    ours = nets.margins_on(leader.equal.program, case.margin, case.line, places)
    slack = 1e-12 * np.abs(true).max()
    assert (ours >= true - slack).all()
    values = map_on(case, leader.largest.of, places)
    leads = values.argmax(axis=1) == leader.element
    np.testing.assert_allclose(ours[leads], true[leads], atol=slack)
    assert leads.any()


@pytest.mark.parametrize("threshold", ["minmax:0.6", 0.05])
def test_margins_that_are_not_relative_to_one_largest_value_have_none(threshold):
    assert leader_of(draw_case(CAM, 3, threshold=threshold)) is None


@pytest.mark.parametrize(("share", "there"), [(-0.5, True), (0.5, False)])
def test_margins_that_rise_with_the_largest_value_have_none(share, there):
    net = nets.Net(0, (1, 1, 8, 8))
    part = net.add("Mul", net.add("GlobalMaxPool", "x"), net.const(share))
    model = net.finish(net.add("Add", "x", part, out="margin"))
    program = bind(model, np.zeros((1, 1, 8, 8)), ("margin",))
    assert (largest_above(program, "margin") is not None) == there


def test_who_is_claimed_to_lead_does_so_on_all_of_the_cell():
    case = the_case(2)
    task, leader = task_of(case), leader_of(case)
    rng, told = np.random.default_rng(0), []
    for width in 10.0 ** rng.uniform(-4, 1, 60):
        low = float(rng.uniform(-4, 4)) * case.line.standard_error
        (claim,) = Enclosures().claim(task, [(low, low + width)], 1 << 30, Tally())
        places = np.linspace(low, low + width, 50)
        values = map_on(case, leader.largest.of, places)
        found = claim.leaders.get(leader.largest.step.output)
        told.append(found is not None)
        assert found is None or (values.argmax(axis=1) == found).all()
    assert any(told) and not all(told)


@pytest.mark.parametrize(("make_model", "seed"), [(MAP, 0), (MAP, 3), (CAM, 1)])
def test_a_share_of_the_pixels_is_searched_to_the_same_set(make_model, seed):
    case = draw_case(make_model, seed, threshold="top:0.2")
    assert leader_of(case) is not None
    found, plain = (case.search(alternative="two-sided", **how) for how in (LED, AS_LARGE))
    assert found.fates["sieved"] > 0
    np.testing.assert_allclose(found.inside.bounds, plain.inside.bounds, atol=1e-9)
    np.testing.assert_allclose(found.p_value_bounds, plain.p_value_bounds, atol=1e-9)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_parts_that_know_the_leader_find_the_same(number):
    """To the last bit, with less work."""
    case = the_case(number)
    leader, resolving = leader_of(case), STANDARD.resolving
    part = Parts(task=leader.equal, domains=STANDARD, tuning=Tuning()).around([3, 3], 1)
    if part.task.whole is None:  # the pixel is on the other side by rounding
        pytest.skip("no part")
    ends = (-1.5 * case.line.standard_error, 2.0 * case.line.standard_error)
    known = resolving.carried(leader.alone, ends, 1 << 30, Tally())
    assert set(known) < {step.output for step in part.task.program.instructions}
    work = Tally(), Tally()
    plain = resolving.resolve(part.task, ends, 1 << 30, work[0])
    ours = resolving.resolve(part.task, ends, 1 << 30, work[1], known)
    assert known and work[1].operations < work[0].operations
    for a, b in ((plain.inside, ours.inside), (plain.unclear, ours.unclear)):
        np.testing.assert_array_equal(a, b)
    assert (plain.knots, plain.reached) == (ours.knots, ours.reached)


def test_of_a_stretch_that_has_to_be_split_nothing_is_known():
    found = []
    for number in range(len(CASES)):
        alone, reach = leader_of(the_case(number)).alone, 2.0 * the_case(number).line.standard_error
        known = STANDARD.resolving.carried(alone, (-reach, reach), 1 << 10, Tally())
        assert all(one.knots[[0, -1]].tolist() == [-reach, reach] for one in known.values())
        found.append(bool(known))
    assert len(set(found)) == 2


def test_both_tasks_of_a_leader_share_the_estimate_of_rounding():
    leader = leader_of(the_case(0))
    assert leader.bounds.judge.carried is leader.equal.judge.carried
