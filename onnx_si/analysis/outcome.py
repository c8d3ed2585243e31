"""Put what was found together as a result, or what was raised as a refusal."""

import functools
import math
import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from typing import Any

import scipy  # loads its parts when they are used

from onnx_si.analysis.options import Options
from onnx_si.analysis.other_noise import other_noise
from onnx_si.analysis.question import Question
from onnx_si.analysis.remarks import Remarks
from onnx_si.analysis.selection import told_of
from onnx_si.analysis.settings import Settings, settle
from onnx_si.engines.engine import Answer
from onnx_si.errors import NothingToTest, UnsupportedModel, UnsupportedOp
from onnx_si.graph import Model
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.words import so_many
from onnx_si.report import (
    ClassTest,
    Comparison,
    ComponentTest,
    Estimate,
    Fragility,
    ModelIdentity,
    NoiseTaken,
    Refused,
    Result,
)
from onnx_si.report.pieces import LEFT_OPEN
from onnx_si.search import SearchOptions
from onnx_si.search.stop import WHY as INTERRUPTED
from onnx_si.statistics.fragility import agree, distance_bounds, information_bounds
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.noise import Noise
from onnx_si.statistics.truncated import (
    LEAST_DF,
    Alternative,
    Randomised,
    Student,
    interval_bounds,
    median_bounds,
    randomised_bounds,
    scaled_bounds,
)

GAP = (
    "the differences that this test does not reject are no interval: they lie on both sides of 0, which it "
    "does reject; --alternative two-sided always has one"
)
SIDE_OPEN = "the search ended before it was known on which side of 0 the interval lies"
HIGHEST_LEVEL = 1 - 1e-9  # of an interval that a search settles
ESTIMATE_TOLERANCE = 0.01  # standard errors by which undecided parts of the line may move the estimate


def search_warnings(found: Answer, settings: Settings) -> Iterator[str]:
    """What the user should know about a search that ended early, or drew too little to decide anything."""
    rarest = 1 / (settings.draws + 1)
    if found.costs.draws is not None and rarest > settings.alpha:
        yield (
            f"{so_many(settings.draws, 'chain')} can give no p-value below {rarest:.3g}, which is above the "
            f"level {settings.alpha:g}, whatever the image shows: take more --draws"
        )
    if found.why == INTERRUPTED and found.approximate:
        yield (
            f"{INTERRUPTED} after {found.costs.draws} of {settings.draws} chains: the level holds if what "
            "they had shown did not decide when it ended"
        )
    elif found.why == INTERRUPTED:
        low, high = found.p_value_bounds
        yield (
            f"{INTERRUPTED}: the p-value is between {low:.3g} and {high:.3g}, "
            "the interval longer than need be"
        )
    elif not found.complete and (found.why is not None or not settings.decide):
        low, high = found.p_value_bounds
        wanted, why = settings.precision, "" if found.why is None else f": {found.why}"
        yield (
            f"the search ended with bounds {high - low:.2g} apart, not {wanted:g} as asked for{why}; "
            "next time take --engine monte-carlo, which always ends"
        )


def time_warnings(
    found: Answer, parts: tuple[ComponentTest | ClassTest, ...], how: SearchOptions, settings: Settings
) -> Iterator[str]:
    """What became of a time limit, or of an interrupt, besides the search of the region."""
    if settings.time_limit is not None and found.approximate:
        yield "--time-limit bounds exact searches; chains end by themselves, after --draws of them"
    elif found.complete and parts:
        what = "classes" if isinstance(parts[-1], ClassTest) else "components"
        if how.stop.asked:
            yield f"{INTERRUPTED} before all {what} were tested: their bounds are wide, and true"
        elif how.deadline.over():
            yield f"the time limit was over before all {what} were tested: their bounds are wide, and true"


