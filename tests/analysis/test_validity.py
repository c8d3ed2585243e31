"""P-values are uniform under the null; naive ones, and those that omit part of the selection, are not."""

import dataclasses
import functools

import numpy as np
import pytest
from scipy import stats
from support import nets
from support.scenes import make_case

import onnx_si
from onnx_si.ground.intervals import Intervals
from onnx_si.search import SearchOptions, linear_piece
from onnx_si.statistics.truncated import p_value_bounds

DRAWS = 1000
LEVEL = 0.05
PRECISION = 1e-4  # of the p-values
ALTERNATIVES = ("two-sided", "two-sided-abs", "greater", "less")
UNIFORM = ALTERNATIVES[:3]  # "less" is one minus "greater"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is drawn and how it is tested."""

    model: object
    references: int
    options: dict
    sigma: float = 1.0
    draws: int = DRAWS


SETTINGS = {
    "mean, one reference, value, sigma 2": Setting(
        functools.partial(nets.bright_spots, 3), 1, {"hypothesis": "mean", "threshold": 1.5}, 2.0
    ),
    "mean, two references, max:, predicted of 3": Setting(
        functools.partial(nets.cam_nchw, 5, size=5, classes=3, pool=False),
        2,
        {"hypothesis": "mean", "threshold": "max:0.5", "target": "predicted"},
    ),
    "neighborhood, top:, sigma 1": Setting(
        functools.partial(nets.bright_spots, 6, size=6),
        0,
        {"hypothesis": "neighborhood", "threshold": "top:0.1"},
        draws=500,
    ),
    "background, max:, NHWC, sigma 0.5": Setting(
        functools.partial(nets.bright_spots, 4, size=4, channels_last=True),
        0,
        {"hypothesis": "background", "threshold": "max:0.5"},
        0.5,
    ),
}


@dataclasses.dataclass(frozen=True)
class Draw:
    """p-values of one null image by every method; over-conditioning for every other image."""

    selective: dict
    naive: dict
    over: float | None


def p_value(case, inside, undecided, alternative):
    low, high = p_value_bounds(case.line.distribution, inside, undecided, case.line.statistic, alternative)
    assert high - low < 10 * PRECISION
    return 0.5 * (low + high)


def naive(case, alternative):
    z = case.line.statistic / case.line.standard_error
    two_sided = 2 * stats.norm.sf(abs(z))
    return {"greater": stats.norm.sf(z), "less": stats.norm.cdf(z)}.get(alternative, two_sided)


def over_conditioning(case):
    piece = linear_piece(case.program, case.margin, case.line, case.event, SearchOptions())
    return p_value(case, piece, Intervals.empty(), "two-sided")


def selective(case):
    """By every alternative: each needs other parts of the line."""
    found = {a: case.search(PRECISION, alternative=a) for a in UNIFORM}
    return {a: p_value(case, f.inside, f.undecided, a) for a, f in found.items()}


def test_one(case, with_over=True):
    return Draw(
        selective(case),
        {a: naive(case, a) for a in ALTERNATIVES},
        over_conditioning(case) if with_over else None,
    )


test_one.__test__ = False


