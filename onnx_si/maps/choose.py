"""Which saliency methods there are, which of them fit a model, and the automatic choice."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnx_si.choices import saliency as choices
from onnx_si.errors import SaliencyUnavailable, UnsupportedModel, UsageError
from onnx_si.graph import Model
from onnx_si.ground.once import asking
from onnx_si.maps.cam import find_head
from onnx_si.maps.classes import class_map, is_class_map
from onnx_si.maps.coarse import in_blocks
from onnx_si.maps.making import MADE_BY
from onnx_si.maps.map import SaliencyMap, View
from onnx_si.maps.monotone import on_scores
from onnx_si.maps.output import output_map
from onnx_si.maps.reading import read_tensor
from onnx_si.maps.scale import is_truth
from onnx_si.maps.scores import Undecided
from onnx_si.maps.trace import trace
from onnx_si.program.program import Program, bind

PREDICTED, EACH = "predicted", "all"
MOST_CHANNELS = 2  # of an output that is a map without being told which channel


@dataclass(frozen=True)
class Availability:
    """Whether a method fits a model, and why."""

    method: str
    available: bool
    reason: str


def build(
    model: Model,
    image: NDArray[np.float64],
    method: str,
    target: int | str,
    view: View,
    argmax: bool | None = False,
    *,
    followed: bool = True,
) -> SaliencyMap:
    """Add the saliency map of a method to a model.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    method : str
        `auto`, `cam`, `gradcam`, `gradient`, `grad-input`, `occlusion`, `rollout`, or one with a choice:
        `output:NAME`, `gradcam:NAME`, `occlusion:K`.
    target : int, "predicted" or "all"
        With `all` the map is that of `predicted`; it must be one of classes.
    view : View
    argmax : bool or None
        Whether the map is where a class has the largest channel of an output; None: where one has several.
    followed : bool
        Whether it is to be followed exactly: choices are then made on the scores in front of a Softmax.

    Raises
    ------
    UsageError
        If there is no such method.
    SaliencyUnavailable
        If it does not fit the model.
    """
    with asking():
        return _chosen(on_scores(model, image) if followed else model, image, method, target, view, argmax)


def _chosen(
    model: Model,
    image: NDArray[np.float64],
    method: str,
    target: int | str,
    view: View,
    argmax: bool | None,
) -> SaliencyMap:
    """The map of one class, or of whatever class a pixel has."""
    if target != EACH:
        return in_blocks(_built(model, image, method, target, view, argmax), view.blocks)
    if view.blocks is not None:
        raise UsageError(f"target {EACH} is one test for each class of the pixels; leave --coarsen out")
    made = _built(model, image, method, PREDICTED, view, argmax)
    if not made.of_classes:
        raise UsageError(
            f"target {EACH} is one test for each class of a map of classes; {made.method} with this "
            "threshold is none: leave it out, or choose --threshold argmax with an output of several channels"
        )
    return made


def _built(
    model: Model,
    image: NDArray[np.float64],
    method: str,
    target: int | str,
    view: View,
    argmax: bool | None,
) -> SaliencyMap:
    """The map, pixel by pixel but for a choice of class."""
    if method == "auto":
        return _automatic(model, image, target, view, argmax)
    kind, _, name = method.partition(":")
    if argmax and kind != "output":
        raise UsageError(
            f"threshold argmax: {method} is no map of classes; choose one with --saliency output:NAME"
        )
    record, more = choices.SALIENCY_METHODS.get(kind), None
    if record is not None and record.more is not None and name:
        more = record.more.read(name)
    if record is None or (more is None and (name or method not in choices.PLAIN)):
        raise UsageError(choices.unknown(method))
    if record is choices.OUTPUT:
        return _output(model, image, name, target, view, argmax)
    make = MADE_BY[record.name]
    return make(model, image, target, view) if more is None else make(model, image, target, view, more)


@dataclass(frozen=True, kw_only=True)
class MapOutput:
    """A graph output that is a map: its name, number of channels, size in space, and whether it is a mask of
    truth values.
    """

    name: str
    channels: int
    size: tuple[int, ...]
    truth: bool = False


def _outputs(model: Model, image: NDArray[np.float64]) -> Program:
    """The model bound to the image."""
    return bind(model, image, tuple(info.name for info in model.outputs))


def map_outputs(model: Model, image: NDArray[np.float64], view: View, program: Program) -> list[MapOutput]:
    """Graph outputs that are maps: their sizes are the image's, or what the graph's strides make of them.

    An output that does not depend on the image is none. A vector of another length than the image's is taken
    for class scores, not for a coarse map.
    """
    axes = trace(model, image, program.outputs)
    found = []
    for name in program.outputs:
        if name not in program.values or name in program.folded or name in program.words:
            continue
        shape = program.values[name].shape
        try:
            reading = read_tensor(shape, view, axes.get(name))
        except SaliencyUnavailable:
            continue
        size, channel = reading.size, reading.layout.channel_axis
        vector = len(shape) <= 2 and size != view.space and len(view.space) == 1
        flat = any(n == 1 < whole for n, whole in zip(size, view.space, strict=True)) or set(size) == {1}
        if not flat and reading.is_whole(view) and not vector:
            found.append(
                MapOutput(
                    name=name,
                    channels=1 if channel is None else shape[channel],
                    size=size,
                    truth=is_truth(model, name),
                )
            )
    return found


def _single(maps: list[MapOutput], view: View) -> list[MapOutput]:
    """Maps with one channel, or over two classes; the finest first, and of the image's own size a mask of
    truth values: the model's author has chosen its threshold.
    """
    single = [found for found in maps if found.channels <= MOST_CHANNELS]
    return sorted(
        single,
        key=lambda found: (
            found.size != view.space,
            not (found.truth and found.channels == 1),
            -math.prod(found.size),
        ),
    )


def _why(chosen: MapOutput, single: list[MapOutput], view: View) -> str:
    """Why an output is the map."""
    if len(single) == 1:
        return "the only output that is a map"
    others = ", ".join(f"'{found.name}'" for found in single if found is not chosen)
    alike = sum(found.size == chosen.size for found in single)
    if chosen.truth and alike > 1:
        return (
            "the output of truth values, whose threshold the model's author chose; "
            f"{others} are maps as well: --saliency output:NAME takes one"
        )
    what = "of the image's own size" if chosen.size == view.space else f"of {chosen.size}, the finest"
    first = "the first output" if alike > 1 else "the only output"
    return f"{first} that is a map {what}; {others} are maps as well: --saliency output:NAME takes one"


def _output(
    model: Model,
    image: NDArray[np.float64],
    name: str,
    target: int | str,
    view: View,
    argmax: bool | None,
    bound: Program | None = None,
) -> SaliencyMap:
    """The map of a tensor: where a class wins, or its values; probabilities are split at one half."""
    if argmax:
        return class_map(model, image, name, target, view)
    made = output_map(model, image, name, target, view, bound=bound)
    if argmax is None and not made.is_logit and is_class_map(model, image, name, view):
        return class_map(model, image, name, target, view)
    return made


def _automatic(
    model: Model, image: NDArray[np.float64], target: int | str, view: View, argmax: bool | None
) -> SaliencyMap:
    bound = _outputs(model, image)
    maps = map_outputs(model, image, view, bound)
    single = _single(maps, view)
    classes = [found for found in maps if found.channels > 1 and found.size == view.space]
    if argmax:
        if not classes:
            raise UsageError("threshold argmax: no output has a channel for each class at the image's pixels")
        return _with_classes(model, image, classes, target, view, argmax)
    if single:
        made = _output(model, image, single[0].name, target, view, argmax, bound)
        return replace(made, why=_why(single[0], single, view))
    reasons: dict[str, str] = {}
    for method in choices.AUTOMATIC:
        if method == choices.GRAD_INPUT.name and classes and (argmax is None or isinstance(target, int)):
            return _with_classes(model, image, classes, target, view, argmax)
        try:
            made = MADE_BY[method](model, image, target, view)
        except Undecided:
            raise
        except UnsupportedModel as error:
            reasons[method] = _one_line(error)
        except UsageError as error:
            if method != choices.OCCLUSION.name:  # whose patches may not fit a small image
                raise
            reasons[method] = _one_line(error)
        else:
            return replace(made, why=_why_not(reasons)) if choices.SALIENCY_METHODS[method].last else made
    several = ", ".join(f"'{found.name}' has {found.channels} channels" for found in maps)
    several = f" ({several})" if maps else ""
    found = "; ".join(f"{method}: {reason}" for method, reason in reasons.items())
    example = f", for example --saliency output:{maps[0].name} --target 1 --threshold 0" if maps else ""
    raise SaliencyUnavailable(
        "choose the map with --saliency output:NAME, a tensor of the model (onnx-si inspect --tensors lists "
        f"them), and --target K where it has channels{example}: no output is a map of one channel{several}, "
        f"and no saliency map was found ({found})"
    )


def _why_not(reasons: Mapping[str, str]) -> str:
    """Why it is one of the last choices."""
    return "no output is a map; " + "; ".join(f"no {method} ({reason})" for method, reason in reasons.items())


def _with_classes(
    model: Model,
    image: NDArray[np.float64],
    classes: list[MapOutput],
    target: int | str,
    view: View,
    argmax: bool | None,
) -> SaliencyMap:
    """The map of the first output with a channel for each class, the same as if it were named; without a
    class where the largest channel is that of the class with the most pixels.
    """
    name = classes[0].name
    if isinstance(target, int):
        made = _output(model, image, name, target, view, argmax)
    else:
        made = class_map(model, image, name, target, view)
    others = ", ".join(f"'{found.name}'" for found in classes[1:])
    why = (
        "the only output with a channel for each class"
        if not others
        else (
            f"the first output with a channel for each class; {others} too: --saliency output:NAME takes one"
        )
    )
    return replace(made, why=why)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def methods(model: Model, image: NDArray[np.float64], view: View) -> list[Availability]:
    """Every method with whether it fits the model."""
    outputs = map_outputs(model, image, view, _outputs(model, image))
    maps = _single(outputs, view)
    found = [Availability(f"output:{m.name}", True, _what(m)) for m in maps]
    found += [
        Availability(f"output:{m.name}", True, f"a graph output with {m.channels} classes (threshold argmax)")
        for m in outputs
        if m not in maps and m.size == view.space
    ]
    fitting = (method for method in choices.SALIENCY_METHODS.values() if method.fits)
    found += [_tried(method, model, image, view) for method in fitting]
    if not maps:
        found.append(Availability("output:NAME", True, "any inner tensor that is a map"))
    return found


def _what(found: MapOutput) -> str:
    return "a graph output that is a mask of truth values" if found.truth else "a graph output that is a map"


def _tried(method: choices.Method, model: Model, image: NDArray[np.float64], view: View) -> Availability:
    """Whether a method's map can be made; the reason is that of a success."""
    try:
        if method is choices.CAM:
            classes, channels = find_head(model, image, view).weights.shape
            return Availability(method.name, True, method.fits.format(channels=channels, classes=classes))
        made = MADE_BY[method.name](model, image, "predicted", view)
    except SaliencyUnavailable as error:
        return Availability(method.name, False, str(error) if method is choices.CAM else _one_line(error))
    except (UnsupportedModel, UsageError) as error:
        if method is choices.CAM:
            raise
        return Availability(method.name, False, _one_line(error))
    return Availability(method.name, True, "; ".join([method.fits, *made.notes]))
