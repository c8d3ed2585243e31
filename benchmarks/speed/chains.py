"""What the chains cost besides the runtime: processor seconds in onnxruntime, and those around it.

    python -m benchmarks.speed.chains [--images 20] [--only NAME] [--p-values FILE]

Each network tests images of noise with a brighter square, on one core and one thread, with 199 chains.
Times are of the process, so that a busy machine changes them little, and the least of three runs of each
test. A pass is one place of the line that the network was asked about; `besides` is the chains' time that
is not inside a call of the runtime, a pass and as a share of the runtime's; what reading the clock costs at
each call is left out of both. With `--p-values FILE` the p-values are written there: they must not depend
on what is made faster.
"""

import argparse
import json
import tempfile
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

import onnx_si
from benchmarks.validity.montecarlo import ROOT, smooth_nets
from onnx_si.engines.montecarlo import drawing
from onnx_si.errors import NothingToTest
from onnx_si.graph import Model

RESULTS = Path(__file__).resolve().parent.parent / "results" / "chains.md"
REPEATS = 3  # of each test, of which the one that took least counts
HEAD = """\
# What chains cost besides the runtime

Written by `python -m benchmarks.speed.chains`; see there what is measured. Medians over {images} images,
processor time on one core, 199 chains.

| network | passes | ms a pass in the runtime | microseconds a pass besides | besides / runtime |
|---|---|---|---|---|
"""


def mobile(seed: int = 0, size: int = 64, width: int = 16, classes: int = 10) -> Model:
    """Inverted residuals, depthwise convolutions, HardSwish, a stem of stride 2: as MobileNetV3."""
    net = smooth_nets.Net(seed, (1, 3, size, size))

    def act(x: str) -> str:
        return str(net.add("HardSwish", x))

    def block(x: str, inside: int, outside: int, stride: int) -> str:
        wide = 4 * inside
        y = act(net.conv(x, inside, wide, kernel=1))
        weight = net.normal(wide, 1, 3, 3, scale=1 / 3)
        y = act(net.add("Conv", y, weight, pads=[1] * 4, group=wide, strides=[stride] * 2))
        y = net.conv(y, wide, outside, kernel=1)
        return str(net.add("Add", x, y)) if stride == 1 and inside == outside else str(y)

    weight = net.normal(width, 3, 3, 3, scale=1 / np.sqrt(27))
    x = act(net.add("Conv", "x", weight, pads=[1] * 4, strides=[2, 2]))
    for inside, outside, stride in ((1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 2, 1)):
        x = block(x, inside * width, outside * width, stride)
    flat = net.add("Flatten", net.add("GlobalAveragePool", act(x)))
    return net.finish(net.add("Gemm", flat, net.normal(classes, 2 * width), net.normal(classes), transB=1))


@dataclass(frozen=True)
class Case:
    """A network and how it is tested."""

    make: Callable[[], onnx.ModelProto]
    options: dict[str, Any]


HERE = ROOT / "benchmarks" / "reproduction"
CASES = {
    "paper CAM 16": Case(lambda: onnx.load(ROOT / "models" / "paper_cam_16.onnx"), {}),
    "ViT 16, rollout": Case(
        lambda: onnx.load(HERE / "attention_vit_16.onnx"), {"saliency": "rollout", "threshold": "minmax:0.6"}
    ),
    "InstanceNorm U-Net 16": Case(lambda: smooth_nets.unet().file, {"threshold": 0.5}),
    "InstanceNorm U-Net 32": Case(lambda: smooth_nets.unet(size=32).file, {"threshold": 0.5}),
    "SiLU squeeze-excite 32": Case(
        lambda: smooth_nets.squeeze_excite(size=32).file, {"threshold": "max:0.5"}
    ),
    "MobileNet-like 64": Case(lambda: mobile().file, {"threshold": "max:0.5"}),
}


