"""Which programs the smooth domain follows."""

from onnx_si.choices.guarantees import CERTIFIED
from onnx_si.errors import Finding, UnsupportedOp
from onnx_si.program.instruction import Instruction
from onnx_si.program.program import Program
from onnx_si.rules.rules import Opaque


def require_followed(program: Program) -> None:
    """Raise one `UnsupportedOp` with every node of which no bound can be proven."""
    found = list(program.gaps)
    lost = {step.node for step in program.instructions if not _is_followed(step)}
    found += [finding for finding in program.findings if finding.node in lost]
    if not found and lost:
        found = [_told(step) for step in program.instructions if step.node in lost]
    if found:
        raise UnsupportedOp(tuple(dict.fromkeys(found)), CERTIFIED.name)


def is_followed(program: Program) -> bool:
    """Whether bounds can be proven of all of its nodes."""
    return not program.gaps and all(map(_is_followed, program.instructions))


def _is_followed(step: Instruction) -> bool:
    return not isinstance(step.rule, Opaque) or step.rule.parts is not None


def _told(step: Instruction) -> Finding:
    return Finding(
        node=step.node,
        op=step.op,
        opset=0,
        reason=f"{step.op} is known by its values only",
        advice="choose a map in front of it",
    )
