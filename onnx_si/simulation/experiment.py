"""A simulation from plan to document."""

import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO, Unpack

import numpy as np
from numpy.typing import ArrayLike

from onnx_si.analysis.expected import expected, warning_of
from onnx_si.analysis.inputs import Path, array_of, covariance_of_file
from onnx_si.analysis.options import OPTIONS, SharedOptions, require_known
from onnx_si.analysis.outcome import versions
from onnx_si.analysis.remarks import Notice
from onnx_si.analysis.settings import Settings
from onnx_si.errors import UsageError
from onnx_si.graph import Loadable, Model, as_model
from onnx_si.report.documents import SIMULATION
from onnx_si.simulation.asked import Wish
from onnx_si.simulation.detectable import Count, Detectable, found_with, why_not
from onnx_si.simulation.draws import Noise, Signalled, parse_noise
from onnx_si.simulation.kept_trials import Journal
from onnx_si.simulation.keywords import ALL, DEFAULT_TRIALS, OWN
from onnx_si.simulation.method_rows import CONFIDENCE, Row, p_values, summarise
from onnx_si.simulation.part_rows import PartRow, summarise_parts
from onnx_si.simulation.plan import Plan, plan_of
from onnx_si.simulation.pool import Advance, run_trials, run_until_tested
from onnx_si.simulation.trial import Outcome
from onnx_si.statistics.hypotheses import HYPOTHESES

