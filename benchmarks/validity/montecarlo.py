"""Level and power of the Monte-Carlo engine and of thinning.

    python -m benchmarks.validity.montecarlo --trials 2000            level on images of noise
    python -m benchmarks.validity.montecarlo --power --trials 500     power beside the exact engine's

With `--resume FOLDER` the draws of each row are kept in a file there: ended, it goes on when it is run again,
with more `--trials` too. Keep one folder for one state of the program.

Beside the paper's network, small ones with random weights (tests/support/smooth_nets.py), not piecewise
linear: the level does not depend on what a network was trained for.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from scipy import stats

import onnx_si

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
from support import smooth_nets  # noqa: E402 - of the tests

PAPER = "paper_cam_16"
NETS: dict[str, tuple[Callable[[], onnx_si.Model], dict[str, Any]]] = {
    "InstanceNorm U-Net 16 x 16": (lambda: smooth_nets.unet(), {"threshold": 0.5}),
    "transformer 16 x 16": (lambda: smooth_nets.transformer(), {"threshold": "minmax:0.6"}),
    "SiLU squeeze-excite 16 x 16": (lambda: smooth_nets.squeeze_excite(), {"threshold": "max:0.5"}),
}
WAYS: dict[str, dict[str, Any]] = {
    "monte-carlo": {"engine": "monte-carlo", "draws": 199},
    "monte-carlo, randomise 0.5": {"engine": "monte-carlo", "draws": 199, "randomise": 0.5},
    "monte-carlo, sigma_df 10": {"engine": "monte-carlo", "draws": 199, "sigma_df": 10},
    "monte-carlo, global (chi)": {
        **{"engine": "monte-carlo", "draws": 199, "hypothesis": "global", "references": 1},
        "alternative": "greater",
    },
    "thin 0.5": {"thin": 0.5},
}
ALPHA = 0.05
LEVELS = (0.01, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Row:
    """One network, tested one way, at one signal."""

    name: str
    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    signal: float = 0.0

    @property
    def file(self) -> str:
        """Name of the file of its draws."""
        return re.sub(r"[^a-z0-9.]+", "_", self.name.lower()) + ".jsonl"


def saved(folder: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Files of all networks, with the options of their tests."""
    found: dict[str, tuple[Path, dict[str, Any]]] = {
        "paper CAM 16 x 16": (ROOT / "models" / f"{PAPER}.onnx", {})
    }
    for number, (name, (make, options)) in enumerate(NETS.items()):
        path = folder / f"net_{number}.onnx"
        onnx.save(make().file, path)
        found[name] = path, options
    return found


def rejections(row: Row, trials: int, kept: Path | None = None) -> tuple[list[float], float]:
    """P-values of the draws that have a region, and the seconds that they took now."""
    started = time.perf_counter()
    simulation = onnx_si.simulate(
        onnx_si.load(row.path),
        tested=trials,
        signals=(row.signal,),
        jobs=1,
        seed=1,
        sigma=1.0,
        resume=None if kept is None else str(kept / row.file),
        **{"alternative": "two-sided", **row.options},
    )
    values = [outcome.p_values["selective"] for outcome in simulation.outcomes if outcome.tested]
    return values, time.perf_counter() - started


def band(count: int, level: float) -> tuple[float, float]:
    """The central 99.9 % of the share of so many draws that are rejected at a level."""
    low, high = stats.binom.ppf([0.0005, 0.9995], count, level) / count
    return float(low), float(high)


def levels(row: Row, values: list[float]) -> str:
    """One line of the table of levels."""
    shares = [sum(value <= level for value in values) / len(values) for level in LEVELS]
    bands = [band(len(values), level) for level in LEVELS]
    good = all(low <= share <= high for share, (low, high) in zip(shares, bands, strict=True))
    return " | ".join([row.name, *(f"{share:.3f}" for share in shares), "yes" if good else "**no**"])


def power(row: Row, values: list[float]) -> str:
    """The share that is rejected, with its 95 % interval."""
    hits = sum(value <= ALPHA for value in values)
    low, high = stats.binomtest(hits, len(values)).proportion_ci(0.95)
    return f"{row.name} | {hits / len(values):.3f} | {low:.3f} to {high:.3f}"


def rows(nets: dict[str, tuple[Path, dict[str, Any]]], with_power: bool) -> Iterator[Row]:
    """What is asked for, in its order."""
    if not with_power:
        for way, how in WAYS.items():
            for name, (path, options) in nets.items():
                yield Row(f"{name}, {way}", path, {**options, **how})
        return
    path, options = nets["paper CAM 16 x 16"]
    for signal in (1.0, 2.0, 3.0):
        for way, how in {"exact": {"engine": "exact"}, **WAYS}.items():
            if "hypothesis" in how:
                continue  # another question
            yield Row(f"{way}, signal {signal:g}", path, {**options, **how}, signal)


def table(arguments: argparse.Namespace, folder: Path) -> None:
    """Print one line for each row, as soon as it is drawn."""
    head = [
        f"{level:g} ({low:.3f} to {high:.3f})"
        for level in LEVELS
        for low, high in [band(arguments.trials, level)]
    ]
    titles = (
        ["test", "rejected at 0.05", "95 % interval"] if arguments.power else ["test", *head, "within bands"]
    )
    print(f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", sep="\n")
    for row in rows(saved(folder), arguments.power):
        if arguments.only not in f"{row.name};":
            continue
        values, seconds = rejections(row, arguments.trials, arguments.resume)
        cells = power(row, values) if arguments.power else levels(row, values)
        print(f"| {cells} |", flush=True)
        print(f"{row.name}: {seconds:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="draws with a region, for each row")
    parser.add_argument("--power", action="store_true", help="power on the paper's network instead of level")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--resume", type=Path, help="folder of the draws that are done")
    arguments = parser.parse_args()
    if arguments.resume is not None:
        arguments.resume.mkdir(parents=True, exist_ok=True)
        table(arguments, arguments.resume)
        return
    with tempfile.TemporaryDirectory() as folder:
        table(arguments, Path(folder))


if __name__ == "__main__":
    main()
