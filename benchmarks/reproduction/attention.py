"""The vision transformer of the paper on attention maps, by chains; adds rows to results/attention.md.

    python -m benchmarks.reproduction.attention [--level 2000] [--power 200] [--seed 0] [--only independent]

Attention rollout, threshold 0.6 between smallest and largest value, the region's mean against that of all
other pixels, two-sided with equal tails, 199 chains. The network is attention_vit_16.onnx beside this file
(attention_train.py made it). Beside ours stand the figures that the paper publishes for its own networks.

Source: Shiraishi, Miwa, Katsuoka, Duy, Taji, Takeuchi, "Statistical test for attention maps in vision
transformers", ICML 2024.
"""

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import onnx_si

HERE = Path(__file__).resolve().parent
MODEL, RESULTS = HERE / "attention_vit_16.onnx", HERE.parent / "results" / "attention.md"
SIDE, ALPHA = 16, 0.05
PUBLISHED = {  # power at signal 1, 2, 3, 4 with 16 x 16 pixels
    "independent": (0.145, 0.574, 0.882, 0.936),
    "covariance 0.5 to the distance": (0.102, 0.345, 0.689, 0.832),
}
LEVEL = "0.03 to 0.075 over 200 images of each architecture"
HEAD = """\
# Attention maps of a vision transformer

Written by `{command}`; see there what is
tested. Each row: tests done, the share with a p-value of at most 0.05 and its 95 % interval (Clopper and
Pearson), what the paper publishes for its own networks of this kind, the median of passes of the network, and
seconds of wall clock a test. The machine has {cores} cores; its load average is beside each row: where it
is far above {cores}, the seconds say little. The paper reports 46 to 80 s a test with an adaptive grid,
2741 s with a fine one.

| noise | signal | tests | rejects | 95 % interval | published | passes | seconds | load |
|---|---|---|---|---|---|---|---|---|
"""


def covariance() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Of the pixels in the order of their rows."""
    place = np.arange(SIDE * SIDE)
    return np.asarray(0.5 ** np.abs(place[:, None] - place))


def tests(noise: str, signal: float, count: int, seed: int) -> tuple[list[float], list[float], float]:
    """P-values, passes, and seconds a test."""
    rng = np.random.default_rng([seed, round(signal), len(noise)])
    spread = np.linalg.cholesky(covariance()) if noise != "independent" else np.eye(SIDE * SIDE)
    how = {"sigma": 1.0} if noise == "independent" else {}
    analysis = onnx_si.prepare(
        onnx_si.load(MODEL),
        saliency="rollout",
        threshold="minmax:0.6",
        hypothesis="background",
        alternative="two-sided",
        engine="monte-carlo",
        draws=199,
        p_value_only=True,
        **how,
    )
    given = None if noise == "independent" else covariance()
    values, passes, side = [], [], SIDE // 3
    started = time.perf_counter()
    while len(values) < count:
        image = (spread @ rng.normal(size=SIDE * SIDE)).reshape(1, 1, SIDE, SIDE)
        row, column = rng.integers(SIDE - side + 1, size=2)
        image[..., row : row + side, column : column + side] += signal
        found = analysis.test(image, covariance=given, seed=len(values))
        values.append(found.p_value)
        passes.append(float(found.search["forward_passes"]))
    return values, passes, (time.perf_counter() - started) / count


def rows(arguments: argparse.Namespace) -> Iterator[str]:
    """One row of the table after the other."""
    for noise, published in PUBLISHED.items():
        if arguments.only not in noise:
            continue
        for signal in (0.0, 1.0, 2.0, 3.0, 4.0):
            count = arguments.power if signal else arguments.level
            if not count:
                continue
            values, passes, seconds = tests(noise, signal, count, arguments.seed)
            hits = sum(value <= ALPHA for value in values)
            low, high = stats.binomtest(hits, count).proportion_ci(0.95)
            told = f"{published[int(signal) - 1]:.3f}" if signal else LEVEL
            cells = (
                *(noise, f"{signal:g}", count, f"{hits / count:.3f}", f"{low:.3f} to {high:.3f}", told),
                *(f"{np.median(passes):.0f}", f"{seconds:.2f}", f"{os.getloadavg()[0]:.0f}"),
            )
            yield f"| {' | '.join(map(str, cells))} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--level", type=int, default=2000, help="tests without signal")
    parser.add_argument("--power", type=int, default=200, help="tests at each signal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="noise whose name holds this text")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    counts = f"--level {arguments.level} --power {arguments.power}"
    command = f"python -m benchmarks.reproduction.attention {counts}"
    with arguments.output.open("w", encoding="utf-8") as file:
        file.write(HEAD.format(command=command, cores=os.cpu_count()))
        for row in rows(arguments):
            file.write(row)
            file.flush()
            print(row, end="", flush=True)


if __name__ == "__main__":
    main()
