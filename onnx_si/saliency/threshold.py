"""From a map to its margin: positive exactly on the salient region, computed by the graph itself."""

import math
from dataclasses import dataclass

import numpy as np
import onnx

from onnx_si.errors import UnsupportedModel, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.saliency.maps import SaliencyMap


@dataclass(frozen=True)
class Threshold:
    """`value`: saliency > level; `max`: > level * maximum; `minmax`: after min-max normalisation, > level."""

    kind: str
    level: float

    def __str__(self) -> str:
        return f"{self.level:g}" if self.kind == "value" else f"{self.kind}:{self.level:g}"


def parse_threshold(text: str | float) -> Threshold:
    """Read `0.3`, `max:0.5` or `minmax:0.5`.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    kind, _, number = str(text).rpartition(":")
    try:
        level = float(number)
    except ValueError:
        level = math.nan
    if kind not in ("", "max", "minmax") or not math.isfinite(level):
        raise UsageError(f"threshold '{text}'; allowed are a number, max:F and minmax:F with a fraction F")
    if kind and not 0 < level < 1:
        raise UsageError(f"threshold '{text}'; the fraction lies between 0 and 1")
    return Threshold(kind or "value", level)


def default_threshold(saliency: SaliencyMap) -> Threshold:
    """What splits yes from no on a map of probabilities or of one class's pixels, else half the maximum."""
    return Threshold("max", 0.5) if saliency.split is None else Threshold("value", saliency.split)


def with_margin(saliency: SaliencyMap, threshold: Threshold, pixels: int) -> tuple[Model, str]:
    """Append the margin of the map over the threshold; gives the model and the tensor.

    Raises
    ------
    UnsupportedModel
        If the threshold is not piecewise linear in the image.
    UsageError
        If it lies outside the map's range.
    """
    editor = Editor(saliency.model)
    scores = _double(editor, saliency.margin_tensor)
    if threshold.kind == "value":
        level = saliency.logit(threshold.level) if saliency.is_logit else threshold.level
        bound = editor.constant(np.array(level))
    elif saliency.is_logit:
        raise UnsupportedModel(
            f"threshold {threshold} of a map that ends in Sigmoid or Softmax is not piecewise linear; "
            "give a value such as 0.5, or choose the tensor in front of it with --saliency output:NAME"
        )
    else:
        bound = _relative_bound(editor, saliency.margin_tensor, threshold, pixels)
    margin = editor.add("Sub", [scores, bound], output=editor.fresh("margin"))
    editor.expose(margin, onnx.TensorProto.DOUBLE)
    return editor.finish(), margin


def _double(editor: Editor, tensor: str) -> str:
    """Append a cast to double precision: a level such as 0.3 is compared as it was given, not rounded to
    float32.
    """
    return editor.add("Cast", [tensor], to=onnx.TensorProto.DOUBLE)


def _relative_bound(editor: Editor, scores: str, threshold: Threshold, pixels: int) -> str:
    """level * max, or min + level * (max - min), over the whole map."""

    def shaped(tensor: str, shape: list[int]) -> str:
        return editor.add("Reshape", [tensor, editor.constant(np.array(shape, np.int64))])

    def times(tensor: str, factor: float) -> str:
        return editor.add("Mul", [_double(editor, tensor), editor.constant(np.array(factor))])

    row = shaped(scores, [1, 1, pixels])
    bound = times(editor.add("GlobalMaxPool", [row]), threshold.level)
    if threshold.kind == "minmax":
        lowest = editor.add("Neg", [editor.add("GlobalMaxPool", [editor.add("Neg", [row])])])
        bound = editor.add("Add", [bound, times(lowest, 1 - threshold.level)])
    return shaped(bound, [1])