def images_of(setting, model, count, seed=2024):
    """Null images with their references, one after another."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        drawn = setting.sigma * rng.normal(size=(1 + setting.references, *model.inputs[0].shape))
        yield drawn[0], tuple(drawn[1:])


@functools.cache
def draws(name):
    """All null draws of a setting that have a region."""
    setting = SETTINGS[name]
    model = setting.model()
    made = (
        make_case(model, image, references, sigma=setting.sigma, **setting.options)
        for image, references in images_of(setting, model, setting.draws)
    )
    return [test_one(case, number % 2 == 0) for number, case in enumerate(made) if case is not None]


def rejection_band(count, level=LEVEL, confidence=0.999):
    """How often a valid test rejects among `count` draws, as shares."""
    low, high = stats.binom.interval(confidence, count, level)
    return low / count, high / count


def assert_uniform(p_values, what):
    p_values = np.asarray(p_values)
    ks = stats.kstest(p_values, "uniform").pvalue
    rate = np.mean(p_values <= LEVEL)
    low, high = rejection_band(len(p_values))
    assert ks > 0.01, f"{what}: KS p {ks:.2g}"
    assert low <= rate <= high, f"{what}: rejects {rate:.3f}, expected {low:.3f} to {high:.3f}"


@pytest.mark.parametrize("name", SETTINGS)
def test_p_values_are_uniform_under_the_null_and_naive_ones_are_not(name):
    found = draws(name)
    assert len(found) > 0.8 * SETTINGS[name].draws
    for alternative in UNIFORM:
        assert_uniform([draw.selective[alternative] for draw in found], f"{name}, {alternative}")
        naive = np.array([draw.naive[alternative] for draw in found])
        assert np.mean(naive <= LEVEL) > 2 * LEVEL
        assert stats.kstest(naive, "uniform").pvalue < 1e-20
    assert_uniform([draw.over for draw in found if draw.over is not None], f"{name}, over-conditioning")


def right_and_wrong(pairs, alternative):
    """Selective p-values with all of the selection in the event, and with a part of it taken as given."""

    def selective(case):
        found = case.search(PRECISION, alternative=alternative)
        return p_value(case, found.inside, found.undecided, alternative)

    return [[selective(case) for case in cases] for cases in zip(*pairs, strict=True)]


def level_of(threshold, values):
    """The number that a relative threshold comes to on one map."""
    kind, share = threshold.split(":")
    if kind == "max":
        return float(share) * values.max()
    if kind == "minmax":
        return values.min() + float(share) * (values.max() - values.min())
    last, first = np.sort(values, axis=None)[::-1][int(float(share) * values.size) - 1 :][:2]
    return first + 0.001 * (last - first)  # a pixel right on the level would be refused: rounding decides it


@pytest.mark.parametrize("threshold", ["max:0.8", "minmax:0.8", "top:0.12"])
def test_a_threshold_from_the_image_taken_as_given_is_not_uniform(threshold):
    """The level, computed from the image and then treated as a number, gives another event."""
    model, pairs = nets.bright_spots(3, size=3), []
    for image, references in images_of(Setting(None, 1, {}), model, 500):
        level = float(level_of(threshold, nets.value_of(model, image, "map")))
        right = make_case(model, image, references, threshold=threshold)
        wrong = make_case(model, image, references, threshold=level)
        if level > 0 and np.array_equal(right.event.observed, wrong.event.observed):
            pairs.append((right, wrong))
    assert len(pairs) > 350
    right, wrong = right_and_wrong(pairs, "greater")
    assert_uniform(right, f"{threshold} inside the event")
    assert stats.kstest(wrong, "uniform").pvalue < 1e-8


def two_signs(size=2):
    """Class 0 sees what is bright, class 1 what is dark."""
    net = nets.Net(0, (1, 1, size, size))
    x = net.add("Relu", net.add("Conv", "x", net.const(np.array([1.0, -1.0]).reshape(2, 1, 1, 1))))
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    return net.finish(net.add("Gemm", x, net.const(np.eye(2)), net.const(np.zeros(2)), out="scores"))


def test_a_predicted_class_taken_as_given_is_not_uniform():
    model, pairs = two_signs(), []
    for image, references in images_of(Setting(None, 1, {}), model, 700):
        right = make_case(model, image, references, threshold=0.0, target="predicted")
        if right is not None and nets.value_of(model, image, "scores").argmax() == 0:
            pairs.append((right, make_case(model, image, references, threshold=0.0, target=0)))
    right, wrong = right_and_wrong(pairs, "greater")
    assert_uniform(right, "class inside the event")
    assert stats.kstest(wrong, "uniform").pvalue < 1e-3


# --------------------------------------------------------------------------------
# The whole program


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("name", SETTINGS)
def test_the_program_gives_the_p_values_that_were_found_uniform(name, alternative):
    setting = SETTINGS[name]
    model = setting.model()
    tested = 0
    for image, references in images_of(setting, model, 8):
        case = make_case(model, image, references, sigma=setting.sigma, **setting.options)
        if case is None:
            with pytest.raises(onnx_si.NothingToTest):
                onnx_si.test(model, image, list(references) or None, sigma=setting.sigma, **setting.options)
            continue
        result = onnx_si.test(
            model,
            image,
            list(references) or None,
            sigma=setting.sigma,
            alternative=alternative,
            methods=("selective", "naive", "over-conditioning"),
            precision=PRECISION,
            **setting.options,
        )
        mine, tested = test_one(case), tested + 1
        assert np.array_equal(result.region, case.event.observed.reshape(result.region.shape))
        assert result.statistic == case.line.statistic and result.standard_error == case.line.standard_error
        selective = {**mine.selective, "less": 1 - mine.selective["greater"]}[alternative]
        assert result.p_value == pytest.approx(selective, abs=5 * PRECISION)
        assert result.p_value_bounds[0] <= result.p_value <= result.p_value_bounds[1]
        assert result.comparison.naive == pytest.approx(mine.naive[alternative], rel=1e-9)
        if alternative == "two-sided":
            assert result.comparison.over_conditioning == pytest.approx(mine.over, rel=1e-6)
        assert result.guarantee == "exact" and result.noise["known"]
    assert tested >= 5


def shifted_pixel_model():
    """The map of one pixel is its right neighbour, of others zero: the pixel does not move its own map."""
    net = nets.Net(0, (1, 1, 4, 4))
    weight = np.zeros((1, 1, 3, 3))
    weight[0, 0, 1, 2] = 1
    mask = np.zeros((1, 1, 4, 4))
    mask[0, 0, 1, 1] = 1
    net.add("Mul", net.add("Conv", "x", net.const(weight), pads=[1, 1, 1, 1]), net.const(mask), out="map")
    return net.finish("map")


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_without_a_selection_effect_it_is_scipys_two_sample_test(alternative, sigma, references):
    """S is the whole line; alternatives have SciPy's meaning and the reference's own noise counts."""
    rng = np.random.default_rng(11)
    image = rng.normal(size=(1, 1, 4, 4))
    image[0, 0, 1, 2] = 5.0
    others = [rng.normal(size=image.shape) for _ in range(references)]
    result = onnx_si.test(
        shifted_pixel_model(),
        image,
        others,
        sigma=sigma,
        saliency="output:map",
        threshold=0.0,
        alternative=alternative,
        methods=("selective", "naive"),
        precision=1e-9,
    )
    assert result.region.sum() == 1 and result.region[1, 1]
    many = 10**9  # so that Student's distribution is the normal one
    pixel, other = image[0, 0, 1, 1], np.mean([r[0, 0, 1, 1] for r in others])
    # one pixel against the mean of K: variances sigma^2 and sigma^2 / K
    truth = stats.ttest_ind_from_stats(
        pixel,
        sigma * np.sqrt(many),
        many,
        other,
        sigma * np.sqrt(many / references),
        many,
        equal_var=False,
        alternative=alternative,
    ).pvalue
    assert result.p_value == pytest.approx(truth, abs=1e-6)
    assert result.comparison.naive == pytest.approx(truth, abs=1e-6)


def test_a_noise_estimate_is_named_and_warned_about():
    rng = np.random.default_rng(3)
    image, reference = 0.7 * rng.normal(size=(2, 1, 1, 5, 5))
    image[0, 0, 2, 2] += 3
    known = onnx_si.test(nets.bright_spots(3), image, reference, sigma=0.7, threshold="max:0.5")
    guessed = onnx_si.test(nets.bright_spots(3), image, reference, threshold="max:0.5")
    assert known.noise["known"] and not guessed.noise["known"]
    assert "estimated" in guessed.noise["source"]
    assert guessed.noise["std"] == pytest.approx(0.7, rel=0.6)
    assert any("estimated" in warning and "--sigma" in warning for warning in guessed.warnings)
    assert not any("estimated" in warning for warning in known.warnings)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_units_do_not_matter(factor):
    """Image, reference, sigma and weights in other units give the same p-value."""
    rng = np.random.default_rng(8)
    image, reference = rng.normal(size=(2, 1, 1, 5, 5))
    model = nets.bright_spots(3)
    plain = onnx_si.test(model, image, reference, sigma=1.0, threshold=0.5, precision=1e-6)
    scaled = onnx_si.test(
        model,
        image * factor,
        reference * factor,
        sigma=factor,
        threshold=0.5,
        precision=1e-6,
        scale=1 / factor,
    )
    assert scaled.p_value == pytest.approx(plain.p_value, abs=1e-5)
    assert scaled.statistic == pytest.approx(factor * plain.statistic)
    np.testing.assert_allclose(scaled.truncation.bounds, factor * plain.truncation.bounds, rtol=1e-4)
