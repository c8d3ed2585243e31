"""Every tensor's axes, followed from the image through the graph."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnx_si.graph import Model, TensorInfo, nodes_between
from onnx_si.graph.constants import inferred_shapes, is_constant, stored
from onnx_si.ground.layout import Layout, layout_of
from onnx_si.ground.once import asked
from onnx_si.program.sizes import sizes
from onnx_si.rules import axis_rules
from onnx_si.rules.axes import Axes, Part, size_of
from onnx_si.rules.axis_rules import Place
from onnx_si.rules.registry import traits_of

CARRIED = frozenset(
    {axis_rules.elementwise, axis_rules.by_reshape, axis_rules.padded, axis_rules.permuted, axis_rules.sliced}
)
"""What an exporter puts between an image and the first layer."""
IN_PLACE = frozenset(
    {axis_rules.concatenated, axis_rules.elementwise, axis_rules.padded, axis_rules.resized, axis_rules.same}
    | {axis_rules.sliced}
)
"""Ops whose output has its axes where its inputs have them."""
PRIMES = (2003, 2011, 2017, 2027, 2029)  # sizes of free axes that no product is taken for
LARGEST = 2**60  # of a shape that NumPy makes an array of, in no memory

Shape = tuple[int | str | None, ...]


def trace(model: Model, image: NDArray[Any], outputs: Iterable[str]) -> Mapping[str, Axes]:
    """Axes of every tensor in front of some outputs for which the nodes tell them.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    outputs : iterable of str
    """
    wanted = tuple(outputs)
    return asked((model, image), ("trace", wanted), lambda: _traced(model, image, wanted))


def _traced(model: Model, image: NDArray[Any], wanted: tuple[str, ...]) -> Mapping[str, Axes]:
    known = sizes(model, image, wanted)
    found: dict[str, Axes] = {known.image: _whole(np.shape(image))}
    for node in nodes_between(model.proto.graph, wanted):
        inputs = tuple(found.get(name) for name in node.input)
        for position, output in enumerate(node.output):
            if output not in known.shapes:
                continue
            axes = axes_of(
                Place(
                    node=node,
                    inputs=inputs,
                    constants=known.constants,
                    shape=known.shapes[output],
                    position=position,
                )
            )
            if axes is not None:
                found[output] = axes
    return found


def axes_of(place: Place) -> Axes | None:
    """Axes of a node's output; None where they can't be told."""
    node = place.node
    rule = traits_of(node).axes
    if rule is None or any(
        axes is None and name and name not in place.constants
        for name, axes in zip(node.input, place.inputs, strict=True)
    ):
        return None
    try:
        found = rule(place)
    except (LookupError, ValueError, ZeroDivisionError):
        return None
    if found is None or len(found) != len(place.shape):
        return None
    return found


def channel_axes(nodes: Iterable[onnx.NodeProto]) -> dict[str, int]:
    """The axis of the channels of every tensor of which the nodes, in execution order, tell it.

    Convolutions and the like have their channels second (ONNX spec); exporters of frameworks that have them
    last put a Transpose in front and behind.
    """
    found: dict[str, int] = {}
    for node in nodes:
        traits, axis = traits_of(node), None
        if traits.channels_second:
            axis = 1
        elif traits.axes is axis_rules.permuted and node.input[0] in found:
            axis = _moved(node, found[node.input[0]])
        elif traits.axes in IN_PLACE:
            axes = {found[name] for name in node.input if name in found}
            axis = axes.pop() if len(axes) == 1 else None
        if axis is not None:
            found.update((name, axis) for name in node.output if name)
    return found


def _moved(transpose: onnx.NodeProto, axis: int) -> int | None:
    """Where a Transpose puts the channels; None where it turns the image."""
    perm = next((list(a.ints) for a in transpose.attribute if a.name == "perm"), [])
    others = [a for a in perm if a != axis]
    return perm.index(axis) if axis in perm and others == sorted(others) else None


def _whole(shape: Iterable[int]) -> Axes:
    return tuple((Part(source=axis, size=size),) for axis, size in enumerate(shape))


def readings(model: Model, name: str, declared: Shape) -> Iterator[Mapping[int, str]]:
    """How nodes behind an input read its axes: for each such node N, C or S (space) by an axis's position."""
    shape = tuple(
        size if isinstance(size, int) else PRIMES[axis % len(PRIMES)] for axis, size in enumerate(declared)
    )
    found: dict[str, Axes] = {name: _whole(shape)}
    constants = _Stored(model)
    for node in model.proto.graph.node:
        source = node.input[0] if node.input else ""
        traits = traits_of(node)
        if traits.channels_second and len(found.get(source, ())) >= 3:
            roles = _roles(found[source])
            if roles:
                yield roles
        elif traits.axes in CARRIED:
            _carry(node, found, constants)


