"""The paper's experiment on networks trained by its recipe; writes docs/reproduction.md.

    python -m benchmarks.reproduction [--jobs 2] [--trials 1000] [--only NAME] [--authors FOLDER] [--time]

Runs `onnx_si.simulate` for every setting of the table below. An interrupted run goes on where it was, as
long as `--work` is kept; a setting that is finished goes to `--results` at once, and settings that a run
leaves out stay in it as they are. FOLDER may hold the authors' own networks, model_16.h5 and model_32.h5;
they are converted with `converters/keras_to_onnx.py` by `--keras-python` (default: uv run). `--only` takes
the start of a setting's name; with `--only none` the page is written from the results alone. `--time`
measures how long 1000 selective tests at 64 x 64 pixels take, which says something on a quiet machine only.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_si
from benchmarks.reproduction import page
from benchmarks.reproduction.naive_rates import naive_rates
from onnx_si.ground.machine import cores
from onnx_si.inspection.inspector import inspect_model

ROOT = Path(__file__).resolve().parents[2]
SIDES = (8, 16, 32, 64)
SIGNALS = (1.0, 2.0, 3.0, 4.0)
NAIVE = (*(("here", side) for side in SIDES), ("authors", 16), ("authors", 32))
QUICK = ("selective", "naive", "over-conditioning", "bonferroni")
ALL = (*QUICK, "permutation")


@dataclass(frozen=True)
class Setting:
    """One simulation: `table` is the table that it is a part of, `network` is `here` or `authors`.

    `share` of the tests that were asked for is done; less than 1 where one test takes long.
    """

    table: str
    network: str
    side: int
    seed: int
    references: int = 1
    signals: tuple[float, ...] = (0.0,)
    methods: tuple[str, ...] = QUICK
    hypothesis: str = "mean"
    saliency: str = "cam"
    threshold: float | str = 0.0
    components: bool = False
    share: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.table}-{self.network}-{self.side}"

    def options(self) -> dict[str, Any]:
        """Of `onnx_si.simulate`; the paper's p-value is P(|T| >= |t|)."""
        tails = {} if self.hypothesis == "global" else {"alternative": "two-sided-abs"}
        parts = {"components": True} if self.components else {}
        return {
            **tails,
            **parts,
            "hypothesis": self.hypothesis,
            "saliency": self.saliency,
            "threshold": self.threshold,
            "methods": self.methods,
            "sigma": 1.0,
        }


def settings() -> Iterator[Setting]:
    """Everything that the page shows."""
    for side in SIDES[:-1]:
        yield Setting("null-1", "here", side, 1000 + side, methods=ALL)
    yield Setting("null-1", "here", 64, 1064)
    yield Setting("permutation", "here", 64, 1464, methods=("permutation",), share=0.3)
    for side in (16, 32):
        yield Setting(
            *("gradcam", "here", side, 5000 + side),
            signals=(0.0, 2.0),
            saliency="gradcam",
            threshold="max:0.5",
            share=0.5,
        )
    yield Setting("signal-1", "here", 16, 1100, signals=SIGNALS)
    for side in (16, 32):
        yield Setting("null-1", "authors", side, 1200 + side)
    for side in SIDES:
        yield Setting("null-2", "here", side, 2000 + side, references=2)
    yield Setting("signal-1", "authors", 16, 1300, signals=SIGNALS)
    for side in SIDES:
        yield Setting("global", "here", side, 3000 + side, hypothesis="global")
    yield Setting("components", "here", 32, 4032, signals=(0.0, 1.0, 2.0), components=True, share=0.5)
    yield Setting("signal-2", "here", 16, 2100, references=2, signals=SIGNALS)
    for side in (16, 32):
        yield Setting("null-2", "authors", side, 2200 + side, references=2)
    yield Setting("signal-2", "authors", 16, 2300, references=2, signals=SIGNALS)
    yield Setting("global-signal", "here", 16, 3100, hypothesis="global", signals=SIGNALS)
    yield Setting("permutation", "authors", 16, 1416, methods=("permutation",), share=0.3)


