"""One test, from a model and an image to a result."""

import functools
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import ThreadpoolController

from onnx_si.errors import NothingToTest, UnsupportedModel, UnsupportedOp
from onnx_si.graph import Model
from onnx_si.hypotheses import HYPOTHESES
from onnx_si.hypotheses.contrast import Data
from onnx_si.intervals import Intervals
from onnx_si.memory import keep_freed_memory
from onnx_si.noise import Noise, estimate_from_image
from onnx_si.report import Comparison, Refused, Result
from onnx_si.scene import Scene, prepare
from onnx_si.search import Progress, Search, SearchOptions, linear_piece, search
from onnx_si.search.event import RegionEvent
from onnx_si.search.problem import TestLine
from onnx_si.selection import Selection, select
from onnx_si.selection import reasons as selection_reasons
from onnx_si.selection import warnings as selection_warnings
from onnx_si.settings import Options, Settings, settle
from onnx_si.truncated import confidence_interval, median_unbiased, p_value_bounds

ESTIMATE_TOLERANCE = 0.01  # standard errors by which undecided parts of the line may move the estimate

Notice = Callable[[str, str], None]  # kind ("default" or "warning"), text


def noise_of(scene: Scene, settings: Settings) -> Noise:
    """The noise that the user or the model states, else a robust estimate from the image itself."""
    if settings.sigma is not None:
        return Noise(float(settings.sigma), settings.sigma_source, known=True)
    return estimate_from_image(scene.image, scene.layout.spatial_axes)


def test_line(scene: Scene, selection: Selection, noise: Noise, hypothesis: str) -> TestLine:
    """The line of images that the hypothesis' conditioning leaves."""
    reference = np.mean(scene.references, axis=0) if scene.references else None
    data = Data(scene.image, reference, len(scene.references), noise)
    mask = scene.layout.spread(selection.region, scene.image.shape)
    return HYPOTHESES[hypothesis](data, mask)


def test(
    model: Model,
    image: ArrayLike,
    reference: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    notice: Notice | None = None,
    **options: Any,
) -> Result:
    """Test whether the salient region of a model's map on an image is real.

    Parameters
    ----------
    model : Model
        From `onnx_si.load`.
    image : array
        In the model's input shape, with or without the batch axis; floating point, in the units of `sigma`.
    reference : array or list of arrays, optional
        Images of the same kind of scene without the signal.
    progress : callable, optional
        Called with a `Progress` during the search.
    notice : callable, optional
        Called as notice("default" or "warning", text) when a choice is made; the result holds them as well.
    **options
        The fields of `onnx_si.settings.Options`.

    Returns
    -------
    Result

    Raises
    ------
    UsageError, InputError, UnsupportedModel, NothingToTest

    Source
    ------
    Miwa, Duy, Takeuchi, "Valid p-value for deep learning-driven salient region", ICLR 2023.
    """
    references = (
        () if reference is None else tuple(reference) if isinstance(reference, list | tuple) else (reference,)
    )
    settings = settle(Options(**options), model.metadata, bool(references))
    told = _Told(notice)
    keep_freed_memory()
    with _one_thread():
        return _test(model, image, references, settings, told, progress)


test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest


def _one_thread() -> AbstractContextManager[object]:
    """One BLAS thread: the matrix products of a search are small, and threads would wait for each other."""
    return cast("AbstractContextManager[object]", _thread_pools().limit(limits=1, user_api="blas"))


@functools.cache
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def _test(
    model: Model,
    image: ArrayLike,
    references: Sequence[ArrayLike],
    settings: Settings,
    told: "_Told",
    progress: Callable[[Progress], None] | None,
) -> Result:
    """The test itself, with everything that was left open settled."""
    told.defaults(settings.reasons)
    scene = prepare(model, image, references, settings)
    if settings.layout is None:
        told.defaults([f"layout {scene.layout.axes}: {scene.layout.reason}"])
    noise = noise_of(scene, settings)
    told.warnings(_scene_warnings(scene, settings, noise))
    selection = select(scene, settings)
    told.defaults(selection_reasons(selection, settings))
    told.warnings(selection_warnings(selection))
    line = test_line(scene, selection, noise, settings.hypothesis)
    event = RegionEvent(selection.region)
    decide_at = settings.alpha if settings.decide else None
    interval = None if settings.decide else 1 - settings.alpha
    how = SearchOptions(
        settings.alternative, settings.precision, decide_at, settings.budget_bytes, interval_level=interval
    )
    found = search(selection.program, selection.margin, line, event, how, progress)
    told.warnings(_search_warnings(found, settings))
    comparison = _compare(selection, line, event, how, settings.methods)
    return _result(scene, selection, settings, noise, line, found, comparison, told)


