"""What a proof, chains and thinning reach on networks of real size; writes results/real.md.

    python -m benchmarks.reproduction.large_nets FOLDER        (needs torch)
    python -m benchmarks.real FOLDER [--only NAME] [--resume JOURNAL]

Noise N(0, 1) and a square of side / 4 that is half a standard deviation brighter, map and threshold as named.
The exact engine gets 300 s of processor time on one core, and its proven bounds are noted on the way
(processor time, because other processes may share the machine). Each test is a process of its own.
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

import onnx_si
from onnx_si.search import Progress, Stop

RESULTS = Path(__file__).resolve().parent / "results" / "real.md"
MARKS = (10.0, 60.0, 300.0)  # seconds of processor time at which the bounds are noted
LATEST = 3600.0  # seconds on the clock after which a process is ended
MODELS = Path(__file__).resolve().parent.parent / "models"
CASES = {  # file: map, threshold
    "paper_cam_32": ("cam", "minmax:0.6"),
    "autoencoder_256": ("output:scores", "max:0.5"),
    "unet_256": ("output:scores", "minmax:0.6"),
    "mobilenet_v2": ("cam", "minmax:0.6"),
    "resnet_18": ("cam", "minmax:0.6"),
    "vgg_16": ("cam", "minmax:0.6"),
    "densenet_121": ("cam", "minmax:0.6"),
}
WAYS: dict[str, dict[str, Any]] = {
    "exact": {"engine": "exact"},
    "randomise 0.2": {"engine": "exact", "randomise": 0.2},
    "chains": {"engine": "monte-carlo", "draws": 199},
    "thin 0.5": {"thin": 0.5},
}
HEAD = """\
# Networks of real size: proof, chains and thinning

Written by `python -m benchmarks.real FOLDER`; drawn weights, batch normalisations calibrated. Seconds are of
processor time on one core. `10 s`, `60 s` and `300 s` are the proven bounds of the exact p-value then (-:
it had ended); `passes` are float64 forward passes of the exact engine's, runs of the model for the others.
Randomising and thinning select on a noisier image: region and p-value are others. Measured
beside other work on two cores, not all by one state of the code.

| network | test | p | 10 s | 60 s | 300 s | passes | seconds | peak GB |
|---|---|---|---|---|---|---|---|---|
"""


def one(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """One test, in this process: what it ended with, and its bounds at the marks."""
    stop, marks = Stop(), dict[str, tuple[float, float]]()
    analysis = onnx_si.prepare(onnx_si.load(path), sigma=1.0, p_value_only=True, **options)
    image = _image(path)
    began = time.process_time()

    def watch(progress: Progress) -> None:
        for mark in MARKS:
            if time.process_time() - began >= mark:
                marks.setdefault(f"{mark:.0f}", progress.bounds)
        if time.process_time() - began >= MARKS[-1]:
            stop.ask()

    result = analysis.test(image, progress=watch, stop=stop)
    return {
        "p": result.p_value,
        "bounds": result.p_value_bounds,
        "complete": result.search["complete"],
        "marks": marks,
        "passes": result.search["forward_passes"],
        "seconds": time.process_time() - began,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def _image(path: str) -> np.ndarray:
    shape = tuple(size if isinstance(size, int) else 1 for size in onnx_si.load(path).inputs[0].shape)
    image = np.random.default_rng(0).normal(size=shape)
    side = shape[-1] // 4
    image[..., side : 2 * side, side : 2 * side] += 0.5
    return image


def row(name: str, way: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    p = f"{found['p']:.3g}" if found["complete"] else "-"
    bounds = (_told(found["marks"].get(f"{mark:.0f}")) for mark in MARKS)
    cells = (
        name,
        way,
        p,
        *bounds,
        f"{found['passes']:.0f}",
        f"{found['seconds']:.1f}",
        f"{found['peak']:.2f}",
    )
    return f"| {' | '.join(cells)} |\n"


def _told(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.3g} to {bounds[1]:.3g}"


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    """One row after the other; those that the journal has are not measured again."""
    done = _journal(arguments.resume)
    for name, (saliency, threshold) in CASES.items():
        if arguments.only not in name:
            continue
        places = (arguments.folder / f"{name}.onnx", MODELS / f"{name}.onnx")
        path = str(next(place for place in places if place.exists()))
        for way, how in WAYS.items():
            if (name, way) not in done:
                asked = {"saliency": saliency, "threshold": threshold, **how}
                done[name, way] = _in_a_process({"path": path, "options": asked})
                with arguments.resume.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([name, way, done[name, way]]) + "\n")
            yield row(name, way, done[name, way])


def _journal(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(name, way): found for name, way, found in map(json.loads, lines)}


def _in_a_process(told: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.real", "--child", json.dumps(told), "."]
    found = subprocess.run(command, capture_output=True, text=True, timeout=LATEST, check=True)
    return dict(json.loads(found.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="networks whose name holds this text")
    parser.add_argument("--resume", type=Path, default=Path(os.devnull), help="rows done, one a line")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(one(**json.loads(arguments.child))))
        return
    with arguments.output.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for line in rows(arguments):
            file.write(line)
            file.flush()
            print(line, end="", flush=True)


if __name__ == "__main__":
    main()
