"""The part of a program that a box of its output needs: less to compute, fewer breakpoints to meet."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from onnx_si.kernels.sorting import Reshaped, Sliced
from onnx_si.kernels.winograd import MinimalFilter
from onnx_si.ops.crops import crop
from onnx_si.program.instruction import Instruction, cost_of, with_deaths
from onnx_si.program.program import Program
from onnx_si.rules.boxes import Box, Part, hull, shape_of, whole
from onnx_si.rules.rules import Affine, Array, Rule

Rules = dict[tuple[Hashable, ...], Rule]
"""Rules for boxes of tensors: by name and box of what they make, and the boxes of what they read."""


@dataclass(frozen=True)
class Cone:
    """A program for a box of one output, of the box `reads` of the image."""

    program: Program
    reads: Box


def cone(program: Program, output: str, box: Box, known: Rules | None = None) -> Cone:
    """Cut a program down to what a box of one of its outputs needs.

    Parameters
    ----------
    program : Program
        Bound, with every rule exact.
    output : str
    box : Box
        Within the output's shape.
    known : Rules, optional
        Rules for boxes of the program's tensors; those that are made are added.

    Returns
    -------
    Cone
        Its program gives the same numbers up to rounding; nodes without a known part are kept whole.
    """
    kept, reads, name = narrowed(program, output, box, known)
    values = {name: program.values[output][box]}
    small = replace(
        program,
        shape=shape_of(reads),
        instructions=with_deaths(kept, (name,)),
        outputs=(name,),
        values=values,
    )
    return Cone(small, reads)


def narrowed(
    program: Program, output: str, box: Box, known: Rules | None = None
) -> tuple[list[Instruction], Box, str]:
    """The instructions that make a box of any tensor of a program, the box of the image that they read, and
    the name of what they make.
    """
    parts, needed = _parts(program, output, box)
    made = {step.output: part.makes for step, part in parts}
    made[program.input] = needed.get(program.input, whole(program.shape))
    instructions: list[Instruction] = []
    for step, part in parts:
        instructions += _narrowed(step, part, made, {} if known is None else known)
    final = sliced(output, made[output], box, f"{output}@part")
    kept = [*instructions, final] if final else instructions
    return kept, made[program.input], final.output if final else output


def cost_of_box(program: Program, output: str, box: Box) -> int:
    """Multiply-adds of the cone of a box."""
    parts, _ = _parts(program, output, box)
    return sum(cost_of(step.rule, shape_of(part.makes)) for step, part in parts)


def _parts(program: Program, output: str, box: Box) -> tuple[list[tuple[Instruction, Part]], dict[str, Box]]:
    """Every instruction that counts with its part, as executed; what they need of each tensor."""
    needed: dict[str, Box] = {output: box}
    found = []
    for step in reversed(program.instructions):
        if step.output not in needed:
            continue
        part = _part(step, needed[step.output], program)
        found.append((step, part))
        for name, need in zip(step.inputs, part.needs, strict=True):
            needed[name] = hull(needed[name], need) if name in needed else need
    return found[::-1], needed


def _part(step: Instruction, box: Box, program: Program) -> Part:
    if step.recipe is not None and box != whole(step.shape):
        part = crop(step.recipe, step.rule, step.shape, box)
        if part is not None:
            return part
    if step.recipe is None and isinstance(step.rule, Affine) and isinstance(step.rule.linear, Sliced):
        cuts = zip(step.rule.linear.cuts[1:], box, strict=True)
        needs = tuple(slice(cut.start + side.start, cut.start + side.stop) for cut, side in cuts)
        return Part(box, (needs,), lambda: Affine(linear=Reshaped(shape_of(box))))
    return Part(
        whole(step.shape), tuple(whole(program.shapes[name]) for name in step.inputs), lambda: step.rule
    )


def _narrowed(step: Instruction, part: Part, made: Mapping[str, Box], known: Rules) -> list[Instruction]:
    """The instruction for its part, behind slices of the inputs that were made larger for others."""
    result, names = [], []
    for position, (name, need) in enumerate(zip(step.inputs, part.needs, strict=True)):
        cut = sliced(name, made[name], need, f"{step.output}@{position}")
        result += [cut] if cut else []
        names.append(cut.output if cut else name)
    asked = step.output, _ends(part.makes), *map(_ends, part.needs)
    if asked not in known:
        known[asked] = _sharing(part.build(), step.rule)
    rule, shape = known[asked], shape_of(part.makes)
    small = replace(step, rule=rule, inputs=tuple(names), shape=shape, cost=cost_of(rule, shape), recipe=None)
    return [*result, small]


def _ends(box: Box) -> tuple[tuple[int, int], ...]:
    return tuple((side.start, side.stop) for side in box)


def _sharing(rule: Rule, whole_rule: Rule) -> Rule:
    """The rule with the whole tensor's weights in place of equal ones, and what is made of these."""
    if not isinstance(rule, Affine) or not isinstance(whole_rule, Affine) or not rule.weights:
        return rule
    if len(rule.weights) != len(whole_rule.weights):
        return rule
    if not all(map(_equal, rule.weights, whole_rule.weights)):
        return rule
    fast, other = rule.fast, whole_rule.fast
    if isinstance(fast, MinimalFilter) and isinstance(other, MinimalFilter):
        fast = fast.like(other)
    return replace(rule, weights=whole_rule.weights, fast=fast)


def _equal(a: Array, b: Array) -> bool:
    return a is b or np.array_equal(a, b)


def sliced(name: str, has: Box, wants: Box, output: str) -> Instruction | None:
    """A cut from the box that there is to the one that is wanted; None where they are the same."""
    if has == wants:
        return None
    inside = (slice(w.start - h.start, w.stop - h.start) for h, w in zip(has, wants, strict=True))
    shape = shape_of(wants)
    rule = Affine(linear=Sliced((slice(None), *inside)))
    return Instruction(
        output=output, rule=rule, inputs=(name,), shape=shape, node=output, op="cut", cost=math.prod(shape)
    )
