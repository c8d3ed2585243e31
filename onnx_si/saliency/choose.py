"""Which saliency methods there are, which of them fit a model, and the automatic choice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import SaliencyUnavailable, UnsupportedModel, UsageError
from onnx_si.graph import Model
from onnx_si.line.program import bind
from onnx_si.saliency.cam import cam, find_head
from onnx_si.saliency.channels import channel_axes
from onnx_si.saliency.gradcam import gradcam
from onnx_si.saliency.gradients import grad_input, gradient
from onnx_si.saliency.maps import SaliencyMap, View, tensor_layout
from onnx_si.saliency.monotone import on_scores
from onnx_si.saliency.occlusion import occlusion
from onnx_si.saliency.output import output_map

MOST_CHANNELS = 2  # of an output that is a map without being told which channel
PLAIN = {
    "cam": cam,
    "gradcam": gradcam,
    "gradient": gradient,
    "grad-input": grad_input,
    "occlusion": occlusion,
}

FITS = {
    "gradcam": "every op between feature maps and class scores has a gradient rule",
    "gradient": "every op between image and class scores has a gradient rule",
    "grad-input": "every op between image and class scores has a gradient rule",
    "occlusion": "the model gives class scores",
}
"""What it says of a model that such a map can be made."""


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
        `auto`, `cam`, `gradcam`, `gradient`, `grad-input`, `occlusion`, or one with a choice: `output:NAME`,
        `gradcam:NAME`, `occlusion:K`.
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
    if method in PLAIN:
        return PLAIN[method](model, image, target, view)
    kind, _, name = method.partition(":")
    if kind == "output" and name:
        return output_map(model, image, name, target, view)
    if kind == "gradcam" and name:
        return gradcam(model, image, target, view, name)
    if kind == "occlusion" and name.isdecimal() and int(name):
        return occlusion(model, image, target, view, int(name))
    raise UsageError(
        f"saliency '{method}'; allowed are auto, {', '.join(PLAIN)}, output:NAME, gradcam:NAME and "
        "occlusion:K (patches of K pixels)"
    )


def map_outputs(model: Model, image: NDArray[np.float64], view: View) -> dict[str, int]:
    """Graph outputs that are maps, with their number of channels.

    A vector of another length than the image's is taken for class scores, not for a coarse map.
    """
    names = tuple(info.name for info in model.outputs)
    values, channels = bind(model, image, names).values, channel_axes(model.proto.graph.node)
    found = {}
    for name in names:
        if name not in values:
            continue
        shape = values[name].shape
        try:
            layout = tensor_layout(shape, view, channels.get(name))
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
        no_cam = error
    try:
        return gradcam(model, image, target, view)
    except UnsupportedModel as error:
        several = ", ".join(f"'{name}' has {count} channels" for name, count in maps.items())
        raise SaliencyUnavailable(
            f"no saliency map found: no output is a map of one channel{f' ({several})' if maps else ''}; "
            f"{no_cam}; no Grad-CAM: {_one_line(error)}. Choose a tensor with --saliency output:NAME, and "
            "--target K where it has channels; a classifier also allows --saliency occlusion"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


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
    found += [_tried(method, reason, model, image, view) for method, reason in FITS.items()]
    if not maps:
        found.append(Availability("output:NAME", True, "any inner tensor that is a map"))
    return found


def _tried(method: str, reason: str, model: Model, image: NDArray[np.float64], view: View) -> Availability:
    """Whether a method's map can be made; the reason is that of a success."""
    try:
        made = PLAIN[method](model, image, "predicted", view)
    except (UnsupportedModel, UsageError) as error:
        return Availability(method, False, _one_line(error))
    return Availability(method, True, "; ".join([reason, *made.notes]))
