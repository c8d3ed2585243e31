"""Answers one job with si4onnx, inside the peer's own environment: `python peer_worker.py JOB [--core N]`.

si4onnx thresholds a graph output, so it gets the network that already ends in its saliency map.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import harness


def work(job: harness.Job) -> dict[str, Any]:
    import numpy as np
    import onnx
    import si4onnx
    import torch

    torch.set_num_threads(1)
    spec = job.spec
    data = np.load(job.data)
    image = torch.from_numpy(data["image"]).double()
    threshold, normalised = _threshold(spec["threshold"])
    hypothesis_class = {"mean": si4onnx.ReferenceMeanDiff, "background": si4onnx.BackMeanDiff}[
        spec["hypothesis"]
    ]
    question: Any = image
    if spec["hypothesis"] == "mean":
        question = (image, torch.from_numpy(data["reference"]).double())
    model = si4onnx.load(
        onnx.load(job.peer_model),
        hypothesis_class(threshold=threshold, use_norm=normalised),
        memoization=spec["memoization"],
    )
    options: dict[str, Any] = {"precision": spec["precision"], "max_iter": 10_000_000}
    if spec["alternative"] not in ("two-sided", "two-sided-abs"):
        raise ValueError(f"no such question for the peer: {spec['alternative']}")
    absolute = spec["alternative"] == "two-sided-abs"
    watch = Watch(model, spec["precision"], absolute)
    if absolute or spec["time_limit"] is not None:
        options["termination_criterion"] = watch
    program = f"si4onnx {version('si4onnx')}, sicore {version('sicore')}, torch {version('torch')}"

    try:
        result, timing = harness.measure(
            job, lambda: model.inference(question, var=float(spec["sigma"]) ** 2, **options)
        )
    except harness.OutOfTime:
        bounds = [float(bound) for bound in watch.bounds]
        return {"program": program, **harness.cut_off(job), "p_value_bounds": bounds, "pieces": watch.pieces}

    bounds, p_value = [float(result.inf_p), float(result.sup_p)], float(result.p_value)
    if absolute:
        bounds = absolute_bounds(model.si_calculator, *_standardised(result, model.si_calculator.stat_scale))
        p_value = None
    region = np.asarray(result.roi).reshape(-1).astype(bool)
    answer = {
        "program": program,
        **timing,
        "p_value": p_value,
        "p_value_bounds": bounds,
        "pieces": int(result.search_count),
        "pieces_in_region": int(result.detect_count),
        "truncation_intervals": len(result.truncated_intervals),
        "statistic": float(result.stat),
        "standard_error": float(result.null_rv.std()),
        "region_pixels": int(region.sum()),
        "region_hex": np.packbits(region).tobytes().hex(),
    }
    if spec["verify_points"]:
        answer["verify"] = verify(job, model.si_calculator, result, region, spec["verify_points"])
    return answer


class Watch:
    """The peer's own stopping rule "bounds closer than the precision", which remembers how far it got.

    sicore takes a stopping rule from outside; without one it evaluates the same bounds after every piece.
    """

    def __init__(self, model: Any, precision: float, absolute: bool):
        self._model, self._precision, self._absolute = model, precision, absolute
        self.bounds: Any = [0.0, 1.0]
        self.pieces = 0

    def __call__(self, searched: Any, truncated: Any) -> bool:
        calculator = self._model.si_calculator
        if self._absolute:
            self.bounds = absolute_bounds(calculator, searched, truncated)
        else:
            self.bounds = calculator._evaluate_pvalue_bounds(searched, truncated)
        self.pieces += 1
        return bool(self.bounds[1] - self.bounds[0] < self._precision)


def _threshold(threshold: float | str) -> tuple[float, bool]:
    if isinstance(threshold, str):
        return float(threshold.removeprefix("minmax:")), True
    return threshold, False


def _standardised(result: Any, scale: float) -> tuple[Any, Any]:
    """Searched and truncated intervals in units of the standard error."""
    import numpy as np
    from sicore import RealSubset

    return tuple(
        RealSubset(np.asarray(intervals) / scale)
        for intervals in (result.searched_intervals, result.truncated_intervals)
    )


def absolute_bounds(calculator: Any, searched: Any, truncated: Any) -> list[float]:
    """Bounds of P(|T| >= |t|, given the region) from si4onnx's search; it has no such alternative."""
    import numpy as np
    from sicore import RealSubset
    from sicore.core.dist import compute_log_area

    t = abs(calculator.stat)
    inner = RealSubset([[-t, t]])
    unknown = ~searched

    def area(subset: Any) -> float:
        return 0.0 if subset.is_empty() else float(np.exp(compute_log_area(calculator.null_rv, subset)))

    tail, core = area(truncated - inner), area(truncated & inner)
    return [
        tail / (tail + core + area(unknown & inner)),
        (tail + area(unknown - inner)) / (tail + area(unknown - inner) + core),
    ]


def verify(job: harness.Job, calculator: Any, result: Any, region: Any, points: int) -> dict[str, Any]:
    """Check the truncation set against plain forward passes by the `onnx` reference evaluator in float64.

    Draws points of the searched line, half of them near the observed statistic, leaves out those closer than
    1e-6 standard errors to an end of an interval, and counts where "same region" and "in the set" differ.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(job.saliency_model)
    scales = {node.input[2] for node in model.graph.node if node.op_type == "Resize"}
    for tensor in model.graph.initializer:
        if tensor.name not in scales:
            values = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    evaluator = ReferenceEvaluator(model)
    threshold, normalised = _threshold(job.spec["threshold"])
    searched, truncated = _standardised(result, calculator.stat_scale)
    rng = np.random.default_rng(0)
    stat = calculator.stat
    z = np.concatenate(
        [stat + rng.normal(size=points) * 10.0 ** rng.uniform(-3, 0, points), rng.normal(size=points) * 2]
    )
    ends = np.concatenate([searched.intervals.ravel(), truncated.intervals.ravel()])
    ends = np.sort(ends[np.isfinite(ends)])
    z = np.array([v for v in z if v in searched and np.min(np.abs(ends - v), initial=np.inf) > 1e-6])
    pixels = region.size
    a, b = (np.asarray(v)[:pixels] for v in (calculator.a, calculator.b))
    shape = model.graph.input[0].type.tensor_type.shape.dim
    side = [d.dim_value for d in shape][2:]
    different, inside = 0, 0
    for value in z:
        values = evaluator.run(None, {"image": (a + b * value).reshape(1, 1, *side)})[0].reshape(-1)
        if normalised:
            values = (values - values.min()) / np.ptp(values)
        same = bool(np.array_equal(values > threshold, region))
        inside += same
        different += same != (value in truncated)
    return {"points": len(z), "same_region": inside, "different": different}


if __name__ == "__main__":
    harness.run(work)
