"""One test, from a model and an image to a result."""

import dataclasses
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnx_si.errors import InputError, NothingToTest, UnsupportedModel, UnsupportedOp
from onnx_si.graph import Model
from onnx_si.hypotheses import HYPOTHESES
from onnx_si.hypotheses.contrast import Data
from onnx_si.intervals import Intervals
from onnx_si.layout import Layout, fit, layout_of
from onnx_si.line.program import Program, bind
from onnx_si.noise import Noise, estimate_from_image
from onnx_si.parity import run_deployed
from onnx_si.preprocess import Preprocessing, with_preprocessing
from onnx_si.report import Comparison, Parity, Refused, Result
from onnx_si.saliency import SaliencyMap, View, build, default_threshold, parse_threshold, with_margin
from onnx_si.search import Progress, Search, SearchOptions, linear_piece, search
from onnx_si.search.event import RegionEvent
from onnx_si.search.problem import TestLine
from onnx_si.settings import Options, Settings, settle
from onnx_si.truncated import confidence_interval, median_unbiased, p_value_bounds

Array = NDArray[np.float64]
Notice = Callable[[str, str], None]  # kind ("default" or "warning"), text


@dataclasses.dataclass(frozen=True)
class Scene:
    """Image and references as the model takes them, before any preprocessing, and how to read their axes."""

    model: Model
    input_name: str
    layout: Layout
    image: Array
    references: tuple[Array, ...]

    @property
    def view(self) -> View:
        return View(self.image.shape, self.layout)


@dataclasses.dataclass(frozen=True)
class Selection:
    """The salient region of a scene and everything that decides it."""

    saliency: SaliencyMap
    threshold: str
    program: Program
    margin: str
    map: Array
    region: NDArray[np.bool_]
    parity: Parity


