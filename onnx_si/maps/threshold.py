"""From a map to its margin: positive exactly on the salient region, computed by the graph itself."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import NotLinear, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.maps.map import SaliencyMap

KINDS = ("max", "minmax", "top")
ARGMAX = "argmax"
TIE = 2.0**-44  # of a level, by which values that tie with it may be off: equal sums in another order

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Threshold:
    """`value`: saliency > level; `max`: > level * maximum; `minmax`: after min-max normalisation, > level;
    `top`: > the (k + 1)-th largest value, k the whole part of level * pixels; `argmax`: the class's channel
    is the largest (the map is 1 there).

    `chosen`: a `minmax` that was taken because every pixel passes `max` of the same level. Where that is not
    so, the region is said to be everything, which is never tested: the choice is part of what has to stay.
    """

    kind: str
    level: float
    chosen: bool = False

    def __str__(self) -> str:
        if self.kind == ARGMAX:
            return ARGMAX
        return f"{self.level:g}" if self.kind == "value" else f"{self.kind}:{self.level:g}"

    def count(self, pixels: int) -> int:
        """The k of `top`: at most so many pixels are the region, fewer where values at its edge are equal.

        Raises
        ------
        UsageError
            If that is no pixel.
        """
        k = int(Fraction(repr(self.level)) * pixels)  # of the level as it was written: 0.29 of 100 is 29
        if k < 1:
            raise UsageError(
                f"threshold {self} of {pixels} pixels is less than one pixel; give a larger share"
            )
        return k


def top_region(
    scores: NDArray[np.float64], threshold: Threshold, mask: Mask | None, ranked: Mask | None = None
) -> Mask:
    """Pixels strictly above the (k + 1)-th largest value among those that may count; values that tie with it
    are outside. What only that tolerance makes is no region: the search finds another one there.

    Parameters
    ----------
    scores : array
        The map, or anything strictly increasing in it.
    threshold : Threshold
        Of kind `top`.
    mask : boolean array or None
        Pixels that may count; None: all.
    ranked : boolean array, optional
        Those of them whose values are ranked, one of each block; default: all.
    """
    allowed = np.ones(scores.shape, np.bool_) if mask is None else mask
    values = scores[allowed if ranked is None else ranked]
    k = threshold.count(values.size)
    place = values.size - k - 1
    level = np.partition(values, place)[place]
    above: Mask = scores > level + TIE * abs(level)
    return above & allowed


def parse_threshold(text: str | float) -> Threshold:
    """Read `0.3`, `max:0.5`, `minmax:0.5`, `top:0.1` or `argmax`.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if text == ARGMAX:
        return Threshold(ARGMAX, 0.5)
    kind, _, number = str(text).rpartition(":")
    try:
        level = float(number)
    except ValueError:
        level = math.nan
    if kind not in ("", *KINDS) or not math.isfinite(level):
        raise UsageError(
            f"threshold '{text}'; allowed are a number, argmax, max:F, minmax:F and top:F with a fraction F"
        )
    if kind and not 0 < level < 1:
        raise UsageError(f"threshold '{text}'; the fraction lies between 0 and 1")
    return Threshold(kind or "value", level)


def default_threshold(saliency: SaliencyMap) -> Threshold:
    """What splits yes from no on a map of probabilities or of one class's pixels, else half the maximum."""
    if saliency.chooses_class:
        return Threshold(ARGMAX, 0.5)
    return Threshold("max", 0.5) if saliency.split is None else Threshold("value", saliency.split)


