"""A search by brackets, of domains that only tell what they are made to: who is asked about what."""

import math

import numpy as np
import pytest

from onnx_si.domains.domain import Bracket, Cost
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.standard import STANDARD
from onnx_si.domains.task import Task
from onnx_si.ground.intervals import Intervals
from onnx_si.search import SearchOptions
from onnx_si.search.bracketing import Asked, Brackets
from onnx_si.search.examine import Examiner
from onnx_si.search.frontier import Frontier
from onnx_si.search.tuning import Tuning
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Normal

S = (-0.5, 0.25)


class Known:
    """Tells S but for what is within `open` of its ends; there only a `remainder`."""

    finer = None
    cost = Cost(passes=8.0)

    def __init__(self, open_, remainder):
        self.open, self.remainder, self.seen = open_, remainder, []

    def bracket(self, task, ends, tally):
        return [self.one(low, high) for low, high in ends]

    def one(self, low, high):
        self.seen.append((low, high))
        cell, whole = Intervals.of([(low, high)]), Intervals.of([S])
        blurred = [
            (end - self.open, end + self.open)
            for end in S
            if low < end + self.open and end - self.open < high
        ]
        if blurred and math.isinf(self.remainder):
            return Bracket((), ((low, high),), math.inf)
        open_ = Intervals.of(blurred).intersect(cell) if blurred else Intervals.empty()
        inside = whole.intersect(cell).subtract(open_)
        return Bracket(tuple(map(tuple, inside.bounds)), tuple(map(tuple, open_.bounds)), self.remainder)


def searched(plain, finer, steps=400):
    pixels = np.ones((2, 2), np.bool_)
    line = ImageLine(
        start=np.zeros((1, 1, 2, 2)),
        direction=np.ones((1, 1, 2, 2)),
        statistic=0.1,
        standard_error=1.0,
        distribution=Normal(0.0, 1.0),
    )
    options = SearchOptions()
    run = Brackets(
        task=Task(program=None, margin="map", line=line, event=RegionEvent(pixels)),
        options=options,
        examiner=Examiner(domains=STANDARD, budget_bytes=1 << 20, deadline=options.deadline),
        frontier=Frontier(line, pixels, options.tuning.first_width, 8.0),
        plain=Asked(by=plain, batch=4),
        finer=None if finer is None else Asked(by=finer, batch=4),
    )
    for _ in range(steps):
        if not run.step():
            break
    return run, Intervals.of(np.concatenate(run.inside))


@pytest.mark.parametrize("remainder", [1e-6, math.inf], ids=["rounding", "nothing is known"])
def test_finer_numbers_are_asked_where_rounding_is_left(remainder):
    plain, finer = Known(1e-4, remainder), Known(1e-12, 1e-13)
    _, inside = searched(plain, finer)
    np.testing.assert_allclose(inside.bounds, [S], atol=1e-9)
    assert 0 < len(finer.seen) < 60
    assert all(any(low - 1e-1 < end < high + 1e-1 for end in S) for low, high in finer.seen)
    # a look or two more than those that tell nothing, of cells that were 2^-6 wide
    assert min(high - low for low, high in plain.seen) > 2.0 ** -(6 + Tuning().often + 2)


def test_without_finer_numbers_what_rounding_leaves_is_left():
    run, inside = searched(Known(1e-4, 1e-6), None)
    unclear = Intervals.of(np.concatenate(run.unclear))
    np.testing.assert_allclose(unclear.bounds, [(end - 1e-4, end + 1e-4) for end in S], atol=1e-9)
    np.testing.assert_allclose(inside.bounds, [(S[0] + 1e-4, S[1] - 1e-4)], atol=1e-9)


def test_a_failure_that_was_rounding_s_does_not_make_cells_narrow():
    """The first cells fail by rounding alone; wide ones far out are looked at as they are."""
    plain = Known(0.2, 1e-6)
    searched(plain, Known(1e-12, 1e-13))
    assert max(high - low for low, high in plain.seen) > 1.0
    assert len(plain.seen) < 60
