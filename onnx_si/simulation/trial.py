"""One trial: draw an image, test it, keep the p-values."""

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.prepare import Analysis, prepare
from onnx_si.errors import Contradicted, InputError, NothingToTest
from onnx_si.graph import load
from onnx_si.ground.machine import one_blas_thread
from onnx_si.report import Result
from onnx_si.report.region import component_masks
from onnx_si.simulation.draws import Signalled
from onnx_si.simulation.plan import Plan, without_noise

Array = NDArray[np.float64]
Square = tuple[slice, ...]


@dataclass(frozen=True)
class Part:
    """A connected component of a region: whether it touches the square that holds the signal, and its
    p-values; None where it has no test.
    """

    touches: bool
    p_value: float | None
    p_value_adjusted: float | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one trial gave: p-values by method, or `tested` false where there was no region.

    `missing` says, by method, why there is no p-value. `parts` are the components, where they are tested.
    `contradicted` tells whether the deployed runtime contradicted the test.
    """

    signal: float
    trial: int
    tested: bool
    p_values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    contradicted: bool = False

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Outcome":
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**content, "parts": tuple(Part(**part) for part in content["parts"])})


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The images of one trial, where the square is (None: there is no signal), the standard deviation that
    the test is told, and the seed of the test's own draws.
    """

    image: Array
    references: Array
    noise_images: Array
    square: Square | None
    told_sigma: float
    seed: int


def draw(plan: Plan, signal: float, trial: int) -> Drawn:
    """The images of a trial: functions of seed and trial number alone, so that no number depends on the
    workers. Trials of the same number have the same noise under every signal, on the same base for image,
    references and images of noise.
    """
    streams = np.random.SeedSequence(plan.seed, spawn_key=(trial,)).spawn(6)
    rngs = [np.random.default_rng(stream) for stream in streams]
    base = 0.0 if plan.base is None else plan.base.drawn(rngs[5])
    square = _square(plan, rngs[2]) if signal else None
    added = np.zeros(plan.shape)
    if square is not None:
        added[square] = signal
    if isinstance(plan.noise, Signalled):
        image = plan.noise.image(rngs[0], added)
    else:
        image = _noise(plan, rngs[0], 1)[0] + base + added
    seed = int(rngs[3].integers(2**31))
    others = _noise(plan, rngs[1], plan.references + plan.noise_images) + base
    references, noise_images = np.split(others, [plan.references])
    return Drawn(
        image=image,
        references=references,
        noise_images=noise_images,
        square=square,
        told_sigma=_told_sigma(plan, rngs[4]),
        seed=seed,
    )


def _noise(plan: Plan, rng: np.random.Generator, count: int) -> Array:
    """So many images of noise, on a new first axis."""
    if plan.covariance is not None:
        drawn = [plan.covariance.sample(rng, plan.shape) for _ in range(count)]
        return np.array(drawn).reshape(count, *plan.shape)
    if isinstance(plan.noise, Signalled):
        return plan.noise.image(rng, np.zeros((count, *plan.shape)))
    axes = tuple(axis + 1 for axis in plan.axes)
    return plan.sigma * plan.noise.sample(rng, (count, *plan.shape), axes)


def _told_sigma(plan: Plan, rng: np.random.Generator) -> float:
    """The standard deviation, or an independent estimate of it: sigma times the root of chi-squared / df."""
    freedom = plan.options.get("sigma_df")
    return plan.sigma if freedom is None else plan.sigma * math.sqrt(rng.chisquare(freedom) / freedom)


def _square(plan: Plan, rng: np.random.Generator) -> Square:
    """A square (a cube, a stretch) at a random place, in all channels."""
    place = [slice(None)] * len(plan.shape)
    for axis in plan.axes:
        start = int(rng.integers(plan.shape[axis] - plan.size + 1))
        place[axis] = slice(start, start + plan.size)
    return tuple(place)


def run_trial(plan: Plan, signal: float, trial: int) -> Outcome:
    """Draw and test.

    Raises
    ------
    UsageError, InputError, UnsupportedModel
        If the test can't be done with this model or these options.
    """
    with one_blas_thread():
        drawn = draw(plan, signal, trial)
        how: dict[str, Any] = {"seed": drawn.seed, "mask": plan.mask}
        if plan.knows == "sigma":
            how["sigma"] = drawn.told_sigma
        elif plan.knows == "covariance":
            how["covariance"] = plan.covariance
        how["noise_from"] = list(drawn.noise_images)
        try:
            result = _analysis(plan).test(drawn.image, list(drawn.references) or None, **how)
        except NothingToTest:
            return Outcome(signal=signal, trial=trial, tested=False)
        except Contradicted as error:
            missing = dict.fromkeys(plan.methods, str(error))
            return Outcome(signal=signal, trial=trial, tested=True, missing=missing, contradicted=True)
    return _outcome(plan, signal, trial, result, drawn.square)


def _outcome(plan: Plan, signal: float, trial: int, result: Result, square: Square | None) -> Outcome:
    found, missing = {"selective": float(result.p_value)}, dict(result.comparison.reasons)
    for method in plan.methods:
        value = getattr(result.comparison, method.replace("-", "_"), None)
        if value is not None:
            found[method] = float(value)
    named = {method: missing[key] for method in plan.methods if (key := method.replace("-", "_")) in missing}
    parts = tuple(_parts(plan, result, square)) if plan.options.get("components") else ()
    return Outcome(signal=signal, trial=trial, tested=True, p_values=found, missing=named, parts=parts)


def _parts(plan: Plan, result: Result, square: Square | None) -> Iterator[Part]:
    place = None if square is None else tuple(square[axis] for axis in plan.axes)
    for mask, test_ in zip(component_masks(result.region), result.component_tests, strict=True):
        touches = place is not None and bool(mask[place].any())
        yield Part(touches, test_.p_value, test_.p_value_adjusted)


@dataclass(frozen=True)
class _Asked:
    """What an analysis is made of, to be told apart by its text."""

    text: str
    plan: Plan = field(compare=False)


def _analysis(plan: Plan) -> Analysis:
    return _prepared(_Asked(repr((plan.path, plan.sha256, plan.knows, sorted(plan.options.items()))), plan))


@functools.lru_cache(maxsize=1)  # each worker reads the file and makes the model ready once
def _prepared(asked: _Asked) -> Analysis:
    plan = asked.plan
    model = load(plan.path)
    if model.sha256 != plan.sha256:
        raise InputError(f"{plan.path} was changed while the simulation ran; run it again")
    known = model if plan.knows == "sigma" else without_noise(model)
    return prepare(known, **{**plan.options, "p_value_only": True})
