"""One question as a folder, a worker process that answers it, and what two answers must have in common."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.peer import harness
from benchmarks.peer.graphs import Case, for_si4onnx

HERE = Path(__file__).resolve().parents[1]
OURS, PEER = "benchmarks.peer.ours_worker", "peer"
WORKERS = {"ours": OURS, "peer": PEER}
PEER_REQUIREMENTS = ["si4onnx==0.1.13", "numpy<2"]
PEER_TORCH = "torch==2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# si4onnx forms the test direction in float32 (relative error 6e-8) and does not widen its bounds for that.
# A gap between two pairs of bounds up to the first size is put down to it, and still counted in the summary
# (largest seen: 9e-9). The second is allowed between two statistics or standard errors.
ROUNDING = 1e-7
STATISTIC_ROUNDING = 1e-6

Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """How a case's question is put, and how it is timed; the fields' meaning is in README and harness.py."""

    precision: float
    alternative: str = "two-sided"
    memoization: bool = True
    verify_points: int = 0
    repeats: int = 7
    repeat_seconds: float = 2.0
    time_limit: float | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that every comparison with the peer has."""
    add = parser.add_argument
    add("--peer-python", type=Path, help="Python with si4onnx; without it one is set up under --workdir")
    add("--our-python", type=Path, default=Path(sys.executable), help="Python for onnx_si (this one)")
    add("--seed", type=int, default=0)
    add("--precision", type=float, default=1e-3, help="wanted width of the p-value's bounds")
    add("--repeat-seconds", type=float, default=2.0, help="repeat a test until this is spent")
    add(
        "--core",
        type=harness.cores,
        default=last_core(),
        help="CPU core to pin all to (default: the last allowed), or several: 0,1",
    )
    add("--workdir", type=Path, default=HERE / "work", help="for the jobs and the peer's environment")


def last_core() -> tuple[int, ...]:
    return (max(os.sched_getaffinity(0)),) if hasattr(os, "sched_getaffinity") else ()


def peer_python(arguments: argparse.Namespace) -> Path:
    """The Python with si4onnx: the one that was given, or a virtual environment, made on the first call."""
    if arguments.peer_python:
        return arguments.peer_python
    folder = arguments.workdir / "peer"
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        print(f"setting up the peer's environment in {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        if subprocess.run([*install, "--index-url", TORCH_CPU_INDEX, PEER_TORCH], check=False).returncode:
            print("no CPU-only wheel to be had; taking torch from the default index", file=sys.stderr)
            subprocess.run([*install, PEER_TORCH], check=True)
        subprocess.run([*install, PEER_TORCH, *PEER_REQUIREMENTS], check=True)
        ready.touch()
    return python


def write_job(case: Case, folder: Path, asked: Asked) -> Path:
    """One folder with everything a worker needs: the networks, the data, the question."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(case.net.model, folder / "model.onnx")
    onnx.save(case.net.saliency_model, folder / "saliency.onnx")
    onnx.save(for_si4onnx(case.net.saliency_model), folder / "peer.onnx")
    arrays = {"image": case.image}
    if case.reference is not None:
        arrays["reference"] = case.reference
    np.savez(folder / "data.npz", **arrays)
    spec = {
        "name": case.name,
        "saliency": case.net.saliency,
        "target": case.net.target,
        "threshold": case.threshold,
        "hypothesis": case.hypothesis,
        "sigma": 1.0,
        **asdict(asked),
    }
    (folder / "job.json").write_text(json.dumps(spec, indent=1) + "\n")
    return folder


def answer(
    worker: str, python: Path, job: Path, core: tuple[int, ...], timeout: float | None, **changes: Any
) -> Answer:
    """Run a worker on a job in a fresh process; what goes wrong is an answer with the key `error`.

    Parameters
    ----------
    worker : a module of ours, run with the repository on PYTHONPATH, or PEER
    timeout : seconds after which the process is ended
    **changes : keys of the question with other values than in the job's folder
    """
    peer = str(Path(__file__).with_name("peer_worker.py"))
    command = [str(python), *([peer] if worker == PEER else ["-m", worker]), str(job)]
    if core:
        command += ["--core", ",".join(map(str, core))]
    for key, value in changes.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if worker != PEER:
        environment["PYTHONPATH"] = str(HERE.parent)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {timeout:g} s"}
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        return {"error": f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"}


def gap(first: Answer, second: Answer) -> float:
    """How far apart two pairs of bounds of one p-value are; 0 where they meet, as they must."""
    (low, high), (other_low, other_high) = first["p_value_bounds"], second["p_value_bounds"]
    return max(0.0, other_low - high, low - other_high)


def different_statistics(peer: Answer, ours: Answer) -> list[str]:
    """What the two programs do not agree on although nothing was searched yet."""
    return [
        f"{key}: peer {peer[key]!r}, ours {ours[key]!r}"
        for key in ("statistic", "standard_error")
        if abs(peer[key] - ours[key]) > STATISTIC_ROUNDING * max(1.0, abs(peer[key]))
    ]


def machine(core: tuple[int, ...]) -> dict[str, Any]:
    """Where the numbers were measured."""
    return {"platform": platform.platform(), "cpu": _cpu_name(), "cores": list(core)}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
