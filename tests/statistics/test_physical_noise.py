"""Noise that grows with the signal: magnitudes and counts, in the test and in the simulation."""

import json

import numpy as np
import onnx
import pytest
import scipy
from support import nets

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.errors import InputError, UsageError
from onnx_si.simulation.draws import parse_noise
from onnx_si.statistics.noise import parse_physical, plugged_in

SHAPE = (1, 1, 10, 10)


def segmenter(seed=1):
    net = nets.Net(seed, SHAPE)
    net.add("Identity", net.conv(net.add("Relu", net.conv("x", 1, 3)), 3, 1), out="map")
    return net


@pytest.mark.parametrize("amplitude", [0.0, 0.7, 2.0, 6.0, 35.0])
def test_a_magnitudes_variance_follows_from_its_mean(amplitude):
    """By SciPy's own Rice distribution, whose mean is what is plugged in."""
    law = scipy.stats.rice(amplitude) if amplitude else scipy.stats.rayleigh()
    kind = parse_physical("rician:3")
    mean = np.array([3 * law.mean()])
    assert kind.variances(mean)[0] == pytest.approx(9 * law.var(), rel=2e-3)


def test_below_the_mean_of_pure_noise_the_variance_is_that_of_pure_noise():
    kind = parse_physical("rician:2")
    assert kind.variances(np.array([0.0, 1.0])) == pytest.approx(4 * scipy.stats.rayleigh.var())


def test_a_counts_variance_is_gain_times_its_mean_and_what_reading_adds():
    kind = parse_physical("poisson:2,3")
    assert kind.variances(np.array([50.0]))[0] == 2 * 50 + 9
    drawn = kind.draw(np.random.default_rng(0), np.full(200_000, 50.0))
    assert drawn.mean() == pytest.approx(50, abs=0.1) and drawn.var() == pytest.approx(109, rel=0.02)
    assert (parse_physical("poisson:2").variances(np.array([0.0, -5.0])) > 0).all()


def test_the_local_mean_is_that_of_image_and_references_along_space():
    images = np.random.default_rng(0).uniform(10, 20, (3, 1, 2, 7, 7))
    noise, far = plugged_in(parse_physical("poisson:1"), images, (2, 3))
    mean = images.mean(axis=0)
    assert noise.covariance.variances[0, 1, 3, 3] == pytest.approx(mean[0, 1, 1:6, 1:6].mean())
    assert far == 0 and not noise.known and not noise.exact
    assert plugged_in(parse_physical("poisson:10"), images, (2, 3))[1] == 1


def test_the_test_is_that_with_these_variances():
    image = parse_physical("poisson:4").draw(np.random.default_rng(3), np.full(SHAPE, 90.0))
    model, how = segmenter().finish("map"), {"mean": 90.0, "std": 19.0}
    result = onnx_si.test(model, image, noise="poisson:4", **how)
    noise, _ = plugged_in(parse_physical("poisson:4"), image[None], (2, 3))
    given = onnx_si.test(model, image, covariance=noise.covariance.variances, **how)
    assert result.p_value == given.p_value and result.standard_error == given.standard_error
    assert result.noise["level"] == "approximate" and not result.noise["known"]
    assert result.noise["source"].startswith("poisson:4, the variance of each value")
    assert any("counts (Poisson) are taken for normal" in text for text in result.warnings)
    assert "approximate level" in result.summary()


@pytest.mark.parametrize("noise", ["rician:2@1", "rician:2@8", "poisson:3@60", "poisson:3,2@30"])
def test_the_simulation_measures_a_level_near_the_stated_one(noise, tmp_path):
    onnx.save(segmenter().finish("map").file, tmp_path / "m.onnx")
    kind = parse_noise(noise)
    drawn = kind.image(np.random.default_rng(0), np.zeros(20_000))
    found = onnx_si.simulate(
        tmp_path / "m.onnx",
        noise=noise,
        trials=120,
        jobs=1,
        mean=float(drawn.mean()),
        std=float(drawn.std()),
        hypothesis="background",
        precision=0.01,
    )
    row = found.to_dict()["results"][0]
    assert row["tested"] > 100 and row["reject_rate"] < 0.15
    document = found.to_dict()["noise"]
    assert document["name"] == kind.name and document["sigma"] is None and not document["known"]
    assert "its kind is told" in document["source"] and found.to_dict()["config"]["noise"] == noise


def test_signal_is_added_to_the_level_before_the_noise(tmp_path):
    onnx.save(segmenter().finish("map").file, tmp_path / "m.onnx")
    weak, strong = (
        onnx_si.simulate(
            tmp_path / "m.onnx", [signal], noise="rician:1@3", trials=30, jobs=1, mean=3.2, precision=0.01
        )
        for signal in (0.1, 40.0)
    )
    assert strong.rows[0].reject_rate > weak.rows[0].reject_rate


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rician", "allowed are rician:S"),
        ("rician:1,2", "allowed are"),
        ("poisson:0", "positive"),
        ("poisson:1,-2", "positive"),
        ("rayleigh:1", "allowed are"),
    ],
)
def test_other_texts_are_refused(text, words):
    with pytest.raises(UsageError, match=words):
        parse_physical(text)
    with pytest.raises(UsageError, match="allowed are rician:S or poisson"):
        onnx_si.test(segmenter().finish("map"), np.ones(SHAPE), noise=text)


def test_what_can_not_be_is_refused(tmp_path):
    model, image = segmenter().finish("map"), np.random.default_rng(0).normal(size=SHAPE)
    with pytest.raises(InputError, match=r"a magnitude .* is not negative"):
        onnx_si.test(model, image, noise="rician:1")
    with pytest.raises(InputError, match="a count is not negative"):
        onnx_si.test(model, image, noise="poisson:1")
    assert onnx_si.test(model, image, noise="poisson:1,1").guarantee == "exact"
    with pytest.raises(UsageError, match="--sigma and --noise both"):
        onnx_si.test(model, image, noise="poisson:1,1", sigma=1.0)
    onnx.save(segmenter().finish("map").file, tmp_path / "m.onnx")
    for options, words in (({"sigma": 2.0}, "leave --sigma out"), ({"sigma_df": 3}, "--sigma-df")):
        with pytest.raises(UsageError, match=words):
            onnx_si.simulate(tmp_path / "m.onnx", noise="rician:1@3", trials=2, **options)
    with pytest.raises(UsageError, match="behind @"):
        parse_noise("rician:1")


def test_on_the_command_line(tmp_path, capsys):
    onnx.save(segmenter().finish("map").file, tmp_path / "m.onnx")
    image = parse_physical("rician:1").draw(np.random.default_rng(1), np.full(SHAPE, 3.0))
    np.save(tmp_path / "i.npy", image)
    base = [str(tmp_path / "m.onnx"), str(tmp_path / "i.npy"), "--noise", "rician:1", "--mean", "3.2"]
    assert cli.main([*base, "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["noise"] == "rician:1" and found["noise"]["std"] is None
    simulated = [
        "simulate",
        base[0],
        "--noise",
        "poisson:2@50",
        "--mean",
        "50",
        "--std",
        "10",
        "--trials",
        "4",
    ]
    assert cli.main([*simulated, "--json", "--quiet", "--jobs", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["noise"]["name"] == "poisson"
