"""The Monte-Carlo engine and thinning on real architectures at their sizes; writes results/large.md.

    python -m benchmarks.reproduction.large_nets FOLDER        (needs torch)
    python -m benchmarks.reproduction.large FOLDER [--only NAME] [--draws 199]

Noise N(0, 1) and a square of side / 4 that is half a standard deviation brighter, map as named, threshold 0.6
between smallest and largest value. Each test is a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import onnx_si
from onnx_si.engines.montecarlo import drawing

RESULTS = Path(__file__).resolve().parent.parent / "results" / "large.md"
HERE = Path(__file__).resolve().parent
CASES = {  # map, seconds that it may take on two cores
    "mobilenet_v2": ("gradcam", 15),
    "resnet_18": ("gradcam", 60),
    "unet_256": ("output:scores", 90),
    "efficientnet_b0": ("gradcam", None),
    "convnext_t": ("gradcam", None),
    "vit_b_16": ("rollout", None),
    "vit_b_16, once more": ("gradcam", None),
    "attention_vit_16": ("rollout", 2),  # beside this file, of images of 16 x 16
}
HEAD = """\
# Real architectures at their sizes

Written by `{command}` on a machine of {cores} cores;
drawn weights. `ready` is the time of one test before its chains, mostly the map and the runtime's session;
`chains s` what the engine took, `cpu s` the processor time of that, of all threads; `besides` the share of
the engine's time that is not spent inside onnxruntime. The load average is beside each row: where it is far
above {cores}, the seconds say little, and half of the processor time is what two cores of one's own would
take; passes, share and memory don't depend on it.

| network (map) | test | p | passes | chains | ready | chains s | cpu s | besides | wanted | peak GB | load |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


class Timed(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Counts the seconds of all calls."""

    spent = 0.0

    def run(self, *given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return super().run(*given, **named)
        finally:
            Timed.spent += time.perf_counter() - started


def watched(spent: list[tuple[float, float]]) -> None:
    """Note the seconds that each run of the engine, and nothing before it, spends in the runtime, and those
    of processor time in all.
    """
    chains = drawing.monte_carlo

    def noting(*given: Any, **named: Any) -> Any:
        before, started = Timed.spent, time.process_time()
        found = chains(*given, **named)
        spent.append((Timed.spent - before, time.process_time() - started))
        return found

    drawing.monte_carlo = noting


def one(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """One test, in this process."""
    onnxruntime.InferenceSession = Timed
    spent: list[tuple[float, float]] = []
    watched(spent)
    model = onnx_si.load(path)
    shape = tuple(size if isinstance(size, int) else 1 for size in model.inputs[0].shape)
    image = np.random.default_rng(0).normal(size=shape)
    side = shape[-1] // 4
    image[..., side : 2 * side, side : 2 * side] += 0.5
    analysis = onnx_si.prepare(model, sigma=1.0, threshold="minmax:0.6", **options)
    started = time.perf_counter()
    result = analysis.test(image)
    whole, engine = time.perf_counter() - started, float(result.search["seconds"])
    return {
        "p": result.p_value,
        "passes": result.search["forward_passes"],
        "chains": result.search.get("draws"),
        "ready": whole - engine,
        "seconds": engine,
        "runtime": sum(inside for inside, _ in spent),
        "cpu": sum(cpu for _, cpu in spent),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    """One row of the table after the other."""
    for name, (saliency, wanted) in CASES.items():
        if arguments.only not in name:
            continue
        file = f"{name.split(',')[0]}.onnx"
        path = str(next(folder / file for folder in (HERE, arguments.folder) if (folder / file).exists()))
        ways = {"chains": {"engine": "monte-carlo", "draws": arguments.draws}, "thin 0.5": {"thin": 0.5}}
        for way, how in ways.items():
            told = json.dumps({"path": path, "options": {"saliency": saliency, **how}})
            command = [sys.executable, "-m", "benchmarks.reproduction.large", "--child", told, "."]
            found = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=True)
            row = json.loads(found.stdout)
            chains = way == "chains"
            besides = 1 - row["runtime"] / row["seconds"] if chains else 0.0
            cells = (
                *(f"{name.split(',')[0]} ({saliency})", way, f"{row['p']:.3g}", row["passes"]),
                *(row["chains"] or "-", f"{row['ready']:.1f}", f"{row['seconds']:.1f}"),
                *(
                    f"{row['cpu']:.1f}" if chains else "-",
                    f"{besides:.1%}" if chains else "-",
                    wanted if wanted and chains else "-",
                ),
                *(f"{row['peak']:.2f}", f"{os.getloadavg()[0]:.0f}"),
            )
            yield f"| {' | '.join(map(str, cells))} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="networks whose name holds this text")
    parser.add_argument("--draws", type=int, default=199)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(one(**json.loads(arguments.child))))
        return
    command = f"python -m benchmarks.reproduction.large FOLDER --draws {arguments.draws}"
    with arguments.output.open("w", encoding="utf-8") as file:
        file.write(HEAD.format(command=command, cores=os.cpu_count()))
        for row in rows(arguments):
            file.write(row)
            file.flush()
            print(row, end="", flush=True)


if __name__ == "__main__":
    main()
