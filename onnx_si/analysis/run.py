"""One test, from a model and an image to a result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from onnx_si.analysis import question, selection
from onnx_si.analysis.baselines import compare
from onnx_si.analysis.components import test_components
from onnx_si.analysis.options import Options
from onnx_si.analysis.outcome import Notice, Told, level_to_search, refusal, result_of, search_warnings
from onnx_si.analysis.question import Tested
from onnx_si.analysis.scene import Given, prepare
from onnx_si.analysis.settings import Settings, settle
from onnx_si.analysis.witness import Witness
from onnx_si.graph import Model
from onnx_si.ground.machine import keep_freed_memory, one_blas_thread
from onnx_si.ground.seeds import WHY_MIXED, generator
from onnx_si.report import Result
from onnx_si.search import Progress, SearchOptions, search
from onnx_si.statistics.noise import Covariance

__all__ = ["Notice", "refusal", "test"]


def test(
    model: Model,
    image: ArrayLike,
    reference: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    mask: ArrayLike | None = None,
    covariance: ArrayLike | Mapping[str, ArrayLike] | Covariance | None = None,
    noise_from: Sequence[ArrayLike] = (),
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
    mask : array, optional
        In the image's size: pixels that are zero can't be in the region and enter nothing.
    covariance : array, mapping of str to array, or Covariance, optional
        Of the noise, in place of `sigma`; see `onnx_si.statistics.noise.covariance_of`.
    noise_from : sequence of arrays, optional
        Independent images of pure background, from which the noise's scale is estimated.
    progress : callable, optional
        Called with a `Progress` during the search.
    notice : callable, optional
        Called as notice("default" or "warning", text) when a choice is made; the result holds them as well.
    **options
        The fields of `onnx_si.analysis.options.Options`.

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
    keep_freed_memory()
    given = Given(image, references, tuple(noise_from), mask)
    with one_blas_thread():
        return _test(model, given, covariance, settings, Told(notice), progress)


test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest


def _test(
    model: Model,
    given: Given,
    covariance: Any,
    settings: Settings,
    told: Told,
    progress: Callable[[Progress], None] | None,
) -> Result:
    """The test itself, with everything that was left open settled."""
    told.defaults(settings.reasons)
    scene = prepare(model, given, settings)
    if settings.layout is None:
        told.defaults([f"layout {scene.layout.axes}: {scene.layout.reason}"])
    noise = question.noise_of(scene, settings, covariance)
    told.warnings(question.warnings(scene, settings, noise))
    extra, permutations, asked = generator(settings.seed, scene.image, *scene.references).spawn(3)
    if settings.randomise is not None or "permutation" in settings.methods:
        told.defaults([f"seed {settings.seed}: {WHY_MIXED}"])
    scene = question.with_extra_noise(scene, noise, settings, extra)
    selected = selection.select(scene, settings)
    told.defaults(selection.reasons(selected, settings))
    told.warnings(selection.warnings(selected))
    line = question.test_line(scene, selected.region, noise, settings)
    question.require_told_apart(line)
    wants_interval = not (settings.decide or settings.p_value_only)
    how = SearchOptions(
        settings.alternative,
        settings.precision,
        settings.alpha if settings.decide else None,
        settings.budget_bytes,
        interval_level=level_to_search(line, 1 - settings.alpha) if wants_interval else None,
    )
    tested = Tested(scene, selected, noise, line, how, settings)
    found = search(selected.program, selected.margin, line, selected.event, how, progress)
    told.warnings(search_warnings(found, settings))
    witness = Witness.of(tested, asked)
    if witness is not None:
        witness.of_whole(found)
    ask = None if witness is None else witness.of_part
    components = test_components(tested, progress, ask) if settings.components else ()
    if witness is not None:
        parity = witness.parity(selected.parity)
        tested = replace(tested, selection=replace(selected, parity=parity))
    comparison = compare(tested, permutations)
    told.warnings(comparison.notes)
    return result_of(tested, found, comparison, components, told)
