"""A tested result's document as a dozen lines for a person."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnx_si.choices.guarantees import EXACT, GUARANTEES
from onnx_si.ground.words import so_many
from onnx_si.report.figures import DIGITS, inside, p_value_of, p_value_text
from onnx_si.report.fragile import fragility_text, left_open, says_little
from onnx_si.statistics.hypotheses import HYPOTHESES

WIDTH, LABEL = 100, 12
OWN_REGION = "the region is the runtime's own: nothing was computed beside it"
BILLION, MILLION = (1e-9, "a billion"), (1e-6, "a million")
PLAIN = 5.0  # standard errors
MORE_DIGITS = 4  # of a share, where two would not tell it from the level
NOTHING_KNOWN = (0.0, 1.0)  # bounds of a p-value whose search was stopped before it began

_TEST = {
    "two-sided-abs": "two-sided test: a difference as large, in either direction",
    "two-sided": "two-sided test with equal tails",
    "greater": "one-sided test: greater",
    "less": "one-sided test: less",
}
_EXTREME = {
    "two-sided-abs": "a difference at least as large as this one, in either direction",
    "two-sided": "a difference as far out in its tail as this one",
    "greater": "a difference this far upwards",
    "less": "a difference this far downwards",
}
_AXES = {1: ("positions",), 2: ("rows", "columns"), 3: ("slices", "rows", "columns")}


def summary(result: Mapping[str, Any], *, warnings: bool = True) -> str:
    """Text of a document whose status is `tested`: labels on the left, `WIDTH` characters at most.

    What a reader wants to know comes first, what it cost comes last; `warnings` False leaves out
    what was told before.
    """
    drawn = GUARANTEES[result["guarantee"]].drawn
    lines = [
        ("in words", in_words(result)),
        ("p-value", _p_value(result)),
        ("interval", interval_text(result)),
        ("region", region_text(result["region"])),
        ("model", _model(result)),
        ("null", f"{HYPOTHESES[result['hypothesis']].null} ({_TEST[result['alternative']]})"),
        ("statistic", _statistic(result)),
        *_components(result["region"]["components"], drawn),
        *_classes(result["classes"] or (), drawn),
        *_comparison(result["comparison"]),
        *(("fragility", text) for text in fragility_text(result)),
        ("noise", noise_text(result)),
        *((("warning", text) for text in result["warnings"]) if warnings else ()),
        ("guarantee", _guarantee(result)),
        ("parity", parity_text(result)),
        ("search", _search(result["search"])),
    ]
    return "\n".join(_labelled(label, text) for label, text in lines)


def _guarantee(result: Mapping[str, Any]) -> str:
    record = GUARANTEES[result["guarantee"]]
    level = result["noise"]["level"]
    given = "" if level == "exact" else "given that noise, "
    text = f"{guarantee_text(record.name, level)}: {given}{record.words}"
    if not record.drawn:
        return text
    low, high = result["p_value_bounds"]
    return f"{text}: about +-{0.5 * (high - low):.2g} here"


def guarantee_text(guarantee: str, level: str) -> str:
    """The guarantee, and whether the noise that it supposes is known; where it is not, nothing is exact."""
    if level == "exact":
        return f"{guarantee}, given the noise"
    how = "" if guarantee == EXACT.name else f", {guarantee}"
    return f"approximate level: noise estimated{how}"


def _labelled(label: str, text: str) -> str:
    indent = " " * LABEL
    return textwrap.fill(
        text, WIDTH, initial_indent=label.ljust(LABEL), subsequent_indent=indent, break_long_words=False
    )


def _model(result: Mapping[str, Any]) -> str:
    saliency = result["saliency"]
    target = "" if saliency["target"] is None else f" of class {saliency['target']}"
    if saliency["target"] == "predicted":
        target = " of the predicted class"
    name, side = result["model"]["path"] or "model in memory", saliency["coarsen"]
    blocks = "" if side == 1 else f", averaged over blocks of side {side},"
    if saliency["threshold"] == "argmax":
        return (
            f"{name}, region where {saliency['method']}{blocks} is largest in the channel"
            f"{target or ' of its class'}"
        )
    return (
        f"{name}, region where {saliency['method']}{target}{blocks} exceeds "
        f"{_threshold(saliency['threshold'])}"
    )


def _threshold(threshold: str) -> str:
    kind, _, level = threshold.rpartition(":")
    words = {"max": "of its maximum", "minmax": "of the way from its minimum to its maximum"}
    if kind == "top":
        return f"all but its largest {float(level):.3g} of pixels"
    return f"{float(level):.3g} {words[kind]}" if kind in words else level


def region_text(region: Mapping[str, Any]) -> str:
    """Its size, place and parts."""
    places = [
        f"{name} {first}-{stop - 1}"
        for name, (first, stop) in zip(_names(region["bbox"]), region["bbox"], strict=True)
    ]
    count = len(region["components"])
    parts = "connected" if count == 1 else f"{count} connected parts"
    size = round(region["pixels"] / region["fraction"])
    text = f"{region['pixels']} of {size} pixels ({region['fraction']:.1%}), {', '.join(places)}, {parts}"
    return f"{text}{_millimetres(region)}"


def _millimetres(region: Mapping[str, Any]) -> str:
    """Its size and that of its box, where a pixel's is known."""
    if region["size_mm"] is None:
        return ""
    sides = " x ".join(f"{high - low:.4g}" for low, high in region["bbox_mm"])
    unit = {1: "mm", 2: "mm\N{SUPERSCRIPT TWO}", 3: "mm\N{SUPERSCRIPT THREE}"}[len(region["bbox_mm"])]
    return f", {region['size_mm']:.4g} {unit} in a box of {sides} mm"


