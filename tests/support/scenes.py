"""One scene, from model and images to a line that can be searched, put together below `onnx_si.test`."""

import dataclasses
import functools
import math

import numpy as np

import onnx_si
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.domains.judge import Found
from onnx_si.ground.layout import layout_of
from onnx_si.maps import View, build, default_threshold, parse_threshold, with_margin
from onnx_si.program.program import bind
from onnx_si.search import SearchOptions, search
from onnx_si.search.tuning import Costs, Tuning
from onnx_si.statistics.hypotheses import HYPOTHESES
from onnx_si.statistics.hypotheses.contrast import Data
from onnx_si.statistics.noise import Noise
from support import nets

AS_LARGE = {"costs": Costs(per_call=0), "tuning": Tuning(widest_first=0.0)}
"""Small networks are searched as large ones are: only arithmetic counts, and the first cell is narrow."""
TINY = 1e-10  # a precision that is reached only when all of the line that matters is resolved


@dataclasses.dataclass(frozen=True)
class Case:
    """One scene, ready to be searched."""

    model: onnx_si.Model
    image: np.ndarray
    references: tuple
    program: object
    margin: str
    line: object
    event: RegionEvent

    def search(self, precision=TINY, progress=None, **options):
        how = SearchOptions(precision=precision, **options)
        return search(self.program, self.margin, self.line, self.event, how, progress)

    def tight_budget(self):
        """Memory for four knots of the largest tensor, in bytes."""
        return 4 * 8 * max(math.prod(step.shape) for step in self.program.instructions)

    def member(self, z):
        """Whether the region at each point is the observed one, decided point by point (not for `top:`)."""
        margins = nets.margins_on(self.program, self.margin, self.line, z)
        return ((margins > 0) == self.event.observed.ravel()).all(axis=1)


def margin_program(model, image, threshold=None, saliency="auto", target="predicted", layout=None):
    """The bound program of a map's margin over a threshold, its tensor, and the layout of the image."""
    axes = layout_of(model.inputs[0].shape, layout)
    view = View(shape=image.shape, layout=axes)
    found = build(model, image, saliency, target, view)
    chosen = default_threshold(found) if threshold is None else parse_threshold(threshold)
    extended, margin = with_margin(found, chosen, math.prod(view.space))
    program = bind(extended, image, (margin,))
    program.require_exact()
    return program, margin, axes


def make_case(model, image, references=(), *, sigma=1.0, noise=None, hypothesis=None, ring=1, **selection):
    """A case, or None where the region is empty or everything."""
    threshold = selection.get("threshold")
    if isinstance(threshold, str) and threshold.startswith("top:"):
        program, margin, axes, event = top_program(model, image, **selection)
    else:
        program, margin, axes = margin_program(model, image, **selection)
        event = RegionEvent(program.values[margin] > 0)
    region = event.observed
    if region.all() or not region.any():
        return None
    reference = np.mean(references, axis=0) if references else None
    noise = noise or Noise.scalar(sigma, "given", known=True)
    data = Data(
        image=image,
        reference=reference,
        references=len(references),
        noise=noise,
        mask=None,
        spatial_axes=axes.spatial_axes,
        ring=ring,
    )
    hypothesis = hypothesis or ("mean" if references else "background")
    line = HYPOTHESES[hypothesis].line(data, axes.spread(region, image.shape))
    return Case(model, image, tuple(references), program, margin, line, event)


def top_program(model, image, threshold, saliency="auto", target="predicted", layout=None):
    """The same for a share of the pixels: the k-th largest value by sorting, then the program and the
    event.
    """
    axes = layout_of(model.inputs[0].shape, layout)
    view = View(shape=image.shape, layout=axes)
    found = build(model, image, saliency, target, view)
    scores = bind(found.model, image, (found.margin_tensor,)).values[found.margin_tensor]
    share = parse_threshold(threshold)
    k = share.count(scores.size)
    region = scores > np.sort(scores, axis=None)[::-1][k]
    extended, margin = with_margin(found, share, scores.size, top=region)
    program = bind(extended, image, (margin,))
    return program, margin, axes, TopEvent(region, region, k + 1 - int(region.sum()))


def draw_case(make_model, seed, references=1, **options):
    """The first image of a seed that has a region."""
    model = make_model(seed)
    rng = np.random.default_rng([seed, 77])
    for _ in range(50):
        drawn = rng.normal(size=(1 + references, *model.inputs[0].shape))
        case = make_case(model, drawn[0], tuple(drawn[1:]), **options)
        if case is not None:
            return case
    raise AssertionError(f"seed {seed} never gives a region")


@dataclasses.dataclass(frozen=True)
class NoJudge:
    """An arbiter that can settle nothing: numbers below the slack stay open."""

    bound: float = 1e-14

    def slacks(self, margin):
        return iter([self.bound])

    def inside(self, low, high):
        return Found([], np.zeros(len(low), dtype=bool))

    def zeros(self, low, high, pixels):
        return np.zeros_like(pixels)

    zeros_need_proof = False


LARGER = {
    "cam, value": (functools.partial(nets.cam_nchw, size=18, pool=False), {"threshold": 0.5}, (0, 1, 2)),
    "cam pooled, value": (functools.partial(nets.cam_nchw, size=16), {"threshold": 0.2}, (2, 4, 8)),
    "map": (functools.partial(nets.map_net, size=16), {"threshold": 0.2}, (0, 1, 2)),
    "plateau": (functools.partial(nets.map_net, size=16, last="Relu"), {"threshold": 0.0}, (0, 1, 2)),
    "abs, max, min": (functools.partial(nets.extremes_net, size=16), {"threshold": 0.4}, (0, 1, 2)),
    "gates": (functools.partial(nets.gated_net, size=16), {"threshold": 0.5}, (0, 1, 2)),
}