class Networks:
    """Where the networks are; the authors' are converted when they are asked for."""

    def __init__(self, authors: Path, work: Path, keras: list[str]):
        self._authors, self._work, self._keras = authors, work, keras

    def path(self, network: str, side: int) -> Path | None:
        """The ONNX file, or None where the authors' network is absent."""
        if network == "here":
            return ROOT / "models" / f"paper_cam_{side}.onnx"
        source, target = self._authors / f"model_{side}.h5", self._work / f"authors_{side}.onnx"
        if not source.is_file():
            return None
        if not target.is_file():
            script = str(ROOT / "converters" / "keras_to_onnx.py")
            subprocess.run([*self._keras, script, str(source), "-o", str(target)], check=True)
        return target


def run(setting: Setting, path: Path, trials: int, jobs: int, work: Path) -> dict[str, Any]:
    """Simulate one setting, or the rest of it."""
    journal = work / f"{setting.name}.jsonl"
    found = onnx_si.simulate(
        onnx_si.load(path),
        setting.signals,
        tested=max(1, round(setting.share * trials)),
        references=setting.references,
        seed=setting.seed,
        jobs=jobs,
        resume=str(journal),
        **setting.options(),
    )
    document = found.to_dict()
    document["model"]["path"] = path.name
    del document["seconds"]  # of the last part of an interrupted run
    return {"date": datetime.date.today().isoformat(), "network": setting.network, **document}


def measured(trials: int, jobs: int) -> dict[str, Any]:
    """How long selective tests at 64 x 64 pixels with one reference take, workers' start included; the
    processor's time where it is this process that works.
    """
    model = onnx_si.load(ROOT / "models" / "paper_cam_64.onnx")
    started = time.process_time()
    found = onnx_si.simulate(model, trials=trials, references=1, threshold=0.0, jobs=jobs)
    used = time.process_time() - started
    return {
        "date": datetime.date.today().isoformat(),
        "trials": trials,
        "jobs": jobs,
        "cores": cores(),
        "seconds": found.seconds,
        "processor_seconds": used if jobs == 1 else None,
    }


def offers(path: Path, method: str) -> bool:
    """Whether this onnx-si has a saliency method for a model."""
    found = inspect_model(onnx_si.load(path)).to_dict()["saliency"]
    return any(one["method"] == method and one["available"] for one in found)


def wanted(only: list[str] | None, name: str) -> bool:
    """Whether `--only` asks for a part of the page."""
    return not only or name.startswith(tuple(only))


def save(path: Path, results: dict[str, Any]) -> None:
    """All results so far."""
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def main() -> int:
    """Simulate what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000, help="tests for each signal")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--time", action="store_true", help="measure the speed, too")
    parser.add_argument("--only", action="append", metavar="NAME", help="settings whose name starts so")
    parser.add_argument("--authors", type=Path, default=ROOT.parent / "shared" / "paper", metavar="FOLDER")
    parser.add_argument("--keras-python", metavar="PATH", help="a Python that has TensorFlow and tf2onnx")
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks" / "work" / "reproduction")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "reproduction.json")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "reproduction.md")
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    options.work.mkdir(parents=True, exist_ok=True)
    keras = [options.keras_python] if options.keras_python else [shutil.which("uv") or "uv", "run"]
    networks = Networks(options.authors, options.work, keras)
    results: dict[str, Any] = {"settings": {}, "naive": {}, "speed": None}
    if options.results.is_file():
        results = json.loads(options.results.read_text())
    for setting in settings():
        if not wanted(options.only, setting.name):
            continue
        path = networks.path(setting.network, setting.side)
        if path is None or not offers(path, setting.saliency):
            print(f"{setting.name}: left out, no network or no such saliency here", file=sys.stderr)
            continue
        started = time.perf_counter()
        results["settings"][setting.name] = run(setting, path, options.trials, options.jobs, options.work)
        save(options.results, results)
        print(f"{setting.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    for network, side in NAIVE if wanted(options.only, "naive") else ():
        path = networks.path(network, side)
        if path is not None:
            results["naive"][f"{network}-{side}"] = naive_rates(path, side, 2 * options.trials, 6000 + side)
            save(options.results, results)
    if options.time:
        results["speed"] = measured(options.trials, options.jobs)
        save(options.results, results)
    options.output.write_text(page.page(results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
