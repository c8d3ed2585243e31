"""The certified engine on whole networks: against a dense scan, the runtime, and the exact engine."""

import dataclasses
import functools

import numpy as np
import pytest
from domains.test_enclosure import EXTENDED
from support import nets, smooth_nets

import onnx_si
from onnx_si.analysis.prepare import prepare
from onnx_si.domains.polynomial import interpolated
from onnx_si.domains.polynomial.domain import Polynomials
from onnx_si.engines.proving import Certified
from onnx_si.errors import UnsupportedModel, UnsupportedOp
from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated import Normal, p_value_bounds

U_NET = functools.partial(smooth_nets.unet, size=12, width=3)
NETS = {
    "tanh U-Net": (functools.partial(U_NET, act="Tanh"), {"threshold": 0.5}),
    "LeakyRelu U-Net": (U_NET, {"threshold": 0.5}),
    "squeeze and excitation, cam": (functools.partial(smooth_nets.squeeze_excite, size=8, width=3), {}),
    "squeeze and excitation, gradcam": (
        functools.partial(smooth_nets.squeeze_excite, size=8, width=3),
        {"saliency": "gradcam", "threshold": "max:0.5", "target": 1},
    ),
    "transformer": (smooth_nets.transformer, {"threshold": 0.2}),
    "transformer, fused": (functools.partial(smooth_nets.transformer, fused=True), {"threshold": 0.2}),
    "batch statistics": (
        functools.partial(smooth_nets.batch_norm_in_training, size=8),
        {"threshold": "max:0.5"},
    ),
    "ConvNeXt": (functools.partial(smooth_nets.convnext, size=6), {"threshold": "minmax:0.6"}),
    "classes of pixels": (
        functools.partial(smooth_nets.softmax_segmentation, size=8),
        {"saliency": "output:map", "target": 1, "threshold": 0.4},
    ),
    "group normalisation": (functools.partial(smooth_nets.group_norm, size=8), {"threshold": "max:0.4"}),
    "local response": (functools.partial(smooth_nets.local_response, size=8), {"threshold": "top:0.2"}),
    **{
        op: (functools.partial(smooth_nets.one_activation, op, size=8), {"threshold": level})
        for op, level in (
            ("Gelu", 0.3),
            ("Mish", 0.3),
            ("HardSwish", 0.3),
            ("Elu", 0.3),
            ("Softplus", 1.0),
            ("Sin", 0.3),
        )
    },
}
SCANNED = 400  # places between -4 and 4 standard errors, and around the statistic


def certified(make, seed=0, precision=1e-4, **options):
    """A certified test of a random image, and the selection that it was of."""
    model = make(seed)
    rng = np.random.default_rng([seed, 7])
    shape = [n if isinstance(n, int) else 1 for n in model.inputs[0].shape]
    options = {"sigma": 1.0, "engine": "certified", **options}
    if options["engine"] != "monte-carlo":
        options["precision"] = precision
    return onnx_si.test(model, rng.normal(size=shape), **options)


class Seen:
    """Lets a test look at what the engine was asked, and take another order for it."""

    def __init__(self, monkeypatch, order=None):
        plain = Certified.answer

        def answer(engine, line, event, how, progress=None):
            if order is not None:
                engine = dataclasses.replace(engine, domain=Polynomials(order))
            self.engine, self.line, self.event = engine, line, event
            self.answer = plain(engine, line, event, how, progress)
            return self.answer

        monkeypatch.setattr(Certified, "answer", answer)

    def holds(self, places):
        """Whether the event holds at single places, by a plain evaluation."""
        line, program = self.line, self.engine.program
        live = {program.input: line.start + line.direction * places.reshape(-1, *(1,) * line.start.ndim)}
        for step in program.instructions:
            live[step.output] = step.rule.evaluate(*(live[name] for name in step.inputs))
        margin = live[self.engine.margin]
        matters = self.event.pixels
        return np.array([((m > 0) == self.event.observed)[matters].all() for m in margin])


