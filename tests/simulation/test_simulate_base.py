"""Simulations on a base image, and the smallest signal that is found with a wanted power."""

import json
import re

import numpy as np
import onnx
import pytest
from support import nets

import onnx_si
from onnx_si.cli.main import main
from onnx_si.errors import InputError, UsageError
from onnx_si.simulation.asked import Wish
from onnx_si.simulation.detectable import CLOSE, smallest
from onnx_si.simulation.experiment import simulate
from onnx_si.simulation.plan import plan_of
from onnx_si.simulation.trial import draw

SHAPE = (1, 1, 6, 6)


def saved(net, path):
    onnx.save(net.proto("map"), path)
    return onnx_si.load(path)


def net_of(first=lambda net, x: x):
    """A map of a convolution, behind what a user's model does to images first."""
    net = nets.Net(3, SHAPE)
    x = net.conv(net.add("Relu", net.conv(first(net, "x"), 1, 2)), 2, 1)
    net.add("Identity", x, out="map")
    return net


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(net_of(), tmp_path_factory.mktemp("base") / "model.onnx")


def run(model, count=3, signals=(0.0,), **options):
    return simulate(model, signals, trials=count, jobs=1, **{"threshold": "max:0.5", **options})


def drawn(model, trial, **wish):
    return draw(plan_of(model, Wish(**wish))[0], 0.0, trial)


def test_a_value_is_added_to_everything_that_is_drawn(model):
    plain, moved = (drawn(model, 4, references=2, noise_images=1, base=base) for base in (None, 128.0))
    for name in ("image", "references", "noise_images"):
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name) + 128, rtol=1e-12)
    assert moved.seed == plain.seed and moved.told_sigma == plain.told_sigma


def test_one_of_several_images_is_drawn_for_image_and_references(model):
    bases = [100.0 * k + np.arange(36.0).reshape(6, 6) for k in (1, 2, 3)]
    seen = set()
    for trial in range(20):
        plain, moved = (drawn(model, trial, references=1, base=base) for base in (None, bases))
        which = round((moved.image - plain.image)[0, 0, 0, 0] / 100) - 1
        for name in ("image", "references"):
            shift = np.broadcast_to(bases[which], getattr(plain, name).shape)
            np.testing.assert_allclose(getattr(moved, name), getattr(plain, name) + shift, rtol=1e-12)
        seen.add(which)
    assert seen == {0, 1, 2}


def test_a_trial_is_the_test_of_the_image_on_its_base(model, tmp_path):
    """Files of integers are taken as they are, a text that is a number is a value."""
    picture = np.arange(36, dtype=np.uint8).reshape(6, 6)
    np.save(tmp_path / "a.npy", picture)
    options = {"references": 1, "sigma": 2.0}
    found = run(model, 1, base=[str(tmp_path / "a.npy")], **options)
    plan = plan_of(model, Wish(references=1, base=picture), sigma=2.0, threshold="max:0.5")[0]
    one = draw(plan, 0.0, 0)
    assert abs(one.image - picture).mean() < 4
    result = onnx_si.test(model, one.image, one.references[0], sigma=2.0, threshold="max:0.5")
    assert found.p_values(0.0, "selective")[0] == pytest.approx(result.p_value, abs=1e-3)
    assert found.to_dict()["image"]["base"] == ["a.npy"]
    assert "added to a.npy" in found.summary()
    assert run(model, 1, base="5", **options).to_dict()["image"]["base"] == ["5"]


def test_the_null_hypothesis_is_false_on_a_base_that_changes(model):
    """Without a reference the region is compared with the rest, which another brightness changes."""
    ramp = np.arange(36.0).reshape(6, 6)
    assert "hypothesis background is false" in run(model, base=ramp).summary()
    for options in ({"base": 3.0}, {"base": ramp, "references": 1}, {"base": np.full((6, 6), 2.0)}):
        assert "is false" not in run(model, **options).summary()


@pytest.mark.parametrize(
    ("base", "error", "words"),
    [
        (np.zeros((5, 6)), InputError, "shape"),
        (np.full((6, 6), np.nan), InputError, "finite"),
        ("missing.npy", InputError, "missing.npy"),
        (float("inf"), InputError, "finite"),
    ],
)
def test_what_is_no_base_is_refused(model, base, error, words):
    with pytest.raises(error, match=words):
        run(model, 1, base=base)


def test_one_noise_image_of_a_base_that_changes_is_refused(model):
    with pytest.raises(UsageError, match="at least 2"):
        run(model, 1, base=np.arange(36.0).reshape(6, 6), noise_images=1)


def normalised(net, x):
    return net.add("Div", net.add("Sub", x, net.const(np.array(128.0))), net.const(np.array(20.0)))


def inverted(net, x):
    """By ops that no list knows: their rules tell what they do."""
    turned = net.add("Sub", net.const(np.array(128.0)), net.add("Dropout", x))
    return net.add("Sum", net.add("Div", turned, net.const(np.array(20.0))), net.const(np.array(0.0)))


