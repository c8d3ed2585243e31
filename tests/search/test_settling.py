"""The work that a confidence interval takes: from the nearest place where an end may be, outwards."""

from types import SimpleNamespace

import numpy as np

from onnx_si.ground.intervals import Intervals
from onnx_si.search import settling
from onnx_si.search.tuning import Tuning
from onnx_si.statistics.truncated import interval_bounds

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
    """S ends next to the statistic, so that its interval's end is far beyond, and steps there are small."""
    known, excluded, asked = (AT - 0.01, 1.0), [-10.0], []
    stands = run(known, [])
    stands.sets = lambda: (Intervals.of([known]), Intervals.of([(-np.inf, excluded[0])]))

    def settled(run, distribution, *rest):
        asked.append(distribution.mean)
        if distribution.mean > AT:
            return True
        excluded[0] -= 0.1
        run.operations += 1
        return False

    monkeypatch.setattr(settling, "_settle", settled)
    settling.settle_interval(stands, LEVEL, None)
    end, _ = interval_of(Intervals.of([known]))
    assert 1.01 * end < min(asked) < 1.8 * asked[0] < 0
