"""A model made ready to test images: what does not depend on an image's values is made once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from numpy.typing import ArrayLike

from onnx_si.analysis import question, steps
from onnx_si.analysis.door import at_door
from onnx_si.analysis.frame import Frame, frame_of, input_of
from onnx_si.analysis.inputs import Inputs, Path
from onnx_si.analysis.marking import Marking, marking_of
from onnx_si.analysis.options import AllOptions, Options
from onnx_si.analysis.outcome import result_of
from onnx_si.analysis.remarks import Joined, Notice, remarks
from onnx_si.analysis.scene import Accepts, Given, Scene, fitted
from onnx_si.analysis.selection import Selection, select
from onnx_si.analysis.settings import Settings, settle
from onnx_si.analysis.witness import Witness
from onnx_si.errors import NothingToTest
from onnx_si.graph import Loadable, Model, as_model
from onnx_si.ground.budget import budget
from onnx_si.ground.deadline import Deadline
from onnx_si.ground.kept import Kept
from onnx_si.ground.machine import keep_freed_memory, one_blas_thread
from onnx_si.ground.once import asking
from onnx_si.report import Result
from onnx_si.runtime.providers import providers
from onnx_si.search import Progress, Stop
from onnx_si.statistics.noise import Covariance

SHAPES_KEPT = 4  # of images, with everything that was made for them


class Analysis:
    """A model and options, ready to test images; make one with `prepare`.

    Map, margin, bound program and runtime session are made for the first image of a shape and serve all that
    follow. Nothing that was made changes afterwards, so threads may share an analysis.
    """

    def __init__(self, model: Model, options: Options):
        self.model, self.options = model, options
        providers(options.chosen.get("provider"))  # one that is not there is told now
        self._alone = settings = settle(options, model.metadata, has_reference=False)
        with asking():
            door = at_door(model, settings.inputs, settings.layout, settings.dims)
            self.model, self._told = door.model, door.told
            self._input = input_of(self.model, settings, door.layout)
        self._frames = Kept[tuple[Any, ...], Frame](SHAPES_KEPT)
        self._markings = Kept[tuple[Any, ...], Marking](SHAPES_KEPT)

    def test(
        self,
        image: ArrayLike | Path,
        reference: ArrayLike | Path | Sequence[ArrayLike | Path] | None = None,
        *,
        mask: ArrayLike | Path | None = None,
        covariance: ArrayLike | Mapping[str, ArrayLike] | Covariance | Path | None = None,
        noise_from: ArrayLike | Path | Sequence[ArrayLike | Path] = (),
        sigma_from: ArrayLike | Path | None = None,
        pixel_size: tuple[float, ...] | None = None,
        seed: int | None = None,
        sigma: float | None = None,
        target: int | str | None = None,
        progress: Callable[[Progress], None] | None = None,
        stop: Stop | None = None,
        notice: Notice | None = None,
    ) -> Result:
        """Test the salient region of an image.

        Parameters
        ----------
        image, reference, mask, covariance, noise_from, sigma_from, progress, stop, notice
            As for `onnx_si.test`.
        seed, sigma, target, pixel_size : optional
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
            sigma_from=sigma_from,
            how=self._alone.how,
        )
        told = Joined(notice)
        with budget(self.options.chosen.get("memory")) as whole, one_blas_thread():
            keep_freed_memory(whole.limit)
            accepts = Accepts(self._input, self._alone)
            given = told.value((inputs.given(accepts), remarks(warnings=inputs.told())))
            settings = self._settings(bool(given.references), seed=seed, sigma=sigma, target=target)
            known = pixel_size or settings.pixel_size or inputs.spacing()
            given = replace(given, spacing=known)
            covariance = inputs.known_covariance(accepts, given.image)
            try:
                result = self._test(given, covariance, settings, told, progress, stop or Stop())
            except NothingToTest as error:
                error.warnings = told.so_far.warnings
                raise
        return inputs.named_in(result)

    test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest

    def scene(self, given: Given, settings: Settings) -> Scene:
        """What was given, fitted to the model's input."""
        fit = fitted(self._input, given, settings)
        shape = fit.image.shape
        key = (shape, fit.spacing if settings.spacing is not None else None)
        frame = self._frames.get(key, lambda: frame_of(self.model, self._input, shape, settings, fit.spacing))
        return fit.in_frame(frame)

    def select(self, scene: Scene, settings: Settings) -> Selection:
        """The salient region of a scene."""
        mask = None if scene.mask is None else scene.mask.tobytes()
        frame = scene.frame
        sizes = tuple((axis, len(matrix)) for axis, matrix in frame.steps.resize.items())
        key = (frame.shape, sizes, mask, settings.target, settings.saliency)
        marking = self._markings.get(key, lambda: marking_of(scene.frame, scene.seen, scene.mask, settings))
        return select(scene, marking, settings)

    def _settings(self, has_reference: bool, **changed: Any) -> Settings:
        """The options with what is left open filled in; a reference changes the default hypothesis."""
        chosen = {name: value for name, value in changed.items() if value is not None}
        if not has_reference and not chosen:
            return self._alone
        return settle(self.options.changed(**chosen), self.model.metadata, has_reference)

    def _test(
        self,
        given: Given,
        covariance: Any,
        settings: Settings,
        told: Joined,
        progress: Callable[[Progress], None] | None,
        stop: Stop,
    ) -> Result:
        """The test itself, with everything that was left open settled."""
        deadline = Deadline.after(settings.time_limit)
        told.value(steps.open_choices(settings, given, covariance, self._told, self.model))
        scene = told.value(steps.settled_scene(self.scene, given, settings))
        noise = told.value(steps.settled_noise(scene, settings, covariance, self.model))
        draws = told.value(steps.streams(scene, settings))
        scene = question.with_extra_noise(scene, noise, settings, draws.added)
        selected = told.value(steps.selected(self.select, scene, noise, settings))
        tested = told.value(
            steps.settled_engine(steps.asked(scene, selected, noise, settings, stop, deadline))
        )
        found = told.value(steps.answered(tested, progress))
        witness = Witness.of(tested, draws.points)
        if witness is not None:
            witness.of_whole(found)
        parts = told.value(steps.parts_tested(tested, found, witness, self.select, draws.classes, progress))
        if witness is not None:
            parity = witness.parity(tested.selection.parity)
            tested = replace(tested, selection=replace(tested.selection, parity=parity))
        comparison = told.value(steps.compared(tested, draws.permutations))
        result = result_of(tested, found, comparison, parts.components, told.so_far)
        return replace(result, class_tests=parts.classes, spacing=scene.spacing)


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
