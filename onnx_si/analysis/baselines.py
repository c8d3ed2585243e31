"""P-values of other methods on the same region, to be compared with the selective one.

Source: Miwa, Duy, Takeuchi, ICLR 2023, section 5 (naive, Bonferroni, permutation, over-conditioning).
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np

from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.question import Question, data_of
from onnx_si.analysis.scene import Array, Mask, Scene
from onnx_si.analysis.shown import chains_of
from onnx_si.choices import compared as choices
from onnx_si.choices.compared import chosen
from onnx_si.engines.exact import Exact
from onnx_si.engines.thinning import Thinned
from onnx_si.errors import NothingToTest, UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.report import Comparison
from onnx_si.runtime.session import Deployed, DeployedBatch
from onnx_si.statistics.hypotheses import HYPOTHESES, Data
from onnx_si.statistics.noise import Scalar
from onnx_si.statistics.truncated import Alternative, log_p_value, p_value_bounds

PERMUTATIONS = 1000
BATCH, BATCH_VALUES = 100, 1 << 20  # permuted images in one call: at most so many, and so many values
ROUNDING = 1024 * np.finfo(np.float64).eps  # of means that are summed in another order
FEWEST = 100  # permuted images with a region, below which the p-value is too coarse to be shown


def compare(test: Question, rng: np.random.Generator) -> Comparison:
    """P-values of the methods asked for; where one can't be computed, why."""
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    notes: list[str] = []
    for baseline in chosen(test.settings.methods):
        found = COMPUTED_BY[baseline.name](test, rng, notes)
        if isinstance(found, str):
            reasons[baseline.key] = found
        else:
            values[baseline.key] = found
    return Comparison(**values, reasons=reasons, notes=tuple(notes))


def _over_line(test: Question, inside: Intervals) -> float:
    line, nothing = test.line, Intervals.empty()
    return p_value_bounds(line.distribution, inside, nothing, line.statistic, test.how.alternative)[1]


def naive(test: Question) -> float:
    """As if the region had been fixed beforehand: the same statistic, its whole variance, no truncation."""
    return _over_line(test, Intervals.line())


def over_conditioning(test: Question) -> float | str:
    """On the one linear piece around the image, as if every activation pattern had been asked for."""
    selection, line = test.selection, test.line
    if not isinstance(selection.engine, Exact):
        return "no linear piece of the network is known: its region is followed by the runtime alone, or not"
    return _over_line(test, selection.engine.piece(line, selection.event, test.how))


def drawn(test: Question) -> float | str:
    """The Monte-Carlo engine on the same line and region."""
    if isinstance(test.selection.engine, Thinned):
        return "a thinned test follows no line"
    try:
        engine = chains_of(test.scene, test.settings, BlackBox(test.selection.marking))
        return engine.answer(test.line, test.selection.event, test.how).p_value
    except UnsupportedModel as error:
        return str(error)


def bonferroni(test: Question) -> float:
    """The naive p-value times 2^n, one test for every possible region of n pixels, by logarithms."""
    line, mask = test.line, test.selection.mask
    pixels = test.selection.region.size if mask is None else int(np.count_nonzero(mask))
    log_naive = log_p_value(line.untruncated, line.observed, test.how.alternative)
    return math.exp(min(0.0, log_naive + pixels * math.log(2.0)))


def permutation(test: Question, rng: np.random.Generator, notes: list[str]) -> float | str:
    """Share of permuted images whose statistic is at least as extreme, or why there is none.

    The pixels of image and references are permuted alike (channels stay together, pixels that may not count
    stay in place), and the deployed runtime computes the region anew, of many images in each call. Permuted
    images without a region, or without a ring to compare it with, have no statistic and are left out, as real
    ones are: no test is made of such an image, so the observed one is exchangeable with those of its
    permutations that can be tested.
    """
    if not isinstance(test.noise.covariance, Scalar):
        return "pixels with different variances or correlated noise can't be exchanged"
    if test.scene.extra is not None:
        return "noise was added for the selection; permuting would separate the image from it"
    observed, data = test.line.statistic, data_of(test.scene, test.noise, test.settings)
    try:
        statistics = list(_permuted_statistics(test, data, rng, notes))
    except UnsupportedModel as error:
        return str(error)
    if len(statistics) < FEWEST:
        return f"only {len(statistics)} of {PERMUTATIONS} permuted images have a region to test"
    extreme = _at_least(np.array(statistics), observed, test.how.alternative)
    return (extreme + 1) / (len(statistics) + 1)