_KNOWS = {
    "kind": "its kind is told; each value's variance follows from the mean around it",
    "sigma": "told",
    "covariance": "told, a covariance",
    "image": "estimated from the image: the level is approximate",
    "images": "estimated from further images of noise: a t-test",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Simulation:
    """Everything that was simulated, and what it says: `rows` for each method, `parts` for components."""

    model: Model
    plan: Plan
    settings: Settings
    signals: tuple[float, ...]
    count: Count
    outcomes: tuple[Outcome, ...] = field(repr=False)
    rows: tuple[Row, ...]
    parts: tuple[PartRow, ...]
    detectable: Detectable | None
    defaults: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float

    @property
    def tested(self) -> int:
        """Trials with a region, under all signals."""
        return sum(outcome.tested for outcome in self.outcomes)

    @property
    def null_holds(self) -> bool:
        """Whether the null hypothesis is true of images without signal: without a reference only of those
        whose base is constant.
        """
        base, needs = self.plan.base, HYPOTHESES[self.settings.hypothesis].needs_reference
        return needs or base is None or base.is_constant(self.plan.axes)

    @property
    def source(self) -> str:
        """Where the test has the size of the noise from."""
        freedom = self.settings.sigma_df
        if freedom is not None:
            return f"told, an estimate on {freedom} degrees of freedom"
        return _KNOWS[self.plan.knows]

    def p_values(self, signal: float, method: str) -> np.ndarray:
        """P-values of one method under one signal, by number of the trial."""
        return p_values(self.outcomes, signal, method)

    def print(self, stream: TextIO) -> None:
        """Write the table, as wide as the stream if that is a terminal."""
        from onnx_si.simulation.printed import print_table  # the table's library takes long to import

        print_table(self, stream)

    def summary(self) -> str:
        """The table that the command line prints."""
        text = io.StringIO()
        self.print(text)
        return text.getvalue()

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw rejections by signal, and p-values against uniform, as PNG."""
        from onnx_si.simulation.figure import save_figure  # matplotlib takes long to import

        save_figure(path, self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document; its keys never change."""
        plan, settings, model = self.plan, self.settings, self.model
        known = {
            "model": {
                "path": model.path,
                "sha256": model.sha256,
                "producer": model.producer,
                "opset": model.opset,
            },
            "image": {
                "shape": list(plan.shape),
                "square": plan.size,
                "references": plan.references,
                "base": None if plan.base is None else list(plan.base.names),
            },
            "noise": self._noise(),
            "hypothesis": settings.hypothesis,
            "alternative": settings.alternative,
            "alpha": settings.alpha,
            "confidence_level": CONFIDENCE,
            "asked": {"trials": self.count.trials, "tested": self.count.tested},
            "seed": plan.seed,
            "contradicted": sum(outcome.contradicted for outcome in self.outcomes),
            "results": [asdict(row) for row in self.rows],
            "components": [asdict(row) for row in self.parts],
            "detectable": {} if self.detectable is None else asdict(self.detectable),
            "config": {**plan.to_dict(), "signals": list(self.signals)},
            "defaults": list(self.defaults),
            "warnings": list(self.warnings),
            "seconds": self.seconds,
            "versions": versions(),
            "reasons": {
                "noise.sigma": "the covariance says it, or it grows with the signal",
                "noise.covariance": "the noise is of one standard deviation",
                "noise.distance": "a distance is given for the named families only",
                "noise.parameter": "a distance is given for the named families only",
                "noise.correlation": "only correlated noise has one",
                "noise.degrees_of_freedom": "sigma is not told as an estimate",
                "asked.*": "the number of draws, or of tests, is fixed; not both",
                "results.*.*": "in the row's own reasons",
                "image.base": "noise and signal alone are drawn",
                "detectable.*": why_not(self.detectable),
                "components.*.*": "in the row's own reason",
            },
        }
        return SIMULATION.make(known)

    def _noise(self) -> dict[str, Any]:
        plan = self.plan
        signalled = isinstance(plan.noise, Signalled)
        return {
            "name": plan.noise.name,
            "sigma": None if plan.covariance is not None or signalled else plan.sigma,
            "covariance": None if plan.covariance is None else str(plan.covariance),
            "distance": None if plan.noise.parameter is None else plan.noise.amount,
            "parameter": plan.noise.parameter,
            "correlation": plan.noise.amount if plan.noise.name == "correlated" else None,
            "known": plan.knows in ("sigma", "covariance") and self.settings.sigma_df is None,
            "degrees_of_freedom": self.settings.sigma_df,
            "source": self.source,
            "images": plan.noise_images,
        }


def _silent(*said: object) -> None:
    """Nobody listens."""


def _require_meant(**own: Any) -> None:
    """Raise UsageError if a value is of another type than its record says."""
    for name, value in own.items():
        if value is not None:
            OWN[name].accepted(value)


def simulate(
    model: Loadable,
    signals: Sequence[float] = (0.0,),
    *,
    trials: int | None = None,
    tested: int | None = None,
    detectable: float | None = None,
    base: Any = None,
    size: int | None = None,
    references: int | None = None,
    noise: str | Noise | Signalled | None = None,
    estimate_sigma: bool = False,
    noise_images: int = 0,
    seed: int = 0,
    mask: ArrayLike | Path | None = None,
    covariance: ArrayLike | Mapping[str, ArrayLike] | Path | None = None,
    jobs: int = -1,
    resume: str | None = None,
    progress: Advance | None = None,
    notice: Notice | None = None,
    **options: Unpack[SharedOptions],
) -> Simulation:
    """Draw images of noise, with a square of a stated mean in them, and test each of them.

    Parameters
    ----------
    model : Model or path
        Loaded from a file: every process loads it again.
    signals : sequence of float
        Means of the square, in the image's units; 0 is pure noise.
    trials : int, optional
        Draws for each signal (default 1000).
    tested : int, optional
        Instead: draw until so many have a region.
    size : int, optional
        Side of the square, in pixels (default half of the image's).
    detectable : float, optional
        A power: the smallest signal that is found with it is looked for, by bisection with the same draws.
    base : number, array, path, or a sequence of these, optional
        What noise and signal are added to (default 0), in the file's units; of several one is drawn for each
        trial, the same for an image and its references.
    references : int, optional
        References without signal (default: what the hypothesis needs).
    noise : str or Noise, optional
        As `onnx_si.simulation.parse_noise` reads it (default normal).
    estimate_sigma : bool
        The test estimates sigma from the image.
    noise_images : int
        The test estimates sigma from so many images of noise.
    seed : int
        Of all that is drawn.
    mask : array or path, optional
        In the image's size: pixels that may count; the square may lie on others.
    covariance : array, mapping of str to array, or path, optional
        Of the noise that is drawn, told to the test; see `onnx_si.statistics.noise.covariance_of`.
    jobs : int
        Processes; -1: one for each core. No number depends on it.
    resume : str, optional
        File that finished trials are appended to, and from which they are taken.
    progress : callable, optional
        Told how many trials are finished, of how many.
    notice : callable, optional
        Told each default with its reason, as by `onnx_si.test`.
    **options
        As for `onnx_si.test`: `sigma` is that of the noise that is drawn; with `sigma_df` the test is told
        an independent estimate of it in each trial. With `resize_input`, `dims` has the size of the images.

    Returns
    -------
    Simulation
        With `rows`, `p_values`, `summary`, `plot` and `to_dict`.

    Raises
    ------
    UsageError, InputError, UnsupportedModel, NothingToTest

    Source
    ------
    Miwa, Duy, Takeuchi, ICLR 2023, section 5.
    """
    started = time.perf_counter()
    model = as_model(model)
    require_known(options, (*OPTIONS, *ALL))
    signals = OWN["signals"].accepted(signals)
    _require_meant(
        trials=trials,
        tested=tested,
        detectable=detectable,
        size=size,
        references=references,
        noise=None if isinstance(noise, Noise | Signalled) else noise,
        estimate_sigma=estimate_sigma,
        noise_images=noise_images,
        seed=seed,
        resume=resume,
        jobs=jobs,
    )
    count = Count(DEFAULT_TRIALS if trials is None and tested is None else trials, tested)
    if not signals or len(set(signals)) < len(signals) or not np.isfinite(signals).all():
        raise UsageError(f"signals {list(signals)}; give finite numbers, each once")
    kind = parse_noise(noise) if isinstance(noise, str) else noise
    pixels = None if mask is None else array_of("mask", mask)
    told = covariance_of_file(covariance)
    wish = Wish(
        size=size,
        references=references,
        noise=kind,
        estimate_sigma=estimate_sigma,
        noise_images=noise_images,
        seed=seed,
        mask=pixels,
        covariance=told,
        base=base,
    )
    plan, settings, defaults = plan_of(model, wish, **options)
    for text in defaults:
        (notice or _silent)("default", text)
    warning = None if plan.base else warning_of(expected(model, settings), plan.sigma)
    warnings = () if warning is None else (warning,)
    for text in warnings:
        (notice or _silent)("warning", text)
    journal = Journal(resume, plan, versions()["onnx-si"])
    run = (journal, jobs, progress or _silent)
    if detectable is None:
        limit = None
    else:
        limit, tried = found_with(detectable, count, plan, settings, run)
        signals = tuple(sorted({*signals, *tried}))
    outcomes = (
        run_trials(count.trials, plan, signals, *run)
        if count.trials
        else run_until_tested(count.tested or 1, plan, signals, *run)
    )
    rows = summarise(outcomes, signals, plan.methods, settings.alpha, settings.decide)
    parts = summarise_parts(outcomes, signals, settings.alpha) if settings.components else ()
    seconds = time.perf_counter() - started
    return Simulation(
        model=model,
        plan=plan,
        settings=settings,
        signals=tuple(signals),
        count=count,
        outcomes=outcomes,
        rows=rows,
        parts=parts,
        detectable=limit,
        defaults=defaults,
        warnings=warnings,
        seconds=seconds,
    )
