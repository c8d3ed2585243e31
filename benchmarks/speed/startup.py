"""How long the command line takes to start: processor seconds of whole processes, the least of several.

Processor time, because it is the same beside other programs. As installed programs do, the processes read
compiled modules: the first one of each case writes them, wherever PYTHONDONTWRITEBYTECODE is set (without
them a p-value takes half a second longer). Run `python -m benchmarks.speed.startup`.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMES = 5
MODELS = ("paper_cam_32", "autoencoder_32", "unet_32")
CASES: dict[str, tuple[float, list[str]]] = {
    "--version": (0.3, ["--version"]),
    "--help": (0.3, ["--help"]),
    "a usage error": (0.3, ["m.onnx", "a.npy", "--treshold", "1"]),
    **{
        f"a p-value, {name}": (1.0, [f"models/{name}.onnx", f"models/{name}_image.npy", "--quiet"])
        for name in MODELS
    },
}


def seconds(arguments: list[str], compiled: str) -> float:
    """Of one process, whose compiled modules are in a folder."""
    others = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "onnx_si", *arguments]
    environment = {**others, "PYTHONPYCACHEPREFIX": compiled}
    subprocess.run(command, capture_output=True, check=False, cwd=ROOT, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    print(f"{'':28}{'seconds':>8}{'target':>8}")
    with tempfile.TemporaryDirectory() as compiled:
        for name, (target, arguments) in CASES.items():
            least = min(seconds(arguments, compiled) for _ in range(1 + TIMES))
            print(f"{name:28}{least:8.2f}{target:8.2f}")


if __name__ == "__main__":
    main()