def _names(box: Sequence[Any]) -> Sequence[str]:
    return _AXES.get(len(box)) or tuple(f"axis {i}:" for i in range(len(box)))


def _p_value(result: Mapping[str, Any]) -> str:
    low, high = result["p_value_bounds"]
    bounds = f"{low:.{DIGITS}g} to {high:.{DIGITS}g}"
    if GUARANTEES[result["guarantee"]].drawn:
        what = f"99 % interval for what infinitely many chains would give: {low:.3g} to {high:.3g}"
        return f"{p_value_of(result)} ({what})"
    return f"{p_value_of(result)} (true bounds {bounds})"


def _statistic(result: Mapping[str, Any]) -> str:
    freedom, of_noise = result["degrees_of_freedom"], result["noise"]["degrees_of_freedom"]
    if result["standard_error"] is None:
        unit = "the noise" if of_noise is None else f"noise estimated on {of_noise} degrees of freedom"
        return f"{result['statistic']:.4g} in units of {unit}, {freedom} degrees of freedom"
    t = "" if freedom is None else f", Student's t with {freedom} degrees of freedom"
    return f"{result['statistic']:.4g}, standard error {result['standard_error']:.4g}{t}"


def _components(parts: Sequence[Mapping[str, Any]], drawn: bool) -> Iterator[tuple[str, str]]:
    for part in parts:
        if part["p_value"] is not None:
            places = " x ".join(f"{first}-{stop - 1}" for first, stop in part["bbox"])
            yield "component", f"{part['pixels']} pixels at {places}: {_of_part(part, drawn)}"


def _classes(found: Sequence[Mapping[str, Any]], drawn: bool) -> Iterator[tuple[str, str]]:
    for one in found:
        says = "no test" if one["p_value"] is None else _of_part(one, drawn)
        yield "class", f"{one['target']}, {one['pixels']} pixels: {says}"


def _of_part(part: Mapping[str, Any], drawn: bool) -> str:
    """Its p-values, or as much of them as a search that was stopped knows."""
    low, high = part["p_value_bounds"]
    own = inside(part["p_value"], (low, high), 4) if drawn else p_value_text((low, high))
    bounds = part["p_value_adjusted_bounds"]
    if not drawn and (low, high) == NOTHING_KNOWN and tuple(bounds) == NOTHING_KNOWN:
        return "p-value not known, its search was stopped"
    holm = "not known" if tuple(bounds) == NOTHING_KNOWN else p_value_text(bounds)
    return f"p-value {own}, Holm-adjusted {holm}"


