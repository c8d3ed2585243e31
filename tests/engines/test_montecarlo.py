"""The Monte-Carlo engine on sets that are known: its level, its power, and that its tuning is blind."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from onnx_si.analysis.witness import draw
from onnx_si.engines.montecarlo import Asker, Plan, answer, monte_carlo, proposals
from onnx_si.engines.montecarlo.answer import COPIES
from onnx_si.engines.montecarlo.bracket import AHEAD, HALVINGS, Bracket
from onnx_si.engines.montecarlo.chains import Chains
from onnx_si.engines.montecarlo.counts import Count, Tail
from onnx_si.engines.montecarlo.grid import look
from onnx_si.engines.montecarlo.laws import law_of
from onnx_si.engines.montecarlo.local import Local, Lots
from onnx_si.engines.montecarlo.proposals import Proposals
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.seeds import Children
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Chi, Normal, Randomised, Ratio, Student, p_value_bounds

SE = 0.3  # nothing may depend on the unit


def outside(places_of_s):
    """How far places are outside of a union of intervals, as a network would tell: at most zero inside."""
    bounds = places_of_s.bounds

    def ask(z):
        return np.maximum(bounds[:, 0] - z[:, None], z[:, None] - bounds[:, 1]).min(axis=1)

    return ask


def line_of(law, place):
    """A line whose observed place is the given one, as the hypotheses make it."""
    error = SE
    if isinstance(law, Student | Ratio):  # the estimated scale is what the radius leaves
        freedom = law.df if isinstance(law, Student) else law.error_df
        error = math.sqrt((law.radius**2 - place**2) / freedom)
    return ImageLine(
        start=np.zeros(1), direction=np.ones(1), statistic=place, standard_error=error, distribution=law
    )


def chains_of(grid, law, ask, rng):
    return Chains(
        law=law,
        ask=ask,
        proposals=Proposals.of(grid, law),
        local=Local.of(grid, law, ask),
        children=Children(rng),
    )


def local_step(local, x, rng):
    return local.step(x, Lots.of(len(x), rng, Children(rng)))


def random_set(rng, centre=0.0, count=6, width=0.1):
    """A few intervals of many widths around a centre."""
    middles = centre + 2 * SE * rng.normal(size=count)
    half = SE * rng.exponential(width, count)
    return Intervals.of(np.stack([middles - half, middles + half], axis=1))


LAWS = {
    "normal": (Normal(0.0, SE), 0.0),
    "chi": (Chi(5, SE), 2 * SE),
    "chi of one": (Chi(1, SE), SE),
    "t": (Student(4, 2 * SE), 0.0),
    "t of one": (Student(1, 2 * SE), 0.0),
    "F": (Ratio(5, 7, 3 * SE), 2 * SE),
}


def observed(law, places, rng):
    points = draw(law, ((places, True),), 1, 100.0, rng)
    return None if not points else points[0].place


def p_values(law, centre, alternative, trials, *, shift=0.0, width=0.1, **plan):
    """Monte-Carlo and exact p-values of places drawn from the law (or its mean moved) on random sets."""
    found, exact = [], []
    for trial in range(trials):
        rng = np.random.default_rng((trial, 7))
        places = random_set(rng, centre, width=width)
        moved = law if not shift else Normal(shift, law.sd)
        at = observed(moved, places, rng)
        if at is None:
            continue
        line = line_of(law, at)
        options = Plan(alternative=alternative, **plan)
        found.append(monte_carlo(line, outside(places), options, rng).p_value)
        exact.append(p_value_bounds(law, places, Intervals.empty(), at, alternative)[1])
    return np.array(found), np.array(exact)


def in_band(values, level):
    low, high = stats.binom.ppf([0.0005, 0.9995], len(values), level)
    return low <= np.count_nonzero(values <= level) <= high


@pytest.mark.parametrize("name", LAWS)
def test_level_of_every_law(name):
    law, centre = LAWS[name]
    greater = name in ("chi", "chi of one", "F")
    values, _ = p_values(law, centre, "greater" if greater else "two-sided-abs", 500, draws=39, steps=1)
    assert len(values) > 350
    assert all(in_band(values, level) for level in (0.05, 0.1, 0.25))


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_level_of_every_alternative(alternative):
    values, _ = p_values(LAWS["normal"][0], 0.0, alternative, 500, draws=39, steps=1)
    assert all(in_band(values, level) for level in (0.05, 0.1, 0.25))


@pytest.mark.parametrize("alternative", ["two-sided-abs", "two-sided", "greater"])
def test_level_after_a_randomised_selection(alternative):
    share, values = 0.5, []
    for trial in range(500):
        rng = np.random.default_rng((trial, 11))
        places = random_set(rng)
        at = observed(Normal(0.0, SE * math.sqrt(1 + share)), places, rng)
        statistic = at / (1 + share) + SE * math.sqrt(share / (1 + share)) * rng.standard_normal()
        law = Randomised(SE, share, statistic)
        line = dataclasses.replace(line_of(law, at), tested=(statistic, SE))
        values.append(
            monte_carlo(line, outside(places), Plan(draws=39, steps=1, alternative=alternative), rng).p_value
        )
    assert all(in_band(np.array(values), level) for level in (0.05, 0.1, 0.25))


@pytest.mark.parametrize("width", [0.1, 0.01])
def test_power_is_that_of_the_exact_test(width):
    found, exact = p_values(
        LAWS["normal"][0], 0.0, "two-sided-abs", 120, shift=2 * SE, width=width, draws=199
    )
    rejected = [np.mean(values <= 0.05) for values in (found, exact)]
    assert rejected[1] > 0.25 and rejected[0] > rejected[1] - 0.04
    assert np.median(np.abs(found - exact)) < 0.03


def test_a_sliver_far_out_is_told_from_the_rest_of_the_line():
    """A stretch of .002 standard errors around a statistic of 46: the grid sees nothing of it."""
    places = Intervals.of([(46 * SE, 46.002 * SE)])
    at = 46.0001 * SE
    line = line_of(Normal(0.0, SE), at)
    found = monte_carlo(
        line, outside(places), Plan(draws=999, steps=2, alternative="greater"), np.random.default_rng(0)
    )
    exact = p_value_bounds(line.distribution, places, Intervals.empty(), at, "greater")[1]
    assert abs(found.p_value - exact) < 0.05
    assert found.estimate.contains(at)


@pytest.mark.parametrize("start", [9.1, 15.9, 60.0, 200.0])
def test_a_place_far_out_in_a_wide_stretch_is_left(start):
    """The outer cells of the grid are wide and the law falls by much in each: chains have to get away."""
    places = Intervals.of([(start * SE, (start + 14) * SE)])
    line = line_of(Normal(0.0, SE), (start + 1.1) * SE)
    values = [
        monte_carlo(line, outside(places), Plan(draws=199, steps=2), np.random.default_rng(seed)).p_value
        for seed in range(30)
    ]
    assert np.mean(np.array(values) <= 0.05) > 0.85


@pytest.mark.parametrize("start", [2.3, 30.0, 500.0])
def test_ends_far_out_are_as_sharp_as_the_law_is_steep(start):
    """Within the cell that holds an end of S the law changes by no more than nearby."""
    places = Intervals.of([(start * SE, (start + 14) * SE)])
    standard, _ = law_of(line_of(Normal(0.0, SE), (start + 1.1) * SE))
    grid = look(standard, Asker(outside(places), standard.place, standard.low, standard.high))
    ends = np.flatnonzero(grid.inside[1:] != grid.inside[:-1])
    widths = np.diff(grid.nodes)[ends]
    assert len(ends) == 2 and np.all(widths <= 0.1 / np.maximum(64, grid.nodes[ends]) * (1 + 1e-2))


@pytest.mark.parametrize("name", LAWS)
def test_proposals_have_the_density_that_they_say(name):
    law, centre = LAWS[name]
    places = random_set(np.random.default_rng(4), centre).union(Intervals.of([(12 * SE, 25 * SE)]))
    standard, _ = law_of(line_of(law, 0.5 * SE))
    grid = look(standard, Asker(outside(places), standard.place, standard.low, standard.high))
    proposals = Proposals.of(grid, standard)
    cells = len(grid.nodes) - 1
    ends = np.interp(np.arange(1000 * cells + 1) / 1000, np.arange(cells + 1), grid.nodes)
    x, widths = 0.5 * (ends[1:] + ends[:-1]), np.diff(ends)
    below = np.cumsum(np.exp(proposals.log_density(x)) * widths)
    assert below[-1] == pytest.approx(1.0, abs=2e-3)
    drawn = proposals.draw(*np.random.default_rng(6).random((2, 4000)))
    assert stats.kstest(drawn, lambda at: np.interp(at, ends[1:], below)).pvalue > 0.001
    assert (proposals.log_density(np.array([grid.nodes[0] - 1, grid.nodes[-1] + 1])) < -1e200).all()


@pytest.mark.parametrize("name", LAWS)
def test_the_grid_does_not_know_the_observed_place(name, monkeypatch):
    """Moving the observed place within S leaves every place that the grid asks about as it was."""
    law, centre = LAWS[name]
    places = random_set(np.random.default_rng(3), centre)
    law_only, _ = law_of(line_of(law, 0.5 * SE))
    counted = Asker(outside(places), law_only.place, law_only.low, law_only.high)
    look(law_only, counted)
    asked, tuned, made = [], [], Proposals.of

    def noted(grid, law):
        tuned.append(grid)
        return made(grid, law)

    monkeypatch.setattr(Proposals, "of", noted)
    ends = [bounds for bounds in places if 0 < sum(bounds) / 2 < (getattr(law, "radius", 10.0))]
    for at in (0.5 * (ends[0][0] + ends[0][1]), 0.3 * ends[-1][0] + 0.7 * ends[-1][1]):
        seen = []

        def ask(z, seen=seen):
            seen.extend(z.tolist())
            return outside(places)(z)

        monte_carlo(line_of(law, at), ask, Plan(draws=19, steps=1), np.random.default_rng(0))
        assert seen[:COPIES] == pytest.approx([at] * COPIES)
        asked.append(seen[COPIES : COPIES + counted.passes])
    assert asked[0] == asked[1] and counted.passes > 80
    assert np.array_equal(tuned[0].nodes, tuned[1].nodes) and np.array_equal(tuned[0].off, tuned[1].off)


@pytest.mark.parametrize("step", ["jump", "local"])
@pytest.mark.parametrize("name", ["normal", "chi", "t", "F"])
def test_a_step_leaves_the_law_as_it_is(name, step):
    """From exact draws of the law on S, one step gives draws of the same law: many of them others.

    The proposals are tuned badly, and one stretch of S is wide: what is proposed has another law.
    """
    law, centre = LAWS[name]
    rng = np.random.default_rng(5)
    wide = Intervals.of([(centre - 1.6 * SE, centre + 1.1 * SE)])
    places = wide.union(random_set(rng, centre, count=3, width=0.02))
    standard, _ = law_of(line_of(law, 0.5 * SE))
    ask = Asker(outside(places), standard.place, standard.low, standard.high)
    grid = look(standard, ask)
    # what is seen of S lies on one side only; for the local step, which works where nothing was seen, none
    seen = grid.nodes < np.median(grid.nodes) if step == "jump" else np.zeros(len(grid.nodes), bool)
    grid = dataclasses.replace(grid, off=np.where(seen, -1.0, 1.0))
    start = np.array([point.place for point in draw(law, ((places, True),), 4000, 100.0, rng)])
    x = np.array([law_of(line_of(law, at))[1] for at in start])
    x = x[ask.inside(x)]  # but for rounding of the ends
    if step == "jump":
        chains = chains_of(grid, standard, ask, rng)
        (draws,) = chains.draws(states := chains.at(x), [chains.rolls(len(x), 1, rng)])
        moved = chains._jumped(states, draws, 0).x
    else:
        moved = local_step(Local.of(grid, standard, ask), x, rng)
    assert np.mean(moved != x) > 0.2
    assert ask.inside(moved).all()
    assert stats.ks_2samp(moved, x).pvalue > 0.001


class Noted(Asker):
    """Notes how many places each question is about."""

    def __init__(self, places, law):
        self.sizes = []
        super().__init__(outside(places), law.place, law.low, law.high)

    def again(self, coordinates):
        self.sizes.append(len(coordinates))
        return super().again(coordinates)


def one_by_one(chains, states, draws, backward):
    """The chains as they are defined: each step asks when it comes."""
    x = states.x.copy()
    for step, lots in enumerate(draws.lots):
        if backward:
            x = chains.local.step(x, lots)
        to, likelier = draws.to.x[step], chains.at(draws.to.x[step]).likelier
        taken = (draws.log_u[step] < likelier - chains.at(x).likelier) & chains.ask.inside(to)
        x = np.where(taken, to, x)
        if not backward:
            x = chains.local.step(x, lots)
    return x


@pytest.mark.parametrize(("known", "ahead"), [(True, True), (False, True), (False, False)])
def test_what_is_asked_ahead_changes_no_step(known, ahead):
    """Three steps of many chains, there and back, asked about at once; the local step leads elsewhere too.

    What was not asked about ahead is asked about when a step wants it.
    """
    law, _ = law_of(line_of(Normal(0.0, SE), 0.0))
    slivers = Intervals.of([(at, at + 2e-3) for at in SE * (0.03 + 0.1 * np.arange(5, 17))])
    places = Intervals.of([(-0.6 * SE, 0.2 * SE)]).union(slivers)
    ask = Noted(places, law)
    grid = look(law, ask)
    if not known:  # all of S is between the places that the grid knows
        grid = dataclasses.replace(grid, off=np.where(grid.nodes < -0.3, grid.off, 1.0))
    at = -0.1 if known else float(slivers.bounds[0].mean() / SE)
    found = []
    for stepped in (False, True):
        rng = np.random.default_rng(2)
        chains = chains_of(grid, law, ask, rng)
        start = chains.at(np.array([at]))
        rolls = [chains.rolls(1, 3, rng, backward=True), *(chains.rolls(100, 3, rng) for _ in range(2))]
        ask.sizes.clear()
        back, *blocks = chains.draws(start, rolls)
        assert len(ask.sizes) == 1 and 0 < ask.sizes[0] <= 603
        if stepped:
            hub = chains.at(one_by_one(chains, start, back, True)).repeated(100)
            found.append(np.concatenate([one_by_one(chains, hub, draws, False) for draws in blocks]))
            continue
        for draws in () if ahead else (back, *blocks):
            draws.inside[:] = np.nan
        hub = chains.backward(start, back).repeated(100)
        found.append(np.concatenate([chains.forward(hub, draws).x for draws in blocks]))
        assert (len(ask.sizes) == 1) is ahead
    assert np.array_equal(*found) and len(np.unique(found[0])) > 100


def bracket(off_low, off_high):
    return Bracket(low=0.0, high=1.0, off_low=off_low, off_high=off_high, centre=0.0)


@pytest.mark.parametrize("bent", [False, True])
def test_a_bisection_that_looks_ahead_is_the_same(bent):
    """The same places are used as one by one, and few others are asked about, if the map bends."""
    for end in np.random.default_rng(1).uniform(0.01, 0.99, 40):

        def off(z, end=end):
            return (z - end) * (40.0 if bent and z > end else 1.0)

        cell, used, rounds, asked = bracket(off(0.0), off(1.0)), [], 0, 0
        while cell.halvings < HALVINGS:
            ahead = list(cell.ahead())
            used += cell.bisected({z: off(z) for z in ahead})
            rounds, asked = rounds + 1, asked + len(ahead)
        low, high, wanted = 0.0, 1.0, []
        while len(wanted) < len(used):
            wanted.append(0.5 * (low + high))
            low, high = (wanted[-1], high) if off(wanted[-1]) <= 0 else (low, wanted[-1])
        assert used == wanted and (cell.low, cell.high) == (low, high)
        if not bent:
            assert rounds == math.ceil(len(used) / AHEAD) and asked == len(used)


def test_a_bisection_of_counts_looks_no_further():
    """Where distances in S are not told, the next middle alone is asked about."""
    assert list(bracket(0.0, 3.0).ahead()) == [0.5]


def test_a_place_outside_s_is_refused():
    with pytest.raises(UnsupportedModel, match="rounding"):
        monte_carlo(
            line_of(Normal(0.0, SE), 1.0), lambda z: np.ones(len(z)), Plan(draws=19), np.random.default_rng(0)
        )


@pytest.mark.parametrize("when", ["beside copies", "later"])
def test_a_region_that_flickers_is_refused(when):
    """Among copies of the observed place one is outside, or all are when asked about once more."""
    at, calls = 0.25 * SE, []

    def ask(z):
        mine = z == line.observed
        found = np.where(np.abs(z) <= SE, -1.0, 1.0)
        calls.append(len(z))
        wrong = mine & (np.arange(len(z)) == 2) if when == "beside copies" else mine & (len(calls) > 1)
        return np.where(wrong, 1.0, found)

    line = line_of(Normal(0.0, SE), at)
    with pytest.raises(UnsupportedModel, match=r"flickers.*--provider.*--saliency"):
        monte_carlo(line, ask, Plan(draws=19), np.random.default_rng(0))
    assert (len(calls) == 1) == (when == "beside copies")


@pytest.mark.parametrize("width", [0.1, 0.01, 1e-4])
def test_passes_stay_within_the_target(width):
    """With B chains of the default steps, a grid and what the ends of S cost; however narrow S is."""
    for draws, most in ((199, 1000), (999, 3000)):
        passes = []
        for trial in range(12):
            rng = np.random.default_rng(trial)
            places = random_set(rng, width=width)
            line = line_of(Normal(0.0, SE), observed(Normal(2 * SE, SE), places, rng))
            plan = Plan(draws=draws, alternative="greater")
            passes.append(monte_carlo(line, outside(places), plan, rng).passes)
        assert max(passes) <= most


def test_where_most_of_s_was_seen():
    """A stretch between places of the grid, and one that holds a single one of them."""
    law, _ = law_of(line_of(Normal(0.0, SE), 0.0))
    for places, well in (((-0.5, 0.7), True), ((-1e-4, 1e-4), False)):
        set_ = Intervals.of([tuple(SE * end for end in places)])
        ask = Asker(outside(set_), law.place, law.low, law.high)
        grid = look(law, ask)
        assert grid.is_well_seen(law) is well
        local = Local.of(grid, law, ask)
        x = np.array([0.5 * sum(places)])
        before = ask.passes
        moved = [local_step(local, x, np.random.default_rng(seed)) for seed in range(8)]
        assert (ask.passes == before) is well, "where S was seen well no stretch is asked for"
        assert all(ask.inside(one)[0] for one in moved)


def test_what_only_the_estimate_needs_is_asked_for_last():
    """A sliver that no place of the grid hits: the p-value is the same, looked up or not."""
    places = Intervals.of(np.array([[0.512 * SE, 0.5121 * SE], [1.0 * SE, 1.4 * SE]]))
    line = line_of(Normal(0.0, SE), 0.51204 * SE)
    with_it, without = (
        monte_carlo(line, outside(places), Plan(draws=19, around=around), np.random.default_rng(0))
        for around in (True, False)
    )
    assert with_it.p_value == without.p_value and with_it.draws == without.draws
    assert with_it.passes > without.passes
    assert with_it.estimate.contains(line.statistic) and not without.estimate.contains(line.statistic)


def test_local_steps_beside_what_is_known_leave_the_law_as_it_is():
    """States in cells that the grid knows stay, and no step leads there."""
    law = Normal(0.0, SE)
    rng = np.random.default_rng(5)
    slivers = Intervals.of([(at, at + 2e-4) for at in SE * (0.03 + 0.1 * np.arange(5, 17))])
    places = Intervals.of([(-0.6 * SE, 0.2 * SE)]).union(slivers)
    standard, _ = law_of(line_of(law, 0.0))
    ask = Asker(outside(places), standard.place, standard.low, standard.high)
    grid = look(standard, ask)
    local = Local.of(grid, standard, ask)
    assert grid.is_well_seen(standard) and np.array_equal(local.known, grid.seen)
    start = np.array([point.place for point in draw(law, ((slivers, True),), 3000, 100.0, rng)]) / SE
    start = np.concatenate([start[ask.inside(start)], rng.uniform(-0.6, 0.2, 1000)])
    moved = local_step(local, start, rng)
    known = grid.holds(start, grid.seen)
    assert np.array_equal(moved[known], start[known]) and not grid.holds(moved[~known], grid.seen).any()
    if (~known).any():
        assert np.mean(moved[~known] != start[~known]) > 0.2
        assert stats.ks_2samp(moved[~known], start[~known]).pvalue > 0.001


@pytest.mark.parametrize("name", [*LAWS, "randomised"])
def test_blocks_that_are_asked_about_together_change_nothing(name):
    """The same p-value in fewer questions: of slivers too, where chains ask on their way."""
    for trial in range(6):
        law, centre = LAWS.get(name, LAWS["normal"])
        rng = np.random.default_rng(trial)
        places = random_set(rng, centre, width=(0.1, 0.001)[trial % 2])
        at = observed(law, places, rng)
        if at is None:
            continue
        line = line_of(law, at)
        if name == "randomised":
            law = Randomised(SE, 0.5, at / 1.5)
            line = dataclasses.replace(line_of(law, at), tested=(at / 1.5, SE))
        found, questions = [], []
        for few in (0, answer.FEW):
            sizes, plan = [], Plan(draws=199, steps=2, together=few)

            def ask(z, sizes=sizes, places=places):
                sizes.append(len(z))
                return outside(places)(z)

            found.append(monte_carlo(line, ask, plan, np.random.default_rng(trial)))
            questions.append(len(sizes))
        one, other = found
        assert (one.p_value, one.interval, one.draws) == (other.p_value, other.interval, other.draws)
        assert questions[1] < questions[0] and other.passes <= 1.1 * one.passes


def test_chains_that_are_surely_looked_at():
    """However they end, the count does not stop before; and it may stop right then."""
    rng = np.random.default_rng(0)
    for alternative in ("two-sided", "greater", "two-sided-abs"):
        for share in (0.0, 0.5, 1.0):
            count = Count.of(0.5, 0.5, alternative, 99, 0.05)
            first = count.surely
            while not count.stopped and count.seen < 99:
                least = count.surely
                count.add((rng.uniform(size=1) < share).astype(float), np.zeros(1))
                assert count.seen <= least <= count.surely
            assert count.seen >= min(first, 99)
    count = Count.of(0.5, 0.5, "two-sided", 99, 0.05)
    count.add(np.repeat([0.0, 1.0], count.surely // 2), np.zeros(count.surely))
    assert count.stopped and count.seen == 20


def test_nothing_is_asked_about_no_place():
    """Not even where none of the proposals may be taken."""

    def ask(z):
        raise AssertionError("asked")

    asker = Asker(ask, lambda x: x)
    assert asker.again(np.empty(0)).tolist() == [] and asker.passes == 0


def test_chains_ask_only_whether_a_place_is_in_s():
    """What tells more is asked by the grid; the answers are the same."""
    places = random_set(np.random.default_rng(1))
    line = line_of(Normal(0.0, SE), observed(Normal(0.0, SE), places, np.random.default_rng(2)))
    far, near = [], []

    def distance(z):
        far.extend(z.tolist())
        return outside(places)(z)

    def inside(z):
        near.extend(z.tolist())
        return outside(places)(z) <= 0

    found, plain = (
        monte_carlo(line, distance, Plan(draws=99), np.random.default_rng(0), inside=way)
        for way in (inside, None)
    )
    assert found == dataclasses.replace(plain, seconds=found.seconds) and len(near) > 100
    assert near[-1] == pytest.approx(line.statistic), "asked once more when all is done"


@pytest.mark.parametrize("start", [None, 9.1, 60.0, 300.0])
@pytest.mark.parametrize("name", LAWS)
def test_pieces_that_are_not_made_have_no_share(name, start):
    """Where proposals are never drawn their density is looked up when a chain is there, and is the same."""
    law, centre = LAWS[name]
    places = random_set(np.random.default_rng(4), centre)
    if start is not None:
        places = Intervals.of([(start * SE, (start + 14) * SE)])
    standard, _ = law_of(line_of(law, 0.5 * SE))
    grid = look(standard, Asker(outside(places), standard.place, standard.low, standard.high))
    near = Proposals.of(grid, standard)
    whole = Proposals.of(grid, standard, nothing=math.inf)
    assert len(whole.near.nodes) == len(proposals._pieces(grid.nodes)[0])
    assert (
        len(near.near.nodes) < 0.5 * len(whole.near.nodes) or name not in ("normal", "chi") or start == 300.0
    )
    ends = np.interp(np.arange(20 * len(grid.nodes)) / 20, np.arange(len(grid.nodes)), grid.nodes)
    for x in (ends, near.near.nodes, np.array([grid.nodes[0] - 1, grid.nodes[-1] + 1])):
        np.testing.assert_allclose(near.log_density(x), whole.log_density(x), rtol=1e-12, atol=1e-9)
    u = np.random.default_rng(6).random((2, 4000))
    np.testing.assert_array_equal(near.draw(*u), whole.draw(*u))


def test_the_same_place_is_asked_once():
    asked = []

    def ask(z):
        asked.extend(z.tolist())
        return z

    asker = Asker(ask, lambda x: 2 * x)
    assert asker(np.array([1.0, 3.0, 1.0])).tolist() == [2.0, 6.0, 2.0]
    assert asker(np.array([3.0])).tolist() == [6.0]
    assert asked == [2.0, 6.0] and asker.passes == 2
    limited = Asker(ask, lambda x: x, 0.0, 1.0)
    assert limited.inside(np.array([-1.0, 0.0, 2.0])).tolist() == [False, True, False]
    assert limited.passes == 1


def test_tail_by_hand():
    tail = Tail(draws=9, stop=3)
    tail.count(np.array([True, False, True]))
    assert not tail.stopped and tail.p_value == 3 / 4
    tail.count(np.array([False, True, True, True]))
    assert tail.stopped and (tail.extreme, tail.seen) == (3, 5) and tail.p_value == 3 / 5
    tail.count(np.array([True]))
    assert tail.seen == 5
    expected = stats.binomtest(3, 5).proportion_ci(0.99, method="exact")
    assert tail.interval(0.99) == pytest.approx((expected.low, expected.high))


def test_no_chain_as_extreme():
    count = Count.of(5.0, 0.5, "greater", 199, 0.05)
    count.add(np.zeros(199), np.zeros(199))
    assert count.p_value == 1 / 200 and count.interval[0] == 0


def test_equal_ends_are_as_extreme_by_lot():
    for alternative in ("greater", "less", "two-sided-abs"):
        count = Count.of(-1.0, 0.5, alternative, 3, 0.05)
        count.add(np.array([-1.0, -1.0, -1.0]), np.array([0.4, 0.6, 0.7]))
        above = 2 if alternative != "less" else 1
        assert count.tails[0].extreme == min(above, count.tails[0].stop)


def test_equal_tails_count_both_sides():
    count = Count.of(1.0, 0.5, "two-sided", 7, 0.05)
    count.add(np.array([0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0]), np.zeros(7))
    above, below = (tail.p_value for tail in count.tails)
    assert above == 1 / 3 and below == 1  # stopped at the first end above, and at the first below
    assert count.p_value == pytest.approx(2 / 3)


def test_no_stop_changes_a_decision():
    """As many ends as extreme as stop the count give a p-value above alpha."""
    for draws in (19, 199, 999):
        for alternative in ("greater", "two-sided"):
            count = Count.of(0.0, 0.5, alternative, draws, 0.05)
            tail = count.tails[0]
            tail.count(np.ones(tail.stop, dtype=bool))
            tail.seen = draws  # the last chain that may run
            assert len(count.tails) * tail.p_value > 0.05 - 1e-12
