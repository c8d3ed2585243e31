"""A simulation from plan to document."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from onnx_si.errors import UsageError
from onnx_si.graph import Model
from onnx_si.outcome import Notice, versions
from onnx_si.settings import Settings
from onnx_si.simulate.journal import Journal
from onnx_si.simulate.plan import Plan, Wish, plan_of
from onnx_si.simulate.pool import Advance, run_trials, run_until_tested
from onnx_si.simulate.summary import CONFIDENCE, Row, p_values, summarise
from onnx_si.simulate.trial import Outcome

SCHEMA = "onnx-si/simulate/1"

_KNOWS = {
    "sigma": "told",
    "image": "estimated from the image: the level is approximate",
    "images": "estimated from further images of noise: a t-test",
}


@dataclass(frozen=True)
class Count:
    """How many draws, or how many tests, under each signal; exactly one of them."""

    trials: int | None = None
    tested: int | None = None

    def __post_init__(self) -> None:
        if (self.trials is None) == (self.tested is None):
            raise UsageError("trials and tested: give one of them")
        if min(n for n in (self.trials, self.tested) if n is not None) < 1:
            raise UsageError("trials or tested below 1; give at least 1")


@dataclass(frozen=True)
class Simulation:
    """Everything that was simulated, and what it says."""

    model: Model
    plan: Plan
    settings: Settings
    signals: tuple[float, ...]
    count: Count
    outcomes: tuple[Outcome, ...] = field(repr=False)
    rows: tuple[Row, ...]
    defaults: tuple[str, ...]
    seconds: float

    @property
    def tested(self) -> int:
        """Trials with a region, under all signals."""
        return sum(outcome.tested for outcome in self.outcomes)

    def p_values(self, signal: float, method: str) -> np.ndarray:
        """P-values of one method under one signal, by number of the trial."""
        return p_values(self.outcomes, signal, method)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document; its keys never change."""
        plan, settings, model = self.plan, self.settings, self.model
        distance = None if plan.noise.parameter is None else plan.noise.amount
        correlation = plan.noise.amount if plan.noise.name == "correlated" else None
        return {
            "schema": SCHEMA,
            "model": {
                "path": model.path,
                "sha256": model.sha256,
                "producer": model.producer,
                "opset": model.opset,
            },
            "image": {"shape": list(plan.shape), "square": plan.size, "references": plan.references},
            "noise": {
                "name": plan.noise.name,
                "sigma": plan.sigma,
                "distance": distance,
                "parameter": plan.noise.parameter,
                "correlation": correlation,
                "known": plan.knows == "sigma",
                "source": _KNOWS[plan.knows],
                "images": plan.noise_images,
            },
            "hypothesis": settings.hypothesis,
            "alternative": settings.alternative,
            "alpha": settings.alpha,
            "confidence_level": CONFIDENCE,
            "asked": {"trials": self.count.trials, "tested": self.count.tested},
            "seed": plan.seed,
            "results": [asdict(row) for row in self.rows],
            "config": {**plan.to_dict(), "signals": list(self.signals)},
            "defaults": list(self.defaults),
            "seconds": self.seconds,
            "versions": versions(),
            "reasons": {
                "noise.distance": "a distance is given for the named families only",
                "noise.parameter": "a distance is given for the named families only",
                "noise.correlation": "only correlated noise has one",
                "asked.*": "the number of draws, or of tests, is fixed; not both",
                "results.*.*": "in the row's own reasons",
            },
        }


def _silent(*said: object) -> None:
    """Nobody listens."""


def simulate(
    model: Model,
    signals: Sequence[float] = (0.0,),
    count: Count | None = None,
    wish: Wish | None = None,
    *,
    jobs: int = -1,
    resume: str | None = None,
    advance: Advance | None = None,
    notice: Notice | None = None,
    **options: Any,
) -> Simulation:
    """Draw images of noise, with a square of a stated mean in them, and test each of them.

    Parameters
    ----------
    model : Model
        Loaded from a file.
    signals : sequence of float
        Means of the square, in the image's units.
    count : Count
        Default: 1000 draws for each signal.
    wish : Wish
        Size of the square, references, noise, seed.
    jobs : int
        Processes; -1: one for each core. No number depends on it.
    resume : str, optional
        File that finished trials are appended to, and from which they are taken.
    advance : callable, optional
        Told how many trials are finished, of how many.
    notice : callable, optional
        Told each default with its reason, as by `onnx_si.test`.
    **options
        As for `onnx_si.test`.

    Raises
    ------
    UsageError, InputError, UnsupportedModel, NothingToTest

    Source
    ------
    Miwa, Duy, Takeuchi, ICLR 2023, section 5.
    """
    started, count = time.perf_counter(), count or Count(trials=1000)
    if not signals or len(set(signals)) < len(signals) or not np.isfinite(signals).all():
        raise UsageError(f"signals {list(signals)}; give finite numbers, each once")
    plan, settings, defaults = plan_of(model, wish or Wish(), **options)
    for text in defaults:
        (notice or _silent)("default", text)
    advance = advance or _silent
    journal = Journal(resume, plan, versions()["onnx-si"])
    if count.trials is not None:
        outcomes = run_trials(plan, signals, count.trials, journal, jobs, advance)
    else:
        outcomes = run_until_tested(plan, signals, count.tested or 1, journal, jobs, advance)
    rows = summarise(outcomes, signals, plan.methods, settings.alpha, settings.decide)
    seconds = time.perf_counter() - started
    return Simulation(model, plan, settings, tuple(signals), count, outcomes, rows, defaults, seconds)
