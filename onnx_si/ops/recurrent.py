"""RNN, GRU and LSTM: evaluated in float64, never analysed exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import malformed, shape_of
from onnx_si.ops.elementwise import computed
from onnx_si.rules.registry import Context, Input, handles, optional
from onnx_si.rules.rules import Array, Disputed, Rule

Function = Callable[[Array], Array]
ACTIVATIONS: dict[str, Function] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": lambda x: np.logaddexp(x, 0.0),
}
"""Activations without parameters."""
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""For each direction of a layer whether it runs from the end."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Parameters of one direction, each with a batch axis: (gates, inputs), (gates, hidden), biases."""

    w: Array
    r: Array
    wb: Array
    rb: Array
    peepholes: list[Array]

    def inputs(self, x: Array) -> Array:
        """What the inputs of all steps add to the gates."""
        return np.asarray(np.matmul(x, self.w[:, None].swapaxes(-1, -2)) + self.wb[:, None, None])

    def recurrence(self, h: Array, part: slice = slice(None)) -> Array:
        """What a hidden state adds to the gates."""
        return np.asarray(np.matmul(h, self.r[:, part].swapaxes(-1, -2)) + self.rb[:, None, part])


Step = Callable[[Array, list[Array], Weights, list[Function]], list[Array]]
"""(what the inputs add, states, weights, activations) -> new states; the hidden one comes first."""


def _rnn_step(x: Array, states: list[Array], weights: Weights, f: list[Function]) -> list[Array]:
    return [f[0](x + weights.recurrence(states[0]))]


def _gru_step(linear_before_reset: bool) -> Step:
    def step(x: Array, states: list[Array], weights: Weights, f: list[Function]) -> list[Array]:
        (h,) = states
        size = h.shape[-1]
        gates, inner = slice(0, 2 * size), slice(2 * size, None)
        z, r = np.split(f[0](x[..., gates] + weights.recurrence(h, gates)), 2, axis=-1)
        recurrent = (
            r * weights.recurrence(h, inner) if linear_before_reset else weights.recurrence(r * h, inner)
        )
        return [(1 - z) * f[1](x[..., inner] + recurrent) + z * h]

    return step


def _lstm_step(x: Array, states: list[Array], weights: Weights, f: list[Function]) -> list[Array]:
    h, c = states
    of_input, of_output, of_forget = weights.peepholes
    i, o, forget, cell = np.split(x + weights.recurrence(h), 4, axis=-1)
    c_new = f[0](forget + of_forget * c) * c + f[0](i + of_input * c) * f[1](cell)
    return [f[0](o + of_output * c_new) * f[2](c_new), c_new]


