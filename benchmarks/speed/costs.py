"""What the search's `Costs` and its domains' `Cost` say, measured: `python -m benchmarks.speed.costs`.

On the paper's smallest network the calls of rules are nearly all of a walk, on a large one the arithmetic is.
Of who proves bounds, the seconds of a cell that a forecast counts with, for networks in which most is calls
of rules, numbers that are made, or multiply-adds. Processor seconds, the least of several runs; one thread.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import onnx_si
from benchmarks.peer.graphs import INPUT, NetBuilder
from benchmarks.speed.stages import ask
from onnx_si.domains.standard import STANDARD, smooth
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally
from onnx_si.engines.proving import Certified
from onnx_si.search.bracketing import batch_of
from onnx_si.search.forecasting import seconds_a_cell
from onnx_si.search.parts import Parts
from onnx_si.search.tuning import Costs, Tuning

MODELS = Path(__file__).resolve().parents[2] / "models"
TIMES, CELLS = 15, 8
SMOOTH = {"rules": (4, 1, 40), "numbers": (96, 2, 4), "products": (32, 32, 4)}
"""Side, channels and layers."""
NARROW = 2.0**-20  # standard errors: a cell of two knots


def least(work: Callable[[], object]) -> float:
    """Processor seconds of the fastest run."""
    found = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found[1:])


def task_of(side: int) -> Task:
    """The example of `models/` of a side."""
    options = {"sigma": 1.0, "saliency": "cam", "threshold": 0.0, "hypothesis": "background"}
    image = np.load(MODELS / f"paper_cam_{side}_image.npy")
    question = ask(onnx_si.load(MODELS / f"paper_cam_{side}.onnx"), image, None, options)
    engine = question.selection.engine
    return Task(program=engine.program, margin=engine.margin, line=question.line, event=question.event)


def resolved(task: Task, width: float, tally: Tally) -> object:
    """A cell beside the statistic."""
    at, half = task.line.statistic, 0.5 * width * task.line.standard_error
    return STANDARD.resolving.resolve(task, (at - half, at + half), 64 << 20, tally)


def proven(side: int, channels: int, layers: int) -> tuple[float, float]:
    """Seconds of a cell of who proves bounds, as foretold and as measured: convolutions, each with a Tanh."""
    net = NetBuilder(np.random.default_rng(0))
    x = net.conv(INPUT, 1, channels)
    for _ in range(layers):
        x = net.add("Tanh", net.conv(x, channels, channels))
    proto = net.model(net.add("ReduceMean", x, axes=[1], keepdims=1), "map", side, [1, 1, side, side])
    image = np.random.default_rng(1).normal(size=(1, 1, side, side))
    options = {"sigma": 1.0, "threshold": "minmax:0.5", "engine": "certified"}
    question = ask(onnx_si.load(proto), image, None, options)
    engine = question.selection.engine
    assert isinstance(engine, Certified)
    domain, program = smooth().prepared(engine.program)
    task = Task(program=program, margin=engine.margin, line=question.line, event=question.event)
    at, count = question.line.statistic, batch_of(domain, program, Tuning())
    cells = [(at - 1e-3, at + 1e-3)] * count
    measured = least(lambda: domain.bracket(task, cells, Tally())) / count
    return seconds_a_cell(domain, program, Costs(), Tuning()), measured


def main() -> None:
    small, large = task_of(8), task_of(64)
    tally, places = Tally(), [small.line.statistic] * CELLS
    cells = [(at - 1e-6, at + 1e-6) for at in places]
    narrow = least(lambda: resolved(small, NARROW, Tally()))
    claimed = least(lambda: STANDARD.claiming.claim(small, cells, 64 << 20, Tally()))  # type: ignore[union-attr]
    pointed = least(lambda: STANDARD.pointing.margins(small, places, Tally()))
    made = least(lambda: Parts(task=small, domains=STANDARD, tuning=Tuning()).around([0, 0], 2))
    wide = least(lambda: resolved(large, 0.5, tally)) * TIMES / tally.operations  # seconds a multiply-add
    per_call = narrow / len(small.program.instructions) / wide
    costs = Costs()
    print(f"{'':24}{'in use':>12}{'measured':>12}")
    for name, used, measured in (
        ("per_call", costs.per_call, per_call),
        ("making", costs.making, made / narrow),
        ("calls of a claim", STANDARD.claiming.cost.calls, claimed / narrow),  # type: ignore[union-attr]
        ("calls of points", STANDARD.pointing.cost.calls, pointed / narrow),
        *((f"proven, {kind} (s)", *proven(*sizes)) for kind, sizes in SMOOTH.items()),
    ):
        print(f"{name:24}{used:12.6g}{measured:12.3g}")


if __name__ == "__main__":
    main()
