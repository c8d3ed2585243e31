"""One test for each connected component of the region."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.analysis.question import Question, test_line
from onnx_si.analysis.scene import Mask
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.engines.engine import Answer, Watch
from onnx_si.errors import NothingToTest
from onnx_si.report import ComponentTest, PartTest
from onnx_si.report.region import component_masks
from onnx_si.statistics.hypotheses import HYPOTHESES
from onnx_si.statistics.line import ImageLine

Ask = Callable[[ImageLine, RegionEvent, Answer], None] | None
Part = TypeVar("Part", bound=PartTest)


def component_event(component: Mask, mask: Mask | None) -> RegionEvent:
    """The event that a connected set of pixels is a component of the region.

    It is: all its pixels are in the region, and the pixels that touch them by a face are not. Nothing is
    asked of any other pixel. (A pixel that may not count is never in the region, so it is not asked about
    either.)

    Valid, because for every fixed set C the test direction is a function of C alone, so that T_C is
    independent of the nuisance a_C under the null hypothesis about C; given a_C and "C is a component", T_C
    is normal truncated to S_C = {z : C is a component of M(a_C + c z)}, and the p-value p_C uniform. That
    holds for every C, so the expected number of components with p_C <= u and a true null hypothesis is u
    times the expected number of components with a true null hypothesis; and a component chosen by a rule
    that looks at C only (the one that holds a given pixel) has a uniform p-value. It does not hold for a
    component chosen by looking at the others, such as the largest.

    Parameters
    ----------
    component : boolean array
        Connected, in the map's shape.
    mask : boolean array or None
        Pixels that may count; None: all.
    """
    touching = scipy.ndimage.binary_dilation(component)
    return RegionEvent(component, touching if mask is None else touching & mask)


def is_tested_with(test: Question, component: Mask) -> bool:
    """Whether any image of which this is a component is tested, whatever else is in its region.

    It is if a pixel that touches the component may count: then the region is not everything, and its ring is
    not empty. Else whether there is a test depends on other pixels; these may move with the component's
    statistic, so that p-values given the component alone are not uniform among those that are reported. Nor
    are they where a region on the pixels of --sigma-from has no test.
    """
    if not has_any_line(test) or test.scene.background is not None:
        return False
    counts = test.selection.mask
    touching = scipy.ndimage.binary_dilation(component) & ~component
    return bool(np.any(touching if counts is None else touching & counts))


def has_any_line(test: Question) -> bool:
    """Whether every region has a line: a neighbourhood's ring holds all pixels that touch it, and none is too
    large for the hypothesis.
    """
    width, spacing = test.settings.ring_mm, test.scene.spacing
    largest = HYPOTHESES[test.settings.hypothesis].largest(test.noise.covariance)
    return (width is None or spacing is None or width >= max(spacing)) and test.scene.image.size <= largest


def test_components(test: Question, progress: Watch = None, ask: Ask = None) -> tuple[ComponentTest, ...]:
    """Test every component of the region, the largest first.

    `p_value` conditions on the component being one (see `component_event`), except where the whole region is
    conditioned on: with a threshold of kind `top`, where one component's pixels compete with all others, and
    where that it is one does not tell that the image is tested at all (see `is_tested_with`).

    `p_value_adjusted` is Holm's, on p-values that condition on the whole region. That is needed: how many
    components there are is known only given the region. With the wider event, a component that suppresses
    others when it is strong is tested in a smaller family just when its p-value is small, and Holm's
    guarantee (at most alpha for any false rejection) would fail. Given the region the family is fixed, each
    p-value is uniform under its null hypothesis, and Holm's procedure holds for any dependence between them.

    Parameters
    ----------
    test : Question
        The whole region's test.
    progress : callable, optional
        Called during every search.
    ask : callable, optional
        Called with line, event and result of every search.

    Source
    ------
    Fithian, Sun, Taylor, arXiv 1410.2597 (a question chosen by the data is answered given that it was
    chosen); Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    masks = component_masks(test.selection.region)
    return with_holm([_tested(test, mask, progress, ask) for mask in masks])


test_components.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    count = len(p_values)
    adjusted, largest = [0.0] * count, 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def with_holm(found: Sequence[tuple[Part, Answer | None]]) -> tuple[Part, ...]:
    """Tests of parts with Holm's adjusted p-values: each part with its answer given the whole family, None
    where it has no test. The procedure is monotone: of bounds it makes bounds.
    """
    answers = [strict for _, strict in found if strict is not None]
    high = holm([one.p_value for one in answers])
    low = holm([one.p_value if one.approximate else one.p_value_bounds[0] for one in answers])
    adjusted = iter(zip(low, high, strict=True))
    return tuple(one if strict is None else _adjusted(one, next(adjusted)) for one, strict in found)


def _adjusted(one: Part, bounds: tuple[float, float]) -> Part:
    return dataclasses.replace(one, p_value_adjusted=bounds[1], p_value_adjusted_bounds=bounds)


def _tested(
    test: Question, component: Mask, progress: Watch, ask: Ask
) -> tuple[ComponentTest, Answer | None]:
    """A component's test without adjustment, and its answer given the whole region."""
    selection, region_event = test.selection, test.selection.event
    try:
        line = test_line(test.scene, component, test.noise, test.settings)
    except NothingToTest as error:
        return ComponentTest(reason=str(error)), None
    given_region = _answer(test, line, region_event, progress, ask)
    whole = isinstance(region_event, TopEvent) or not is_tested_with(test, component)
    event = region_event if whole else component_event(component, selection.mask)
    found = given_region if whole else _answer(test, line, event, progress, ask)
    one = ComponentTest(
        p_value=found.p_value,
        p_value_bounds=found.p_value_bounds,
        p_value_adjusted=None,
        statistic=line.observed,
        standard_error=line.error,
    )
    return one, given_region


def _answer(test: Question, line: ImageLine, event: RegionEvent, progress: Watch, ask: Ask) -> Answer:
    selection, how = test.selection, dataclasses.replace(test.how, interval_level=None, tipping_at=None)
    found = selection.engine.answer(line, event, how, progress)
    if ask is not None:
        ask(line, event, found)
    return found