def _turned(x: Array, lengths: NDArray[np.intp]) -> Array:
    """The first elements of each row along the steps axis turned round: x (batch, steps, images, ...)."""
    at = np.arange(x.shape[1])[:, None]
    at = np.where(at < lengths, lengths - 1 - at, at)
    return x[:, at, np.arange(x.shape[2])]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What the three ops have in common."""

    step: Step
    usual: tuple[str, ...]
    direction: str
    layout: int
    output: int
    activations: list[Any] | None
    clip: float | None

    def functions(self, directions: int) -> list[list[Function]]:
        """Activations of each direction, of clipped values."""
        given = [name.decode() if isinstance(name, bytes) else name for name in self.activations or []]
        names, width = [name.lower() for name in given or list(self.usual) * directions], len(self.usual)
        if set(names) - set(ACTIVATIONS) or len(names) != width * directions:
            raise Refusal(f"activations {names}", f"known are {', '.join(sorted(ACTIVATIONS))}")
        most = np.inf if self.clip is None else self.clip

        def clipped(function: Function) -> Function:
            return lambda x: function(np.clip(x, -most, most))

        return [[clipped(ACTIVATIONS[n]) for n in names[d * width :][:width]] for d in range(directions)]

    def rule(
        self,
        x: Input,
        w: Input,
        r: Input,
        b: Input,
        lengths: Input,
        initial: tuple[Input, ...],
        p: Input = None,
    ) -> Rule:
        backwards = DIRECTIONS.get(self.direction, ())
        if len(shape_of(x)) != 3 or len(shape_of(w)) != 3 or shape_of(w)[0] != len(backwards):
            raise malformed(f"direction '{self.direction}', W of shape {shape_of(w)} on shape {shape_of(x)}")
        functions, each = self.functions(len(backwards)), optional(lengths, "sequence_lens")
        return computed(partial(self._all_steps, functions=functions, each=each), x, w, r, b, *initial, p)

    def _all_steps(
        self,
        x: Array,
        w: Array,
        r: Array,
        b: Array | None,
        *others: Array | None,
        functions: list[list[Function]],
        each: NDArray[Any] | None,
    ) -> Array:
        """The wanted output; `others` are the initial states and the peepholes, `each` the rows' lengths."""
        *initial, p = others
        backwards, (gates, hidden) = DIRECTIONS[self.direction], r.shape[2:]
        x = x.swapaxes(1, 2) if self.layout else x
        initial = [v.swapaxes(1, 2) if self.layout and v is not None else v for v in initial]
        images = x.shape[2]
        counts = np.full(images, x.shape[1]) if each is None else each.astype(np.intp)
        biases = np.zeros((1, len(backwards), 2 * gates)) if b is None else b
        holes = np.zeros((1, len(backwards), 3 * hidden)) if p is None else p
        found = []
        for d, back in enumerate(backwards):
            peepholes = [hole[:, None] for hole in np.split(holes[:, d], 3, axis=-1)]
            weights = Weights(
                w=w[:, d],
                r=r[:, d],
                wb=biases[:, d, :gates],
                rb=biases[:, d, gates:],
                peepholes=peepholes,
            )
            states = [np.zeros((1, images, hidden)) if v is None else v[:, d] for v in initial]
            y, last = self._run(_turned(x, counts) if back else x, weights, states, counts, functions[d])
            found.append((_turned(y, counts) if back else y, last))
        if self.output == 0:
            every = np.stack([y for y, _ in found], axis=2)
            return every.transpose(0, 3, 1, 2, 4) if self.layout else every
        final = np.stack([last[self.output - 1] for _, last in found], axis=1)
        return final.swapaxes(1, 2) if self.layout else final

    def _run(
        self, x: Array, weights: Weights, states: list[Array], counts: NDArray[np.intp], f: list[Function]
    ) -> tuple[Array, list[Array]]:
        """Hidden states of all steps (zero behind a row's end), and each row's last states."""
        added, y = weights.inputs(x), []
        for t in range(x.shape[1]):
            alive = (t < counts)[:, None]
            new = self.step(added[:, t], states, weights, f)
            states = [np.where(alive, after, before) for after, before in zip(new, states, strict=True)]
            y.append(np.where(alive, states[0], 0.0))
        return np.stack(y, axis=1), states


@handles("RNN", since=(7, 14, 22))
def rnn(
    x: Input,
    w: Input,
    r: Input,
    b: Input = None,
    sequence_lens: Input = None,
    initial_h: Input = None,
    *,
    context: Context,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[Any] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> Rule:
    layer = Layer(
        step=_rnn_step,
        usual=("tanh",),
        direction=direction,
        layout=layout,
        output=context.output,
        activations=activations,
        clip=clip,
    )
    return layer.rule(x, w, r, b, sequence_lens, (initial_h,))


@handles("GRU", since=(7, 14, 22))
def gru(
    x: Input,
    w: Input,
    r: Input,
    b: Input = None,
    sequence_lens: Input = None,
    initial_h: Input = None,
    *,
    context: Context,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[Any] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Rule:
    step = _gru_step(bool(linear_before_reset))
    layer = Layer(
        step=step,
        usual=("sigmoid", "tanh"),
        direction=direction,
        layout=layout,
        output=context.output,
        activations=activations,
        clip=clip,
    )
    return layer.rule(x, w, r, b, sequence_lens, (initial_h,))


@handles("LSTM", since=(7, 14, 22))
def lstm(
    x: Input,
    w: Input,
    r: Input,
    b: Input = None,
    sequence_lens: Input = None,
    initial_h: Input = None,
    initial_c: Input = None,
    p: Input = None,
    *,
    context: Context,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[Any] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> Rule:
    if input_forget:
        raise Refusal("coupled input and forget gates", "export with input_forget 0")
    usual = ("sigmoid", "tanh", "tanh")
    layer = Layer(
        step=_lstm_step,
        usual=usual,
        direction=direction,
        layout=layout,
        output=context.output,
        activations=activations,
        clip=clip,
    )
    rule = layer.rule(x, w, r, b, sequence_lens, (initial_h, initial_c), p)
    if clip is None:
        return rule
    return Disputed(
        evaluate=rule.evaluate, reason="clip: runtimes do not clip in front of the last activation"
    )
