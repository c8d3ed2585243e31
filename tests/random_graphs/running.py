"""Samples through `onnx_si.test` and the judge; the outcome of each, and of all."""

import re
import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx

import onnx_si
from onnx_si.graph import model_from_proto

from .judge import Disagreement, judged
from .sample import sample_of


@dataclass(frozen=True)
class Outcome:
    """`status`: tested, no_region or refused; `reason` of the last two, without the numbers in it."""

    sample: object
    status: str
    reason: str = ""
    disagreements: tuple = ()
    points: int = 0

    def __str__(self):
        sample = self.sample
        lines = [f"seed {sample.seed}: {', '.join(sample.recipes)}; {sample.options}"]
        lines += [f"    {one}" for one in self.disagreements]
        return "\n".join([*lines, f"    PYTHONPATH=tests python -m random_graphs --seed {sample.seed}"])


@dataclass
class Summary:
    """Of many outcomes."""

    counts: Counter = field(default_factory=Counter)
    reasons: Counter = field(default_factory=Counter)
    ops: set = field(default_factory=set)
    wrong: list = field(default_factory=list)
    points: int = 0

    def add(self, outcome):
        self.counts[outcome.status] += 1
        if outcome.reason:
            self.reasons[outcome.reason] += 1
        self.ops |= outcome.sample.ops
        self.points += outcome.points
        if outcome.disagreements:
            self.wrong.append(outcome)

    def __str__(self):
        kinds = Counter(outcome.disagreements[0].kind for outcome in self.wrong)
        lines = [
            f"{dict(self.counts)}, {self.points} points, {len(self.ops)} kinds of op, wrong {dict(kinds)}"
        ]
        return "\n".join(lines + [f"  {n} {reason}" for reason, n in self.reasons.most_common(20)])


def options_of(sample):
    """What the runtime would notice stays off where it can be chosen: the exact search itself is judged."""
    return {**sample.options, "verify": 0, "engine": "exact"}


def outcome_of(sample):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = model_from_proto(sample.proto)
            references = list(sample.references) or None
            result = onnx_si.test(model, sample.image, references, **options_of(sample))
    except onnx_si.NothingToTest as error:
        return Outcome(sample, "no_region", _short(error))
    except onnx_si.OnnxSIError as error:
        return Outcome(sample, "refused", _short(error))
    except Exception as error:  # a crash is a disagreement too
        return Outcome(sample, "crashed", "", (Disagreement("crash", f"{type(error).__name__}: {error}"),))
    found, points = judged(sample, result)
    return Outcome(sample, "tested", "", tuple(found), points)


def _short(error):
    return f"{type(error).__name__}: " + re.sub(r"'[^']*'|[-\d.e+]*\d", "#", str(error))[:110]


def run(seeds, ties=None, say=None, **options):
    """Every seed, one after the other."""
    summary = Summary()
    for seed in seeds:
        outcome = outcome_of(sample_of(seed, ties, **options))
        summary.add(outcome)
        if say is not None and outcome.disagreements:
            say(str(outcome))
    return summary


def save(sample, folder):
    """Model, image and references as files, and the command that tests them."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"seed_{sample.seed}"
    onnx.save(sample.proto, f"{stem}.onnx")
    np.save(f"{stem}.npy", sample.image)
    words = ["python -m onnx_si", f"{stem}.onnx", f"{stem}.npy"]
    for number, reference in enumerate(sample.references):
        np.save(f"{stem}_reference_{number}.npy", reference)
        words += ["--reference", f"{stem}_reference_{number}.npy"]
    for name, value in sample.options.items():
        if value is not None and name != "p_value_only":
            words.append(f"--{name}={value}")
    return " ".join(words)
