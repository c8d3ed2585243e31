"""Which engine answers for a smooth network where nobody chose one: a function of the line alone."""

import dataclasses
import functools
import math

import numpy as np
import onnx
import pytest
from support import smooth_nets

import onnx_si
from onnx_si.analysis.marking import Marker
from onnx_si.analysis.options import Options
from onnx_si.analysis.outcome import search_warnings
from onnx_si.analysis.prepare import prepare
from onnx_si.analysis.settings import settle
from onnx_si.domains.domain import Bracket, Cost
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.task import Task
from onnx_si.engines import choosing
from onnx_si.engines.choosing import Either
from onnx_si.errors import UnsupportedModel
from onnx_si.inspection.inspector import inspect_model
from onnx_si.search import SearchOptions
from onnx_si.search import forecasting as foretold
from onnx_si.search.tuning import Tuning
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Chi, Normal

TANH = functools.partial(smooth_nets.unet, size=12, width=3, act="Tanh")
LEAKY = functools.partial(smooth_nets.unet, size=12, width=3)
EXCITED = functools.partial(smooth_nets.squeeze_excite, size=8, width=3)
CASES = {EXCITED: {"time_limit": 5.0, "threshold": "max:0.5"}, LEAKY: {"time_limit": 0.2, "threshold": 0.5}}
ALONE = SearchOptions()  # the p-value, without an interval
GELU = functools.partial(smooth_nets.one_activation, "Gelu", size=8)


def asked(make, seed=0, **options):
    model = make(seed)
    shape = [n if isinstance(n, int) else 1 for n in model.inputs[0].shape]
    image = np.random.default_rng([seed, 7]).normal(size=shape)
    return onnx_si.test(model, image, **{"sigma": 1.0, "threshold": "max:0.5", **options})


def told(result):
    return next(text for text in result.defaults if text.startswith("engine "))


@pytest.mark.parametrize(
    ("make", "threshold"),
    [(TANH, 0.5), (EXCITED, "max:0.5"), (GELU, "top:0.2")],
    ids=["U-Net", "cam", "Gelu"],
)
def test_proven_bounds_where_they_are_cheap(make, threshold):
    """The same as by name, and it is said why, in figures."""
    result, named = (asked(make, threshold=threshold, engine=engine) for engine in ("auto", "certified"))
    assert result.guarantee == named.guarantee == "certified"
    assert result.p_value_bounds == named.p_value_bounds
    assert result.parity.points == named.parity.points > 0 and result.parity.max_difference > 0
    assert told(result).startswith("engine certified: the network is not piecewise linear: node ")
    assert "cells, " in told(result) and "s each) of at most 60" in told(result)


def test_chains_where_they_are_not():
    """Many bends: it is a few cells that show it."""
    result = asked(LEAKY, threshold=0.5, time_limit=0.2)
    named = asked(LEAKY, threshold=0.5, engine="monte-carlo")
    assert result.guarantee == "monte-carlo" and result.p_value == named.p_value
    assert told(result).startswith("engine monte-carlo: ") and "more than 0.2 " in told(result)


@pytest.mark.parametrize(
    ("make", "options", "why"),
    [
        (GELU, {"draws": 19}, "chains are asked for"),
        (GELU, {"steps": 1}, "chains are asked for"),
        (GELU, {"components": True}, "a family of tests"),
        (GELU, {"time_limit": 1e-3}, "more than 0.001"),
        (TANH, {"threshold": "max:0.5"}, "single precision"),
        (TANH, {"threshold": "top:0.2"}, "single precision"),
        (functools.partial(smooth_nets.recurrent, size=6), {}, "nothing can be proven through 'n"),
    ],
)
def test_chains_for_every_image_need_no_look_at_the_line(make, options, why, monkeypatch):
    def tried(*_):
        raise AssertionError("the line was looked at")

    monkeypatch.setattr(choosing, "forecast", tried)
    result = asked(make, **options)
    assert result.guarantee == "monte-carlo" and why in told(result)


def test_a_cell_that_does_not_fit_into_memory(monkeypatch):
    def refused(program, points):
        raise UnsupportedModel("the search does not fit: it is too large")

    monkeypatch.setattr(foretold, "require_room", refused)
    result = asked(GELU)
    assert result.guarantee == "monte-carlo" and "the search does not fit" in told(result)


