"""Bind a graph to an image: shapes fixed, constants evaluated, one rule for every tensor that changes with
the image.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Finding, InputError, UnsupportedOp
from onnx_si.graph import PREFIX, Model, nodes_between
from onnx_si.ground.once import asked
from onnx_si.program.doubles import Doubles
from onnx_si.program.growth import Growth
from onnx_si.program.instruction import Instruction, needed, with_deaths, without_copies
from onnx_si.program.known import KEPT_BYTES
from onnx_si.program.scalars import Scalars, scalars
from onnx_si.program.walked import walked
from onnx_si.program.ways_back import WaysBack, ways_back
from onnx_si.rules.placing import Place, placed


@dataclass(frozen=True, kw_only=True)
class Program:
    """A bound graph: what to compute along the line, and every wanted output's value at the image itself.

    `stepwise` tensors are constant on pieces of the line, `folded` ones do not depend on the image, `kinds`
    tells the class of each node's outputs. `gaps` are the findings of nodes that can't even be evaluated: the
    values behind them are zeros of the right shape, or missing. `evaluation` computes the outputs and every
    tensor that is only shown; `repeatable` tells whether all this holds for any image of the shape; `words`
    are what the numbers of an output of text stand for; `elements` tells the element type of each output.
    `growth` bounds the rounding in the tensors of the whole network, also where this is a part of it.
    """

    input: str
    shape: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]
    findings: tuple[Finding, ...]
    stepwise: frozenset[str]
    folded: frozenset[str]
    gaps: tuple[Finding, ...]
    kinds: Mapping[str, str]
    evaluation: tuple[Instruction, ...]
    repeatable: bool
    words: Mapping[str, tuple[str, ...]]
    elements: Mapping[str, int]
    growth: Growth

    @cached_property
    def cost(self) -> int:
        """Multiply-adds of one forward pass."""
        return sum(instruction.cost for instruction in self.instructions)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every tensor that changes."""
        return {self.input: self.shape} | {step.output: step.shape for step in self.instructions}

    @cached_property
    def held(self) -> tuple[int, ...]:
        """Elements at one point that are alive when an instruction has made its tensor, for each of them."""
        alive, found = math.prod(self.shape), list[int]()
        for step in self.instructions:
            alive += math.prod(step.shape)
            found.append(alive)
            alive -= sum(math.prod(self.shapes[name]) for name in step.dead)
        return tuple(found)

    @cached_property
    def ways_back(self) -> WaysBack:
        """How its tensors are followed back to the image."""
        return ways_back(self.instructions, self.shapes)

    @cached_property
    def scalars(self) -> Scalars:
        """Its lengths, and scalar products over these."""
        return scalars(self.instructions, self.shapes)

    def on(self, place: Place) -> "Program":
        """The same program with every constant of its rules as `place` gives it: in a device's memory, or an
        array of another library. What is made again for a part of a tensor begins from the file's own.
        """
        kept: dict[int, NDArray[Any]] = {}

        def once(array: NDArray[Any]) -> NDArray[Any]:
            if id(array) not in kept:
                kept[id(array)] = place(array)
            return kept[id(array)]

        def moved(steps: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
            return tuple(replace(step, rule=placed(step.rule, once)) for step in steps)

        return replace(self, instructions=moved(self.instructions), evaluation=moved(self.evaluation))

    def require_exact(self) -> None:
        """Raise one `UnsupportedOp` with every node that stands in the way of an exact analysis.

        Nodes that this package appended (a gradient's) are told only where the model's own are all exact.
        """
        own = tuple(found for found in self.findings if not found.node.startswith(f"{PREFIX}/"))
        if self.findings:
            raise UnsupportedOp(own or self.findings)

    def require_values(self) -> None:
        """Raise one `UnsupportedOp` with every node that can't be evaluated."""
        if self.gaps:
            raise UnsupportedOp(self.gaps, "evaluated")


def bind(
    model: Model,
    image: NDArray[Any],
    outputs: tuple[str, ...],
    *,
    shown: tuple[str, ...] = (),
    input_name: str | None = None,
    given: Mapping[str, NDArray[Any]] | None = None,
) -> Program:
    """Bind a model to one image, evaluating it there in float64.

    Parameters
    ----------
    model : Model
    image : array
        In the shape of the model's input, batch axis included.
    outputs : tuple of str
        Tensors wanted along the line; everything they don't need is pruned.
    shown : tuple of str
        Tensors of which only the value at the image is wanted.
    input_name : str, optional
        The input that takes the image; default the only one, "" if every input is given.
    given : mapping of str to array, optional
        Values of the other inputs: constants of the analysis.

    Returns
    -------
    Program
        Its `findings` list the nodes that can't be analysed exactly; `require_exact` raises them.

    Raises
    ------
    InputError
        If an output does not exist or can't be evaluated, or an input has no value.
    """
    given = dict(given or {})
    free = (info.name for info in model.inputs if info.name not in given)
    name = next(free) if input_name is None else input_name
    if given:
        return _bound(model, image, outputs, shown, name, given)
    return asked(
        (model, image),
        ("bind", outputs, shown, name),
        lambda: _bound(model, image, outputs, shown, name, given),
        keep=lambda made: _bytes_of(made.values) <= KEPT_BYTES,
    )


def _bytes_of(values: Mapping[str, NDArray[np.float64]]) -> int:
    """As float64, without making them."""
    count = values.elements if isinstance(values, Doubles) else sum(value.size for value in values.values())
    return count * np.dtype(np.float64).itemsize


def _bound(
    model: Model,
    image: NDArray[Any],
    outputs: tuple[str, ...],
    shown: tuple[str, ...],
    name: str,
    given: Mapping[str, NDArray[Any]],
) -> Program:
    """One walk over the nodes that are needed, and what of it was asked for."""
    missing = [info.name for info in model.inputs if info.name != name and info.name not in given]
    wanted = tuple(dict.fromkeys((*outputs, *shown)))
    nodes = nodes_between(model.proto.graph, wanted)
    read = {tensor for node in nodes for tensor in node.input}
    if read & set(missing):
        raise InputError(
            f"the model's inputs {sorted(read & set(missing))} have no value; one input takes the image"
        )
    binder = walked(model, image, wanted, name, given)
    fixed = {output: binder.constants[output] for output in wanted if output in binder.constants}
    texts = [output for output, value in fixed.items() if value.dtype.kind in "OSU"]
    if texts:
        raise InputError(f"the tensors {', '.join(map(repr, texts))} hold text, not numbers")
    computed = {output: binder.values[output][0] for output in wanted if output in binder.values}
    known = Doubles(fixed, computed)
    lost = [output for output in wanted if output not in known]
    if lost and not binder.findings:
        raise InputError(f"the model has no tensor {', '.join(map(repr, lost))}")
    used = needed(binder.sources, outputs)
    found = {output: finding for output, finding in binder.findings.items() if output in used}
    instructions = _kept(binder.instructions, used, outputs)
    alone = set(wanted) == set(outputs)
    return Program(
        input=name,
        shape=tuple(np.shape(image)),
        instructions=instructions,
        outputs=outputs,
        values=known,
        findings=_once(found.values()),
        stepwise=frozenset(binder.stepwise),
        folded=frozenset(binder.constants),
        gaps=_once(finding for output, finding in found.items() if output in binder.gaps),
        kinds=binder.kinds,
        evaluation=instructions
        if alone
        else _kept(binder.instructions, needed(binder.sources, wanted), wanted),
        repeatable=not binder.particular,
        words={name: words for name, words in binder.words.items() if name in known},
        elements={name: binder.element(name) for name in known},
        growth=Growth(name, tuple(np.shape(image)), instructions),
    )


def _kept(
    instructions: list[Instruction], used: set[str], outputs: tuple[str, ...]
) -> tuple[Instruction, ...]:
    """The instructions that some outputs need."""
    return with_deaths(
        without_copies((step for step in instructions if step.output in used), outputs), outputs
    )


def _once(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding for each node: the first."""
    return tuple({(f.node, f.op): f for f in reversed(tuple(findings))}.values())[::-1]
