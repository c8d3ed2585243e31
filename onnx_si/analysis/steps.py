"""The steps of a test: each gives its value and what it remarks, and tells nobody itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnx_si.analysis import misuse, question
from onnx_si.analysis.baselines import compare
from onnx_si.analysis.class_tests import test_classes
from onnx_si.analysis.components import test_components
from onnx_si.analysis.expected import doubt_of, expected
from onnx_si.analysis.other_noise import fixed
from onnx_si.analysis.outcome import level_to_search, noise_document, search_warnings, time_warnings
from onnx_si.analysis.question import Question
from onnx_si.analysis.remarks import Remarks, remarks
from onnx_si.analysis.scene import Given, Scene
from onnx_si.analysis.selection import Selection, reasons, warnings
from onnx_si.analysis.settings import Settings
from onnx_si.analysis.witness import Witness
from onnx_si.choices.compared import chosen
from onnx_si.engines.choosing import Either
from onnx_si.engines.engine import Answer
from onnx_si.errors import NothingToTest, UnsupportedModel
from onnx_si.graph import Model, told_of
from onnx_si.ground.deadline import Deadline
from onnx_si.ground.guard import guarded
from onnx_si.ground.seeds import WHY_MIXED, generator
from onnx_si.maps import EACH
from onnx_si.report import ClassTest, Comparison, ComponentTest
from onnx_si.search import Progress, SearchOptions, Stop
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.noise import Noise

WHAT = "the model with these options"
ADVICE = "check the exported model; if onnxruntime runs it, please report it"
STREAMS = 5  # generators of all that is drawn, each for itself; the chains have the fourth

Select = Callable[[Scene, Settings], Selection]
Watch = Callable[[Progress], None] | None


@dataclass(frozen=True, kw_only=True)
class Streams:
    """Generators of what a test draws: noise that is added, permutations, points of the line, classes."""

    added: np.random.Generator
    permutations: np.random.Generator
    points: np.random.Generator
    classes: np.random.Generator


@dataclass(frozen=True)
class Parts:
    """Tests of the region's components, and of the classes that a map shows."""

    components: tuple[ComponentTest, ...] = ()
    classes: tuple[ClassTest, ...] = ()


def open_choices(
    settings: Settings, given: Given, covariance: Any, door: tuple[str, ...], model: Model
) -> tuple[None, Remarks]:
    """What is settled before the image is looked at, where nobody said it; `door` is what the file told."""
    other = covariance is not None or given.says_the_noise or settings.noise is not None
    settled = (text for text in settings.reasons if not (other and text.startswith("sigma ")))
    return None, remarks(defaults=(*settled, *door), warnings=told_of(model.file))


def settled_scene(
    scene_of: Callable[[Given, Settings], Scene], given: Given, settings: Settings
) -> tuple[Scene, Remarks]:
    """What was given, fitted to the model."""
    with guarded(UnsupportedModel, WHAT, ADVICE):
        scene = scene_of(given, settings)
    layout = scene.layout
    return scene, remarks(
        defaults=() if settings.layout is not None else (f"layout {layout.axes}: {layout.reason}",),
        warnings=() if given.mask is None else misuse.doubts_of_mask(np.asarray(given.mask)),
    )


def settled_noise(scene: Scene, settings: Settings, covariance: Any, model: Model) -> tuple[Noise, Remarks]:
    """The noise, and what speaks against it and the image's units."""
    question.require_one_source(scene, settings, covariance)
    misuse.require_independent(scene, covariance=covariance is not None or settings.noise_model is not None)
    noise = question.noise_of(scene, settings, covariance)
    said = remarks(warnings=question.warnings(scene, settings, noise))
    if settings.p_value_only:
        return noise, said
    units = doubt_of(expected(model, settings), scene.image)
    doubts = (*misuse.doubts(scene, noise), *(() if units is None else (units,)))
    return noise, said + remarks(warnings=doubts)


