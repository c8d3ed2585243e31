"""A graph that grows node by node, each evaluated in rational arithmetic at the image as soon as it is there.

So a recipe sees values and shapes, and can take constants that are equal to a value, or half way between two.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx
from onnx import helper
from support import nets

from .rational import exact, run_node

OPSET = 18
STEPS = {
    *("ArgMax", "ArgMin", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual", "Hardmax", "Less"),
    *("LessOrEqual", "QuantizeLinear", "Round", "Sign"),
}
"""Ops whose value is constant on pieces of the line."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph; `value` is its exact value at the image, `steps`: constant on pieces."""

    name: str
    value: np.ndarray
    steps: bool = False

    @property
    def shape(self):
        return self.value.shape

    @property
    def channels(self):
        return self.shape[1]

    @property
    def space(self):
        return self.shape[2:]


class Graph(nets.Net):
    """Random choices come from `rng` alone."""

    def __init__(self, rng, image, dtype):
        super().__init__(0, image.shape, opset=OPSET, dtype=dtype)
        self.rng = rng
        self.env = {"x": exact(image)}
        self.steps = {"x": False}
        self.grown = [self.tensor("x")]

    def tensor(self, name):
        return Tensor(name, self.env[name], self.steps.get(name, True))

    # constants

    def fixed(self, value):
        """A constant; floating point is rounded to the model's type first."""
        name = self.const(value)
        self.env[name] = exact(onnx.numpy_helper.to_array(self.initializers[-1]))
        return name

    def ints(self, *values):
        return self.fixed(np.array(values, np.int64))

    def weights(self, *shape):
        """Whole numbers, eighths, or any numbers."""
        kind = self.rng.integers(3)
        if kind == 0:
            return self.fixed(self.rng.integers(-2, 3, size=shape).astype(float))
        if kind == 1:
            return self.fixed(self.rng.integers(-8, 9, size=shape) / 8)
        return self.fixed(self.rng.normal(size=shape))

    def factor(self):
        return float(self.rng.choice([-2, -1, -0.5, 0.25, 0.5, 1, 2, 3, 0.3, 1.7]))

    def holds(self, value):
        """Whether the model's type holds an exact number: a tie with a rounded one is decided by rounding."""
        return Fraction(float(self.dtype.type(float(value)))) == value

    def level_of(self, x):
        """A number in the range of a tensor: one of its values, or near them."""
        values = sorted(set(x.value.ravel()))
        exact_value = values[self.rng.integers(len(values))]
        value = float(exact_value)
        kind = self.rng.integers(4)
        if kind == 0 and self.holds(exact_value):
            return value
        if kind <= 1:
            return 0.0
        if kind == 2:
            return float(np.round(value))
        return float(values[0] + (values[-1] - values[0]) * Fraction(float(self.rng.uniform(0.2, 0.8))))

    def pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def chance(self, share):
        return self.rng.random() < share

    # nodes

    def op(self, op, *inputs, outputs=1, **attributes):
        """Append a node; gives its Tensor, or a tuple of them."""
        names = [one.name if isinstance(one, Tensor) else one for one in inputs]
        made = [self.name(op.lower()) for _ in range(outputs)]
        node = helper.make_node(op, names, made, name=self.name(f"node_{op}"), **attributes)
        self.nodes.append(node)
        run_node(node, self.env)
        steady = op in STEPS or all(self.steps.get(name, True) for name in names if name)
        self.steps.update(dict.fromkeys(made, steady))
        found = tuple(self.tensor(name) for name in made)
        return found[0] if outputs == 1 else found

    @property
    def element(self):
        return helper.np_dtype_to_tensor_dtype(self.dtype)

    def cast(self, x):
        """To the model's floating-point type."""
        return self.op("Cast", x, to=self.element)

    def conv(self, x, outside=None, kernel=None):
        kernel = kernel or self.pick(1, 3)
        outside = outside or self.pick(1, 2)
        weight = self.weights(outside, x.channels, kernel, kernel)
        bias = [self.weights(outside)] if self.chance(0.5) else []
        return self.op("Conv", x, weight, *bias, pads=[kernel // 2] * 4)

    def partner(self, x):
        """Another tensor of the shape of x: an earlier one, or a convolution of it."""
        fitting = [one for one in self.grown if one.shape == x.shape and one.name != x.name]
        if fitting and self.chance(0.6):
            return fitting[self.rng.integers(len(fitting))]
        return self.conv(x, x.channels)

    def shape_to(self, x, *shape):
        return self.op("Reshape", x, self.ints(*shape))

    def to_bytes(self, x):
        """Rounded into unsigned bytes, as integers are made of a picture."""
        return self.op("QuantizeLinear", x, self.fixed(1.0), self.fixed(np.array(0, np.uint8)))

    def subgraph(self, nodes, inputs, outputs, name):
        """A body; inputs and outputs are (name, element type) or (name, element type, shape)."""
        infos = [
            [
                helper.make_tensor_value_info(n, kind, list(shape) if shape is not None else None)
                for n, kind, shape in side
            ]
            for side in (inputs, outputs)
        ]
        return helper.make_graph(nodes, name, *infos)