def _at_least(statistics: Array, observed: float, alternative: Alternative) -> int:
    """How many are at least as extreme; equal up to rounding counts, which can only enlarge the p-value."""
    slack = ROUNDING * float(np.abs(statistics).max())
    if alternative == "greater":
        return int(np.count_nonzero(statistics >= observed - slack))
    if alternative == "less":
        return int(np.count_nonzero(statistics <= observed + slack))
    return int(np.count_nonzero(np.abs(statistics) >= abs(observed) - slack))


def _permuted_statistics(
    test: Question, data: Data, rng: np.random.Generator, notes: list[str]
) -> Iterator[float]:
    scene = test.scene
    line = HYPOTHESES[test.settings.hypothesis].line
    margins_of = _margins(test, notes)
    for orders in _orders(scene, rng):
        images = _permuted(scene, data.image, orders)
        references = None if data.reference is None else _permuted(scene, data.reference, orders)
        for number, margins in enumerate(margins_of(images)):
            region = test.selection.marker.region(margins)
            if _testable(region, scene.mask):
                reference = None if references is None else references[number]
                moved = dataclasses.replace(data, image=images[number], reference=reference)
                with contextlib.suppress(NothingToTest):
                    yield line(moved, scene.values_of(region)).statistic


def _margins(test: Question, notes: list[str]) -> Callable[[Array], Array]:
    """The deployed margins of many images: in one call, or one by one where that can't be done."""
    marker, scene = test.selection.marker, test.scene
    try:
        return DeployedBatch(marker.model, scene.frame.input.name, marker.tensor, scene.image.shape).run
    except UnsupportedModel as error:
        notes.append(f"permuted images were run one by one, with the same result: {error}")
    alone = Deployed(marker.model, scene.frame.input.name, (marker.tensor,))
    return lambda images: np.stack([alone.run(image)[0] for image in images])


def _testable(region: Mask, mask: Mask | None) -> bool:
    everything = region.size if mask is None else np.count_nonzero(mask)
    return 0 < int(np.count_nonzero(region)) < int(everything)


def _orders(scene: Scene, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Orders of the pixels, (n, pixels) in each batch."""
    size = math.prod(scene.view.space)
    free = np.arange(size) if scene.mask is None else np.flatnonzero(scene.mask)
    batch = min(BATCH, max(1, BATCH_VALUES // scene.image.size))
    for start in range(0, PERMUTATIONS, batch):
        orders = np.tile(np.arange(size), (min(batch, PERMUTATIONS - start), 1))
        for order in orders:
            order[free] = rng.permutation(free)
        yield orders


def _permuted(scene: Scene, image: Array, orders: np.ndarray) -> Array:
    """The image with its pixels in each of the orders, stacked."""
    axes = scene.layout.spatial_axes
    last = np.moveaxis(image, axes, range(-len(axes), 0))
    pixels = last.reshape(*last.shape[: last.ndim - len(axes)], -1)
    moved = np.moveaxis(pixels[..., orders], -2, 0).reshape(len(orders), *last.shape)
    return np.ascontiguousarray(np.moveaxis(moved, range(-len(axes), 0), [axis + 1 for axis in axes]))


COMPUTED_BY: dict[str, Callable[[Question, np.random.Generator, list[str]], float | str]] = {
    choices.NAIVE.name: lambda test, rng, notes: naive(test),
    choices.OVER_CONDITIONING.name: lambda test, rng, notes: over_conditioning(test),
    choices.BONFERRONI.name: lambda test, rng, notes: bonferroni(test),
    choices.PERMUTATION.name: permutation,
    choices.MONTE_CARLO.name: lambda test, rng, notes: drawn(test),
}
"""The p-value of each record, or why there is none; notes are what the user should know of it."""