def _roles(axes: Axes) -> dict[int, str]:
    """What an op with channels second says of the image's axes."""
    names = ("N", "C", *"S" * (len(axes) - 2))
    return {
        axis[0].source: name
        for axis, name in zip(axes, names, strict=True)
        if len(axis) == 1 and axis[0].source >= 0 and axis[0].stride == 1 and not axis[0].minor
    }


def _carry(node: onnx.NodeProto, found: dict[str, Axes], constants: "_Stored") -> None:
    """The axes behind an op whose output's shape is told without values."""
    inputs = tuple(found.get(name) for name in node.input)
    if all(axes is None or math.prod(map(size_of, axes)) > LARGEST for axes in inputs):
        return
    shape = _same_shape(node, inputs)
    known = {name: value for name in node.input if (value := constants.get(name)) is not None}
    if shape is None:
        shape = _inferred(node, inputs, known, constants.opsets)
    if shape is not None:
        axes = axes_of(Place(node=node, inputs=inputs, constants=known, shape=shape, position=0))
        if axes is not None:
            found[node.output[0]] = axes


def _same_shape(node: onnx.NodeProto, inputs: tuple[Axes | None, ...]) -> tuple[int, ...] | None:
    """The shape behind an op that looks at each element of its one input."""
    if len(inputs) != 1 or inputs[0] is None or traits_of(node).axes is not axis_rules.elementwise:
        return None
    return tuple(map(size_of, inputs[0]))


def _inferred(
    node: onnx.NodeProto,
    inputs: tuple[Axes | None, ...],
    known: Mapping[str, NDArray[Any]],
    opsets: Mapping[str, int],
) -> tuple[int, ...] | None:
    """The shape by the op's schema."""
    blank = np.zeros((), np.float32)
    shaped = {
        name: np.broadcast_to(blank, [size_of(axis) for axis in axes])
        for name, axes in zip(node.input, inputs, strict=True)
        if axes is not None and math.prod(map(size_of, axes)) <= LARGEST
    }
    shapes = inferred_shapes(node, {**known, **shaped}, opsets, unknown=shaped)
    return shapes.get(node.output[0])


class _Stored:
    """Constants that are initialisers or Constant nodes, read when they are asked for."""

    def __init__(self, model: Model):
        self.opsets = model.opsets
        self._tensors = {tensor.name: tensor for tensor in model.proto.graph.initializer}
        self._nodes = {n.output[0]: n for n in model.proto.graph.node if is_constant(n)}

    def get(self, name: str) -> NDArray[Any] | None:
        if name in self._tensors:
            return np.asarray(numpy_helper.to_array(self._tensors[name]))
        return stored(self._nodes[name]) if name in self._nodes else None


def input_layout(model: Model, info: TensorInfo, wanted: str | None) -> Layout:
    """Layout of the input that takes the image: told by the nodes first, by its shape second.

    Raises
    ------
    UsageError, InputError
        As `onnx_si.ground.layout.layout_of` does.
    """
    shape = info.shape or ()
    if wanted is not None or not 2 <= len(shape) <= 5:
        return layout_of(shape, wanted)
    read = asked((model,), ("read", info.name, shape), lambda: tuple(readings(model, info.name, shape)))
    return layout_of(shape, None, read)