def numbers(values: ArrayLike, what: str) -> Array:
    """An image as float64.

    Raises
    ------
    InputError
        If it holds integers, text, complex numbers, or values that are not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        low, high = (array.min(), array.max()) if array.size else (0, 0)
        raise InputError(
            f"{what} holds integers ({array.dtype}, {low} to {high}); say how they become the model's input: "
            "--scale 0.00392156862745098 maps 0..255 to 0..1, --scale 1 takes them as they are"
        )
    if array.dtype.kind != "f" or array.size == 0:
        raise InputError(
            f"{what} holds {array.size} values of type {array.dtype}; floating-point numbers are needed"
        )
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise InputError(f"{what} holds {bad} values that are NaN or infinite; mask or replace them first")
    return np.asarray(array, dtype=np.float64)


def prepare(model: Model, image: ArrayLike, references: Sequence[ArrayLike], settings: Settings) -> Scene:
    """Fit image and references to the model's input.

    Raises
    ------
    InputError, UsageError
        If they don't fit.
    """
    if len(model.inputs) != 1:
        names = [info.name for info in model.inputs]
        raise UnsupportedModel(
            f"the model has {len(names)} inputs {names}; exactly one, the image, is supported"
        )
    info = model.inputs[0]
    if info.shape is None:
        raise UnsupportedModel(
            f"the model does not declare the shape of its input '{info.name}'; export it again with one"
        )
    layout = layout_of(info.shape, settings.layout)

    def fitted(values: ArrayLike, what: str) -> Array:
        array = np.asarray(values)
        if array.dtype.kind in "iub" and settings.scale is not None:
            array = array.astype(np.float64)
        return fit(numbers(array, what), cast(Any, info.shape), layout, what)

    first = fitted(image, "the image")
    others = tuple(fitted(r, f"reference {i + 1}") for i, r in enumerate(references))
    if any(r.shape != first.shape for r in others):
        raise InputError(f"image {first.shape} and references {[r.shape for r in others]} differ in size")
    steps = Preprocessing(settings.scale, settings.mean, settings.std)
    return Scene(with_preprocessing(model, info.name, layout, steps), info.name, layout, first, others)


def select(scene: Scene, settings: Settings) -> Selection:
    """Compute the salient region, in float64 and in the deployed runtime.

    Raises
    ------
    UnsupportedModel
        If the map can't be analysed exactly.
    NothingToTest
        If no pixel, or every pixel, passes the threshold.
    """
    saliency = build(scene.model, scene.image, settings.saliency, settings.target, scene.view)
    threshold = (
        default_threshold(saliency) if settings.threshold is None else parse_threshold(settings.threshold)
    )
    extended, margin = with_margin(saliency, threshold, math.prod(scene.view.space))
    program = bind(extended, scene.image, (margin,))
    program.require_exact()
    margins = program.values[margin]
    region = margins > 0
    count = int(np.count_nonzero(region))
    deployed, deployed_margin = run_deployed(
        extended, scene.image, scene.input_name, (saliency.tensor, margin)
    )
    if count in (0, region.size):
        low, high = float(deployed.min()), float(deployed.max())
        what = "no pixel passes" if count == 0 else f"all {count} pixels pass"
        raise NothingToTest(
            f"{what} the threshold {threshold}; the map ({saliency.method}) ranges "
            f"from {low:.4g} to {high:.4g}: choose {other}, or another --saliency",
            pixels=count,
            size=region.size,
            saliency={"method": saliency.method, "target": saliency.target, "threshold": str(threshold)},
        )
    differs = np.argwhere(region != (deployed_margin > 0))
    parity = Parity(
        "onnxruntime",
        tuple(tuple(int(i) for i in position) for position in differs),
        float(np.abs(margins - deployed_margin).max()),
    )
    return Selection(saliency, str(threshold), program, margin, deployed, region, parity)


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
    told.defaults(settings.reasons)
    scene = prepare(model, image, references, settings)
    if settings.layout is None:
        told.defaults([f"layout {scene.layout.axes}: {scene.layout.reason}"])
    noise = noise_of(scene, settings)
    told.warnings(_noise_warnings(noise))
    selection = select(scene, settings)
    told.defaults(_map_reasons(selection, settings))
    told.warnings(_selection_warnings(selection))
    line = test_line(scene, selection, noise, settings.hypothesis)
    event = RegionEvent(selection.region)
    decide_at = settings.alpha if settings.decide else None
    how = SearchOptions(settings.alternative, settings.precision, decide_at, settings.budget_bytes)
    found = search(selection.program, selection.margin, line, event, how, progress)
    told.warnings(_search_warnings(found, settings))
    comparison = _compare(selection, line, event, how, settings.methods)
    return _result(scene, selection, settings, noise, line, found, comparison, told)


test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest


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


def _map_reasons(selection: Selection, settings: Settings) -> Iterator[str]:
    """Why this map, class and threshold, where nobody chose them."""
    saliency = selection.saliency
    if settings.saliency == "auto":
        own = saliency.method.startswith("output:")
        why = (
            "the model's first output that is a map" if own else "no output is a map, and the head allows it"
        )
        yield f"saliency {saliency.method}: {why}"
    if saliency.target == "predicted":
        yield "target predicted: the class with the largest score; its choice is part of the selection event"
    if settings.threshold is None:
        why = (
            "the map ends in Sigmoid or Softmax"
            if saliency.is_logit
            else "half of the map's maximum, which has no fixed scale"
        )
        yield f"threshold {selection.threshold}: {why}"


def _noise_warnings(noise: Noise) -> Iterator[str]:
    if not noise.known:
        yield (
            f"sigma {noise.std:.4g} was {noise.source}: the level of the test is then approximate; "
            "give --sigma from independent data where you can"
        )


def _selection_warnings(selection: Selection) -> Iterator[str]:
    yield from selection.saliency.notes
    if selection.parity.pixels:
        count, runtime = len(selection.parity.pixels), selection.parity.runtime
        yield f"{count} pixels of the region differ between {runtime} and float64"


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
            "complete": found.complete,
        },
        parity=selection.parity,
        config={**settings.config(), "threshold": selection.threshold},
        references=len(scene.references),
        defaults=tuple(told.said["default"]),
        warnings=tuple(told.said["warning"]),
        versions=_versions(),
    )


def _estimate(found: Search, line: TestLine) -> float | None:
    """Median-unbiased estimate of the mean; None where no part of the truncation set could be confirmed."""
    if not found.inside:
        return None
    return median_unbiased(found.inside, line.statistic, line.standard_error)


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
        versions=_versions(),
    )


def _identity(model: Model) -> dict[str, Any]:
    return {"path": model.path, "sha256": model.sha256, "producer": model.producer, "opset": model.opset}


def _versions() -> dict[str, str]:
    packages = ("onnx-si", "onnx", "onnxruntime", "numpy", "scipy", "networkx")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
