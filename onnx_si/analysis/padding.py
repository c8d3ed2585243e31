"""Images whose sides don't fit a model's strides: told first, or padded as a part of the model."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Finding, InputError, UnsupportedModel, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.graph.doorway import around
from onnx_si.graph.preprocess import Preprocessing, applied
from onnx_si.ground.layout import Layout
from onnx_si.maps.trace import trace
from onnx_si.program.program import bind
from onnx_si.rules.axes import follows

MULTIPLES = (2, 4, 8, 16, 32, 64, 128)
LARGEST_TRIAL = 2**24  # values of an image that is tried out

Shape = tuple[int, ...]


def gaps_at(model: Model, shape: Shape) -> tuple[Finding, ...]:
    """Nodes in front of the outputs that can't be evaluated for images of a shape."""
    with np.errstate(all="ignore"):
        return bind(model, np.zeros(shape), tuple(info.name for info in model.outputs)).gaps


def rounded_up(shape: Shape, layout: Layout, multiple: int) -> Shape:
    """The shape with sides of space that are multiples of a number."""
    return tuple(
        -(-size // multiple) * multiple if axis in layout.spatial_axes else size
        for axis, size in enumerate(shape)
    )


def fitting_multiple(model: Model, shape: Shape, layout: Layout) -> int | None:
    """The smallest number whose multiples fit as sides where these don't; None if no such helps."""
    for multiple in MULTIPLES:
        larger = rounded_up(shape, layout, multiple)
        if larger != shape and np.prod(larger) <= LARGEST_TRIAL and not gaps_at(model, larger):
            return multiple
    return None


def require_fitting(model: Model, shape: Shape, layout: Layout) -> None:
    """Refuse an image whose sides don't fit the model's strides, where others would.

    Raises
    ------
    InputError
        If so; the message comes before whatever else follows from it.
    """
    gaps = gaps_at(model, shape)
    multiple = fitting_multiple(model, shape, layout) if gaps else None
    if multiple is not None:
        size = " x ".join(map(str, layout.spatial_shape(shape)))
        raise InputError(
            f"the image's {size} does not fit: node '{gaps[0].node}' ({gaps[0].op}): {gaps[0].reason}; sides "
            f"must be multiples of {multiple} here: crop the image, or --pad V pads it with the value V"
        )


def padded(
    model: Model, name: str, shape: Shape, layout: Layout, value: float, steps: Preprocessing
) -> Model:
    """The model for images of a shape that does not fit: padded behind in front, and its maps cut back.

    Parameters
    ----------
    model : Model
    name : str
        Of the input.
    shape : tuple of int
        The image's.
    layout : Layout
    value : float
        Of the padding, in the image's units.
    steps : Preprocessing
        That the image goes through before it comes here.

    Raises
    ------
    UsageError
        If the image fits as it is, or no output is a map.
    UnsupportedModel
        If no padding makes it fit.
    """
    if not gaps_at(model, shape):
        return model
    multiple = fitting_multiple(model, shape, layout)
    if multiple is None:
        raise UnsupportedModel(
            f"an image of {shape} does not fit, and no padding makes it fit: leave --pad out"
        )
    whole = rounded_up(shape, layout, multiple)
    names = tuple(info.name for info in model.outputs)
    axes = trace(model, np.zeros(whole), names)
    values = bind(model, np.zeros(whole), names).values
    cut: dict[str, dict[int, int]] = {}
    for output in names:
        for axis, part in enumerate(axes.get(output) or ()):
            followed = follows(part)
            if followed is not None and followed.source in layout.spatial_axes and followed.stride == 1:
                source = followed.source
                if values[output].shape[axis] == whole[source] and whole[source] != shape[source]:
                    cut.setdefault(output, {})[axis] = shape[source]
    if not cut:
        raise UsageError("--pad: no output of the model is a map of the padded image's own size")
    return around(model, name, shape, _filled(shape, whole, layout, value, steps, model, name), cut)


def _filled(
    shape: Shape, whole: Shape, layout: Layout, value: float, steps: Preprocessing, model: Model, name: str
) -> Callable[[Editor, str], str]:
    """Constants joined behind each axis that is too short, as the preprocessing makes them of the value."""
    kind = next(info.type for info in model.inputs if info.name == name)
    dtype: np.dtype[np.generic] = np.dtype(
        {"double": np.float64, "float16": np.float16}.get(kind, np.float32)
    )

    def block(size: Shape) -> NDArray[np.generic]:
        return applied(steps, np.full(size, value), layout).astype(dtype)

    def build(editor: Editor, tensor: str) -> str:
        have = list(shape)
        for axis, wanted in enumerate(whole):
            if wanted != have[axis]:
                size = tuple(wanted - n if a == axis else n for a, n in enumerate(have))
                tensor = editor.add("Concat", [tensor, editor.constant(block(size))], axis=axis)
                have[axis] = wanted
        return tensor

    return build