def streams(scene: Scene, settings: Settings) -> tuple[Streams, Remarks]:
    """Generators of everything that is drawn, from the seed and the data."""
    added, permutations, points, _, classes = generator(settings.seed, scene.image, *scene.references).spawn(
        STREAMS
    )
    draws = settings.added is not None or any(each.random for each in chosen(settings.methods))
    says = draws or settings.engine == "monte-carlo"
    made = Streams(added=added, permutations=permutations, points=points, classes=classes)
    return made, remarks(defaults=(f"seed {settings.seed}: {WHY_MIXED}",) if says else ())


def selected(select: Select, scene: Scene, noise: Noise, settings: Settings) -> tuple[Selection, Remarks]:
    """The salient region; a refusal of one that leaves nothing to test says of what image and noise."""
    try:
        with guarded(UnsupportedModel, WHAT, ADVICE):
            selection = select(scene, settings)
    except NothingToTest as error:
        error.shape = scene.image.shape
        error.noise = noise_document(noise, thinned=settings.thin is not None)
        raise
    return selection, remarks(defaults=reasons(selection, settings), warnings=warnings(selection))


def asked(
    scene: Scene, selection: Selection, noise: Noise, settings: Settings, stop: Stop, deadline: Deadline
) -> Question:
    """The question, on a line whose images can be told apart."""
    line = question.test_line(scene, selection.region, noise, settings)
    question.require_told_apart(line)
    how = _how(line, noise, settings, stop, deadline)
    return Question(scene=scene, selection=selection, noise=noise, line=line, how=how, settings=settings)


def settled_engine(tested: Question) -> tuple[Question, Remarks]:
    """The question with the engine that answers it, where that was left to the line: see `Either`."""
    selection = tested.selection
    proving = selection.marking.proving
    if proving is None or not isinstance(selection.engine, Either):
        return tested, remarks(warnings=tested.settings.idle_with(selection.engine.guarantee))
    found = selection.engine.decided(tested.line, selection.event, tested.how)
    marking = proving if found.proven else selection.marking
    selection = replace(selection, engine=found.engine, marking=marking, why=found.why)
    told = remarks(
        defaults=(f"engine {found.engine.guarantee}: {found.why}",),
        warnings=tested.settings.idle_with(found.engine.guarantee),
    )
    return replace(tested, selection=selection, how=found.asking(tested.how)), told


def answered(tested: Question, progress: Watch) -> tuple[Answer, Remarks]:
    """What the engine found of the whole region."""
    selection = tested.selection
    found = selection.engine.answer(tested.line, selection.event, tested.how, progress)
    return found, remarks(warnings=search_warnings(found, tested.settings))


def parts_tested(
    tested: Question,
    found: Answer,
    witness: Witness | None,
    select: Select,
    rng: np.random.Generator,
    progress: Watch,
) -> tuple[Parts, Remarks]:
    """Components and classes, where they were asked for."""
    settings, ask = tested.settings, None if witness is None else witness.of_part
    components = test_components(tested, progress, ask) if settings.components else ()
    classes = test_classes(tested, select, rng, progress) if settings.target == EACH else ()
    late = time_warnings(found, (*components, *classes), tested.how, settings)
    return Parts(components, classes), remarks(warnings=late)


def compared(tested: Question, rng: np.random.Generator) -> tuple[Comparison, Remarks]:
    """P-values of other methods on the same region."""
    comparison = compare(tested, rng)
    return comparison, remarks(warnings=comparison.notes)


def _how(line: ImageLine, noise: Noise, settings: Settings, stop: Stop, deadline: Deadline) -> SearchOptions:
    """What the search is asked for."""
    wants_interval = not (settings.decide or settings.p_value_only)
    return SearchOptions(
        alternative=settings.alternative,
        precision=settings.precision,
        decide_at=settings.alpha if settings.decide else None,
        budget_bytes=settings.budget_bytes,
        interval_level=level_to_search(line, 1 - settings.alpha) if wants_interval else None,
        tipping_at=settings.alpha if wants_interval and fixed(noise, settings) is None else None,
        stop=stop,
        deadline=deadline,
    )
