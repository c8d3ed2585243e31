"""Random small networks, lines through their inputs, and bundles of lines, for the property tests."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from support.nets import Net

from onnx_si.graph import Model

LAYERS = (
    "conv",
    "strided conv",
    "transposed conv",
    "batch norm",
    "relu",
    "leaky relu",
    "abs",
    "clip",
    "hard sigmoid",
    "max pool",
    "average pool",
    "resize",
    "pad",
    "add",
    "max",
    "min",
    "concat",
    "mean of space",
    "largest in space",
)
JUMPS = ("gate", "where", "argmax", "thresholded relu", "floor", "quantise")


@dataclass(frozen=True)
class Sketch:
    """A network and a line start + direction * z through its input."""

    model: Model
    output: str
    start: np.ndarray
    direction: np.ndarray
    layers: tuple[str, ...]

    def __repr__(self):
        return f"Sketch({', '.join(self.layers)})"


class Builder:
    """Appends layers to a network of shape (1, channels, height, width), with weights of one kind.

    Coarse weights are small multiples of a half: lines then meet in the same places again and again.
    """

    def __init__(self, seed, size, coarse):
        self.net, self.coarse = Net(seed, (1, 2, size, size)), coarse
        self.made = [("x", (2, size, size))]
        self.whole = False  # whether values are multiples of a level, on which rounding decides
        self.twins = (
            False  # whether two channels can hold the same function, so that rounding decides who leads
        )

    def values(self, *shape):
        drawn = self.net.rng.normal(size=shape)
        return np.round(drawn) / 2 if self.coarse else drawn / np.sqrt(max(1, np.prod(shape[1:])))

    def const(self, *shape):
        return self.net.const(self.values(*shape))

    def same_shape(self):
        """An earlier tensor of the last one's shape."""
        shape = self.made[-1][1]
        fitting = [name for name, other in self.made if other == shape]
        return fitting[self.net.rng.integers(len(fitting))]

    def append(self, layer):
        """Append a layer if it fits; unknown sizes are none: everything is worked out here."""
        net, (x, (c, h, w)) = self.net, self.made[-1]
        shape = (c, h, w)
        small = h < 4 or w < 4
        match layer:
            case "conv":
                y = net.add("Conv", x, self.const(3, c, 3, 3), self.const(3), pads=[1, 1, 1, 1])
                shape = (3, h, w)
            case "strided conv" if not small:
                y = net.add("Conv", x, self.const(2, c, 2, 2), self.const(2), strides=[2, 2])
                shape = (2, (h - 2) // 2 + 1, (w - 2) // 2 + 1)
            case "transposed conv" if h < 6:
                y = net.add("ConvTranspose", x, self.const(c, 2, 2, 2), self.const(2), strides=[2, 2])
                shape = (2, 2 * h, 2 * w)
            case "batch norm":
                y = net.add(
                    "BatchNormalization", x, *(self.const(c) for _ in range(3)), net.const(np.full(c, 0.25))
                )
            case "relu" | "abs":
                y = net.add(layer.capitalize(), x)
            case "leaky relu":
                y = net.add("LeakyRelu", x, alpha=0.25)
            case "clip":
                y = net.add("Clip", x, net.const(-0.5), net.const(1.5))
            case "hard sigmoid":
                y = net.add("HardSigmoid", x, alpha=0.25)
            case "max pool" if not small:
                y = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 0])
                shape = (c, (h + 1 - 3) // 2 + 1, (w + 1 - 3) // 2 + 1)
            case "average pool" if not small:
                y = net.add("AveragePool", x, kernel_shape=[2, 2], pads=[1, 0, 0, 0])
                shape = (c, h, w - 1)
            case "resize" if h < 6:
                scales = net.const(np.array([1, 1, 2, 2], dtype=float))
                y = net.add("Resize", x, "", scales, mode="linear")
                shape = (c, 2 * h, 2 * w)
            case "pad" if h < 8:
                y = net.add("Pad", x, net.ints(0, 0, 1, 0, 0, 0, 0, 1), net.const(0.5))
                shape = (c, h + 1, w + 1)
            case "add" | "max" | "min":
                y = net.add(layer.capitalize(), x, self.same_shape())
            case "concat" if c < 4:
                y = net.add("Concat", x, self.same_shape(), axis=1)
                shape = (2 * c, h, w)
            case "mean of space":
                y = net.add("Add", net.add("ReduceMean", x, axes=[2, 3]), x)
            case "largest in space":
                y = net.add("Sub", net.add("GlobalMaxPool", x), x)
            case "gate":
                truth = net.add("Greater", self.same_shape(), self.const(c, 1, 1))
                y = net.add("Mul", net.add("Cast", truth, to=1), x)
            case "where":
                y = net.add(
                    "Where", net.add("Less", self.same_shape(), self.const(1)), x, self.const(c, 1, 1)
                )
            case "argmax" if not self.twins:
                index = net.add("ArgMax", x, axis=1, keepdims=1)
                y = net.add("Add", net.add("Cast", index, to=1), x)
            case "thresholded relu":
                y = net.add("ThresholdedRelu", x, alpha=0.3)
            case "floor" if not self.whole:
                y = net.add("Sub", x, net.add("Floor", x))
            case "quantise" if not self.whole:
                scale, zero = net.const(0.3), net.const(np.array(7, np.uint8))
                y = net.add("DequantizeLinear", net.add("QuantizeLinear", x, scale, zero), scale, zero)
            case _:
                return False
        self.made.append((y, shape))
        self.whole |= layer in ("floor", "quantise")
        self.twins |= layer in ("concat", "largest in space")
        return True


@st.composite
def sketches(draw):
    """Networks of up to seven layers; one with coarse weights has no jumps.

    Where two lines coincide in exact arithmetic, rounding decides between them at every single point: a jump
    there is anybody's guess, a kink is not.
    """
    coarse = draw(st.booleans(), label="coarse")
    builder = Builder(draw(st.integers(0, 2**16)), draw(st.integers(3, 5)), coarse)
    kinds = st.sampled_from(LAYERS if coarse else LAYERS + JUMPS)
    wanted = draw(st.lists(kinds, min_size=1, max_size=7))
    layers = tuple(layer for layer in wanted if builder.append(layer))
    start, direction = builder.values(*builder.net.shape), builder.values(*builder.net.shape)
    output = builder.made[-1][0]
    if output == "x":
        output = builder.net.add("Relu", "x")
    return Sketch(builder.net.finish(output), output, start, direction, layers)


def bundles():
    """Lines (intercept, slope) with small whole coefficients, so that many meet in one place."""
    whole = st.integers(-4, 4)
    return st.lists(st.tuples(whole, whole), min_size=2, max_size=9)
