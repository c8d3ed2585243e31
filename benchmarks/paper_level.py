"""Level and power on the paper's classifier: the rates of FACTS, by this project.

    python benchmarks/paper_level.py MODEL.onnx [--trials 1000] [--signal 0] [--seed 0] [--jobs 2]

Images and references are N(0, 1); with a signal D a square of half the side and mean D is added at a
random place of the image. Draws with no region (or a full one) are drawn again and counted. One reference,
`two-sided-abs`, threshold 0, CAM.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy import stats

import onnx_si


def one_trial(path: str, signal: float, seed: int) -> tuple[float, float, int]:
    """Selective and naive p-value of one tested draw, and how many draws it took."""
    model = onnx_si.load(path)
    side = int(model.inputs[0].shape[1])
    rng = np.random.default_rng(seed)
    for draws in range(1, 10_000):
        image, reference = rng.normal(size=(2, side, side))
        if signal:
            top, left = rng.integers(0, side // 2 + 1, size=2)
            image[top : top + side // 2, left : left + side // 2] += signal
        try:
            result = onnx_si.test(
                model,
                image,
                reference,
                sigma=1.0,
                saliency="cam",
                threshold=0.0,
                alternative="two-sided-abs",
                methods=("selective", "naive"),
            )
        except onnx_si.NothingToTest:
            continue
        return result.p_value, float(result.comparison.naive), draws
    raise RuntimeError("no draw gave a region")


def main() -> int:
    """Run the trials and print the rates as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--signal", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(options.seed).spawn(options.trials)]
    with ProcessPoolExecutor(options.jobs) as pool:  # set OPENBLAS_NUM_THREADS=1 beside it
        count = options.trials
        rows = list(
            pool.map(one_trial, [str(options.model)] * count, [options.signal] * count, seeds, chunksize=10)
        )
    selective, naive, draws = (np.array(column) for column in zip(*rows, strict=True))
    rejected = int((selective <= 0.05).sum())
    interval = stats.binomtest(rejected, len(rows)).proportion_ci(0.95)
    report = {
        "model": options.model.name,
        "signal": options.signal,
        "tested": len(rows),
        "no_region": int(draws.sum() - len(rows)),
        "selective_rate": rejected / len(rows),
        "binomial_interval": [interval.low, interval.high],
        "naive_rate": float((naive <= 0.05).mean()),
        "ks_p_value": float(stats.kstest(selective, "uniform").pvalue),
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
    }
    json.dump(report, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