def result_of(
    test: Question,
    found: Answer,
    comparison: Comparison,
    components: tuple[ComponentTest, ...],
    said: Remarks,
) -> Result:
    """The result of a test that was done."""
    scene, selection, settings, line = test.scene, test.selection, test.settings, test.line
    saliency, level = selection.saliency, 1 - settings.alpha
    has_error = line.dimension_is_the_images
    estimated = _without_contradiction(found, _estimated(found, line, settings), settings)
    return Result(
        status="tested",
        guarantee=found.guarantee,
        p_value=found.p_value,
        p_value_bounds=found.p_value_bounds,
        statistic=line.observed,
        standard_error=line.error,
        degrees_of_freedom=line.degrees_of_freedom,
        alternative=settings.alternative,
        hypothesis=settings.hypothesis,
        estimated=estimated,
        confidence_level=level,
        truncation=found.inside,
        undecided=found.undecided,
        region=selection.region,
        saliency_map=selection.map,
        image=scene.image,
        layout=scene.layout,
        saliency=told_of(saliency, selection.threshold),
        comparison=comparison,
        noise=noise_document(test.noise, thinned=settings.thin is not None),
        model=_identity(scene.frame.loaded),
        search=found.costs,
        parity=selection.parity,
        config={**settings.config(), "threshold": selection.threshold},
        references=len(scene.references),
        fragility=_fragility(test, found),
        other_noise=other_noise(test, found),
        defaults=said.defaults,
        warnings=said.warnings,
        versions=dict(versions()),
        component_tests=components,
        approximate=found.approximate,
        reasons={} if has_error else {"standard_error": "the statistic is a length in units of the noise"},
    )


def _fragility(test: Question, found: Answer) -> Fragility:
    """What is left to test with, as far as the search proved it."""
    if test.settings.p_value_only or test.settings.thin is not None:
        return Fragility()
    ends = distance_bounds(found.inside, found.undecided, test.line)
    shares = information_bounds(found.inside, found.undecided, test.line)
    distance_open = information_open = None
    if not agree(ends):
        far = f"at least {ends[0]:.2g}" if math.isinf(ends[1]) else f"{ends[0]:.2g} to {ends[1]:.2g}"
        distance_open = f"{LEFT_OPEN} where S ends: {far} standard errors away"
    if shares is not None and not agree(shares):
        share = f"{shares[0]:.2g} to {shares[1]:.2g}"
        information_open = f"{LEFT_OPEN} how much of the information on the difference is left: {share} of it"
    return Fragility(
        distance=None if distance_open is not None or math.isinf(ends[0]) else ends[0],
        information=None if shares is None or information_open is not None else shares[1],
        distance_open=distance_open,
        information_open=information_open,
    )


def _without_contradiction(found: Answer, estimated: Estimate, settings: Settings) -> Estimate:
    """No interval where the hull of what is not rejected holds 0, which is rejected itself.

    Bounds of its ends that a search left apart may hold 0 where the interval does not: then it is not known.
    """
    if found.approximate or estimated.interval is None or found.p_value_bounds[1] > settings.alpha:
        return estimated
    low, high = estimated.interval
    if not low <= 0 <= high:
        return estimated
    assert estimated.interval_bounds is not None
    (_, inner_low), (inner_high, _) = estimated.interval_bounds
    if inner_low <= 0 <= inner_high:
        return replace(estimated, interval=None, interval_bounds=None, interval_reason=GAP)
    at_most = " to ".join(f"{end:.4g}" if math.isfinite(end) else "unbounded" for end in (low, high))
    return replace(estimated, interval=None, interval_reason=f"{SIDE_OPEN}; at the widest it is {at_most}")


def _estimated(found: Answer, line: ImageLine, settings: Settings) -> Estimate:
    if settings.p_value_only:
        return Estimate(reason="only the p-value was asked for")
    if found.approximate and not found.inside.contains(line.statistic):
        return Estimate(reason="too little of S was seen around the statistic")
    return estimate(found.certain, found.possible, line, 1 - settings.alpha, settings.alternative)


