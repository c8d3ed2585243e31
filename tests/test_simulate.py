"""Simulations: the same numbers whatever the workers and interruptions, and what the counts say."""

import dataclasses
import json

import nets
import numpy as np
import onnx
import pytest
from scipy import stats

import onnx_si
from onnx_si.cli import main
from onnx_si.errors import InputError, NothingToTest, UsageError
from onnx_si.simulate import Count, Noise, Wish, simulate
from onnx_si.simulate.plan import plan_of
from onnx_si.simulate.summary import summarise
from onnx_si.simulate.trial import Outcome, draw, run_trial

METHODS = ("selective", "naive")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny net whose region is empty now and then under its threshold."""
    path = tmp_path_factory.mktemp("simulate") / "model.onnx"
    onnx.save(nets.map_net(seed=3, size=6).proto, path)
    return onnx_si.load(path)


def run(model, count, signals=(0.0,), **options):
    wish = options.pop("wish", Wish(references=1))
    settings = {"threshold": "max:0.5", "methods": METHODS, "jobs": 1, **options}
    return simulate(model, signals, Count(trials=count), wish, **settings)


def content(simulation):
    """The document without what differs from run to run."""
    return {key: value for key, value in simulation.to_dict().items() if key != "seconds"}


# ------------------------------------------------------------------------------------ reproducible


def test_two_workers_give_the_numbers_of_one(model):
    one, two = (run(model, 12, (0.0, 2.0), threshold=1.2, jobs=jobs) for jobs in (1, 2))
    assert one.outcomes == two.outcomes and content(one) == content(two)


def test_more_trials_and_other_signals_leave_a_trial_as_it_is(model):
    few, many = run(model, 3, (1.0,)), run(model, 6, (0.0, 1.0))
    assert few.outcomes == tuple(o for o in many.outcomes if o.signal == 1.0)[:3]
    other = run(model, 3, (1.0,), wish=Wish(references=1, seed=1))
    assert other.outcomes != few.outcomes


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_an_interrupted_run_goes_on(model, tmp_path, cut):
    """Whatever part of the file an interruption leaves."""
    file = tmp_path / "trials.jsonl"
    whole = run(model, 5, resume=str(file))
    written = file.read_bytes()
    file.write_bytes(written[: len(written) - cut])
    again = run(model, 5, resume=str(file))
    assert content(again) == content(whole)
    assert file.read_bytes() == written


def test_finished_trials_are_not_run_again(model, tmp_path, monkeypatch):
    file = tmp_path / "trials.jsonl"
    whole = run(model, 4, resume=str(file))
    monkeypatch.setattr("onnx_si.simulate.pool.run_trial", None)
    assert run(model, 4, resume=str(file)).outcomes == whole.outcomes
    with pytest.raises(TypeError):
        run(model, 5, resume=str(file))


def test_a_file_of_another_simulation_is_refused(model, tmp_path):
    file = tmp_path / "trials.jsonl"
    run(model, 2, resume=str(file))
    with pytest.raises(InputError, match="seed is 0, not 7"):
        run(model, 2, resume=str(file), wish=Wish(references=1, seed=7))
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
    told = run(model, 6, wish=Wish())
    guessed = run(model, 6, wish=Wish(estimate_sigma=True))
    images = run(model, 6, wish=Wish(noise_images=3))
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


def test_every_noise_runs(model):
    for noise in (Noise("t", 0.04), Noise("exponential", 0.02), Noise("correlated", 0.5)):
        assert run(model, 2, wish=Wish(references=1, noise=noise)).plan.noise == noise


def test_drawing_until_tested_counts_every_draw(model):
    options = {"threshold": 1.2, "methods": METHODS, "jobs": 1}
    found = simulate(model, (0.0,), Count(tested=8), Wish(references=1), **options)
    (row, _) = found.rows
    assert row.tested == 8 and found.outcomes[-1].tested
    assert row.trials == 8 + row.no_region and row.no_region > 0
    drawn = simulate(model, (0.0,), Count(trials=row.trials), Wish(references=1), **options)
    assert drawn.outcomes == found.outcomes


def test_a_hopeless_threshold_ends(model, monkeypatch):
    monkeypatch.setattr("onnx_si.simulate.pool.FIRST_LOOK", 50)
    with pytest.raises(NothingToTest, match="0 of"):
        simulate(model, (0.0,), Count(tested=20), Wish(references=1), threshold=1e6, jobs=1)


# ------------------------------------------------------------------------------------ what is said


def test_summary_against_scipy():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=40) ** 2
    outcomes = [Outcome(0.0, i, True, {"selective": p}) for i, p in enumerate(values)]
    outcomes += [Outcome(0.0, 40 + i, False) for i in range(5)]
    outcomes += [Outcome(1.0, 0, True, {"selective": 0.01}), Outcome(0.0, 45, True, {}, {"selective": "no"})]
    row, other = summarise(outcomes, (0.0, 1.0), ("selective",), 0.1, decide=False)
    assert (row.trials, row.tested, row.no_region, row.not_computed) == (46, 40, 5, 1)
    count = int((values <= 0.1).sum())
    assert row.rejected == count and row.reject_rate == count / 40
    ends = stats.beta.ppf(0.025, count, 41 - count), stats.beta.ppf(0.975, count + 1, 40 - count)
    assert row.reject_interval == pytest.approx(ends, rel=1e-9)
    assert row.ks_p_value == stats.kstest(values, stats.uniform.cdf).pvalue
    assert (other.trials, other.tested, other.rejected) == (1, 1, 1)


def test_summary_says_why_something_is_missing():
    outcomes = [Outcome(0.0, 0, True, {"naive": 0.5, "selective": 0.2}, {"permutation": "correlated"})]
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
    assert plain == shape(run(model, 3, wish=Wish(references=1, noise=Noise("t", 0.04)), decide=True))
    assert plain == shape(run(model, 3, threshold=1e6))
    assert set(plain[0]) == {
        *("schema", "model", "image", "noise", "hypothesis", "alternative", "alpha", "confidence_level"),
        *("asked", "seed", "results", "config", "defaults", "seconds", "versions", "reasons"),
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
    assert "onnx-si: default: size 3: half the image's side" in stderr and "warning" not in stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["schema"] == "onnx-si/simulate/1"
    found = [(r["signal"], r["method"]) for r in document["results"]]
    assert found == [(0.0, "selective"), (0.0, "naive"), (-2.0, "selective"), (-2.0, "naive")]


def test_json_alone_on_stdout_and_progress_on_stderr(call):
    code, stdout, stderr = call(*SMALL, "--json", "--progress", "--quiet")
    assert code == 0 and json.loads(stdout)["results"][0]["trials"] == 4
    assert "4 of 4 trials" in stderr


def test_nothing_to_test_exits_5_with_the_counts(call):
    code, stdout, stderr = call("--trials", 3, "--references", 1, "--threshold", "1e6")
    assert code == 5 and "none of 3 draws has a region" in stderr and "3" in stdout


def test_interruption_exits_130_and_the_file_goes_on(call, tmp_path, monkeypatch):
    def interrupted(plan, signal, trial):
        if trial == 2:
            raise KeyboardInterrupt
        return run_trial(plan, signal, trial)

    with monkeypatch.context() as patch:
        patch.setattr("onnx_si.simulate.pool.run_trial", interrupted)
        code, stdout, stderr = call(*SMALL, "--resume", "trials.jsonl", "--quiet")
    assert (code, stdout, stderr) == (130, "", "onnx-si: interrupted\n")
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
        (("--plot", "a.pdf"), 2, ".png"),
        (("--resume", "no/where"), 2, "written"),
        (("--saliency", "output:nothing"), 3, "nothing"),
        (("--resume", "model.txt"), 4, "finished trials"),
    ],
)
def test_refusals(call, tmp_path, arguments, code, words):
    (tmp_path / "model.txt").write_text("no trials\n")
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
