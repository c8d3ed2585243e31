"""The stages of `onnx_si.test` up to the p-value, one by one, and the searches that ours is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from onnx_si import Model
from onnx_si.analysis.options import Options
from onnx_si.analysis.prepare import Analysis
from onnx_si.analysis.question import noise_of, test_line
from onnx_si.analysis.scene import Given
from onnx_si.analysis.selection import Selection
from onnx_si.analysis.settings import Settings, settle
from onnx_si.domains.domain import Domains
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.domains.piecewise.verdict import verdict_on
from onnx_si.domains.standard import RESOLVING_ONLY, STANDARD
from onnx_si.domains.walker import Tally, walk
from onnx_si.ground.budget import free_memory
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.machine import keep_freed_memory
from onnx_si.search import Progress, SearchOptions, search
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import p_value_bounds

NARROW = 1e-9  # bounds so close that only rounding is left
REACH = 10.0  # standard errors

Watch = Callable[[Progress], None]


@dataclass(frozen=True)
class Question:
    """What a search is given: everything that `onnx_si.test` has settled before it."""

    settings: Settings
    selection: Selection
    line: ImageLine
    event: RegionEvent


@dataclass(frozen=True)
class Found:
    """What a search found and what it cost, in counted work. What does not apply is None."""

    p_value_bounds: tuple[float, float]
    forward_passes: float
    pieces: int
    complete: bool
    cells: int | None = None
    fates: dict[str, int] | None = None
    peak_bytes: int | None = None


def ask(model: Model, image: Any, reference: Any, options: dict[str, Any]) -> Question:
    """Options, image, map, region and line, as in `onnx_si.test`."""
    references = () if reference is None else (reference,)
    settings = settle(Options(**options), model.metadata, bool(references))
    keep_freed_memory(free_memory())
    analysis = Analysis(model, Options(**options))
    scene = analysis.scene(Given(image=image, references=references), settings)
    selection = analysis.select(scene, settings)
    line = test_line(scene, selection.region, noise_of(scene, settings), settings)
    return Question(settings, selection, line, selection.event)


def to_p_value(
    question: Question, watch: Watch, *, precision: float | None = None, domains: Domains = STANDARD
) -> Found:
    """The search of `onnx_si.test`, ended at the p-value: the confidence interval is not settled."""
    settings, selection = question.settings, question.selection
    how = SearchOptions(
        alternative=settings.alternative,
        precision=settings.precision if precision is None else precision,
        budget_bytes=settings.budget_bytes,
        interval_level=None,
        domains=domains,
    )
    engine = selection.engine
    found = search(engine.program, engine.margin, question.line, question.event, how, watch)
    return Found(
        found.p_value_bounds,
        found.forward_passes,
        found.pieces,
        found.complete,
        found.cells,
        found.fates,
        found.peak_bytes,
    )


def whole_stretch(question: Question, watch: Watch) -> Found:
    """The exact domain over +-10 standard errors in one go, without an early stop."""
    engine, line, settings = question.selection.engine, question.line, question.settings
    end = REACH * line.standard_error
    start = line_segment(line.start, line.direction, -end, end)
    inside, undecided, pieces, tally = [], [np.array([[-np.inf, -end], [end, np.inf]])], 0, Tally()
    for outputs in walk(engine.program, ExactDomain(budget=settings.budget_bytes).apply, start, tally):
        verdict = verdict_on(question.event, outputs[engine.margin])
        inside.append(verdict.inside)
        undecided.append(verdict.unclear)
        pieces += len(outputs[engine.margin].knots) - 1
    sets = (Intervals.of(np.concatenate(part)) for part in (inside, undecided))
    bounds = p_value_bounds(line.distribution, *sets, line.statistic, settings.alternative)
    return Found(bounds, tally.operations / engine.program.cost, pieces, complete=True)


SEARCHES: dict[str, Callable[[Question, Watch], Found]] = {
    "ours": to_p_value,
    "ours_narrow": partial(to_p_value, precision=NARROW),
    "exact_alone": partial(to_p_value, domains=RESOLVING_ONLY),
    "plain_10_sd": whole_stretch,
}