def test_where_float64_marks_another_region_the_runtimes_is_tested(monkeypatch):
    plain = Marker.region

    def other(marker, values):
        return plain(marker, values - (0.0 if marker.is_map else 0.05))

    monkeypatch.setattr(Marker, "region", other)
    result = asked(GELU)
    assert result.guarantee == "monte-carlo" and "float64 marks another region" in told(result)


class Deciding:
    """Keeps what decides and what it was asked, and what it would say if it had much more time."""

    def __init__(self, monkeypatch):
        self.asked, self.said = [], []
        plain = Either.decided

        def decided(engine, *asked):
            self.asked.append((engine, *asked))
            self.said.append(plain(dataclasses.replace(engine, limit=1e4), *asked).why)
            return plain(engine, *asked)

        monkeypatch.setattr(Either, "decided", decided)


@pytest.mark.parametrize("make", [EXCITED, LEAKY], ids=["certified", "drawn"])
def test_the_choice_is_the_same_for_every_image_of_a_line(make, monkeypatch):
    """Other images of the line with the same region, tested anew, from both ends of S: the same figures."""
    seen, model = Deciding(monkeypatch), make(0)
    options = {"sigma": 1.0, "verify": 0, **CASES[make]}
    analysis, shape = prepare(model, **options), (1, 1, *model.inputs[0].shape[2:])
    first = analysis.test(np.random.default_rng([0, 7]).normal(size=shape))
    line = seen.asked[0][1]
    assert first.guarantee == ("monte-carlo" if make is LEAKY else "certified")
    moved = 0.0
    for low, high in np.clip(first.truncation.bounds, -8, 8)[:3]:
        for share in (0.1, 0.9):
            there = line.start + line.direction * (low + share * (high - low))
            found = analysis.test(there.reshape(shape))
            if np.array_equal(found.region, first.region):
                moved = max(moved, abs(found.statistic - line.statistic) / line.standard_error)
    assert moved > 0.05 and len(seen.said) > 2
    assert len(set(seen.said)) == 1


def test_asked_itself_it_answers_as_the_engine_that_is_chosen(monkeypatch):
    """With the cells that this one is allowed, too."""
    seen = Deciding(monkeypatch)
    result = asked(GELU)
    engine, *question = seen.asked[0]
    found = engine.answer(*question)
    assert found.guarantee == "certified" and found.p_value_bounds == result.p_value_bounds
    line, event, how = question
    short = dataclasses.replace(how, tuning=Tuning(slack=1e-9))
    assert found.complete and not engine.answer(line, event, short).complete


@pytest.mark.parametrize("wrong", [False, True], ids=["by the line", "by the statistic"])
def test_the_statistic_is_not_read(wrong, monkeypatch):
    """Any place of the line, in S or not, gives the same words and figures; cells around the statistic would
    not.
    """
    seen = Deciding(monkeypatch)
    asked(LEAKY, threshold=0.5, time_limit=1)
    engine, line, event, how = seen.asked[0]
    if wrong:
        plain = foretold.places
        monkeypatch.setattr(
            foretold, "places", lambda line, tuning: [z + line.statistic for z in plain(line, tuning)]
        )
    seen.said.clear()
    for shift in (0.0, -30.0, -1.0, 0.5, 9.0):
        engine.decided(
            dataclasses.replace(line, statistic=line.statistic + shift * line.standard_error), event, how
        )
    assert (len(set(seen.said)) > 1) == wrong


