"""One test for each class that a map of classes shows."""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.components import has_any_line, with_holm
from onnx_si.analysis.marking import Marker, Marking, marked
from onnx_si.analysis.question import Question, test_line
from onnx_si.analysis.scene import Scene
from onnx_si.analysis.selection import Selection
from onnx_si.analysis.settings import Settings
from onnx_si.analysis.shown import engine_of
from onnx_si.analysis.witness import Witness
from onnx_si.domains.event import RegionEvent
from onnx_si.engines.engine import Answer, Engine, Watch
from onnx_si.errors import NoBackground, NothingToTest, UnsupportedModel
from onnx_si.maps import agreement_map, labels_map, parse_threshold
from onnx_si.program.program import bind
from onnx_si.report import ClassTest
from onnx_si.statistics.line import ImageLine

Select = Callable[[Scene, Settings], Selection]
Labels = NDArray[np.int64]


def test_classes(
    test: Question, select: Select, rng: np.random.Generator, progress: Watch = None
) -> tuple[ClassTest, ...]:
    """Test the region of every class that some pixel has, class 0 too.

    `p_value` conditions on the region of the class itself. `p_value_adjusted` is Holm's, on p-values that
    condition on the class of every pixel: how many classes there are is known only given these, and given
    these the family is fixed, each p-value is uniform under its null hypothesis, and Holm's procedure holds
    for any dependence between them. `p_value` does so too where not every image with a region of the class is
    tested: the class that the model was asked for may have no pixel under the mask.

    Parameters
    ----------
    test : Question
        The test of the one region that the model was asked for.
    select : callable
        The region of a scene with some settings.
    rng : Generator
        Of the points that the deployed runtime is asked about.
    progress : callable, optional
        Called during every search.

    Source
    ------
    Fithian, Sun, Taylor, arXiv 1410.2597; Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    with test.selection.marking.going_on():
        labels = _labels(test)
        engine, event = _given_labels(test, labels)
    counted = labels if test.scene.mask is None else labels[test.scene.mask]
    return with_holm(
        [
            _tested(test, int(number), int(count), select, (engine, event), rng, progress)
            for number, count in zip(*np.unique(counted, return_counts=True), strict=True)
        ]
    )


test_classes.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest


def _name(test: Question) -> str:
    return test.selection.saliency.method.partition(":")[2]


def _labels(test: Question) -> Labels:
    """The class of each pixel: in float64, or by the runtime where that alone is asked."""
    frame, seen = test.scene.frame, test.scene.seen
    found = labels_map(frame.model, seen, _name(test), frame.view)
    if test.selection.marking.bound is not None:
        program = bind(found.model, seen, (found.tensor,))
        test.selection.marking.follow(program, found.tensor)
        values = program.values[found.tensor]
    else:
        marker = Marker(
            model=found.model, tensor=found.tensor, threshold=parse_threshold(0.5), mask=None, is_map=True
        )
        marking = Marking(
            frame=frame,
            saliency=found,
            marker=marker,
            bound=None,
            bound_at=seen,
            provider=test.settings.provider,
        )
        values = BlackBox(marking).steady(seen)
    labels = np.rint(values).astype(np.int64)
    if test.scene.mask is None and labels.min() == labels.max():
        raise UnsupportedModel("every pixel has one class, although the region is not everything")
    return labels


def _given_labels(test: Question, labels: Labels) -> tuple[Engine, RegionEvent]:
    """What follows that every pixel has its class, those too that may not count: the class that the model was
    asked for is chosen among all; and that event.
    """
    scene, settings = test.scene, test.settings
    frame = scene.frame
    found = agreement_map(frame.model, scene.seen, _name(test), frame.view, labels)
    marking = marked(frame, found, scene.seen, None, dataclasses.replace(settings, threshold=None))
    event = RegionEvent(np.ones(labels.shape, np.bool_))
    if marking.bound is None:
        return engine_of(scene, settings, BlackBox(marking)), event
    program = marking.at(scene.seen)
    return marking.follow(program, marking.marker.tensor), event


def _tested(
    test: Question,
    target: int,
    pixels: int,
    select: Select,
    given_labels: tuple[Engine, RegionEvent],
    rng: np.random.Generator,
    progress: Watch,
) -> tuple[ClassTest, Answer | None]:
    """A class' test without adjustment, and its answer given the class of every pixel."""
    one = ClassTest(target=target, pixels=pixels)
    settings = dataclasses.replace(test.settings, target=target, saliency=test.selection.saliency.method)
    try:
        with test.selection.marking.going_on():
            selection = select(test.scene, settings)
        line = test_line(test.scene, selection.region, test.noise, settings)
    except (NothingToTest, NoBackground) as error:  # given all labels both are known: the family is fixed
        return dataclasses.replace(one, reason=str(error)), None
    own = dataclasses.replace(test, selection=selection, line=line, settings=settings)
    found = _answer(own, line, (selection.engine, selection.event), progress)
    witness = Witness.of(own, rng)
    if witness is not None:
        witness.of_part(line, selection.event, found)
    strict = _answer(own, line, given_labels, progress)
    taken = found if _is_tested(test) else strict
    return (
        dataclasses.replace(
            one,
            p_value=taken.p_value,
            p_value_bounds=taken.p_value_bounds,
            statistic=line.observed,
            standard_error=line.error,
        ),
        strict,
    )


def _is_tested(test: Question) -> bool:
    """Whether any image on which a class has some pixels, and not all, is tested: then another class than 0
    has some, and the one that the model was asked for, and not all.
    """
    return has_any_line(test) and test.scene.mask is None and test.scene.background is None


def _answer(test: Question, line: ImageLine, asked: tuple[Engine, RegionEvent], progress: Watch) -> Answer:
    engine, event = asked
    how = dataclasses.replace(test.how, interval_level=None, tipping_at=None)
    return engine.answer(line, event, how, progress)
