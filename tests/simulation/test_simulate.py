"""Simulations: the same numbers whatever the workers and interruptions, and what the counts say."""

import copy
import dataclasses
import json
import sys
import types

import numpy as np
import onnx
import pytest
from scipy import stats
from support import nets
from threadpoolctl import threadpool_info

import onnx_si
from onnx_si.analysis.prepare import Analysis
from onnx_si.cli.main import main
from onnx_si.errors import InputError, NothingToTest, UsageError
from onnx_si.ground import machine
from onnx_si.ground.budget import budget, status
from onnx_si.ground.intervals import Intervals
from onnx_si.simulation import pool
from onnx_si.simulation.asked import Wish
from onnx_si.simulation.draws import Noise
from onnx_si.simulation.experiment import simulate
from onnx_si.simulation.figure import figure_of
from onnx_si.simulation.interrupted import finished
from onnx_si.simulation.method_rows import summarise
from onnx_si.simulation.part_rows import summarise_parts
from onnx_si.simulation.plan import plan_of
from onnx_si.simulation.trial import Outcome, Part, draw, run_trial

METHODS = ("selective", "naive")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny net whose region is empty now and then under its threshold."""
    path = tmp_path_factory.mktemp("simulate") / "model.onnx"
    onnx.save(nets.map_net(seed=3, size=6).proto, path)
    return onnx_si.load(path)


def run(model, count, signals=(0.0,), **options):
    settings = {"references": 1, "threshold": "max:0.5", "methods": METHODS, "jobs": 1, **options}
    return simulate(model, signals, trials=count, **settings)


def content(simulation):
    """The document without what differs from run to run."""
    return {key: value for key, value in simulation.to_dict().items() if key != "seconds"}


def test_contradictions_are_counted_and_have_no_p_value(model, monkeypatch):
    assert run(model, 4, verify=32).to_dict()["contradicted"] == 0
    own = sys.modules["onnx_si.engines.exact"].search

    def wrong(program, margin, line, *rest):
        found = own(program, margin, line, *rest)
        return dataclasses.replace(found, inside=Intervals.line(), undecided=Intervals.empty())

    monkeypatch.setattr(sys.modules["onnx_si.engines.exact"], "search", wrong)
    found = run(model, 4, verify=32)
    row = found.rows[0]
    assert found.to_dict()["contradicted"] == row.not_computed > 1  # of one image S is nearly the whole line
    assert row.tested + row.not_computed + row.no_region == 4
    assert any("contradicts" in one.missing["selective"] for one in found.outcomes if one.contradicted)
    assert run(model, 4).to_dict()["contradicted"] == 0  # nothing is asked unless it is wanted


# ------------------------------------------------------------------------------------ reproducible


def test_two_workers_give_the_numbers_of_one(model):
    options = {"threshold": 1.2, "components": True, "mask": np.eye(6), "covariance": np.eye(36)}
    one, two = (run(model, 12, (0.0, 2.0), jobs=jobs, **options) for jobs in (1, 2))
    assert one.outcomes == two.outcomes and content(one) == content(two)


def test_a_worker_beside_others_uses_one_core_and_one_blas_thread(model, monkeypatch):
    seen = {}

    def look(*arguments):
        seen[arguments] = machine.cores()

    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(pool, "run_trial", look)
    pool._beside_others("plan", 0.0, 3, 1 << 30, 2 << 30)
    assert seen == {("plan", 0.0, 3): 1} and machine.cores() == 4

    def threads(*arguments, **options):
        assert {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"} == {1}
        raise NothingToTest("looked")

    monkeypatch.setattr(Analysis, "test", threads)
    plan, _, _ = plan_of(model, Wish(references=1))
    assert not run_trial(plan, 0.0, 0).tested


def test_a_worker_holds_its_share(monkeypatch):
    """Counted, and kept by the system."""
    resource = pytest.importorskip("resource")
    if status("VmData") is None:
        pytest.skip("the system tells no memory of a process")
    before, seen = resource.getrlimit(resource.RLIMIT_DATA), []

    def look(*arguments):
        with budget() as whole:
            seen.append((whole.limit, resource.getrlimit(resource.RLIMIT_DATA)[0] - status("VmData")))

    monkeypatch.setattr(pool, "run_trial", look)
    pool._beside_others("plan", 0.0, 3, 1 << 30, 2 << 30)
    ((limit, left),) = seen
    assert limit == 1 << 30 and (2 << 30) - (64 << 20) < left <= 2 << 30
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_model_that_was_used_before_gives_the_same(model):
    """What is kept with a model depends on no image, and not on thresholds or masks of earlier tests."""
    images = [draw(plan_of(model, Wish(references=1))[0], 0.0, number) for number in range(3)]
    for threshold, mask in ((1.2, None), ("max:0.5", None), ("max:0.5", np.eye(6)), (1.2, None)):
        for one in images:
            answers = []
            for used in (model, onnx_si.load(model.path)):
                try:
                    result = onnx_si.test(used, one.image, sigma=1.0, threshold=threshold, mask=mask)
                    answers.append((result.p_value, result.region.tolist()))
                except NothingToTest as error:
                    answers.append(str(error))
            assert answers[0] == answers[1]


def test_a_model_that_was_used_can_be_sent_to_another_process(model):
    """What is kept with it (rules, sessions) stays behind."""
    images = draw(plan_of(model, Wish(references=1))[0], 0.0, 0)
    wanted = onnx_si.test(model, images.image, sigma=1.0, threshold="max:0.5")
    sent = copy.deepcopy(model)  # by the same steps as a pickle
    assert sent == onnx_si.load(model.path)
    assert onnx_si.test(sent, images.image, sigma=1.0, threshold="max:0.5").p_value == wanted.p_value


def test_more_trials_and_other_signals_leave_a_trial_as_it_is(model):
    few, many = run(model, 3, (1.0,)), run(model, 6, (0.0, 1.0))
    assert few.outcomes == tuple(o for o in many.outcomes if o.signal == 1.0)[:3]
    other = run(model, 3, (1.0,), seed=1)
    assert other.outcomes != few.outcomes


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_an_interrupted_run_goes_on(model, tmp_path, cut):
    """Whatever part of the file an interruption leaves."""
    file = tmp_path / "trials.jsonl"
    whole = run(model, 5, resume=str(file), components=True)
    written = file.read_bytes()
    file.write_bytes(written[: len(written) - cut])
    again = run(model, 5, resume=str(file), components=True)
    assert content(again) == content(whole)
    assert file.read_bytes() == written


def test_finished_trials_are_not_run_again(model, tmp_path, monkeypatch):
    file = tmp_path / "trials.jsonl"
    whole = run(model, 4, resume=str(file))
    monkeypatch.setattr(pool, "run_trial", None)
    assert run(model, 4, resume=str(file)).outcomes == whole.outcomes
    with pytest.raises(TypeError):
        run(model, 5, resume=str(file))


def test_a_file_of_another_simulation_is_refused(model, tmp_path):
    file = tmp_path / "trials.jsonl"
    run(model, 2, resume=str(file))
    with pytest.raises(InputError, match="seed is 0, not 7"):
        run(model, 2, resume=str(file), seed=7)
    with pytest.raises(InputError, match="arrays is"):
        run(model, 2, resume=str(file), mask=np.eye(6))
    for damage in (b"hello\n", b"[]\n", file.read_bytes() + b"{}\n", b'{"schema": 1}\n'):
        file.write_bytes(damage)
        with pytest.raises(InputError, match=r"not a file of finished trials"):
            run(model, 2, resume=str(file))
        assert file.read_bytes() == damage


# ------------------------------------------------------------------------------------ draws and tests


def test_a_trial_is_onnx_si_test_on_the_images_drawn(model):
    plan, _, _ = plan_of(model, Wish(references=2), threshold="max:0.5", methods=METHODS, sigma=0.5)
    for trial in range(4):
        drawn = draw(plan, 1.0, trial)
        found = run_trial(plan, 1.0, trial)
        result = onnx_si.test(
            model, drawn.image, list(drawn.references), sigma=0.5, threshold="max:0.5", methods=METHODS
        )
        low, high = result.p_value_bounds
        assert abs(found.p_values["selective"] - high) <= 1e-4 + high - low
        assert found.p_values["naive"] == result.comparison.naive


def test_the_square_has_its_mean_and_lies_inside(model):
    plan, _, _ = plan_of(model, Wish(size=2, references=1))
    places = set()
    for trial in range(40):
        with_signal, without = draw(plan, 3.0, trial), draw(plan, 0.0, trial)
        assert (with_signal.references == without.references).all()
        difference = (with_signal.image - without.image)[0, 0]
        rows, columns = np.nonzero(difference)
        np.testing.assert_allclose(difference[rows, columns], 3.0, rtol=1e-12)
        assert len(rows) == 4 and np.ptp(rows) == np.ptp(columns) == 1
        places.add((int(rows[0]), int(columns[0])))
    assert len(places) > 10


def test_sigma_is_told_or_estimated(tmp_path):
    """A model that states its noise does not tell it to a test that shall estimate it."""
    net = nets.map_net(seed=3, size=6)
    onnx.helper.set_model_props(net.proto, {"onnx_si.noise_std": "2.0"})
    onnx.save(net.proto, tmp_path / "model.onnx")
    model = onnx_si.load(tmp_path / "model.onnx")
    told = run(model, 6, references=None)
    guessed = run(model, 6, references=None, estimate_sigma=True)
    images = run(model, 6, references=None, noise_images=3)
    assert told.plan.sigma == guessed.plan.sigma == 2.0
    assert [s.to_dict()["noise"]["known"] for s in (told, guessed, images)] == [True, False, False]
    assert told.plan.references == 0 and told.settings.hypothesis == "background"
    tested = [[o.p_values for o in s.outcomes if o.tested] for s in (told, guessed, images)]
    assert tested[0] != tested[1] != tested[2] != tested[0]


def test_the_level_holds_and_the_naive_test_fails(tmp_path):
    """Band: exact binomial at 1 in 10,000 for the fixed seed; the naive test on the same draws is outside."""
    net = nets.Net(0, (1, 1, 6, 6))  # marks what is bright around each pixel, so the naive test must fail
    kernel = net.const(np.full((1, 1, 3, 3), 1 / 9))
    onnx.save(
        net.finish(net.add("Relu", net.add("Conv", "x", kernel, pads=[1] * 4))).proto, tmp_path / "m.onnx"
    )
    found = run(onnx_si.load(tmp_path / "m.onnx"), 300, precision=0.01)
    selective, naive = found.rows
    assert selective.tested == naive.tested >= 150
    low, high = stats.binom.ppf((5e-5, 1 - 5e-5), selective.tested, 0.05)
    assert low <= selective.rejected <= high < naive.rejected
    assert selective.ks_p_value > 1e-3 > naive.ks_p_value


def test_a_known_covariance_is_drawn_and_told(model):
    """Draws against the matrix itself; a trial against the public test with the same covariance."""
    rows = 0.6 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    given = {"H": rows, "W": np.eye(6), "variance": np.array(4.0)}
    options = {"threshold": "max:0.5", "methods": ("selective", "naive")}
    plan, _, _ = plan_of(model, Wish(references=1, covariance=given), **options)
    drawn = np.concatenate([draw(plan, 0.0, i).image for i in range(400)])[:, 0]
    columns = np.moveaxis(drawn, 1, 2).reshape(-1, 6)  # along H
    np.testing.assert_allclose(np.cov(columns.T), 4 * rows, atol=0.6)
    one, found = draw(plan, 0.0, 1), run_trial(plan, 0.0, 1)
    result = onnx_si.test(model, one.image, list(one.references), covariance=given, **options)
    assert found.p_values["naive"] == result.comparison.naive
    document = run(model, 2, covariance=given).to_dict()
    assert document["noise"]["known"] and document["noise"]["sigma"] is None
    assert set(document["config"]["arrays"]) == {"covariance"}


def test_an_estimated_sigma_is_another_one_in_each_trial(model):
    """What the test is told is sigma times the root of chi-squared over its degrees of freedom."""
    options = {"threshold": "max:0.5", "sigma": 2.0, "sigma_df": 5}
    plan, _, _ = plan_of(model, Wish(references=1), **options)
    told = np.array([draw(plan, 0.0, i).told_sigma for i in range(300)])
    assert stats.kstest(5 * (told / 2) ** 2, stats.chi2(5).cdf).pvalue > 1e-3
    one, found = draw(plan, 0.0, 0), run_trial(plan, 0.0, 0)
    result = onnx_si.test(model, one.image, list(one.references), **{**options, "sigma": one.told_sigma})
    assert abs(found.p_values["selective"] - result.p_value) <= 1e-4
    document = run(model, 2, **options).to_dict()
    assert document["noise"]["degrees_of_freedom"] == 5 and document["noise"]["known"] is False


def test_pixels_outside_the_mask_are_never_marked(model):
    mask = np.zeros((6, 6))
    mask[:, :3] = 1
    plan, _, _ = plan_of(model, Wish(references=1, mask=mask), threshold="max:0.5", methods=METHODS)
    for trial in range(3):
        one, found = draw(plan, 0.0, trial), run_trial(plan, 0.0, trial)
        result = onnx_si.test(
            model, one.image, list(one.references), sigma=1.0, mask=mask, threshold="max:0.5", methods=METHODS
        )
        assert not result.region[:, 3:].any()
        assert found.p_values["naive"] == result.comparison.naive
        other = onnx_si.test(
            model, one.image, list(one.references), sigma=1.0, threshold="max:0.5", methods=METHODS
        )
        assert (other.region == result.region).all() or other.comparison.naive != result.comparison.naive


def test_images_of_another_size_are_resized(model):
    found = run(model, 3, resize_input="linear", dims={"H": 12, "W": 9})
    assert found.plan.shape == (1, 1, 12, 9) and found.tested
    one = draw(found.plan, 0.0, 0)
    result = onnx_si.test(
        model, one.image, list(one.references), sigma=1.0, threshold="max:0.5", resize_input="linear"
    )
    assert abs(found.outcomes[0].p_values["selective"] - result.p_value) <= 1e-4
    with pytest.raises(UsageError, match="no axis"):
        run(model, 3, resize_input="linear", dims={"D": 12})


def test_components_are_those_of_the_test(model):
    """P-values against the public test, and which of them lie on the square against the images drawn."""
    options = {"threshold": "top:0.2", "components": True}
    plan, _, _ = plan_of(model, Wish(references=1), **options)
    seen = set()
    for trial in range(12):
        one, found = draw(plan, 2.0, trial), run_trial(plan, 2.0, trial)
        result = onnx_si.test(model, one.image, list(one.references), sigma=1.0, **options)
        square = (one.image - draw(plan, 0.0, trial).image)[0, 0] > 1
        wanted = result.to_dict()["region"]["components"]
        assert len(found.parts) == len(wanted)
        for part, other in zip(found.parts, wanted, strict=True):
            (top, bottom), (left, right) = other["bbox"]
            if not square[top:bottom, left:right].any():
                assert not part.touches
            assert part.p_value == pytest.approx(other["p_value"], abs=1e-4)
        assert any(part.touches for part in found.parts) == bool((square & result.region).any())
        seen |= {part.touches for part in found.parts}
    assert seen == {True, False}


def test_every_noise_runs(model):
    for noise in (Noise("t", 0.04), Noise("exponential", 0.02), Noise("correlated", 0.5)):
        assert run(model, 2, noise=noise).plan.noise == noise


def test_drawing_until_tested_counts_every_draw(model):
    options = {"references": 1, "threshold": 1.2, "methods": METHODS, "jobs": 1}
    found = simulate(model, tested=8, **options)
    row = found.rows[0]
    assert row.tested == 8 and found.outcomes[-1].tested
    assert row.trials == 8 + row.no_region and row.no_region > 0
    drawn = simulate(model, trials=row.trials, **options)
    assert drawn.outcomes == found.outcomes


def test_a_hopeless_threshold_ends(model, monkeypatch):
    monkeypatch.setattr(pool, "FIRST_LOOK", 50)
    with pytest.raises(NothingToTest, match="0 of"):
        simulate(model, tested=20, references=1, threshold=1e6, jobs=1)


# ------------------------------------------------------------------------------------ what is said


def test_summary_against_scipy():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=40) ** 2
    outcomes = [
        Outcome(signal=0.0, trial=i, tested=True, p_values={"selective": p}) for i, p in enumerate(values)
    ]
    outcomes += [Outcome(signal=0.0, trial=40 + i, tested=False) for i in range(5)]
    outcomes += [
        Outcome(signal=1.0, trial=0, tested=True, p_values={"selective": 0.01}),
        Outcome(signal=0.0, trial=45, tested=True, p_values={}, missing={"selective": "no"}),
    ]
    row, other = summarise(outcomes, (0.0, 1.0), ("selective",), 0.1, decide=False)
    assert (row.trials, row.tested, row.no_region, row.not_computed) == (46, 40, 5, 1)
    count = int((values <= 0.1).sum())
    assert row.rejected == count and row.reject_rate == count / 40
    ends = stats.beta.ppf(0.025, count, 41 - count), stats.beta.ppf(0.975, count + 1, 40 - count)
    assert row.reject_interval == pytest.approx(ends, rel=1e-9)
    assert row.ks_p_value == stats.kstest(values, stats.uniform.cdf).pvalue
    assert (other.trials, other.tested, other.rejected) == (1, 1, 1)


def parts(*images):
    return [
        Outcome(
            signal=1.0,
            trial=i,
            tested=True,
            p_values={},
            missing={},
            parts=tuple(Part(touches, p, adjusted) for touches, p, adjusted in image),
        )
        for i, image in enumerate(images)
    ]


def test_components_by_hand():
    outcomes = parts(
        [(True, 0.01, 0.02), (False, 0.5, 0.5)],
        [(False, 0.04, 0.08), (False, 0.03, 0.08), (True, None, None)],
        [(True, 0.2, 0.2)],
    )
    on, off, none = summarise_parts(outcomes, (1.0, 0.0), 0.05)
    assert (on.touches, on.tested, on.images, on.rejected, on.images_rejected) == (True, 2, 2, 1, 1)
    assert (off.touches, off.tested, off.images, off.rejected, off.images_rejected) == (False, 3, 2, 2, 0)
    assert off.reject_rate == 2 / 3 and off.image_rate == 0.0
    assert (none.signal, none.tested, none.reject_rate) == (0.0, 0, None) and none.reason


def test_the_interval_of_components_knows_that_those_of_an_image_are_alike():
    """One in each image: the ordinary interval; five alike in each: that of the images, not of five times
    as many tests.
    """
    alone = parts(*([(False, p, p)] for p in [0.01] * 6 + [0.5] * 34))
    alike = parts(*([(False, p, p)] * 5 for p in [0.01] * 6 + [0.5] * 34))
    ((*_, one),) = (summarise_parts(alone, (1.0,), 0.05),)
    ((*_, five),) = (summarise_parts(alike, (1.0,), 0.05),)
    exact = stats.binomtest(6, 40).proportion_ci(0.95, method="exact")
    assert one.reject_interval == pytest.approx((exact.low, exact.high), rel=1e-9)
    assert five.reject_interval == pytest.approx((exact.low, exact.high), rel=1e-9)
    assert five.tested == 200 and five.image_interval == pytest.approx((exact.low, exact.high), rel=1e-9)


def test_summary_says_why_something_is_missing():
    outcomes = [
        Outcome(
            signal=0.0,
            trial=0,
            tested=True,
            p_values={"naive": 0.5, "selective": 0.2},
            missing={"permutation": "correlated"},
        )
    ]
    methods = ("selective", "naive", "permutation")
    selective, naive, permutation = summarise(outcomes, (0.0,), methods, 0.05, decide=True)
    assert selective.ks_p_value is None and "--decide" in selective.reasons["ks_p_value"]
    assert naive.ks_p_value is not None and not naive.reasons
    assert permutation.reject_rate is None and permutation.not_computed == 1
    assert permutation.reasons["reject_rate"] == "correlated"


def keys(value):
    return {k: keys(v) for k, v in value.items()} if isinstance(value, dict) else None


def test_json_keys_never_change(model):
    def shape(simulation):
        document = json.loads(json.dumps(simulation.to_dict(), allow_nan=False))
        rows = [set(row) for row in document["results"]]
        assert all(row == rows[0] for row in rows)
        document |= {"config": None, "versions": None}  # open: options, packages
        fixed = {k: keys(v) for k, v in document.items()}
        return fixed, rows[0]

    plain = shape(run(model, 3))
    assert plain == shape(run(model, 3, noise=Noise("t", 0.04), decide=True))
    assert plain == shape(run(model, 3, threshold=1e6))
    assert set(plain[0]) == {
        *("schema", "model", "image", "noise", "hypothesis", "alternative", "alpha", "confidence_level"),
        *("asked", "seed", "results", "components", "config", "defaults", "seconds", "versions", "reasons"),
        *("contradicted", "detectable", "warnings"),
    }
    assert plain[1] == {
        *("signal", "method", "trials", "tested", "no_region", "not_computed", "rejected", "reject_rate"),
        *("reject_interval", "ks_p_value", "reasons"),
    }


def test_every_null_of_the_document_has_a_reason(model):
    for simulation in (run(model, 3), run(model, 3, threshold=1e6)):
        document = simulation.to_dict()
        missing = [f"noise.{k}" for k, v in document["noise"].items() if v is None]
        assert missing and set(missing) <= set(document["reasons"])
        for row in document["results"]:
            nulls = {key for key in ("reject_rate", "ks_p_value") if row[key] is None}
            assert nulls <= set(row["reasons"])


# ------------------------------------------------------------------------------------ the command


@pytest.fixture
def call(model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = main(["simulate", model.path, *map(str, arguments), "--jobs", "1"])
        return code, *capsys.readouterr()

    return command


SMALL = ("--trials", 4, "--references", 1, "--threshold", "max:0.5")


def test_table_figure_and_files(call, tmp_path):
    code, stdout, stderr = call(
        *SMALL, "--signal", 0, "--signal", -2, "--methods", "naive", "--plot", "a.png", "--output", "a.json"
    )
    assert code == 0 and "selective" in stdout and "no region" in stdout and "naive" in stdout
    assert "onnx-si: defaults: " in stderr and "size 3" in stderr and "warning" not in stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["schema"] == "onnx-si/simulate/1"
    found = [(r["signal"], r["method"]) for r in document["results"]]
    assert found == [(0.0, "selective"), (0.0, "naive"), (-2.0, "selective"), (-2.0, "naive")]


def test_the_options_of_the_test_reach_the_trials(call, tmp_path):
    np.save(tmp_path / "mask.npy", np.eye(6))
    np.save(tmp_path / "variances.npy", np.full((1, 1, 6, 6), 4.0))
    code, stdout, _ = call(
        *SMALL, "--mask", "mask.npy", "--covariance", "variances.npy", "--components", "--json"
    )
    document = json.loads(stdout)
    assert code == 0 and document["noise"]["covariance"] == "independent normal, std 2"
    assert set(document["config"]["arrays"]) == {"mask", "covariance"} and len(document["components"]) == 1
    code, stdout, _ = call(
        *SMALL, "--sigma-df", 4, "--resize-input", "linear", "--dim", "H=8", "--dim", "W=9"
    )
    assert code == 0 and "images of 1x1x8x9" in stdout and "4 degrees of freedom" in stdout
    code, stdout, _ = call(*SMALL, "--signal", 0, "--signal", 3, "--components")
    assert code == 0 and "off the square" in stdout and "signal 0, Holm's procedure: " in stdout
    code, stdout, _ = call(*SMALL[:2], "--threshold", "top:0.2", "--signal", 3, "--components")
    assert "compares them with pixels of the square" in stdout


def test_the_legend_covers_nothing(model):
    found = run(model, 4, (0.0, 1.0), methods=("naive", "bonferroni", "over-conditioning"))
    figure = figure_of(found)
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    texts = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(box.overlaps(other) for other in (*texts, figure._suptitle.get_window_extent()))
    assert figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max)


def test_json_alone_on_stdout_and_progress_on_stderr(call):
    code, stdout, stderr = call(*SMALL, "--json", "--progress", "--quiet")
    assert code == 0 and json.loads(stdout)["results"][0]["trials"] == 4
    assert "4 of 4 trials" in stderr


def test_nothing_to_test_exits_5_with_the_counts(call):
    code, stdout, stderr = call("--trials", 3, "--references", 1, "--threshold", "1e6")
    assert code == 5 and "none of 3 draws has a region" in stderr and "3" in stdout


def stopping(after):
    """What interrupts when so many are finished."""

    def progress(finished, wanted):
        if finished == after:
            raise KeyboardInterrupt

    return progress


def test_an_interruption_keeps_the_finished_trials(model):
    with pytest.raises(KeyboardInterrupt) as caught:
        run(model, 20, (0.0, 2.0), progress=stopping(26))
    found, whole = caught.value.simulation, run(model, 20, (0.0, 2.0))
    assert [(row.signal, row.trials) for row in found.rows if row.method == "naive"] == [(0.0, 20), (2.0, 6)]
    assert found.outcomes == whole.outcomes[:26]
    assert "the first 26 trials of 40; --resume FILE" in found.warnings[-1]
    with pytest.raises(KeyboardInterrupt) as nothing:
        run(model, 20, progress=stopping(0))
    assert not hasattr(nothing.value, "simulation")
    with pytest.raises(KeyboardInterrupt) as looking:
        run(model, 20, detectable=0.5, progress=stopping(7))
    assert "before the smallest signal was found" in looking.value.simulation.summary()


def test_only_trials_without_a_gap_count():
    """Which of those under way end first depends on what they find: none behind a gap is counted."""
    kept = types.SimpleNamespace(done={(0.0, 0): "a", (0.0, 1): "b", (0.0, 3): "d", (1.0, 1): "e"})
    assert finished(kept, (0.0, 1.0), None) == finished(kept, None, None) == ("a", "b")
    assert finished(kept, (0.0,), 1) == ("a",)


def test_an_interruption_prints_the_table(call, monkeypatch):
    done = pool.run_trial

    def interrupted(plan, signal, trial):
        if trial == 3:
            raise KeyboardInterrupt
        return done(plan, signal, trial)

    monkeypatch.setattr(pool, "run_trial", interrupted)
    code, stdout, stderr = call("--trials", "50", "--jobs", "1")
    assert code == 130 and "selective" in stdout and " 3 " in stdout
    assert "it was interrupted: what follows is of the first 3 trials of 50" in stderr


def test_more_jobs_than_cores_or_trials_are_not_begun(model, monkeypatch):
    monkeypatch.setattr(pool, "cores", lambda: 4)
    assert [pool.workers(jobs) for jobs in (-1, 3, 500)] == [4, 3, 4]
    monkeypatch.setattr(machine, "cores", lambda: 4)
    assert machine.fewer_jobs(500, 1000, "trials").startswith("jobs 4: there are 4 cores")
    assert machine.fewer_jobs(500, 3, "trials").startswith("jobs 3: there are 3 trials")
    assert machine.fewer_jobs(4, 1000, "trials") is machine.fewer_jobs(-1, 1, "trials") is None
    told = []
    run(model, 1, jobs=500, notice=lambda kind, text: told.append(text))
    assert any(text.startswith("jobs 1: there are 1 trials") for text in told)


def test_interruption_exits_130_and_the_file_goes_on(call, tmp_path, monkeypatch):
    def interrupted(plan, signal, trial):
        if trial == 2:
            raise KeyboardInterrupt
        return run_trial(plan, signal, trial)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "run_trial", interrupted)
        code, stdout, stderr = call(*SMALL, "--resume", "trials.jsonl", "--quiet")
    assert (
        code == 130
        and "the first 2 trials of 4; the same command goes on" in stderr
        and "selective" in stdout
    )
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 3
    resumed, whole = (call(*SMALL, *more, "--json")[1] for more in (("--resume", "trials.jsonl"), ()))
    assert json.loads(resumed)["results"] == json.loads(whole)["results"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--trials", "0"), 2, "at least 1"),
        (("--trials", "2", "--tested", "2"), 2, "give one"),
        (("--size", "7"), 2, "size 7"),
        (("--references", "-1"), 2, "references -1"),
        (("--hypothesis", "mean", "--references", "0"), 2, "--references"),
        (("--noise", "odd:1"), 2, "noise 'odd:1'"),
        (("--sigma", "0"), 2, "sigma 0"),
        (("--signal", "nan"), 2, "finite"),
        (("--signal", "1", "--signal", "1"), 2, "each once"),
        (("--seed", "-1"), 2, "seed -1"),
        (("--estimate-sigma", "--noise-images", "2"), 2, "give one"),
        (("--noise-images", "-2"), 2, "noise images -2"),
        (("--sigma-df", "3", "--estimate-sigma"), 2, "--estimate-sigma and --sigma-df"),
        (("--covariance", "four.npy", "--noise", "t:0.04"), 2, "--covariance and --noise both"),
        (("--covariance", "four.npy", "--sigma", "1"), 2, "--covariance and --sigma both"),
        (("--covariance", "four.npy"), 4, "(36, 36)"),
        (("--mask", "four.npy"), 4, "the mask has shape"),
        (("--dim", "H=8"), 2, "no free axis"),
        (("--plot", "a.pdf"), 2, ".png"),
        (("--resume", "no/where"), 2, "written"),
        (("--saliency", "output:nothing"), 3, "nothing"),
        (("--resume", "model.txt"), 4, "finished trials"),
    ],
)
def test_refusals(call, tmp_path, arguments, code, words):
    (tmp_path / "model.txt").write_text("no trials\n")
    np.save(tmp_path / "four.npy", np.eye(4))
    found, stdout, stderr = call(*arguments)
    assert (found, stdout) == (code, "")
    error = next(line for line in stderr.splitlines() if "error" in line)
    assert words in error and "fault" not in error


def test_jobs_below_one_are_refused(model):
    with pytest.raises(UsageError, match="jobs 0"):
        run(model, 2, jobs=0)


def test_a_model_that_changes_meanwhile_is_refused(model, tmp_path):
    path = tmp_path / "other.onnx"
    onnx.save(nets.cam_nchw(seed=1, size=6).proto, path)
    plan, _, _ = plan_of(model, Wish(references=1))
    with pytest.raises(InputError, match="changed"):
        run_trial(dataclasses.replace(plan, path=str(path)), 0.0, 0)