def test_a_search_that_takes_longer_ends_with_its_bounds(monkeypatch):
    """It does not change to chains."""
    seen = Deciding(monkeypatch)
    fine = asked(GELU, precision=1e-5)
    engine, line, event, how = seen.asked[0]
    found = engine.answer(line, event, dataclasses.replace(how, tuning=Tuning(slack=1e-4)))
    assert found.guarantee == "certified" and not found.complete
    assert found.costs.cells < fine.search.cells
    low, high = found.p_value_bounds
    assert low <= fine.p_value_bounds[1] and fine.p_value_bounds[0] <= high and high - low > 1e-5
    settings = settle(Options(sigma=1.0, precision=1e-5), {}, False)
    assert any("ended with bounds" in text for text in search_warnings(found, settings))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (TANH, {"threshold": 0.5}),
        (EXCITED, {}),
        (EXCITED, {"saliency": "gradcam", "target": 0}),
        (functools.partial(smooth_nets.convnext, size=6), {"threshold": "minmax:0.6"}),
        (functools.partial(smooth_nets.one_activation, "Mish", size=8), {"threshold": 0.3}),
        (functools.partial(smooth_nets.group_norm, size=8), {"threshold": "max:0.4"}),
    ],
    ids=["U-Net", "cam", "gradcam", "ConvNeXt", "Mish", "GroupNorm"],
)
def test_chains_agree_with_proven_bounds(make, options):
    """The interval of the chains (99 %) holds the proven p-value."""
    for seed in (0, 1):
        proven = asked(make, seed, engine="certified", precision=1e-3, **options)
        drawn = asked(make, seed, engine="monte-carlo", draws=999, **options)
        assert np.array_equal(proven.region, drawn.region)
        low, high = drawn.p_value_bounds
        assert proven.p_value_bounds[0] <= high and low <= proven.p_value_bounds[1]
        assert high - low < 0.3


def test_simulations_and_inspections_say_so(tmp_path):
    assert inspect_model(TANH(0)).guarantee == "certified"
    assert any("a few cells show" in reason for reason in inspect_model(TANH(0)).reasons)
    assert inspect_model(smooth_nets.recurrent(size=6)).guarantee == "monte-carlo"
    onnx.save(GELU().file, tmp_path / "model.onnx")
    chosen, named = (
        onnx_si.simulate(
            onnx_si.load(tmp_path / "model.onnx"), trials=3, jobs=1, threshold="max:0.5", engine=engine
        ).outcomes
        for engine in ("auto", "certified")
    )
    assert any(outcome.tested for outcome in chosen)
    assert [outcome.p_values for outcome in chosen] == [outcome.p_values for outcome in named]


# ------------------------------------------------------------------------------------ the forecast


@dataclasses.dataclass
class Fake:
    """Settles cells up to a width that depends on where they are."""

    widest: dict
    rounding: float = 1e-9
    seen: list = dataclasses.field(default_factory=list)
    cost = Cost(passes=8.0)
    finer: object = None

    def bracket(self, task, ends, tally):
        return [self.one(low, high) for low, high in ends]

    def one(self, low, high):
        if high - low < 1e-3:
            return Bracket((), (), self.rounding * (1 + low**2))
        self.seen.append((low, high))
        settled = high - low <= self.widest.get(round(0.5 * (low + high), 6), 100.0)
        return Bracket((), () if settled else ((low, high),))


def task_of(distribution=None, **changed):
    line = ImageLine(
        start=np.zeros((1, 1, 4, 4)),
        direction=np.ones((1, 1, 4, 4)),
        statistic=5.0,
        standard_error=1.0,
        distribution=distribution or Normal(0.0, 1.0),
        **changed,
    )
    return Task(program=None, margin="map", line=line, event=RegionEvent(np.ones((4, 4), np.bool_)))


@pytest.fixture
def second(monkeypatch):
    """A cell takes one."""
    monkeypatch.setattr(foretold, "seconds_a_cell", lambda asked, program, costs, tuning: 1.0)
    monkeypatch.setattr(foretold, "batch_of", lambda asked, program, tuning: 2)


def test_wide_cells_are_few(second):
    fake = Fake({})
    found = foretold.forecast(fake, task_of(), 1000.0, ALONE)
    assert found.cells == found.seconds == Tuning().ends + Tuning().span and len(fake.seen) == 5
    assert sorted(0.5 * (low + high) for low, high in fake.seen) == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize("more", [{"interval_level": 0.95}, {"tipping_at": 0.05}])
def test_what_is_asked_beside_the_p_value_takes_more_cells(second, more):
    alone, found = (
        foretold.forecast(Fake({}), task_of(), 1000.0, how) for how in (ALONE, SearchOptions(**more))
    )
    assert found.cells - alone.cells == Tuning().interval_ends - Tuning().ends > 0


