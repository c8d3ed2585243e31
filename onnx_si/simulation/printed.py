"""A simulation as a table for a person."""

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table

from onnx_si.simulation.detectable import Detectable
from onnx_si.simulation.method_rows import CONFIDENCE, Row
from onnx_si.simulation.part_rows import PartRow
from onnx_si.simulation.views import Simulated
from onnx_si.statistics.hypotheses import HYPOTHESES

WIDE = 140  # of text that goes to a file or a pipe


def print_table(simulation: Simulated, stream: TextIO) -> None:
    """Write what was drawn, a line for each signal and method, and in words what the level says."""
    width = None if stream.isatty() else WIDE
    console = Console(file=stream, width=width, markup=False, emoji=False, highlight=False)
    plan, settings = simulation.plan, simulation.settings
    shape = "x".join(map(str, plan.shape))
    console.print(f"{plan.path}: images of {shape}, {plan.drawn}")
    console.print(f"hypothesis {settings.hypothesis} ({settings.alternative}), references: {plan.references}")
    console.print(f"sigma is {simulation.source}; signal in a square of side {plan.size}; seed {plan.seed}")
    console.print(_table(simulation.rows, settings.alpha))
    if simulation.parts:
        console.print(_part_table(simulation.parts, settings.alpha))
    for text in _in_words(simulation):
        console.print(text)


def _table(rows: Iterable[Row], alpha: float) -> Table:
    interval = f"{CONFIDENCE:.0%} interval"
    names = ("signal", "method", "trials", "tested", "no region", f"rejected at {alpha:g}", interval)
    return _filled((*names, "KS p-value"), "method", [_cells(row) for row in rows])


def _filled(names: Sequence[str], words: str, rows: Sequence[Sequence[str]]) -> Table:
    """A table, a column of which is of words; where a terminal is narrow, lines break and nothing is cut."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="left" if name == words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _cells(row: Row) -> tuple[str, ...]:
    counts = (f"{row.signal:g}", row.method, str(row.trials), str(row.tested), str(row.no_region))
    ks = "-" if row.ks_p_value is None else f"{row.ks_p_value:.3g}"
    return (*counts, _rate(row.reject_rate), _ends(row.reject_interval), ks)


def _part_table(rows: Iterable[PartRow], alpha: float) -> Table:
    """Components by themselves, and images with a rejected one after Holm's adjustment."""
    interval = f"{CONFIDENCE:.0%} interval"
    counts = ("signal", "components", "tested", f"rejected at {alpha:g}", interval)
    names, lines = (*counts, "images", "with a rejected one", interval), list[tuple[str, ...]]()
    for row in rows:
        where = "on the square" if row.touches else "off the square" if row.signal else "all"
        rates = (_rate(row.reject_rate), _ends(row.reject_interval))
        images = (str(row.images), _rate(row.image_rate), _ends(row.image_interval))
        lines.append((f"{row.signal:g}", where, str(row.tested), *rates, *images))
    return _filled(names, "components", lines)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _ends(interval: tuple[float | None, float | None]) -> str:
    return "-" if None in interval else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _verdict(interval: tuple[float | None, float | None], alpha: float) -> str:
    low, high = interval
    if low is not None and low > alpha:
        return f"rejects too often: more than {alpha:g} of the tests without signal"
    if high is not None and high < alpha:
        return f"rejects less often than {alpha:g}: it is valid, and loses power"
    return f"does not contradict the level {alpha:g} ({low:.3g} to {high:.3g})"


def _parts_in_words(simulation: Simulated) -> Iterable[str]:
    """Of components that hold no signal."""
    name = simulation.settings.hypothesis
    null_holds = HYPOTHESES[name].needs_reference  # else the square is in what they are compared with
    if not simulation.null_holds:
        return
    for part in simulation.parts:
        if part.touches or part.image_rate is None:
            continue
        if null_holds or not part.signal:
            verdict = _verdict(part.image_interval, simulation.settings.alpha)
            yield f"components without signal, signal {part.signal:g}, Holm's procedure: {verdict}"
        else:
            yield (
                f"components without signal, signal {part.signal:g}: their null hypothesis is false, because "
                f"hypothesis {name} compares them with pixels of the square, too"
            )


def _detectable_in_words(found: Detectable, simulation: Simulated) -> str:
    where = f"{found.power:.0%} of {simulation.count.trials} images, those without a region among them"
    if found.signal is None:
        return f"detectable: {found.reason} ({where})"
    low, high = (("?" if end is None else f"{end:.3g}") for end in (found.low, found.high))
    return (
        f"detectable: a signal of {found.signal:.3g} is found in {where}; with other draws it may be {low} "
        f"to {high} ({CONFIDENCE:.0%} intervals)"
    )


def _in_words(simulation: Simulated) -> Iterable[str]:
    alpha = simulation.settings.alpha
    if not simulation.null_holds:
        yield (
            f"the base is not constant, so that hypothesis {simulation.settings.hypothesis} is false of "
            "images without signal, too: their rejections are no errors; --references 1 compares with the "
            "same base"
        )
    for row in simulation.rows:
        if not row.signal and row.reject_rate is not None and simulation.null_holds:
            yield f"{row.method}: {_verdict(row.reject_interval, alpha)}"
    yield from _parts_in_words(simulation)
    if simulation.detectable is not None:
        yield _detectable_in_words(simulation.detectable, simulation)
    for row in simulation.rows:
        if row.not_computed:
            why = next(
                (o.missing[row.method] for o in simulation.outcomes if row.method in o.missing), "no p-value"
            )
            yield f"{row.method}, signal {row.signal:g}: {row.not_computed} trials without a p-value ({why})"
