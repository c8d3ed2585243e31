"""Which images a model is used to, as far as its metadata, its input and its first nodes tell."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from onnx_si.analysis.settings import Settings
from onnx_si.errors import Refusal
from onnx_si.graph import Model
from onnx_si.graph.constants import is_constant, stored
from onnx_si.program.node import attributes_of, domain_of, schema_version
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Context, Input, Variable, find, traits_of
from onnx_si.rules.rules import Affine
from onnx_si.rules.traits import ALL_VALUES

SMALL = 0.1
"""A factor below that turns the values of a file into numbers of order one: they start at 0."""
AWAY = 1.0  # units of what the network sees from which on its images are others
MOST_NODES = 12  # at a model's start
BYTES = 255.0
NEXT_TO_NOTHING = 0.02  # share of the usual range: 5 of 255
BEYOND = 20.0  # times half the usual range
TWICE = "is the image scaled twice, by an option and inside the model? --scale 1 leaves it to the model"
ONCE = "is that --scale one for such a file (1/255 for 8 bits, 1/65535 for 16), or was it scaled before?"
Array = NDArray[np.float64]
Constants = dict[str, NDArray[np.generic] | None]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Where images lie: their middle, how far they spread around it, what says so, and whether both an option
    (or metadata) and the model itself change their range.
    """

    middle: float
    spread: float
    why: str
    twice: bool = False

    @property
    def told(self) -> str:
        """Where: from 0 on, or around what was subtracted."""
        if self.middle == self.spread:
            return f"from 0 to {2 * self.middle:.3g}"
        return f"around {self.middle:.3g} +- {self.spread:.3g}"


def expected(model: Model, settings: Settings) -> Expected | None:
    """What a model's images are like, from options or metadata and the model's first nodes: the image times
    a factor plus an offset is what the network sees; None where nothing tells.
    """
    factor, offset = np.ones(1), np.zeros(1)
    if settings.scale is not None:
        factor = factor * settings.scale
    if settings.mean is not None:
        offset = offset - np.array(settings.mean)
    if settings.std is not None:
        factor, offset = factor / np.array(settings.std), offset / np.array(settings.std)
    why = "scale, mean and std" if (factor != 1).any() or (offset != 0).any() else ""
    if settings.window is not None:
        return Expected(middle=settings.window[0], spread=settings.window[1] / 2, why="the window")
    factor, offset, nodes = _through_first_nodes(model, factor, offset)
    twice = bool(why and nodes)
    if nodes:
        why = " and ".join(filter(None, (why, f"the model's first nodes ({', '.join(nodes)})")))
    if not why:
        whole = model.inputs[0].type == "uint8"
        told = "the model's input of type uint8"
        return Expected(middle=BYTES / 2, spread=BYTES / 2, why=told) if whole else None
    size, shift = float(np.abs(factor).mean()), float(offset.mean())
    if not (np.isfinite([size, shift]).all() and np.all(factor) and np.isfinite(1 / size)):
        return None  # numbers of which nothing is left of an image
    if abs(shift) >= AWAY / 2:
        middle = float((-offset / factor).mean())
        return Expected(middle=middle, spread=1 / size, why=why, twice=twice)
    return Expected(middle=0.5 / size, spread=0.5 / size, why=why, twice=twice) if size <= SMALL else None


def warning_of(found: Expected | None, sigma: float) -> str | None:
    """What to tell where images of mean 0 are drawn for a model that is used to others."""
    if found is None or abs(found.middle) <= max(0.5 * found.spread, sigma):
        return None
    return (
        f"images of mean 0 are drawn, and {found.why} show images around {found.middle:.3g} +- "
        f"{found.spread:.3g}: the model may behave otherwise there; give --base VALUE, or --base FILE... "
        "with images of yours"
    )


def doubt_of(found: Expected | None, image: Array) -> str | None:
    """What to tell of an image that lies nowhere near those that a model is used to.

    All of it within `NEXT_TO_NOTHING` of what spreads there, around one value: the range was changed twice,
    or not at all. Or the whole of it beyond `BEYOND` times the range.
    """
    if found is None:
        return None
    low, high = float(image.min()), float(image.max())
    start, end = found.middle - found.spread, found.middle + found.spread
    nothing = max(abs(low - start), abs(high - start)) < NEXT_TO_NOTHING * 2 * found.spread
    beyond = min(abs(low - found.middle), abs(high - found.middle)) > BEYOND * found.spread
    if not (nothing or (beyond and (low > end or high < start))):
        return None
    return (
        f"the image's values lie in {low:.4g} to {high:.4g}, and {found.why} show that the model takes "
        f"values {found.told}: {TWICE if found.twice else ONCE}"
    )


def _through_first_nodes(model: Model, factor: Array, offset: Array) -> tuple[Array, Array, list[str]]:
    """What constants do to the image on its way in, value by value, and the ops that did it."""
    graph, seen = model.proto.graph, list[str]()
    files = {tensor.name: tensor for tensor in graph.initializer}
    held = {node.output[0]: node for node in graph.node if is_constant(node)}
    tensor = model.inputs[0].name
    for _ in range(MOST_NODES):
        readers = [node for node in graph.node if tensor in node.input]
        if len(readers) != 1:
            break
        (node,) = readers
        if traits_of(node).moves not in ALL_VALUES:
            constants: Constants = {n: numpy_helper.to_array(files[n]) for n in node.input if n in files}
            constants |= {name: stored(held[name]) for name in node.input if name in held}
            rule = _arithmetic(model, node, tensor, constants, len(factor))
            if rule is None:
                break
            factor, offset = rule.slope(factor[None])[0].ravel(), rule.evaluate(offset[None])[0].ravel()
            seen.append(node.op_type)
        tensor = node.output[0]
    return factor, offset, seen


def _arithmetic(
    model: Model, node: onnx.NodeProto, tensor: str, constants: Constants, count: int
) -> Affine | None:
    """The rule of a node for one number of each channel, of which there are so many (1: any); None: it is no
    arithmetic with constants that treats all places of the image alike.
    """
    traits = traits_of(node)
    inputs: list[Input] = [constants.get(name) for name in node.input if name != tensor]
    numbers = [value for value in inputs if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    if traits.axes not in (axis_rules.elementwise, axis_rules.same) or len(numbers) != len(node.input) - 1:
        return None
    if traits.axes is axis_rules.elementwise:
        inputs = [value.ravel() for value in numbers]
    channels = max((count, *(value.size for value in numbers)))
    place = list(node.input).index(tensor)
    inputs.insert(place, Variable((1, channels) if traits.channels_second else (channels,)))
    domain = domain_of(node)
    version = schema_version(node.op_type, domain, model.opsets.get(domain, 1))
    try:
        handler = find(node.op_type, domain, version)
        made = handler.build(tuple(inputs), attributes_of(node), Context(0, 1, version))
    except (Refusal, ValueError):  # not one number for each channel
        return None
    return made if isinstance(made, Affine) else None
