"""Level and power of the Monte-Carlo engine and of thinning.

    python -m benchmarks.validity.montecarlo --trials 2000            level on images of noise
    python -m benchmarks.validity.montecarlo --power --trials 500     power beside the exact engine's

Beside the paper's network, small ones with random weights (tests/support/smooth_nets.py), not piecewise
linear: the level does not depend on what a network was trained for.
"""

import argparse
import tempfile
import time
from pathlib import Path

import onnx
from scipy import stats
from support import smooth_nets

import onnx_si

ROOT = Path(__file__).resolve().parents[2]

PAPER = "paper_cam_16"
NETS = {
    "InstanceNorm U-Net 16 x 16": (lambda: smooth_nets.unet(), {"threshold": 0.5}),
    "transformer 16 x 16": (lambda: smooth_nets.transformer(), {"threshold": "minmax:0.6"}),
    "SiLU squeeze-excite 16 x 16": (lambda: smooth_nets.squeeze_excite(), {"threshold": "max:0.5"}),
}
WAYS = {
    "monte-carlo": {"engine": "monte-carlo", "draws": 199},
    "monte-carlo, randomise 0.5": {"engine": "monte-carlo", "draws": 199, "randomise": 0.5},
    "monte-carlo, sigma_df 10": {"engine": "monte-carlo", "draws": 199, "sigma_df": 10},
    "thin 0.5": {"thin": 0.5},
}
ALPHA = 0.05
LEVELS = (0.01, 0.05, 0.1, 0.2)


def saved(folder: str) -> dict[str, tuple[Path, dict[str, object]]]:
    """Files of all networks, with the options of their tests."""
    found: dict[str, tuple[Path, dict[str, object]]] = {
        "paper CAM 16 x 16": (ROOT / "models" / f"{PAPER}.onnx", {})
    }
    for number, (name, (make, options)) in enumerate(NETS.items()):
        path = Path(folder) / f"net_{number}.onnx"
        onnx.save(make().file, path)
        found[name] = path, options
    return found


def rejections(path: Path, trials: int, signal: float, **options: object) -> tuple[list[float], float]:
    """P-values of the draws that have a region, and the seconds of each."""
    started = time.perf_counter()
    simulation = onnx_si.simulate(
        onnx_si.load(path),
        tested=trials,
        signals=(signal,),
        jobs=1,
        seed=1,
        sigma=1.0,
        alternative="two-sided",
        **options,
    )
    values = [outcome.p_values["selective"] for outcome in simulation.outcomes if outcome.tested]
    return values, (time.perf_counter() - started) / max(1, len(values))


def shown(values: list[float]) -> str:
    """Shares at most some levels, each with the central 99.9 % band of its binomial distribution."""
    found = []
    for level in LEVELS:
        share = sum(value <= level for value in values) / len(values)
        low, high = stats.binom.ppf([0.0005, 0.9995], len(values), level) / len(values)
        found.append(f"{level:g}: {share:.4f} ({low:.3f} to {high:.3f})")
    return f"{len(values)} draws; " + ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="draws with a region, for each row")
    parser.add_argument("--power", action="store_true", help="power on the paper's network instead of level")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        nets = saved(folder)
        if arguments.power:
            path, _ = nets["paper CAM 16 x 16"]
            ways = {"exact": {"engine": "exact"}, **WAYS}
            for signal in (1.0, 2.0, 3.0):
                for way, how in ways.items():
                    values, seconds = rejections(path, arguments.trials, signal, **how)
                    share = sum(value <= ALPHA for value in values) / len(values)
                    print(
                        f"signal {signal:g}, {way}: {share:.3f} of {len(values)}, {seconds:.3f} s", flush=True
                    )
            return
        for way, how in WAYS.items():
            for name, (path, options) in nets.items():
                if arguments.only in f"{name}, {way};":
                    values, seconds = rejections(path, arguments.trials, 0.0, **options, **how)
                    print(f"{name}, {way}: {shown(values)}, {seconds:.3f} s", flush=True)


if __name__ == "__main__":
    main()
