"""The one walker: carries a value of any domain through a bound program, in pieces that fit into memory."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from onnx_si.errors import Undefined
from onnx_si.program.gate import as_refusal
from onnx_si.program.instruction import needed
from onnx_si.program.program import Program
from onnx_si.program.ranges import Limits
from onnx_si.rules.rules import Rule


class Value(Protocol):
    """What a domain knows of one tensor on a part of the line."""

    @property
    def points(self) -> int:
        """How many forward evaluations it stands for."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        ...

    def split(self, at: float) -> tuple[Self, Self]:
        """The same on both sides of a point; the second holds nothing of what the first is a part of."""
        ...


V = TypeVar("V", bound=Value)


class NeedsSplit(Exception):
    """Raised by a domain when the next value would not fit: split the line at `at` and carry on with both
    parts.
    """

    def __init__(self, at: float):
        self.at = at
        super().__init__(f"split at {at}")


def _nothing() -> None:
    pass


@dataclass
class Tally:
    """Counted work, and the memory of the values alive at the same time; the one thing here that changes in
    place. `pulse` is called after every instruction, and may raise to end the walk.
    """

    operations: int = 0
    peak_bytes: int = 0
    pulse: Callable[[], None] = _nothing

    def add(self, operations: int, alive_bytes: int) -> None:
        """Count one instruction, with the memory of the values that are alive after it."""
        self.operations += operations
        self.peak_bytes = max(self.peak_bytes, alive_bytes)
        self.pulse()


def walk(
    program: Program,
    apply: Callable[[Rule, list[V]], V],
    start: V,
    tally: Tally,
    watch: Callable[[V, Limits], None] | None = None,
    enter: Callable[[int, int], None] | None = None,
    known: Mapping[str, V] | None = None,
) -> Iterator[dict[str, V]]:
    """Carry `start` (the image on a part of the line) through the program.

    Parameters
    ----------
    program : Program
    apply : callable
        (rule, inputs) -> value; may raise NeedsSplit.
    start : Value
    tally : Tally
        Grows by the multiply-adds done; its peak rises to the memory of one part's values.
    watch : callable, optional
        (value, limits), called for every tensor of integers that may leave its type's range.
    enter : callable, optional
        Called with the number of an instruction before its rule is applied, and with the memory of the parts
        of the line that wait.
    known : mapping of str to Value, optional
        Tensors whose values on all of that part of the line are known already; what only they are made of is
        not computed.

    Yields
    ------
    dict
        The program's outputs on consecutive parts of the line, depth first.

    Raises
    ------
    Undefined
        If an op is not defined somewhere on the line; it names the node.
    """

    given = dict(known or {})
    wanted = _wanted(program, given)

    def run(position: int, live: dict[str, V], waiting: int) -> Iterator[dict[str, V]]:
        alive = sum(value.nbytes for value in live.values())
        for index in range(position, len(program.instructions)):
            step = program.instructions[index]
            if wanted is not None and step.output not in wanted:
                continue
            if enter is not None:
                enter(index, waiting)
            try:
                value = apply(step.rule, [live[name] for name in step.inputs])
                if watch is not None and step.limits is not None:
                    watch(value, step.limits)
            except NeedsSplit as split:
                later = dict[str, V]()
                for name, tensor in live.items():
                    live[name], later[name] = tensor.split(split.at)
                held = sum(value.nbytes for value in later.values())
                yield from run(index, live, waiting + held)
                yield from run(index, later, waiting)
                return
            except Exception as error:
                refusal = as_refusal(error)
                raise Undefined(
                    f"node '{step.node}' ({step.op}): {refusal.reason}", refusal.advice
                ) from error
            live[step.output] = value
            alive += value.nbytes
            tally.add(step.cost * value.points, alive)
            for name in step.dead:
                if name in live:
                    alive -= live.pop(name).nbytes
        yield {name: live[name] for name in program.outputs if name in live}

    yield from run(0, {program.input: start} | given, 0)


def _wanted(program: Program, known: Mapping[str, object]) -> set[str] | None:
    """What has to be computed beside what is known; None where that is all of it."""
    if not known:
        return None
    sources = {step.output: step.inputs for step in program.instructions if step.output not in known}
    return needed(sources, program.outputs) - known.keys()
