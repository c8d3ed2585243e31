"""How long the command line takes to start: processor seconds of whole processes, the least of several.

Processor time, because it is the same beside other programs. Run `python -m benchmarks.speed.startup`.
"""

import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMES = 5
CASES = {
    "--version": (0.3, ["--version"]),
    "--help": (0.3, ["--help"]),
    "a usage error": (0.3, ["m.onnx", "a.npy", "--treshold", "1"]),
    "a p-value at 32 x 32": (
        1.0,
        [str(ROOT / "models/paper_cam_32.onnx"), str(ROOT / "models/paper_cam_32_image.npy"), "--quiet"],
    ),
}


def seconds(arguments: list[str]) -> float:
    """Of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "onnx_si", *arguments]
    subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    print(f"{'':24}{'seconds':>8}{'target':>8}")
    for name, (target, arguments) in CASES.items():
        print(f"{name:24}{min(seconds(arguments) for _ in range(TIMES)):8.2f}{target:8.2f}")


if __name__ == "__main__":
    main()
