"""One tensor's computation along the line, and which computations some outputs need."""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from onnx_si.ops.recipe import Recipe
from onnx_si.program.ranges import Limits
from onnx_si.rules.rules import SAME, Affine, Bilinear, Gated, Rule, Step, Winner


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instruction:
    """Compute one tensor from others by a rule.

    `shape` is the tensor's (no batch axis), `cost` its multiply-adds at one point, `dead` what nobody
    reads afterwards, `recipe` how the rule can be made again for a part of the tensor, `limits` the whole
    numbers that its type holds, where it may leave them.
    """

    output: str
    rule: Rule
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    node: str
    op: str
    cost: int
    dead: tuple[str, ...] = ()
    recipe: Recipe | None = None
    limits: Limits | None = None


def cost_of(rule: Rule, shape: tuple[int, ...]) -> int:
    """Multiply-adds of a rule at one point."""
    terms = rule.terms if isinstance(rule, Affine | Bilinear | Gated) else 1
    return terms * max(1, math.prod(shape))


def needed(sources: Mapping[str, Iterable[str]], outputs: Iterable[str]) -> set[str]:
    """The outputs and every tensor that their values are computed from, by what each is computed from."""
    found, pending = set[str](), list(outputs)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(sources.get(name, ()))
    return found


def without_copies(instructions: Iterable[Instruction], outputs: Iterable[str]) -> list[Instruction]:
    """The instructions without those that only pass a tensor on.

    What reads the copy reads the tensor itself; one that is copied to an output is computed under that name.
    Every decision gets a rule of its own.
    """
    kept, made, means, written = set(outputs), set[str](), dict[str, str](), dict[str, str]()
    result = []
    for step in instructions:
        inputs = tuple(means.get(name, name) for name in step.inputs)
        if step.rule is SAME and step.output not in kept:
            means[step.output] = inputs[0]
        elif step.rule is SAME and inputs[0] in made - kept - written.keys():
            written[inputs[0]] = step.output
        else:
            made.add(step.output)
            rule = _own(step.rule)
            same = inputs == step.inputs and rule is step.rule
            result.append(step if same else dataclasses.replace(step, inputs=inputs, rule=rule))
    if not written:
        return result
    return [
        dataclasses.replace(
            step,
            output=written.get(step.output, step.output),
            inputs=tuple(written.get(name, name) for name in step.inputs),
        )
        for step in result
    ]


def _own(rule: Rule) -> Rule:
    """A decision as an object of its own, where an op makes several by one rule: it tells where it is."""
    return dataclasses.replace(rule) if isinstance(rule, Step | Winner) else rule


def with_deaths(instructions: Iterable[Instruction], outputs: Iterable[str]) -> tuple[Instruction, ...]:
    """Mark after which instruction each tensor is no longer needed."""
    seen, result = set(outputs), []
    for step in reversed(tuple(instructions)):
        dead = tuple(name for name in dict.fromkeys((*step.inputs, step.output)) if name not in seen)
        seen.update(dead)
        result.append(step if dead == step.dead else dataclasses.replace(step, dead=dead))
    return tuple(reversed(result))