@pytest.mark.parametrize("statistic", [-40.0, 0.0, 0.3, 5.0, 1e3])
def test_where_the_statistic_is_makes_no_difference(second, statistic):
    """Nor to the places that are looked at: only the line's law tells them."""
    task, fake, other = task_of(), Fake({-1.0: 0.3}), Fake({-1.0: 0.3})
    moved = dataclasses.replace(task, line=dataclasses.replace(task.line, statistic=statistic))
    how = SearchOptions(interval_level=0.95)
    assert foretold.forecast(fake, task, 1e4, how) == foretold.forecast(other, moved, 1e4, how)
    assert fake.seen == other.seen


def test_cells_of_a_batch_share_the_calls_of_rules(monkeypatch):
    seen = Deciding(monkeypatch)
    asked(GELU)
    engine, _, _, how = seen.asked[0]
    domain, program = engine.certified.domain.prepared(engine.certified.program)
    alone = dataclasses.replace(how.tuning, batch=1)
    one, many = (
        foretold.seconds_a_cell(domain, program, how.costs, tuning) for tuning in (alone, how.tuning)
    )
    calls = domain.cost.passes * how.costs.rule * len(program.instructions)
    batch = foretold.batch_of(domain, program, how.tuning)
    assert batch > 1 and one - many == pytest.approx(calls * (1 - 1 / batch))


def test_only_what_was_not_settled_is_tried_again(second):
    fake = Fake({-1.0: 0.3, 2.0: 0.1})
    found = foretold.forecast(fake, task_of(), 3000.0, ALONE)
    assert len(fake.seen) == 5 + 2 + 1
    assert found.cells == pytest.approx(Tuning().ends + Tuning().span * (1 + Tuning().nearer * 18 / 5))


def test_cells_that_are_too_narrow_are_not_tried(second):
    fake = Fake({-1.0: 1e-3})
    assert math.isinf(foretold.forecast(fake, task_of(), Tuning().ends + 100 * Tuning().span, ALONE).cells)
    assert min(high - low for low, high in fake.seen) == 1 / 16
    fake = Fake({})
    assert math.isinf(foretold.forecast(fake, task_of(), Tuning().ends, ALONE).cells) and not fake.seen


def test_where_rounding_leaves_much_open_nothing_is_tried(second):
    fake = Fake({}, rounding=Tuning().most_left * 1.01)
    found = foretold.forecast(fake, task_of(), 1000.0, ALONE)
    assert found.too_coarse and math.isinf(found.cells) and not fake.seen
    assert not foretold.forecast(
        Fake({}, rounding=0.99 * Tuning().most_left), task_of(), 1000.0, ALONE
    ).too_coarse
    assert foretold.forecast(Fake({}, rounding=math.nan), task_of(), 1000.0, ALONE).too_coarse


def test_finer_numbers_are_counted_where_rounding_asks_for_them(second):
    """One look in them takes as long as two by its counted work, and the ends of S take some."""
    fake, tuning = Fake({}, rounding=1e-3, finer=Fake({}, rounding=1e-9)), Tuning()
    found = foretold.forecast(fake, task_of(), 1000.0, ALONE)
    ends = tuning.ends + tuning.fine_ends * tuning.fine
    assert not found.too_coarse and found.rounding < 2e-9 and found.cells == ends + tuning.span
    assert len(fake.seen) == 5 and not fake.finer.seen  # but the narrow ones, for rounding
    late = Fake({}, rounding=1e-3, finer=Fake({}, rounding=1e-9))
    limit = tuning.ends + tuning.span + tuning.fine_ends
    assert math.isinf(foretold.forecast(late, task_of(), limit, ALONE).cells) and not late.seen
    coarse = Fake({}, rounding=1e-3, finer=Fake({}, rounding=1e-4))
    assert foretold.forecast(coarse, task_of(), 1000.0, ALONE).too_coarse and not coarse.seen


def test_chains_where_rounding_leaves_much_open(monkeypatch):
    """As in deep networks, of which the certified engine would refuse many an image."""
    seen = Deciding(monkeypatch)
    asked(GELU)
    engine, line, event, how = seen.asked[0]
    found = engine.decided(line, event, dataclasses.replace(how, tuning=Tuning(most_left=1e-30)))
    assert found.engine.guarantee == "monte-carlo" and "of the margins open" in found.why


def test_a_length_is_tried_where_lengths_are():
    law = Chi(9, 1.0)
    line = task_of(law, dimension_is_the_images=False, degrees_of_freedom=9).line
    assert foretold.places(line, Tuning()) == [3.0, 2.25, 3.75, 1.5, 4.5]