@pytest.mark.parametrize("name", NETS)
def test_s_is_what_a_dense_scan_finds(name, monkeypatch, order=None):
    make, options = NETS[name]
    seen = Seen(monkeypatch, order)
    result = certified(make, **options)
    assert result.guarantee == "certified"
    low, high = result.p_value_bounds
    assert 0 <= low <= result.p_value <= high <= 1
    assert high - low <= 1e-4 or not result.search.complete
    line, inside, undecided = seen.line, result.truncation, result.undecided
    se, at = line.standard_error, line.statistic
    assert inside.contains(at)
    ends = inside.bounds[np.isfinite(inside.bounds)]
    places = np.concatenate(
        [
            np.linspace(-4 * se, 4 * se, SCANNED),
            at + se * np.concatenate([-np.geomspace(1e-5, 1, 50), np.geomspace(1e-5, 1, 50)]),
            *(ends + side * se * 1e-5 for side in (-1, 1)),
        ]
    )
    known = np.array([not undecided.contains(z) and np.abs(ends - z).min() > 1e-8 * se for z in places])
    found = np.array([inside.contains(z) for z in places])
    np.testing.assert_array_equal(seen.holds(places)[known], found[known])
    assert known.mean() > 0.9
    assert found[known].any()
    assert not found[known].all()


@pytest.mark.parametrize("name", ["tanh U-Net", "Gelu", "transformer"])
def test_the_runtime_agrees(name):
    make, options = NETS[name]
    parity = certified(make, verify=64, **options).parity
    assert parity.points > 40
    assert parity.agreeing + parity.too_near == parity.points
    assert parity.agreeing > 20


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (functools.partial(nets.cam_nchw, size=4), {"threshold": "max:0.5"}),
        (functools.partial(nets.map_net, size=3), {"threshold": 0.2}),
        (functools.partial(nets.gated_net, size=3), {"threshold": 0.5}),
    ],
    ids=["cam", "map", "gates"],
)
def test_the_exact_engine_agrees_where_both_can(make, options):
    proven, exact = (certified(make, 3, engine=engine, **options) for engine in ("certified", "exact"))
    assert proven.p_value_bounds[0] <= exact.p_value_bounds[1]
    assert exact.p_value_bounds[0] <= proven.p_value_bounds[1]
    certain = exact.truncation.union(exact.undecided)
    assert not proven.truncation.subtract(certain).bounds.size or (
        np.diff(proven.truncation.subtract(certain).bounds, axis=1).max() < 1e-9
    )


def test_the_bounds_hold_the_p_value_of_s_at_every_precision(monkeypatch):
    """Of nested sets: the p-value of a finer search lies between the bounds of a coarser one."""
    make, options = NETS["Mish"]
    fine = certified(make, precision=1e-5, **options)
    for precision in (0.5, 0.1, 1e-2, 1e-3):
        low, high = certified(make, precision=precision, **options).p_value_bounds
        assert low <= fine.p_value_bounds[1]
        assert fine.p_value_bounds[0] <= high
    law = Normal(0.0, fine.standard_error)
    of_s = p_value_bounds(law, fine.truncation, Intervals.empty(), fine.statistic, "two-sided-abs")
    assert fine.p_value_bounds[0] <= of_s[1]
    assert of_s[0] <= fine.p_value_bounds[1]


def test_an_interval_that_is_proven():
    make, options = NETS["Gelu"]
    result = certified(make, **options)
    low, high = result.confidence_interval
    assert low < result.estimate < high
    assert result.to_dict()["confidence_interval_level"] == "exact"


def test_what_is_known_by_its_values_only_is_refused_by_name():
    with pytest.raises(UnsupportedOp, match=r"can't be certified(.|\n)*GRU"):
        certified(functools.partial(smooth_nets.recurrent, size=6), threshold=0.2)


def test_a_region_that_rounding_may_decide_is_refused_in_words(monkeypatch):
    """As in a network so deep that its remainders never shrink below the margins."""
    plain = interpolated.value

    def coarse(rule, x):
        values, off = plain(rule, x)
        return values, off + 1e-6

    monkeypatch.setattr(interpolated, "value", coarse)
    make, _ = NETS["Gelu"]
    model, image = make(0), np.random.default_rng([0, 7]).normal(size=(1, 1, 8, 8))
    (values,) = onnx_si.evaluate(model, {"x": image}).values()
    edge = float(np.sort(values.ravel())[-3]) - 1e-8
    with pytest.raises(UnsupportedModel, match=r"what rounding may do.*--engine monte-carlo"):
        certified(make, threshold=edge)


