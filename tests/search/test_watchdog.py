"""Searches that get nowhere end with true bounds and a reason; what doubles can't tell apart is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
from onnx import parser
from support.scenes import make_case

import onnx_si
from onnx_si.cli.main import main
from onnx_si.domains.piecewise.domain import Piecewise
from onnx_si.domains.standard import RESOLVING_ONLY
from onnx_si.graph import model_from_proto
from onnx_si.ground.intervals import Intervals
from onnx_si.search import SearchOptions, linear_piece, search
from onnx_si.search.tuning import Tuning
from onnx_si.search.watchdog import Watchdog

IMAGE = np.round(np.random.default_rng(0).normal(size=(1, 1, 4, 4)) * 2**10) / 2**10

PATIENCE, CHECK = Tuning().patience, Tuning().check
PASSES, SPLITS = Tuning().step_passes, Tuning().step_splits


def model_of(body, kind="double"):
    return model_from_proto(
        parser.parse_model(
            '<ir_version: 9, opset_import: ["" : 17]>'
            f" g ({kind}[1, 1, 4, 4] x) => ({kind}[1, 1, 4, 4] y) {{ {body} }}"
        )
    )


def stairs(steps):
    """Each pixel rounded down to so many steps for one unit."""
    k = f"k = Constant <value = double[1] {{{steps:.1f}}}> () "
    return model_of(k + "s = Mul (x, k) w = Floor (s) y = Div (w, k)")


def test_it_barks_at_steps_that_settle_nothing_and_at_no_others():
    still = Watchdog(left=lambda: -3.0, tuning=Tuning())
    assert [still.barks(0.0, 0) for _ in range(PATIENCE + CHECK)].index(True) == PATIENCE + CHECK - 1
    masses = iter(-0.002 * np.arange(10 * PATIENCE))
    falling = Watchdog(left=lambda: float(next(masses)), tuning=Tuning())
    assert not any(falling.barks(0.0, 0) for _ in range(4 * PATIENCE))
    nothing = Watchdog(left=lambda: -math.inf, tuning=Tuning())
    assert any(nothing.barks(0.0, 0) for _ in range(2 * PATIENCE))


def test_work_and_splits_count_as_steps():
    heavy = Watchdog(left=lambda: -3.0, tuning=Tuning())
    assert not heavy.barks(100 * PASSES, 0) and heavy.barks((PATIENCE + 200) * PASSES, 0)
    splitting = Watchdog(left=lambda: -3.0, tuning=Tuning())
    assert not splitting.barks(0.0, 100 * SPLITS) and splitting.barks(0.0, (PATIENCE + 200) * SPLITS)


def test_more_steps_than_can_be_counted_end_with_true_bounds():
    """1e15 of them to a standard error; on the whole line the region is the one observed above 0.5."""
    case = make_case(stairs(1e15), IMAGE, saliency="output:y", threshold=0.5)
    found = search(case.program, case.margin, case.line, case.event, SearchOptions())
    assert not found.complete and "settled next to nothing" in found.why
    low, high = found.p_value_bounds
    plain = make_case(model_of("y = Identity (x)"), IMAGE, saliency="output:y", threshold=0.5)
    truth = search(plain.program, plain.margin, plain.line, plain.event, SearchOptions(precision=1e-9))
    assert low <= truth.p_value_bounds[0] <= truth.p_value_bounds[1] <= high


def test_an_examination_that_takes_too_long_goes_on_in_other_cells():
    """Every cell is left after a few passes, and the same S is found."""
    case = make_case(stairs(40.0), IMAGE, saliency="output:y", threshold=0.5)
    options = SearchOptions(precision=1e-9, domains=RESOLVING_ONLY, budget_bytes=1 << 13)
    whole = search(case.program, case.margin, case.line, case.event, options)
    short = replace(options, domains=replace(RESOLVING_ONLY, resolving=Piecewise(most_passes=8)))
    pieces = search(case.program, case.margin, case.line, case.event, short)
    assert pieces.fates["exact"] > 2 * whole.fates["exact"]
    assert pieces.p_value_bounds == pytest.approx(whole.p_value_bounds, abs=3e-9)
    near = Intervals.of([(-8 * case.line.standard_error, 8 * case.line.standard_error)])
    assert not [
        pair
        for pair in pieces.inside.intersect(near).subtract(whole.inside.union(whole.undecided))
        if pair[1] - pair[0] > 1e-9
    ]


def test_a_piece_among_too_many_is_found_all_the_same():
    """Over-conditioning asks for the step that the image stands on."""
    image = IMAGE + 3e-10
    case = make_case(stairs(1e9), image, saliency="output:y", threshold=0.5)
    piece = linear_piece(case.program, case.margin, case.line, case.event, SearchOptions())
    ((low, high),) = piece
    down = image - np.floor(image * 1e9) / 1e9
    distances = np.stack([1e-9 - down, -down]) / case.line.direction
    at = case.line.statistic
    assert high - at == pytest.approx(distances[distances > 0].min(), abs=1e-14)
    assert low - at == pytest.approx(distances[distances < 0].max(), abs=1e-14)


def test_whole_numbers_that_overflow_on_the_linear_piece_are_refused():
    """They are compared with what they always exceed, so that they bend and jump nothing."""
    body = (
        "k = Constant <value_float: float = 2.0> () s = Mul (x, k) w = Floor (s) i = Cast <to: int = 6> (w)"
        " n = Constant <value_int: int = 12500> () m = Cast <to: int = 6> (n) j = Mul (i, m)"
        " q = Mul (j, j) f = Cast <to: int = 1> (q) c = Constant <value_float: float = -3e9> ()"
        " a = Greater (f, c) b = Cast <to: int = 1> (a) y = Add (x, b)"
    )
    image = (IMAGE / 4).astype(np.float32).astype(np.float64)
    case = make_case(model_of(body, "float"), image, saliency="output:y", threshold=1.1)
    with pytest.raises(onnx_si.UnsupportedModel, match="whole numbers leave"):
        linear_piece(case.program, case.margin, case.line, case.event, SearchOptions())


def pixel(value):
    image = IMAGE.copy()
    image[0, 0, 1, 1] = value
    return image


HARD = {
    "the largest": (pixel(1e300), ["--sigma", "1"], {4}),
    "all of the largest": (IMAGE * 1e300, ["--sigma", "1e299"], {2, 4}),
    "the smallest": (pixel(5e-324), ["--sigma", "1"], {0}),
    "all of the smallest": (IMAGE * 5e-324, ["--sigma", "1e-100"], {3}),
    "one pixel of 4e26": (pixel(4e26), ["--sigma", "1"], {4}),
    "one pixel of 4e26 beside much noise": (pixel(4e26), ["--sigma", "1e20"], {0, 3}),
    "one pixel of 1e15 beside much noise": (pixel(1e15), ["--sigma", "1e9"], {0, 3}),
    "almost no noise": (IMAGE, ["--sigma", "1e-100"], {4}),
    "no noise that a double holds": (IMAGE, ["--sigma", "1e-300"], {2}),
    "more noise than a double holds": (IMAGE, ["--sigma", "1e300"], {2}),
    "far too much noise": (IMAGE, ["--sigma", "1e100"], {0, 3}),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize(
    "body", ["y = Identity (x)", "m = ReduceMean <axes = [2, 3]> (x) r = Sub (x, m) y = Relu (r)"]
)
def test_numbers_at_the_ends_of_double_precision_end_in_words(name, body, tmp_path, monkeypatch, capsys):
    image, noise, codes = HARD[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(model_of(body).proto.SerializeToString())
    np.save("image.npy", image)
    options = [
        "--saliency",
        "output:y",
        "--threshold",
        "max:0.5",
        "--hypothesis",
        "background",
        "--verify",
        "8",
    ]
    code = main(["model.onnx", "image.npy", *options, *noise])
    assert code in codes, capsys.readouterr().err


@pytest.mark.parametrize("scale", [1e-299, 1e299])
@pytest.mark.parametrize("pixels", [1, 8, 16])
def test_covariances_at_the_ends_of_double_precision_end_in_words(
    scale, pixels, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(model_of("y = Identity (x)").proto.SerializeToString())
    np.save("image.npy", IMAGE)
    np.save("covariance.npy", np.diag(np.where(np.arange(16) < pixels, scale, 1.0)))
    options = ["--saliency", "output:y", "--threshold", "0.5", "--hypothesis", "background", "--verify", "8"]
    code = main(["model.onnx", "image.npy", *options, "--covariance", "covariance.npy"])
    assert code in {0, 2, 3, 4}, capsys.readouterr().err
