"""Time `onnx-si audit` as a whole process: 200 images of the paper's network, with report and pictures.

    python -m benchmarks.speed.audit [--images 200] [--jobs 2] [--side 32]

The target is less than 30 s on two cores that do nothing else. Also told: processor seconds of all processes,
the memory of the largest one, and how far the run is above the sum of its single tests divided by the workers
(the target is 15 % at most). On a busy machine only the processor seconds mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Draw images, run the audit, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--side", type=int, default=32, choices=(8, 16, 32, 64))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "images", arguments.images, arguments.side)
        started = time.perf_counter()
        run(folder, arguments.side, arguments.jobs)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = (folder / "out" / "timings.jsonl").read_text().splitlines()
        tests = sum(json.loads(line)["seconds"] for line in lines)
        size = sum(file.stat().st_size for file in (folder / "out").rglob("*") if file.is_file())
    assert len(lines) == arguments.images
    ideal = tests / max(1, arguments.jobs)
    print(f"{arguments.images} images of {arguments.side} x {arguments.side}, {arguments.jobs} workers")
    print(f"seconds               {seconds:.1f}")
    print(f"processor seconds     {used.ru_utime + used.ru_stime:.1f}")
    print(f"tests / workers       {ideal:.1f} s; the run took {seconds / ideal - 1:.0%} more")
    print(f"largest process       {used.ru_maxrss / 1024:.0f} MiB")
    print(f"folder                {size / 2**20:.2f} MiB")


def draw(folder: Path, count: int, side: int) -> None:
    """Images of noise, every other one with a square."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        image = rng.normal(size=(side, side)).astype(np.float32)
        if number % 2:
            image[side // 4 : side // 2, side // 4 : side // 2] += 2
        np.save(folder / f"{number:06d}.npy", image)


def run(folder: Path, side: int, jobs: int) -> None:
    """The command as a user gives it."""
    command = [sys.executable, "-m", "onnx_si", "audit", str(ROOT / "models" / f"paper_cam_{side}.onnx")]
    command += [
        str(folder / "images"),
        "--output",
        str(folder / "out"),
        "--sigma",
        "1",
        "--threshold",
        "max:0.5",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "--jobs", str(jobs), "--quiet"], env=environment, check=True)


if __name__ == "__main__":
    main()
