"""Run a bound model exactly on a part of the line, and at single points, independently."""

from itertools import pairwise

import numpy as np

from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.domains.walker import Tally, walk
from onnx_si.rules.rules import Step, Winner, loosely

LOW, HIGH = -3.0, 3.0


def exactly(program, start, direction, budget=64 << 20):
    """Each output as a list of `PiecewiseLinear` on consecutive parts of [LOW, HIGH]."""
    segment = line_segment(start, direction, LOW, HIGH)
    parts = list(walk(program, ExactDomain(budget=budget).apply, segment, Tally()))
    return {name: [part[name] for part in parts] for name in program.outputs}


def at_points(program, images):
    """Every output at single images (n, *shape): each rule evaluated there, no knots involved."""
    values = {program.input: np.asarray(images, dtype=np.float64)}
    for step in program.instructions:
        values[step.output] = loosely(step.rule, *(values[name] for name in step.inputs))
    return {name: values[name] for name in program.outputs}


def on_line(start, direction, z):
    """Images start + direction * z."""
    return start + direction * np.asarray(z, dtype=np.float64).reshape(-1, *(1,) * start.ndim)


def between_knots(f, z):
    """The value of a `PiecewiseLinear` at points that are no knots."""
    interval = np.clip(f.knots.searchsorted(z, "right") - 1, 0, len(f.knots) - 2)
    low, high = f.knots[interval], f.knots[interval + 1]
    share = ((z - low) / (high - low)).reshape(-1, *(1,) * (f.values.ndim - 1))
    return (1 - share) * f.values[interval] + share * f.values[interval + 1]


def sample_points(f, rng, count=40):
    """Points inside intervals: the middle of each, close to its ends, and random ones; none is a knot."""
    low, high = f.knots[:-1], f.knots[1:]
    wide = high - low > 1e-5
    low, high = low[wide], high[wide]
    near = np.concatenate(
        [low + 1e-6, high - 1e-6, 0.5 * (low + high), rng.uniform(f.knots[0], f.knots[-1], count)]
    )
    to_knot = np.abs(near[:, None] - f.knots).min(axis=1)
    return near[to_knot > 1e-7]


def assert_exact(program, start, direction, budget=64 << 20, tolerance=1e-9, seed=0):
    """The exact domain agrees with the truth at, around and between all knots; gives the outputs' parts."""
    rng = np.random.default_rng(seed)
    outputs = exactly(program, start, direction, budget)
    for name, parts in outputs.items():
        assert parts[0].knots[0] == LOW
        assert parts[-1].knots[-1] == HIGH
        for before, after in pairwise(parts):
            assert before.knots[-1] == after.knots[0]
        for f in parts:
            assert np.all(np.diff(f.knots) >= 0)
            z = sample_points(f, rng)
            truth = at_points(program, on_line(start, direction, z))[name]
            scale = 1 + np.abs(truth)
            error = np.abs(between_knots(f, z) - truth) / scale
            assert error.max(initial=0.0) <= tolerance, f"{name} is off by {error.max()} between knots"
            assert np.unique(f.knots, return_counts=True)[1].max() <= 2, "more than two knots at one place"
            if not any(isinstance(step.rule, Step | Winner) for step in program.instructions):
                _assert_at_knots(name, f, program, start, direction, tolerance)
    return outputs


def _assert_at_knots(name, f, program, start, direction, tolerance):
    """Without jumps the value at a knot is the truth; at a jump a single point may be anything."""
    truth = at_points(program, on_line(start, direction, f.knots))[name]
    error = np.abs(f.values - truth) / (1 + np.abs(truth))
    assert error.max(initial=0.0) <= tolerance, f"{name} is off by {error.max()} at a knot"
