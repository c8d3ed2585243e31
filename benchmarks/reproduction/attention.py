"""The vision transformer of the paper on attention maps, by chains; writes results/attention.md.

    python -m benchmarks.reproduction.attention [--level 2000] [--power 200] [--seed 0] [--resume FILE]

Attention rollout, threshold 0.6 between smallest and largest value, the region's mean against that of all
other pixels, 199 chains, and as in the paper's own program the p-value P(|T| >= |t|). The network is
attention_vit_16.onnx beside this file (attention_train.py made it). Beside ours stand the figures that the
paper publishes for its own networks.

With `--resume FILE` every test is noted there as soon as it is done: ended, it goes on when it is run again.
The table holds whatever is done; `--level 0 --power 0` only writes it.

Source: Shiraishi, Miwa, Katsuoka, Duy, Taji, Takeuchi, "Statistical test for attention maps in vision
transformers", ICML 2024.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import onnx_si

HERE = Path(__file__).resolve().parent
MODEL, RESULTS = HERE / "attention_vit_16.onnx", HERE.parent / "results" / "attention.md"
SIDE, ALPHA, ALTERNATIVE = 16, 0.05, "two-sided-abs"
SIGNALS = (0.0, 1.0, 2.0, 3.0, 4.0)
PUBLISHED = {  # power at signal 1, 2, 3, 4 with 16 x 16 pixels
    "independent": (0.145, 0.574, 0.882, 0.936),
    "covariance 0.5 to the distance": (0.102, 0.345, 0.689, 0.832),
}
LEVEL = "0.03 to 0.075 over 200 images of each architecture"
HEAD = """\
# Attention maps of a vision transformer

Written by `python -m benchmarks.reproduction.attention`; see there what is tested. Each row: tests done, the
share with a p-value of at most 0.05 and its 95 % interval (Clopper and Pearson), what the paper publishes for
its own networks of this kind, the median of passes of the network, and the median and the largest of the
seconds of processor time, on one core, that a test took. The paper reports 46 to 80 s a test with an adaptive
grid, 2741 s with a fine one.

| noise | signal | tests | rejects | 95 % interval | published | passes | seconds | longest |
|---|---|---|---|---|---|---|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Done:
    """One test: what was drawn, and what it gave."""

    alternative: str
    noise: str
    signal: float
    seed: int
    number: int
    p_value: float
    passes: int
    seconds: float


def covariance() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Of the pixels in the order of their rows."""
    place = np.arange(SIDE * SIDE)
    return np.asarray(0.5 ** np.abs(place[:, None] - place))


def tests(noise: str, signal: float, seed: int, numbers: Iterator[int]) -> Iterator[Done]:
    """One test for each number: the image is a function of it, whatever was tested before."""
    independent = noise == "independent"
    given = None if independent else covariance()
    spread = None if given is None else np.linalg.cholesky(given)
    how: dict[str, Any] = {"sigma": 1.0} if independent else {}
    analysis = onnx_si.prepare(
        onnx_si.load(MODEL),
        saliency="rollout",
        threshold="minmax:0.6",
        hypothesis="background",
        alternative=ALTERNATIVE,
        engine="monte-carlo",
        draws=199,
        p_value_only=True,
        **how,
    )
    side = SIDE // 3
    for number in numbers:
        rng = np.random.default_rng([seed, round(signal), len(noise), number])
        white = rng.normal(size=SIDE * SIDE)
        image = (white if spread is None else spread @ white).reshape(1, 1, SIDE, SIDE)
        row, column = rng.integers(SIDE - side + 1, size=2)
        image[..., row : row + side, column : column + side] += signal
        started = time.process_time()
        found = analysis.test(image, covariance=given, seed=number)
        seconds = time.process_time() - started
        passes = int(found.search["forward_passes"])
        yield Done(ALTERNATIVE, noise, signal, seed, number, float(found.p_value), passes, seconds)


def kept(path: Path | None) -> list[Done]:
    """Tests that were done before; a last line that was cut off is left out."""
    if path is None or not path.exists():
        return []
    whole = [
        line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]
    path.write_text("".join(whole), encoding="utf-8")
    return [Done(**json.loads(line)) for line in whole]


def line(noise: str, signal: float, done: list[Done]) -> str:
    """One row of the table."""
    hits, count = sum(one.p_value <= ALPHA for one in done), len(done)
    low, high = stats.binomtest(hits, count).proportion_ci(0.95)
    seconds = [one.seconds for one in done]
    cells = (
        *(noise, f"{signal:g}", count, f"{hits / count:.3f}", f"{low:.3f} to {high:.3f}"),
        f"{PUBLISHED[noise][int(signal) - 1]:.3f}" if signal else LEVEL,
        f"{np.median([one.passes for one in done]):.0f}",
        *(f"{np.median(seconds):.2f}", f"{max(seconds):.2f}"),
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def page(done: list[Done]) -> str:
    """The table of whatever is done."""
    groups = {(noise, signal): [] for noise in PUBLISHED for signal in SIGNALS}  # in this order
    for one in done:
        groups[one.noise, one.signal].append(one)
    return HEAD + "".join(line(*key, group) for key, group in groups.items() if group)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--level", type=int, default=2000, help="tests without signal")
    parser.add_argument("--power", type=int, default=200, help="tests at each signal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="file of the tests that are done")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    done = [one for one in kept(arguments.resume) if one.seed == arguments.seed]
    for signal in (*SIGNALS[1:], 0.0):
        for noise in PUBLISHED:
            before = {one.number for one in done if (one.noise, one.signal) == (noise, signal)}
            count = arguments.power if signal else arguments.level
            wanted = (number for number in range(count) if number not in before)
            for one in tests(noise, signal, arguments.seed, wanted):
                done.append(one)
                if arguments.resume is not None:
                    with arguments.resume.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(dataclasses.asdict(one)) + "\n")
            arguments.output.write_text(page(done), encoding="utf-8")
            print(noise, f"signal {signal:g} done", flush=True)


if __name__ == "__main__":
    main()
