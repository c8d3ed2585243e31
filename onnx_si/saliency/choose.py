"""Which saliency methods there are, which of them fit a model, and the automatic choice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import SaliencyUnavailable, UsageError
from onnx_si.graph import Model
from onnx_si.line.program import bind
from onnx_si.saliency.cam import cam, find_head
from onnx_si.saliency.maps import SaliencyMap, View, tensor_layout
from onnx_si.saliency.monotone import on_scores
from onnx_si.saliency.output import output_map

MOST_CHANNELS = 2  # of an output that is a map without being told which channel


@dataclass(frozen=True)
class Availability:
    """Whether a method fits a model, and why."""

    method: str
    available: bool
    reason: str


def build(
    model: Model, image: NDArray[np.float64], method: str, target: int | str, view: View
) -> SaliencyMap:
    """Add the saliency map of a method to a model.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    method : str
        `auto`, `cam` or `output:NAME`.
    target : int or "predicted"
    view : View

    Raises
    ------
    UsageError
        If there is no such method.
    SaliencyUnavailable
        If it does not fit the model.
    """
    model = on_scores(model, image)
    if method == "auto":
        return _automatic(model, image, target, view)
    if method == "cam":
        return cam(model, image, target, view)
    kind, _, name = method.partition(":")
    if kind == "output" and name:
        return output_map(model, image, name, target, view)
    raise UsageError(f"saliency '{method}'; allowed are auto, cam and output:NAME")


def map_outputs(model: Model, image: NDArray[np.float64], view: View) -> dict[str, int]:
    """Graph outputs that are maps, with their number of channels.

    A vector of another length than the image's is taken for class scores, not for a coarse map.
    """
    names = tuple(info.name for info in model.outputs)
    values = bind(model, image, names).values
    found = {}
    for name in names:
        if name not in values:
            continue
        shape = values[name].shape
        try:
            layout = tensor_layout(shape, view)
        except SaliencyUnavailable:
            continue
        sizes = layout.spatial_shape(shape)
        if all(n > 1 for n in sizes) and (len(shape) > 2 or sizes == view.space):
            found[name] = shape[layout.channel_axis] if layout.channel_axis is not None else 1
    return found


def _single(maps: dict[str, int]) -> list[str]:
    """Maps with one channel, or over two classes."""
    return [name for name, channels in maps.items() if channels <= MOST_CHANNELS]


def _automatic(model: Model, image: NDArray[np.float64], target: int | str, view: View) -> SaliencyMap:
    maps = map_outputs(model, image, view)
    if _single(maps):
        return output_map(model, image, _single(maps)[0], target, view)
    try:
        return cam(model, image, target, view)
    except SaliencyUnavailable as error:
        several = ", ".join(f"'{name}' has {count} channels" for name, count in maps.items())
        raise SaliencyUnavailable(
            f"no saliency map found: no output is a map of one channel{f' ({several})' if maps else ''}, "
            f"and {error}. Choose a tensor with --saliency output:NAME, and --target K where it has channels"
        ) from error


def methods(model: Model, image: NDArray[np.float64], view: View) -> list[Availability]:
    """Every method with whether it fits the model."""
    maps = _single(map_outputs(model, image, view))
    found = [Availability(f"output:{name}", True, "a graph output that is a map") for name in maps]
    try:
        head = find_head(model, image)
        classes, channels = head.weights.shape
        found.append(
            Availability("cam", True, f"global average of {channels} channels, then {classes} class scores")
        )
    except SaliencyUnavailable as error:
        found.append(Availability("cam", False, str(error)))
    if not maps:
        found.append(Availability("output:NAME", True, "any inner tensor that is a map"))
    return found
