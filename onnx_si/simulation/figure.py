"""PNG of a simulation: rejections by signal, and p-values against uniform."""

import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from onnx_si.choices.compared import COLOURS
from onnx_si.simulation.method_rows import CONFIDENCE
from onnx_si.simulation.views import Simulated

DPI = 120


def save_figure(path: str | os.PathLike[str], simulation: Simulated) -> None:
    """Write the figure as PNG."""
    figure_of(simulation).savefig(os.fspath(path), format="png", metadata={"Software": None})


def figure_of(simulation: Simulated) -> Figure:
    """The rejection rate with its binomial interval, and a uniform Q-Q plot of the smallest signal."""
    figure = Figure(figsize=(10.0, 4.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    _rates(left, simulation)
    _quantiles(right, simulation)
    plan = simulation.plan
    figure.suptitle(
        f"{Path(plan.path).name}, hypothesis {simulation.settings.hypothesis}\n"
        f"{plan.drawn}, references: {plan.references}, seed {plan.seed}",
        fontsize=11,
    )
    lines, names = left.get_legend_handles_labels()
    if lines:  # below the plots, where it covers nothing
        figure.legend(lines, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    FigureCanvasAgg(figure)  # the figure draws on it; no window system, no global state
    return figure


def _rates(axes: Axes, simulation: Simulated) -> None:
    for method in simulation.plan.methods:
        rows = [r for r in simulation.rows if r.method == method and r.reject_rate is not None]
        rows.sort(key=lambda row: row.signal)
        if not rows:
            continue
        at, rates = [row.signal for row in rows], np.array([row.reject_rate for row in rows], np.float64)
        ends = np.array([row.reject_interval for row in rows], np.float64).T
        colour = COLOURS[method]
        axes.fill_between(at, ends[0], ends[1], color=colour, alpha=0.15, linewidth=0)
        gaps = np.abs(ends - rates)
        axes.errorbar(at, rates, yerr=gaps, color=colour, marker="o", markersize=4, capsize=3, label=method)
    axes.axhline(simulation.settings.alpha, color="0.4", linestyle="--", linewidth=1)
    axes.set(xlabel="signal (mean of the square)", ylabel="share rejected", ylim=(-0.02, 1.02))
    axes.set_title(
        f"rejected at {simulation.settings.alpha:g}, {CONFIDENCE:.0%} binomial intervals", fontsize=10
    )


def _quantiles(axes: Axes, simulation: Simulated) -> None:
    signal = min(simulation.signals, key=abs)
    largest = 0
    for method in simulation.plan.methods:
        values = np.sort(simulation.p_values(signal, method))
        if simulation.settings.decide and method == "selective":
            continue  # they are bounds, no p-values
        largest = max(largest, len(values))
        axes.plot(
            (np.arange(len(values)) + 0.5) / max(1, len(values)), values, color=COLOURS[method], label=method
        )
    if largest:
        rank = np.arange(1, largest + 1)
        low, high = (
            stats.beta.ppf(q, rank, largest + 1 - rank) for q in (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)
        )
        axes.fill_between((rank - 0.5) / largest, low, high, color="0.5", alpha=0.2, linewidth=0)
    axes.plot([0, 1], [0, 1], color="0.4", linestyle="--", linewidth=1)
    axes.set(xlabel="uniform quantile", ylabel="p-value", xlim=(0, 1), ylim=(-0.02, 1.02))
    axes.set_title(f"p-values under signal {signal:g}; band: {CONFIDENCE:.0%} at each quantile", fontsize=10)