def _compare(
    selection: Selection, line: TestLine, event: RegionEvent, how: SearchOptions, methods: Sequence[str]
) -> Comparison:
    """P-values of the methods asked for beside the selective one."""

    def p_value(inside: Intervals) -> float:
        return p_value_bounds(line.distribution, inside, Intervals.empty(), line.statistic, how.alternative)[
            1
        ]

    naive = p_value(Intervals.line()) if "naive" in methods else None
    over = None
    if "over-conditioning" in methods:
        over = p_value(linear_piece(selection.program, selection.margin, line, event, how))
    return Comparison(naive=naive, over_conditioning=over)


class _Told:
    """What was told to the user so far: defaults with their reasons, and warnings."""

    def __init__(self, notice: Notice | None):
        self._notice = notice or (lambda kind, text: None)
        self.said: dict[str, list[str]] = {"default": [], "warning": []}

    def defaults(self, texts: Iterable[str]) -> None:
        self._tell("default", texts)

    def warnings(self, texts: Iterable[str]) -> None:
        self._tell("warning", texts)

    def _tell(self, kind: str, texts: Iterable[str]) -> None:
        for text in texts:
            self.said[kind].append(text)
            self._notice(kind, text)


def _scene_warnings(scene: Scene, settings: Settings, noise: Noise) -> Iterator[str]:
    if scene.references and settings.hypothesis == "background":
        yield "the reference is not used: hypothesis background compares with the rest of the image"
    if not noise.known:
        yield (
            f"sigma {noise.std:.4g} was {noise.source}: the level of the test is then approximate; "
            "give --sigma from independent data where you can"
        )


def _search_warnings(found: Search, settings: Settings) -> Iterator[str]:
    if not found.complete and not settings.decide:
        low, high = found.p_value_bounds
        wanted = settings.precision
        yield f"the search ended with bounds {high - low:.2g} apart, the precision asked for is {wanted:g}"


def _result(
    scene: Scene,
    selection: Selection,
    settings: Settings,
    noise: Noise,
    line: TestLine,
    found: Search,
    comparison: Comparison,
    told: _Told,
) -> Result:
    level = 1 - settings.alpha
    saliency = selection.saliency
    return Result(
        status="tested",
        guarantee="exact",
        p_value=found.p_value_bounds[1],
        p_value_bounds=found.p_value_bounds,
        statistic=line.statistic,
        standard_error=line.standard_error,
        degrees_of_freedom=None,
        alternative=settings.alternative,
        hypothesis=settings.hypothesis,
        estimate=_estimate(found, line),
        confidence_interval=confidence_interval(
            found.inside, found.undecided, line.statistic, line.standard_error, level
        ),
        confidence_level=level,
        truncation=found.inside,
        undecided=found.undecided,
        region=selection.region,
        saliency_map=selection.map,
        image=scene.image,
        layout=scene.layout,
        saliency={"method": saliency.method, "target": saliency.target, "threshold": selection.threshold},
        comparison=comparison,
        noise={
            "model": f"independent normal, std {noise.std:.6g}",
            "std": noise.std,
            "source": noise.source,
            "known": noise.known,
        },
        model=_identity(scene.model),
        search={
            "seconds": found.seconds,
            "forward_passes": found.forward_passes,
            "pieces": found.pieces,
            "cells": found.cells,
            "fates": found.fates,
            "peak_bytes": found.peak_bytes,
            "complete": found.complete,
        },
        parity=selection.parity,
        config={**settings.config(), "threshold": selection.threshold},
        references=len(scene.references),
        defaults=tuple(told.said["default"]),
        warnings=tuple(told.said["warning"]),
        versions=dict(_versions()),
    )


def _estimate(found: Search, line: TestLine) -> float | None:
    """Median-unbiased estimate of the mean; None where what the search left undecided could still move it."""
    if not found.inside:
        return None
    at, se = line.statistic, line.standard_error
    sides = Intervals.of([(-math.inf, at)]), Intervals.of([(at, math.inf)])
    ends = [median_unbiased(found.inside.union(found.undecided.intersect(side)), at, se) for side in sides]
    if abs(ends[0] - ends[1]) > ESTIMATE_TOLERANCE * se:
        return None
    return median_unbiased(found.inside, at, se)


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
        model={} if model is None else _identity(model),
        config=settings.config(),
        defaults=settings.reasons,
        versions=dict(_versions()),
    )


def _identity(model: Model) -> dict[str, Any]:
    return {"path": model.path, "sha256": model.sha256, "producer": model.producer, "opset": model.opset}


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("onnx-si", "onnx", "onnxruntime", "numpy", "scipy", "networkx")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