def with_margin(
    saliency: SaliencyMap,
    threshold: Threshold,
    pixels: int,
    mask: Mask | None = None,
    top: Mask | None = None,
) -> tuple[Model, str]:
    """Append the margin of the map over the threshold; gives the model and the tensor.

    Parameters
    ----------
    saliency : SaliencyMap
    threshold : Threshold
    pixels : int
        Of the map.
    mask : boolean array, optional
        Pixels that may count, in the map's shape: maximum, minimum and share are taken over them.
    top : boolean array, optional
        For a threshold of kind `top`, the observed region: the margin is the map less its largest value
        outside, so that it is positive on the region as long as that is the region (see `TopEvent`).

    Raises
    ------
    UnsupportedModel
        If the threshold is not piecewise linear in the image.
    UsageError
        If it lies outside the map's range.
    """
    editor = Editor(saliency.model)
    scored = _scored(editor, saliency, threshold)
    scores = _double(editor, scored)
    if saliency.blocks is not None:
        mask = saliency.blocks.firsts(mask)
    if threshold.kind in ("value", ARGMAX):
        bound = editor.constant(np.array(saliency.on_margin(threshold.level)))
    elif threshold.kind == "top":
        if top is None:
            raise ValueError("a threshold of kind top needs the observed region")
        others = _Chosen(editor, saliency.margin_tensor, pixels, ~top if mask is None else mask & ~top)
        bound = others.shaped(_double(editor, others.largest()))
    else:
        behind = saliency.behind(threshold.kind)  # sqrt(s) > F sqrt(m) where s > F * F * m
        factor = saliency.on_margin(threshold.level) if behind else threshold.level
        chosen = _Chosen(editor, scored, pixels, mask)
        bound = _relative_bound(editor, chosen, replace(threshold, level=factor))
    margin = editor.add("Sub", [scores, bound], output=editor.fresh("margin"))
    editor.expose(margin, onnx.TensorProto.DOUBLE)
    return editor.finish(), margin


def _scored(editor: Editor, saliency: SaliencyMap, threshold: Threshold) -> str:
    """The tensor that a threshold is applied to: the map itself where its smallest and largest value have a
    part in the level and it ends in a Sigmoid or a root, else what is in front of these.

    Raises
    ------
    NotLinear
        If the map ends in a LogSoftmax.
    """
    if saliency.behind(threshold.kind) or not (saliency.is_logit or saliency.is_root):
        return saliency.margin_tensor
    if saliency.is_root:
        return editor.add("Sqrt", [saliency.margin_tensor])
    if saliency.link != "probability":
        raise NotLinear(
            f"threshold {threshold} of a map that ends in LogSoftmax is not piecewise linear; give a value "
            "such as -0.7 or a share such as top:0.1, or choose the tensor in front of it with "
            "--saliency output:NAME"
        )
    return editor.add("Sigmoid", [saliency.margin_tensor])


def _double(editor: Editor, tensor: str) -> str:
    """Append a cast to double precision: a level such as 0.3 is compared as it was given, not rounded to
    float32.
    """
    return editor.add("Cast", [tensor], to=onnx.TensorProto.DOUBLE)


class _Chosen:
    """Extremes of a map over chosen pixels (None: all), by appended nodes."""

    def __init__(self, editor: Editor, scores: str, pixels: int, chosen: Mask | None):
        self.editor = editor
        row = self._reshaped(scores, [pixels])
        if chosen is not None:
            places = editor.constant(np.flatnonzero(chosen).astype(np.int64))
            row, pixels = editor.add("Gather", [row, places], axis=0), int(np.count_nonzero(chosen))
        self.row = self._reshaped(row, [1, 1, pixels])

    def _reshaped(self, tensor: str, shape: list[int]) -> str:
        return self.editor.add("Reshape", [tensor, self.editor.constant(np.array(shape, np.int64))])

    def largest(self) -> str:
        return self.editor.add("GlobalMaxPool", [self.row])

    def smallest(self) -> str:
        turned = self.editor.add("Neg", [self.row])
        return self.editor.add("Neg", [self.editor.add("GlobalMaxPool", [turned])])

    def shaped(self, tensor: str) -> str:
        """One value, ready to be subtracted from a map."""
        return self._reshaped(tensor, [1])


def _relative_bound(editor: Editor, chosen: _Chosen, threshold: Threshold) -> str:
    """level * max, or min + level * (max - min), over the chosen pixels."""

    def times(tensor: str, factor: float) -> str:
        return editor.add("Mul", [_double(editor, tensor), editor.constant(np.array(factor))])

    share = times(chosen.largest(), threshold.level)
    if threshold.kind != "minmax":
        return chosen.shaped(share)
    smallest = chosen.smallest()
    bound = editor.add("Add", [share, times(smallest, 1 - threshold.level)])
    if threshold.chosen:
        holds = editor.add("Greater", [_double(editor, smallest), share])
        below = editor.add("Sub", [_double(editor, smallest), editor.constant(np.array(1.0))])
        bound = _switched(editor, holds, bound, below)
    return chosen.shaped(bound)


def _switched(editor: Editor, gate: str, inside: str, outside: str) -> str:
    """One of two numbers, by ops that every opset has."""
    parts = [
        editor.add("Mul", [_double(editor, condition), value])
        for condition, value in ((gate, inside), (editor.add("Not", [gate]), outside))
    ]
    return editor.add("Add", parts)