def estimate(
    inside: Intervals, undecided: Intervals, line: ImageLine, level: float, alternative: Alternative
) -> Estimate:
    """Estimate of the statistic's mean and the interval that inverts its test, with bounds for what is
    undecided.
    """
    reason = no_estimate(line)
    if reason is not None:
        return Estimate(reason=reason)
    at, se, distribution = line.observed, line.error or math.nan, line.distribution
    if isinstance(distribution, Randomised):
        bounds, lower, upper = randomised_bounds(inside, undecided, distribution, level, alternative)
    elif isinstance(distribution, Student):
        bounds, lower, upper = scaled_bounds(inside, undecided, at, se, distribution.df, level, alternative)
    else:
        lower, upper = interval_bounds(inside, undecided, at, se, level, alternative)
        bounds = median_bounds(inside, undecided, at, se)
    bounds, lower, upper = (  # where the statistic is off, S is off by as much
        (ends[0] - line.rounding, ends[1] + line.rounding) for ends in (bounds, lower, upper)
    )
    certain = bounds[1] - bounds[0] <= ESTIMATE_TOLERANCE * se
    value = 0.5 * (bounds[0] + bounds[1]) if certain else None
    return Estimate(
        value=value, value_bounds=bounds, interval=(lower[0], upper[1]), interval_bounds=(lower, upper)
    )


def no_estimate(line: ImageLine) -> str | None:
    """Why the statistic's mean has no interval; None where it has one."""
    if not line.dimension_is_the_images:
        return "the hypothesis is about many pixels at once; there is no one difference to estimate"
    if isinstance(line.distribution, Student) and line.distribution.df < LEAST_DF:
        return "with a scale estimated on one degree of freedom what is not rejected need not be an interval"
    return None


def level_to_search(line: ImageLine, level: float) -> float | None:
    """The level of the normal interval that a search has to settle; None where there is no interval.

    A t interval is longer: by as much, without truncation, as a normal one of the level given here. It only
    steers the search; what is left undecided makes the interval longer, not wrong.
    """
    if no_estimate(line) is not None:
        return None
    if not isinstance(line.distribution, Student):
        return level
    reach = scipy.special.stdtrit(line.distribution.df, 0.5 * (1 + level))
    return float(min(1 - 2 * scipy.special.ndtr(-reach), HIGHEST_LEVEL))


def noise_document(noise: Noise, *, thinned: bool) -> NoiseTaken:
    """A scale that is only estimated leaves the parts of a thinned image dependent."""
    exact = "exact" if noise.known or (noise.exact and not thinned) else "approximate"
    return NoiseTaken(
        model=str(noise.covariance),
        std=noise.std,
        source=noise.source,
        known=noise.known,
        degrees_of_freedom=noise.degrees_of_freedom,
        level=exact,
    )


def refusal(
    error: NothingToTest | UnsupportedModel, model: Model | None, *, has_reference: bool, **options: Any
) -> Refused:
    """What `test` raised, as a document of the same shape as a result.

    Parameters
    ----------
    error : NothingToTest or UnsupportedModel
    model : Model or None
        None where it could not even be loaded.
    has_reference : bool
    **options
        As given to `test`.

    Returns
    -------
    Refused
    """
    settings = settle(Options(**options), {} if model is None else model.metadata, has_reference)
    empty = isinstance(error, NothingToTest)
    region = (
        {"pixels": error.pixels, "fraction": error.pixels / max(1, error.size)}
        if isinstance(error, NothingToTest)
        else {}
    )
    return Refused(
        status="no_region" if empty else "refused",
        reason=str(error),
        exit_code=error.exit_code,
        findings=error.findings if isinstance(error, UnsupportedOp) else (),
        region=region,
        saliency=error.saliency if isinstance(error, NothingToTest) else {},
        image_shape=error.shape if isinstance(error, NothingToTest) else None,
        noise=error.noise if isinstance(error, NothingToTest) else {},
        model=ModelIdentity() if model is None else _identity(model),
        config=settings.config(),
        defaults=settings.reasons,
        warnings=error.warnings if isinstance(error, NothingToTest) else (),
        versions=dict(versions()),
    )


def _identity(model: Model) -> ModelIdentity:
    return ModelIdentity(path=model.path, sha256=model.sha256, producer=model.producer, opset=model.opset)


@functools.cache
def versions() -> dict[str, str]:
    """Versions of python and of the packages that the numbers depend on."""
    packages = ("onnx-si", "onnx", "onnxruntime", "numpy", "scipy", "networkx")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
