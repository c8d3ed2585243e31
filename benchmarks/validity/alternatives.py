"""Draw docs/alternatives.svg: S and what both two-sided alternatives count as at least as extreme.

python -m benchmarks.validity.alternatives
"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy import stats

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated import Normal, p_value_bounds

LOW, HIGH, STATISTIC, ERROR = 1.0059, 1.1973, 1.0060, 0.206
SHOWN = 1.012  # the statistic lies too close to the end of S to be seen; the picture moves it by this much
TARGET = Path(__file__).resolve().parents[2] / "docs" / "alternatives.svg"


def main() -> None:
    plt.rcParams["svg.hashsalt"] = "alternatives"
    inside, law = Intervals.of([(LOW, HIGH)]), Normal(0.0, ERROR)
    x = np.linspace(LOW, HIGH, 400)
    density = stats.norm.pdf(x, scale=ERROR)
    density /= density.max()
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), sharey=True)
    titles = {"two-sided-abs": "P(|T| ≥ |t|)", "two-sided": "2 min(F, 1 - F)"}
    for each, (alternative, formula) in zip(axes, titles.items(), strict=True):
        p = p_value_bounds(law, inside, Intervals.empty(), STATISTIC, alternative)[1]
        counted = x >= SHOWN if alternative == "two-sided-abs" else x <= SHOWN
        each.plot(x, density, color="black")
        each.fill_between(x, density, where=counted, color="tab:blue", alpha=0.6)
        each.axvline(SHOWN, color="tab:red")
        each.hlines(-0.04, LOW, HIGH, color="tab:green", linewidth=5)
        each.set_title(f"{alternative}: {formula} = {p:.3f}", fontsize=10)
        each.set_xlabel("difference; green: S, red: t, blue: as extreme", fontsize=9)
        each.set_yticks([])
    axes[0].set_ylabel("null density in S", fontsize=9)
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None})


if __name__ == "__main__":
    main()