def rescaled(net, x):
    return net.add("Mul", x, net.const(np.array(1 / 255)))


def centred(net, x):
    return net.add("Add", net.add("Mul", x, net.const(np.array(1 / 127.5))), net.const(np.array(-1.0)))


def batch_normalised(net, x):
    stored = [net.const(np.array([value])) for value in (1.0, 0.0, 128.0, 400.0)]
    return net.add("BatchNormalization", x, *stored)


@pytest.mark.parametrize(
    ("first", "options", "words"),
    [
        (normalised, {}, "Sub, Div.*around 128 .- 20"),
        (inverted, {}, "Sub, Div, Sum.*around 128 .- 20"),
        (rescaled, {}, "Mul.*around 12[78] .- 12[78]"),
        (centred, {}, "Mul, Add.*around 12[78] .- 12[78]"),
        (batch_normalised, {}, "BatchNormalization.*around 128 .- 20"),
        (lambda net, x: x, {"mean": (0.45,), "std": (0.22,), "sigma": 0.1}, "scale, mean.*around 0.45"),
        (lambda net, x: x, {"window": (40.0, 400.0), "sigma": 10.0, "scale": 0.01}, None),
        (lambda net, x: x, {"window": (300.0, 400.0), "sigma": 10.0}, "window.*around 300"),
        (normalised, {"base": 128.0}, None),
        (lambda net, x: x, {}, None),
        (lambda net, x: net.add("Mul", x, net.const(np.array(0.7))), {}, None),
    ],
)
def test_a_model_that_is_used_to_other_images_is_told(tmp_path, first, options, words):
    told = []
    model = saved(net_of(first), tmp_path / "m.onnx")
    simulation = run(model, 1, notice=lambda kind, text: told.append((kind, text)), **options)
    warnings = [text for kind, text in told if kind == "warning"]
    assert list(simulation.to_dict()["warnings"]) == warnings
    if words is None:
        assert not warnings
    else:
        (text,) = warnings
        assert re.search(words, text)
        assert "--base" in text


def test_bisection_finds_the_step_of_a_known_curve():
    """`found` counts images; the smallest signal with the power is bracketed to 2 %."""

    def found_at(signal):
        return round(1000 * min(1.0, abs(signal) / 10)), 1000

    for step in (3.0, -3.0, 64.0):
        found, tried = smallest(0.8, found_at, step)
        assert found.signal == pytest.approx(np.sign(step) * 8, rel=CLOSE)
        assert abs(found.below) < 8 <= abs(found.signal) + 1e-3 and found.signal in tried
        assert abs(found.low) < 8 < abs(found.high)


def test_a_power_that_no_signal_has():
    found, tried = smallest(0.8, lambda signal: (1, 10), 1.0)
    assert found.signal is None and found.below == max(tried) == 1024
    assert "no signal up to 1024" in found.reason


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    """A model whose region is there only where something bright is."""
    path = tmp_path_factory.mktemp("spots") / "spots.onnx"
    onnx.save(nets.bright_spots(3).proto, path)
    return onnx_si.load(path)


def test_the_smallest_signal_is_found_with_the_same_draws(spots):
    model, options = spots, {"references": 1, "threshold": 1.5, "precision": 0.01}
    found = run(model, 20, signals=(0.0,), detectable=0.5, **options).to_dict()
    wanted = found["detectable"]
    rows = {row["signal"]: row for row in found["results"] if row["method"] == "selective"}
    share = {signal: row["rejected"] / row["trials"] for signal, row in rows.items()}
    assert share[wanted["signal"]] >= 0.5 > share[wanted["below"]]
    assert 0 < wanted["signal"] - wanted["below"] <= CLOSE * wanted["signal"] * 1.01 and 0.0 in rows
    again = run(model, 20, signals=(wanted["signal"],), **options).to_dict()["results"][0]
    assert again["rejected"] == rows[wanted["signal"]]["rejected"]
    nothing = run(model, 2, **options).to_dict()
    assert nothing["detectable"]["signal"] is None and "detectable.*" in nothing["reasons"]


def test_detectable_on_the_command_line(spots, capsys):
    call = ["simulate", spots.path, "--trials", "5", "--jobs", "1", "--threshold", "1.5", "--quiet"]
    how = ["--references", "1", "--base", "0.1", "--detectable", "0.5"]
    assert main([*call, *how]) == 0
    assert "is found in 50% of 5 images" in capsys.readouterr().out
    assert main(["simulate", "--trials", "1", spots.path, "--jobs", "1", "--base", "1", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image"]["base"] == ["1", "2"]
    for more, words in (
        (["--detectable", "0.04"], "between alpha"),
        (["--detectable", "1"], "between alpha"),
        (["--detectable", "0.5", "--tested", "3"], "--trials"),
    ):
        assert main([*call[:2], *call[4:], *more]) == 2
        assert words in capsys.readouterr().err
