"""A model made ready to test images: what does not depend on an image's values is made once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from numpy.typing import ArrayLike

from onnx_si.analysis import misuse, question
from onnx_si.analysis.baselines import compare
from onnx_si.analysis.components import test_components
from onnx_si.analysis.door import at_door
from onnx_si.analysis.frame import Frame, frame_of, input_of
from onnx_si.analysis.inputs import Inputs, Path
from onnx_si.analysis.marking import Marking, marking_of
from onnx_si.analysis.options import AllOptions, Options
from onnx_si.analysis.outcome import (
    Log,
    Notice,
    level_to_search,
    noise_document,
    result_of,
    search_warnings,
    time_warnings,
)
from onnx_si.analysis.question import Question
from onnx_si.analysis.scene import Accepts, Given, Scene, fitted
from onnx_si.analysis.selection import Selection, reasons, select, warnings
from onnx_si.analysis.settings import Settings, settle
from onnx_si.analysis.witness import Witness
from onnx_si.choices.compared import chosen
from onnx_si.errors import NothingToTest, UnsupportedModel
from onnx_si.graph import Loadable, Model, as_model
from onnx_si.ground.budget import budget
from onnx_si.ground.deadline import Deadline
from onnx_si.ground.guard import guarded
from onnx_si.ground.kept import Kept
from onnx_si.ground.machine import keep_freed_memory, one_blas_thread
from onnx_si.ground.seeds import WHY_MIXED, generator
from onnx_si.report import Result
from onnx_si.runtime.providers import providers
from onnx_si.search import Progress, SearchOptions, Stop
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.noise import Covariance

ADVICE = "check the exported model; if onnxruntime runs it, please report it"
SHAPES_KEPT = 4  # of images, with everything that was made for them


class Analysis:
    """A model and options, ready to test images; make one with `prepare`.

    Map, margin, bound program and runtime session are made for the first image of a shape and serve all that
    follow. Nothing that was made changes afterwards, so threads may share an analysis.
    """

    def __init__(self, model: Model, options: Options):
        self.model, self.options = model, options
        providers(options.chosen.get("provider"))  # one that is not there is told now
        settings = self._settings(has_reference=False)
        door = at_door(model, settings.inputs, settings.layout, settings.dims)
        self.model, self._told = door.model, door.told
        self._input = input_of(self.model, settings, door.layout)
        self._frames = Kept[tuple[int, ...], Frame](SHAPES_KEPT)
        self._markings = Kept[tuple[Any, ...], Marking](SHAPES_KEPT)

    def test(
        self,
        image: ArrayLike | Path,
        reference: ArrayLike | Path | Sequence[ArrayLike | Path] | None = None,
        *,
        mask: ArrayLike | Path | None = None,
        covariance: ArrayLike | Mapping[str, ArrayLike] | Covariance | Path | None = None,
        noise_from: ArrayLike | Path | Sequence[ArrayLike | Path] = (),
        seed: int | None = None,
        sigma: float | None = None,
        progress: Callable[[Progress], None] | None = None,
        stop: Stop | None = None,
        notice: Notice | None = None,
    ) -> Result:
        """Test the salient region of an image.

        Parameters
        ----------
        image, reference, mask, covariance, noise_from, progress, stop, notice
            As for `onnx_si.test`.
        seed, sigma : optional
            For this image, in place of the analysis' own.

        Returns
        -------
        Result

        Raises
        ------
        UsageError, InputError, UnsupportedModel, NothingToTest
        """
        inputs = Inputs(
            image=image,
            reference=reference,
            mask=mask,
            covariance=covariance,
            noise_from=noise_from,
            how=self._settings(has_reference=False).how,
        )
        keep_freed_memory()
        told = Log(notice)
        with budget(self.options.chosen.get("memory")), one_blas_thread():
            accepts = Accepts(self._input, self._settings(has_reference=False))
            given = inputs.given(accepts)
            told.warnings(inputs.told())
            settings = self._settings(bool(given.references), seed=seed, sigma=sigma)
            covariance = inputs.known_covariance(accepts, given.image)
            result = self._test(given, covariance, settings, told, progress, stop or Stop())
        return inputs.named_in(result)

    test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest

    def scene(self, given: Given, settings: Settings) -> Scene:
        """What was given, fitted to the model's input."""
        fit = fitted(self._input, given, settings)
        shape = fit.image.shape
        frame = self._frames.get(shape, lambda: frame_of(self.model, self._input, shape, settings))
        return fit.in_frame(frame)

    def select(self, scene: Scene, settings: Settings) -> Selection:
        """The salient region of a scene."""
        mask = None if scene.mask is None else scene.mask.tobytes()
        key = (scene.frame.shape, mask)
        marking = self._markings.get(key, lambda: marking_of(scene.frame, scene.seen, scene.mask, settings))
        return select(scene, marking, settings)

    def _settings(self, has_reference: bool, **changed: Any) -> Settings:
        """The options with what is left open filled in; a reference changes the default hypothesis."""
        chosen = {name: value for name, value in changed.items() if value is not None}
        return settle(self.options.changed(**chosen), self.model.metadata, has_reference)

    def _test(
        self,
        given: Given,
        covariance: Any,
        settings: Settings,
        told: Log,
        progress: Callable[[Progress], None] | None,
        stop: Stop,
    ) -> Result:
        """The test itself, with everything that was left open settled."""
        deadline = Deadline.after(settings.time_limit)
        told.defaults(settings.reasons)
        told.defaults(self._told)
        with guarded(UnsupportedModel, "the model with these options", ADVICE):
            scene = self.scene(given, settings)
        if settings.layout is None:
            told.defaults([f"layout {scene.layout.axes}: {scene.layout.reason}"])
        noise = question.noise_of(scene, settings, covariance)
        misuse.require_independent(scene)
        told.warnings(question.warnings(scene, settings, noise))
        if not settings.p_value_only:
            told.warnings(misuse.doubts(scene, noise))
        extra, permutations, asked = generator(settings.seed, scene.image, *scene.references).spawn(3)
        seeded = settings.added is not None or any(each.random for each in chosen(settings.methods))
        if seeded or settings.engine == "monte-carlo":
            told.defaults([f"seed {settings.seed}: {WHY_MIXED}"])
        scene = question.with_extra_noise(scene, noise, settings, extra)
        try:
            with guarded(UnsupportedModel, "the model with these options", ADVICE):
                selected = self.select(scene, settings)
        except NothingToTest as error:
            error.shape = scene.image.shape
            error.noise = noise_document(noise, thinned=settings.thin is not None)
            raise
        told.defaults(reasons(selected, settings))
        told.warnings(warnings(selected))
        line = question.test_line(scene, selected.region, noise, settings)
        question.require_told_apart(line)
        tested = Question(
            scene=scene,
            selection=selected,
            noise=noise,
            line=line,
            how=_how(line, settings, stop, deadline),
            settings=settings,
        )
        found = selected.engine.answer(line, selected.event, tested.how, progress)
        told.warnings(search_warnings(found, settings))
        witness = Witness.of(tested, asked)
        if witness is not None:
            witness.of_whole(found)
        ask = None if witness is None else witness.of_part
        components = test_components(tested, progress, ask) if settings.components else ()
        told.warnings(time_warnings(found, components, deadline, settings))
        if witness is not None:
            parity = witness.parity(selected.parity)
            tested = replace(tested, selection=replace(selected, parity=parity))
        comparison = compare(tested, permutations)
        told.warnings(comparison.notes)
        return result_of(tested, found, comparison, components, told)


def prepare(model: Loadable, **options: Unpack[AllOptions]) -> Analysis:
    """Make a model ready to test many images.

    Parameters
    ----------
    model : Model, or what `onnx_si.load` takes
    **options
        See docs/options.md.

    Returns
    -------
    Analysis

    Raises
    ------
    UsageError, UnsupportedModel
        If an option is not valid, or the model's input is not clear.
    """
    chosen = Options(**options)
    return Analysis(as_model(model), chosen)


def _how(line: ImageLine, settings: Settings, stop: Stop, deadline: Deadline) -> SearchOptions:
    """What the search is asked for."""
    wants_interval = not (settings.decide or settings.p_value_only)
    return SearchOptions(
        alternative=settings.alternative,
        precision=settings.precision,
        decide_at=settings.alpha if settings.decide else None,
        budget_bytes=settings.budget_bytes,
        interval_level=level_to_search(line, 1 - settings.alpha) if wants_interval else None,
        stop=stop,
        deadline=deadline,
    )
