"""One trial: draw an image, test it, keep the p-values."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError, NothingToTest
from onnx_si.graph import Model, load
from onnx_si.run import test
from onnx_si.simulate.plan import Plan, without_noise

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What one trial gave: p-values by method, or `tested` false where there was no region.

    `missing` says, by method, why there is no p-value.
    """

    signal: float
    trial: int
    tested: bool
    p_values: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawn:
    """The images of one trial, and the seed of the test's own draws."""

    image: Array
    references: Array
    noise_images: Array
    seed: int


def draw(plan: Plan, signal: float, trial: int) -> Drawn:
    """The images of a trial: functions of seed and trial number alone, so that no number depends on the
    workers. Trials of the same number have the same noise under every signal.
    """
    streams = np.random.SeedSequence(plan.seed, spawn_key=(trial,)).spawn(4)
    rngs = [np.random.default_rng(stream) for stream in streams]

    def noise(rng: np.random.Generator, count: int) -> Array:
        axes = tuple(axis + 1 for axis in plan.axes)
        return plan.sigma * plan.noise.sample(rng, (count, *plan.shape), axes)

    image = noise(rngs[0], 1)[0]
    if signal:
        image[_square(plan, rngs[2])] += signal
    seed = int(rngs[3].integers(2**31))
    references, others = np.split(noise(rngs[1], plan.references + plan.noise_images), [plan.references])
    return Drawn(image, references, others, seed)


def _square(plan: Plan, rng: np.random.Generator) -> tuple[slice, ...]:
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
    drawn = draw(plan, signal, trial)
    how: dict[str, Any] = {**plan.options, "seed": drawn.seed, "p_value_only": True}
    if plan.knows == "sigma":
        how["sigma"] = plan.sigma
    noise_from = list(drawn.noise_images)
    try:
        result = test(_model(plan), drawn.image, list(drawn.references) or None, noise_from=noise_from, **how)
    except NothingToTest:
        return Outcome(signal, trial, tested=False)
    found, missing = {"selective": float(result.p_value)}, dict(result.comparison.reasons)
    for method in plan.methods:
        value = getattr(result.comparison, method.replace("-", "_"), None)
        if value is not None:
            found[method] = float(value)
    named = {method: missing[key] for method in plan.methods if (key := method.replace("-", "_")) in missing}
    return Outcome(signal, trial, True, found, named)


def _model(plan: Plan) -> Model:
    return _loaded(plan.path, plan.sha256, plan.knows == "sigma")


@functools.lru_cache(maxsize=1)  # each worker reads the file once
def _loaded(path: str, sha256: str, states_noise: bool) -> Model:
    model = load(path)
    if model.sha256 != sha256:
        raise InputError(f"{path} was changed while the simulation ran; run it again")
    return model if states_noise else without_noise(model)
