"""The work that a confidence interval takes: from the nearest place where an end may be, outwards."""

from types import SimpleNamespace

import numpy as np
import pytest

from onnx_si.ground.intervals import Intervals
from onnx_si.search import settling
from onnx_si.search.frontier import Cell, Frontier
from onnx_si.search.tuning import Tuning
from onnx_si.statistics.truncated import Normal, interval_bounds

LEVEL, AT, TRULY = 0.95, 0.1, Intervals.of([(-0.5, 2.0)])


def run(known, undecided):
    """A search that stands there."""
    line = SimpleNamespace(statistic=AT, standard_error=1.0)
    return SimpleNamespace(
        task=SimpleNamespace(line=line, program=SimpleNamespace(cost=1)),
        options=SimpleNamespace(alternative="two-sided", tuning=Tuning()),
        operations=0,
        sets=lambda: (Intervals.of([known]), Intervals.of(undecided)),
    )


def interval_of(inside):
    """The confidence interval where S is known."""
    (low, _), (_, high) = interval_bounds(inside, Intervals.empty(), AT, 1.0, LEVEL, "two-sided")
    return low, high


def test_no_mean_beyond_the_true_end_is_asked_about_first(monkeypatch):
    """S is known next to the statistic only: an end by that alone would be far out, and the work as well."""
    asked = []

    def settled(run, distribution, *rest):
        asked.append(distribution.mean)
        return True

    monkeypatch.setattr(settling, "_settle", settled)
    settling.settle_interval(run((-0.5, 0.2), [(-np.inf, -0.5), (0.2, np.inf)]), LEVEL, None)
    low, high = interval_of(TRULY)
    alone = interval_of(Intervals.of([(-0.5, 0.2)]))
    assert len(asked) == 2 and low <= asked[0] <= AT <= asked[1] <= high
    assert alone[1] > 3 * high


def test_an_end_far_out_is_neared_in_leaps(monkeypatch):
    """S may go on for a little, so that its interval's end is far beyond, and steps there are small."""
    known, excluded, asked = (AT - 0.01, 1.0), [-10.0], []
    beside = (AT - 0.0101, AT - 0.01)
    stands = run(known, [])
    stands.sets = lambda: (Intervals.of([known]), Intervals.of([(-np.inf, excluded[0]), beside]))

    def settled(run, distribution, *rest):
        asked.append(distribution.mean)
        if distribution.mean > AT:
            return True
        excluded[0] -= 0.1
        run.operations += 1
        return False

    monkeypatch.setattr(settling, "_settle", settled)
    settling.settle_interval(stands, LEVEL, None)
    end, _ = interval_of(Intervals.of([(beside[0], known[1])]))
    assert 1.01 * end < min(asked) < 1.8 * asked[0] < 0


def places_asked(monkeypatch, stands, explores):
    """The means that a search is settled for; `explores` gives what is then undecided, None for no change."""
    asked = []

    def settled(run, distribution, *rest):
        asked.append(distribution.mean)
        found = explores(distribution.mean)
        if found is None:
            return True
        run.operations += 1
        run.sets = lambda: found
        return False

    monkeypatch.setattr(settling, "_settle", settled)
    settling.settle_interval(stands, LEVEL, None)
    return asked


def test_where_s_ends_around_the_statistic_its_farthest_end_is_asked_about_at_once(monkeypatch):
    """Both ends of the part are known: no round but the first, and the ends are not sought again."""
    known, open_ones = (-0.5, 0.6), [(-np.inf, -4.0), (4.0, np.inf)]
    stands = run(known, open_ones)
    stands.options.alternative = "two-sided-abs"
    asked = places_asked(monkeypatch, stands, lambda mean: None)
    bounds = interval_bounds(Intervals.of([known]), Intervals.of(open_ones), AT, 1.0, LEVEL)
    assert np.allclose(sorted(asked[:2]), [bounds[0][0], bounds[1][1]], rtol=1e-2) and len(asked) == 4
    assert all(abs(near - AT) < abs(far - AT) for near, far in zip(asked[2:], asked[:2], strict=True))


def test_an_end_is_not_expected_far_beyond_what_is_known(monkeypatch):
    """S is narrow and the next part of it near: an end by the narrow part alone is 300 errors away."""
    known, seen = (AT - 0.01, AT + 0.01), [2.0]
    stands = run(known, [(-np.inf, -2.0), (2.0, np.inf)])
    stands.options.alternative = "two-sided-abs"

    def explores(mean):
        if seen[0] > 40 or abs(mean) < seen[0]:
            return None
        seen[0] = 2 * abs(mean)
        beyond = [(-np.inf, -seen[0]), (seen[0], np.inf)]
        return Intervals.of([known]), Intervals.of(beyond)

    asked = np.abs(places_asked(monkeypatch, stands, explores))
    reach = 2 * stands.options.tuning.outlook  # in steps of a few times what is known
    assert asked[0] < reach < 50 and max(asked) > 100
    ahead = [b / a for a, b in zip(asked, asked[2:], strict=False)]
    assert max(ahead) < 1.1 * reach


def test_a_new_part_of_s_is_followed_by_another_look(monkeypatch):
    known, open_ones, more = (-0.5, 0.6), [(-np.inf, -4.0), (4.0, np.inf)], []

    def explores(mean):
        if more:
            return None
        more.append(Intervals.of([known, (4.5, 7.0)]))
        return more[0], Intervals.of([(-np.inf, -40.0), (40.0, np.inf)])

    stands = run(known, open_ones)
    stands.options.alternative = "two-sided-abs"
    asked = places_asked(monkeypatch, stands, explores)
    (low, _), (_, high) = interval_bounds(more[0], Intervals.empty(), AT, 1.0, LEVEL)
    assert np.allclose(sorted(asked[2:4]), [low, high], rtol=1e-2)
    assert abs(asked[2] - AT) < abs(asked[3] - AT), "the nearest first, for which less is to be examined"


@pytest.mark.parametrize(("mean", "examined"), [(30.0, False), (4.0, True)])
def test_what_moves_no_digit_is_not_examined(mean, examined):
    """Under a mean far out, what lies beyond the search's reach weighs more than S and stays undecided: so do
    cells that are within it and weigh nothing beside S.
    """
    stands, steps = run((-0.5, 8.0), [(-9.0, -0.5), (8.0, np.inf)]), []
    line, pixels = (
        SimpleNamespace(statistic=AT, standard_error=1.0, distribution=Normal(0.0, 1.0)),
        np.ones(1),
    )
    stands.task.line, stands.frontier = line, Frontier(line, pixels == 1, 1.0, far=10.0)
    stands.frontier.pop()
    stands.frontier._left, stands.frontier._right = -9.0, 12.0
    for low, high in [(-9.0, -0.5), (8.0, 12.0)][: 1 + examined]:
        stands.frontier.push(Cell(priority=0.0, low=low, high=high, open=pixels == 1))
    stands.options.stop = SimpleNamespace(during=lambda step: steps.append(step))
    stands.step, stands.work = "step", (0.0, 0)
    settling._settle(stands, Normal(mean, 1.0), 10**9, None)
    assert steps == ["step"] * examined