class Timed(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Counts the processor seconds of all calls."""

    spent, calls = 0.0, 0

    def run(self, *given: Any, **named: Any) -> Any:
        started = time.process_time()
        try:
            return super().run(*given, **named)
        finally:
            Timed.spent += time.process_time() - started
            Timed.calls += 1


@dataclass(frozen=True)
class Cost:
    """Of one test's chains, in processor seconds."""

    passes: int
    runtime: float
    besides: float


def of_reading() -> float:
    """Seconds that reading the clock takes: of a call's two readings one falls inside, one outside."""
    return min(timeit.repeat(time.process_time, number=10_000)) / 10_000


def watched(costs: list[Cost]) -> None:
    """Note what each run of the engine costs."""
    chains, reading = drawing.monte_carlo, of_reading()

    def noting(*given: Any, **named: Any) -> Any:
        before, calls, started = Timed.spent, Timed.calls, time.process_time()
        found = chains(*given, **named)
        whole, inside = time.process_time() - started, Timed.spent - before
        clock = reading * (Timed.calls - calls)
        costs.append(Cost(found.passes, inside - clock, whole - inside - clock))
        return found

    drawing.monte_carlo = noting


def images(shape: tuple[int, ...], axes: tuple[int, int], count: int) -> list[np.ndarray[Any, Any]]:
    """Noise with a square of a quarter of the side that is brighter by up to two standard deviations."""
    made = []
    for number in range(count):
        rng = np.random.default_rng([7, number])
        image = rng.normal(size=shape)
        side = shape[axes[0]] // 4
        places: list[Any] = [slice(None)] * len(shape)
        for axis in axes:
            start = rng.integers(shape[axis] - side)
            places[axis] = slice(start, start + side)
        image[tuple(places)] += 2.0 * (number % 3) / 2
        made.append(image)
    return made


def measured(path: Path, options: dict[str, Any], count: int, costs: list[Cost]) -> list[float]:
    """The p-values of so many images that have a region; what each cost is noted."""
    model = onnx_si.load(path)
    shape = tuple(size if isinstance(size, int) else 1 for size in model.inputs[0].shape)
    axes = (1, 2) if shape[-1] in (1, 3) else (2, 3)
    analysis = onnx_si.prepare(
        model, sigma=1.0, engine="monte-carlo", draws=199, p_value_only=True, **options
    )
    found = []
    for number, image in enumerate(images(shape, axes, count)):
        try:
            results = [analysis.test(image, seed=number) for _ in range(REPEATS)]
        except NothingToTest:
            continue
        found.append(results[0].p_value)
        runs, costs[-REPEATS:] = costs[-REPEATS:], []
        costs.append(min(runs, key=lambda cost: cost.runtime + cost.besides))
    return found


def row(name: str, costs: list[Cost]) -> str:
    """One line of the table."""
    passes = np.array([cost.passes for cost in costs])
    runtime, besides = (np.array([getattr(cost, part) for cost in costs]) for part in ("runtime", "besides"))
    cells = (
        *(name, f"{np.median(passes):.0f}", f"{1e3 * np.median(runtime / passes):.3f}"),
        *(f"{1e6 * np.median(besides / passes):.1f}", f"{besides.sum() / runtime.sum():.1%}"),
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--only", default="", help="networks whose name holds this text")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--p-values", type=Path, help="a JSON file for the p-values")
    arguments = parser.parse_args()
    onnxruntime.InferenceSession = Timed
    costs: list[Cost] = []
    watched(costs)
    lines, p_values = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, case in CASES.items():
            if arguments.only not in name:
                continue
            path = Path(folder) / "net.onnx"
            onnx.save(case.make(), path)
            costs.clear()
            p_values[name] = measured(path, case.options, arguments.images, costs)
            lines.append(row(name, costs))
            print(lines[-1], flush=True)
    if arguments.p_values is not None:
        arguments.p_values.write_text(json.dumps(p_values), encoding="utf-8")
    text = HEAD.format(images=arguments.images) + "".join(f"{line}\n" for line in lines)
    arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