def _comparison(comparison: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    others = [
        f"{name.replace('_', '-')} {value:.3g}" for name, value in comparison.items() if value is not None
    ]
    if others:
        yield "compare", f"p-values of other methods: {', '.join(others)}"


def interval_text(result: Mapping[str, Any]) -> str:
    """The confidence interval, or why there is none."""
    low, high = result["confidence_interval"]
    if "confidence_interval.*" in result["reasons"]:
        return f"none: {result['reasons']['confidence_interval.*']}"
    start = "unbounded" if low is None else f"{low:.4g}"
    end = "unbounded" if high is None else f"{high:.4g}"
    estimate = "" if result["estimate"] is None else f", median-unbiased estimate {result['estimate']:.4g}"
    about = ", approximate" if result["confidence_interval_level"] == "approximate" else ""
    return f"{start} to {end} at confidence {result['confidence_level']:g}{about}{estimate}"


def noise_text(result: Mapping[str, Any]) -> str:
    """What is taken for the noise, and where from."""
    noise, level = result["noise"], 1 - result["confidence_level"]
    text = f"{noise['model']} ({noise['source']})"
    if noise["known"] or noise["std"] is None:
        return text
    (low, high), tipping = noise["decision_holds_for"], noise["tipping_std"]
    if tipping is not None:
        return f"{text}; the decision at level {level:.3g} turns at a standard deviation of {tipping:.3g}"
    if low is None:
        return text
    return (
        f"{text}; the decision at level {level:.3g} is certainly the same for all standard deviations from "
        f"{low:.3g} to {high:.3g}"
    )


def parity_text(result: Mapping[str, Any]) -> str:
    """What the deployed runtime said."""
    if not GUARANTEES[result["guarantee"]].followed:
        return OWN_REGION
    parity = result["parity"]
    if parity["pixels"] is None:
        return f"not checked: {parity['problem']}"
    differ = len(parity["pixels"])
    what = "gives the same region" if not differ else f"gives another region: {differ} pixels differ"
    worst = parity["max_difference"]
    difference = "saliency not finite" if worst is None else f"saliency within {worst:.2g} of float64"
    return f"{parity['runtime']} {what} ({difference}){_points(parity)}"


def _points(parity: Mapping[str, Any]) -> str:
    if not parity["points"]:
        return ""
    near = f", {parity['too_near']} too near to tell" if parity["too_near"] else ""
    return f"; {parity['agreeing']} of {parity['points']} points of the line as S says{near}"


def _search(search: Mapping[str, Any]) -> str:
    if search["draws"] is not None:
        return (
            f"{search['seconds']:.2g} s, {search['forward_passes']:.0f} runs of the model, {search['draws']} "
            f"chains, seed {search['seed']}"
        )
    if search["engine"] == "none":
        return f"none: {search['forward_passes']:.0f} runs of the model, seed {search['seed']}"
    pieces = "" if search["pieces"] is None else f"{so_many(search['pieces'], 'linear piece')} in "
    return (
        f"{search['seconds']:.2g} s, the cost of {search['forward_passes']:.0f} forward passes, "
        f"{pieces}{so_many(search['cells'], 'cell')}"
    )


def in_words(result: Mapping[str, Any]) -> str:
    """What the p-value says, as a sentence."""
    low, high = result["p_value_bounds"]
    if GUARANTEES[result["guarantee"]].drawn:  # it is valid as it stands
        low = high = result["p_value"]
    level = 1 - result["confidence_level"]
    known = "" if result["noise"]["level"] == "exact" else " (approximately: the noise is only estimated)"
    if high <= level:
        verdict = f"significant at level {level:.3g}{known}"
    elif low > level and says_little(result["fragility"]):
        verdict = (
            f"not significant at level {level:.3g}{known}, but the selection leaves almost nothing to test "
            "with: this says neither that the region is real nor that it is noise (see fragility)"
        )
    elif low > level and left_open(result, "information"):
        verdict = (
            f"not significant at level {level:.3g}{known}; the search ended before it was known how much the "
            "selection leaves to test with"
        )
    elif low > level:
        real = ", or as real as it looks: the interval has both" if _has_both(result) else ""
        verdict = f"not significant at level {level:.3g}{known}: this region may well be noise{real}"
    else:
        verdict = f"not decided at level {level:.3g}, which lies between the bounds"
    has_sign = result["hypothesis"] != "global"  # a length has no direction
    extreme = _EXTREME[result["alternative"]] if has_sign else "a difference this large"
    least = BILLION if result["noise"]["level"] == "exact" else MILLION
    return (
        f"if {HYPOTHESES[result['hypothesis']].if_true}, {_frequency(low, high, level, least)} images "
        f"in which the model marks this region would show {extreme}; {verdict}."
    )


def _has_both(result: Mapping[str, Any]) -> bool:
    """Whether no difference and all of a plain one are left possible."""
    found, error, ends = (result[name] for name in ("statistic", "standard_error", "confidence_interval"))
    known = error is not None and ends is not None and None not in ends and abs(found) > PLAIN * error
    return bool(known and all(ends[0] <= x <= ends[1] for x in (0.0, found)))


def _frequency(low: float, high: float, level: float, least: tuple[float, str]) -> str:
    """In so many words; what is rarer than `least` is not told to the last digit."""
    if high >= 0.02:
        ends = [_of_100(p, level) for p in (low, high)]
        return f"about {ends[1]} of 100" if low >= 0.9 * high else f"{ends[0]} to {ends[1]} of 100"
    if high < least[0]:
        return f"fewer than one in {least[1]}"
    about = "about" if low >= 0.9 * high else "at most"
    return f"{about} one in {float(f'{1 / high:.2g}'):,.0f}"


def _of_100(p: float, level: float) -> str:
    """A share of 100 to two digits, and to more where two would give the level itself, or all."""
    told = f"{100 * p:.2g}"
    more = float(told) == 100 > 100 * p or float(told) == float(f"{100 * level:.2g}") != 100 * p
    return f"{100 * p:.{MORE_DIGITS}g}" if more else f"{float(told):g}"
