"""Enclosures of a part on short stretches: what they claim is so, the rest is left, and they pay."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support import nets
from support.maps import run_onnx
from support.scenes import AS_LARGE, make_case

from onnx_si.domains.domain import Claim, Cost
from onnx_si.domains.standard import RESOLVING_ONLY
from onnx_si.search.parts import Parts
from onnx_si.search.screen import Left, Screen
from onnx_si.search.tuning import Tuning

SHARE, PER_LENGTH = 0.2, 500.0


class Line:
    """Stands for an examiner: pixels are right on some stretches, and no cell wider than `sees` says so."""

    def __init__(self, right, sees):
        self.right, self.sees, self.asked = right, sees, []
        domain = SimpleNamespace(cost=Cost(passes=3.0)), SimpleNamespace(cost=Cost(passes=2.0, per_knot=0.6))
        self.domains = SimpleNamespace(claiming=domain[0], resolving=domain[1])

    def claim(self, task, cells):
        self.asked.append(cells)
        found = []
        for low, high in cells:
            told = high - low <= self.sees
            wrong = all(high <= a or low >= b for a, b in self.right)
            fine = any(a <= low and high <= b for a, b in self.right)
            clear = (self.sees / (high - low)) ** 2 if wrong else 0.0
            found.append(
                Claim(outside=told and wrong, open=np.array([not (told and fine)]), undecided=0, clear=clear)
            )
        return found


def screen(examiner):
    policy = SimpleNamespace(
        overhead=0.0, knots_of_part=lambda share, width: PER_LENGTH * width, tuning=Tuning()
    )
    return Screen(examiner=examiner, policy=policy, whole_cost=1000)


PART = SimpleNamespace(task=SimpleNamespace(program=SimpleNamespace(cost=int(1000 * SHARE), instructions=())))


@pytest.mark.parametrize("right", [[], [(3.0, 4.5)], [(0.0, 1.0), (2.0, 2.001), (9.0, 10.0)], [(-1.0, 11.0)]])
@pytest.mark.parametrize("sees", [0.05, 0.2, 4.0])
def test_what_is_claimed_is_so_and_the_rest_is_left(right, sees):
    examiner = Line(right, sees)
    inside, left = screen(examiner)(PART, 0.0, 10.0)
    least = 2 * 3.0 / (0.6 * PER_LENGTH)
    for low, high in inside:
        assert any(a <= low < high <= b for a, b in right)
    places = np.random.default_rng(0).uniform(0, 10, 2000)
    for place in places:
        is_in, is_left = (any(ends[0] <= place <= ends[1] for ends in part) for part in (inside, left))
        truly = any(a <= place <= b for a, b in right)
        assert is_in + is_left == 1 if truly else not is_in
    ends = [end for pair in right for end in pair]
    assert all(any(abs(end - place) < 5 * least for end in ends for place in pair[:2]) for pair in left)


def test_cells_grow_as_wide_as_they_succeed_and_what_is_learned_stays():
    examiner = Line([], 2.0)
    screened = screen(examiner)
    assert screened(PART, 0.0, 40.0) == ([], [])
    first = len(examiner.asked)
    assert max(high - low for cells in examiner.asked for low, high in cells) > 1.0
    screened(PART, 0.0, 40.0)
    assert max(high - low for low, high in examiner.asked[first]) > 1.0


def test_enclosures_that_never_succeed_lose_no_more_than_their_credit():
    examiner = Line([], 0.0)
    screened = screen(examiner)
    inside, left = screened(PART, 0.0, 100.0)
    assert inside == [] and sum(high - low for low, high, _ in left) == pytest.approx(100.0)
    spent = 3.0 * SHARE * sum(map(len, examiner.asked))
    assert spent <= Tuning().first_screen_credit + 3.0 * SHARE * Tuning().batch
    assert screened(PART, 0.0, 100.0) == ([], [Left(0.0, 100.0)])
    screened.learn(PART, 10_000)
    assert screened.credit > 0


def test_a_stretch_of_few_knots_is_followed():
    examiner = Line([], 1.0)
    assert screen(examiner)(PART, 0.0, 0.05) == ([], [Left(0.0, 0.05)]) and not examiner.asked


def deep_net(seed, size=40):
    """Six convolutions that follow what is bright: wide cells say nothing, and the region is the square."""
    net = nets.Net(seed, (1, 1, size, size))
    x, inside = "x", 1
    for _ in range(5):
        weight = net.const(np.abs(net.rng.normal(size=(3, inside, 3, 3))) / (4 * inside))
        x, inside = net.add("Relu", net.add("Conv", x, weight, net.normal(3, scale=0.1), pads=[1] * 4)), 3
    net.add("Conv", x, net.const(np.full((1, 3, 1, 1), 0.3)), out="map")
    return net.finish("map")


def test_s_is_that_of_a_search_without_enclosures(monkeypatch):
    """The same S and p-value, most of the line by enclosures of parts, and for less."""
    settled = []
    own = Screen.__call__

    def watched(self, part, low, high):
        inside, left = own(self, part, low, high)
        settled.append(high - low - sum(b - a for a, b, _ in left))
        return inside, left

    monkeypatch.setattr(Screen, "__call__", watched)
    done = 0
    for seed in range(12):
        model = deep_net(seed)
        image = np.random.default_rng(seed).normal(size=(1, 1, 40, 40))
        image[..., 12:22, 14:24] += 2.0
        (shown,) = run_onnx(model, image, "map")
        case = make_case(model, image, threshold=float(0.5 * shown.max()))
        if case is None or case.line.statistic < 8 * case.line.standard_error:
            continue
        fast = case.search(
            1e-6, costs=AS_LARGE["costs"], tuning=replace(AS_LARGE["tuning"], first_screen=0.5)
        )
        plain = case.search(1e-6, domains=RESOLVING_ONLY)
        assert fast.p_value_bounds == pytest.approx(plain.p_value_bounds, abs=2e-6)
        both = fast.undecided.union(plain.undecided)
        for one, other in ((fast, plain), (plain, fast)):
            beyond = one.inside.subtract(other.inside).subtract(both).bounds
            assert np.diff(beyond, axis=1).sum() < 1e-9
        done += 1
        break
    assert done == 1 and sum(settled) > 0.5


@pytest.mark.parametrize("seed", [0, 9])
def test_what_an_enclosure_leaves_open_is_settled_by_a_smaller_part(monkeypatch, seed):
    """S is that of a search without enclosures, and boxes within boxes were asked for some of it."""
    inner = []
    own = Parts.within

    def watched(self, part, pixels):
        found = own(self, part, pixels)
        if found is not None:
            holds = np.zeros(self.shape, dtype=bool)
            holds[part.box] = pixels
            assert not found.taken_from(holds).any()
            inner.append(found)
        return found

    monkeypatch.setattr(Parts, "within", watched)
    image = np.random.default_rng(seed).normal(size=(1, 1, 40, 40))
    image[..., 12:22, 14:24] += 2.0
    model = deep_net(seed)
    (shown,) = run_onnx(model, image, "map")
    case = make_case(model, image, threshold=float(0.5 * shown.max()))
    tuning = replace(AS_LARGE["tuning"], first_screen=0.05)
    fast = case.search(1e-6, interval_level=0.95, costs=AS_LARGE["costs"], tuning=tuning)
    plain = case.search(1e-6, interval_level=0.95, domains=RESOLVING_ONLY)
    assert inner and fast.p_value_bounds == pytest.approx(plain.p_value_bounds, abs=2e-6)
    both = fast.undecided.union(plain.undecided)
    for one, other in ((fast, plain), (plain, fast)):
        assert np.diff(one.inside.subtract(other.inside).subtract(both).bounds, axis=1).sum() < 1e-9