def test_equal_values_at_the_edge_of_a_share_are_refused():
    """A map that is zero in many places: of equal numbers no bound says that they stay equal."""
    make = functools.partial(nets.map_net, size=6, last="Relu")
    with pytest.raises(UnsupportedModel, match="equal values"):
        for seed in range(8):
            certified(make, seed, threshold="top:0.9")


def test_a_time_limit_ends_it_with_true_bounds():
    make, options = NETS["LeakyRelu U-Net"]
    fine = certified(make, **options)
    result = certified(make, time_limit=1e-3, **options)
    assert not result.search.complete
    assert result.p_value_bounds[0] <= fine.p_value <= result.p_value_bounds[1]
    assert any("time limit" in text for text in result.warnings)


@pytest.mark.parametrize("lost", [False, True], ids=["whole", "lost"])
def test_a_lost_remainder_is_noticed(lost, monkeypatch):
    """Without what interpolation is off by, wide cells are settled wrongly: the scan above sees it."""
    if not lost:
        test_s_is_what_a_dense_scan_finds("Sin", monkeypatch, 1)
        return
    monkeypatch.setattr(interpolated, "composed", lambda outer, inner: np.zeros_like(outer[0]))
    with pytest.raises((AssertionError, UnsupportedModel)):
        test_s_is_what_a_dense_scan_finds("Sin", monkeypatch, 1)


def test_a_large_remainder_that_stays_is_not_taken_for_rounding():
    """That of a bounded function does not shrink at first; cells are narrowed until it does."""
    result = certified(functools.partial(U_NET, act="Tanh"), 3, precision=1e-3, threshold=0.5)
    assert result.search.complete
    assert result.search.cells < 1000


def test_one_analysis_serves_many_images():
    make, options = NETS["Gelu"]
    analysis = prepare(make(0), sigma=1.0, engine="certified", **options)
    rng = np.random.default_rng(1)
    values = {analysis.test(rng.normal(size=(8, 8))).p_value for _ in range(3)}
    assert len(values) == 3


@pytest.fixture
def in_double_precision(monkeypatch):
    """As on a machine without longer numbers."""
    monkeypatch.setattr(Polynomials, "finer", None)


@EXTENDED
def test_ends_are_as_close_as_wanted_in_long_numbers():
    """In double precision they are 1e-9 apart, after five times the work."""
    make, options = NETS["tanh U-Net"]
    fine, coarse = (certified(make, precision=precision, **options) for precision in (1e-10, 1e-4))
    (low, high), bounds = fine.p_value_bounds, coarse.p_value_bounds
    assert fine.search.complete
    assert high - low <= 1e-10
    assert bounds[0] <= low <= high <= bounds[1]


@EXTENDED
def test_an_image_within_the_rounding_of_double_precision_is_tested_in_long_numbers(request):
    """A pixel's margin is less than what rounding leaves of it, as far as that can be bounded."""
    make, options = NETS["tanh U-Net"]
    model, rng = make(0), np.random.default_rng([0, 7])
    shape = [n if isinstance(n, int) else 1 for n in model.inputs[0].shape]
    values = onnx_si.evaluate(model, {model.inputs[0].name: rng.normal(size=shape)})[model.outputs[0].name]
    options = {**options, "threshold": float(np.sort(values.ravel())[values.size // 2]) - 1e-12, "verify": 0}
    result = certified(make, **options)
    low, high = result.p_value_bounds
    assert high - low <= 1e-4
    request.getfixturevalue("in_double_precision")
    for engine in ("certified", "auto"):  # chains would be a choice made by where the image is
        with pytest.raises(UnsupportedModel, match="what rounding may do"):
            certified(make, **{**options, "engine": engine})
    assert certified(make, **{**options, "engine": "monte-carlo", "draws": 19}).guarantee == "monte-carlo"


@EXTENDED
def test_the_scan_agrees_where_every_cell_is_asked_in_long_numbers(monkeypatch):
    plain = Polynomials.prepared

    def prepared(domain, program):
        found, made = plain(domain, program)
        return dataclasses.replace(found, longer=True), made

    monkeypatch.setattr(Polynomials, "prepared", prepared)
    test_s_is_what_a_dense_scan_finds("squeeze and excitation, cam", monkeypatch)
