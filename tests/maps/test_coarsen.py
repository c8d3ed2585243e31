"""`--coarsen`: the region is one of blocks, as averages of the runtime's own map say, along the line."""

import os

import numpy as np
import pytest
from scipy import stats
from support import nets
from support.maps import run_onnx

import onnx_si
from onnx_si.maps import Blocks

DRAWS = int(os.environ.get("ONNX_SI_COARSEN_DRAWS", "120"))
"""Null images of the check of the level: ONNX_SI_COARSEN_DRAWS=2000 looks at more."""


def averaged(shown, side, counts=None):
    """Each pixel's block mean, block by block."""
    counts = np.ones(shown.shape, bool) if counts is None else counts
    found = np.empty(shown.shape)
    corners = [range(0, size, side) for size in shown.shape]
    for corner in np.stack(np.meshgrid(*corners, indexing="ij"), -1).reshape(-1, shown.ndim):
        block = tuple(slice(start, start + side) for start in corner)
        chosen = counts[block] if counts[block].any() else np.ones_like(counts[block])
        found[block] = shown[block][chosen].mean()
    return found


def region_by_hand(shown, threshold, side, counts=None):
    """The region of blocks, by the words of the documentation."""
    blocks = averaged(shown, side, counts)
    counts = np.ones(shown.shape, bool) if counts is None else counts
    kind, _, level = str(threshold).rpartition(":")
    values, level = blocks[counts], float(level)
    if kind == "top":
        each = np.unique(np.round(values, 6))  # one value for each block; the images have no equal ones
        return (blocks > each[::-1][int(level * len(each))] + 5e-7) & counts
    bound = {
        "": level,
        "max": level * values.max(),
        "minmax": level * values.max() + (1 - level) * values.min(),
    }
    return (blocks > bound[kind]) & counts


def line_net(seed, shape, kernel):
    """Conv, Relu, Conv on 1, 2 or 3 axes of space."""
    net = nets.Net(seed, (1, 1, *shape))
    rank = len(shape)
    x = "x"
    for inside, outside in ((1, 2), (2, 1)):
        weight = net.normal(outside, inside, *(kernel,) * rank, scale=0.6)
        x = net.add("Conv", x, weight, net.normal(outside, scale=0.3), pads=[kernel // 2] * 2 * rank)
        x = net.add("Relu", x) if outside == 2 else net.add("Identity", x, out="map")
    return net.finish("map")


def image_of(model, seed):
    return np.random.default_rng(seed).normal(size=model.inputs[0].shape)


def map_of(model, image):
    return run_onnx(model, image, "map")[0].squeeze().astype(np.float64)


def asked(model, image, **options):
    precision = {} if options.get("engine") == "monte-carlo" or "thin" in options else {"precision": 0.5}
    options = {"sigma": 1.0, "saliency": "output:map", **precision, **options}
    return onnx_si.test(model, image, **options)


@pytest.mark.parametrize("shape", [(23,), (7, 8), (5, 4, 5)])
@pytest.mark.parametrize("threshold", ["0.05", "max:0.4", "minmax:0.5", "top:0.3"])
@pytest.mark.parametrize(("side", "masked"), [(2, False), (3, True)])
def test_the_region_is_that_of_block_means(shape, threshold, side, masked):
    """Blocks at the border have the pixels that are there, and under a mask those that may count."""
    model = line_net(len(shape), shape, 3)
    image = image_of(model, 3)
    counts = np.random.default_rng(1).random(shape) < 0.7 if masked else None
    wanted = region_by_hand(map_of(model, image), threshold, side, counts)
    for engine in ({"engine": "exact"}, {"engine": "monte-carlo", "draws": 19}):
        found = asked(model, image, threshold=threshold, coarsen=side, mask=counts, **engine)
        assert np.array_equal(found.region, wanted)
        assert found.parity.pixels == ()
    shown = averaged(map_of(model, image), side, counts)
    np.testing.assert_allclose(found.saliency_map, shown, atol=1e-5)


def test_a_block_without_pixels_that_count_is_in_no_region():
    model = line_net(2, (8, 8), 3)
    image, counts = image_of(model, 5), np.ones((8, 8), bool)
    counts[:4, :4] = False
    found = asked(model, image, threshold="minmax:0.3", coarsen=4, mask=counts)
    assert np.array_equal(found.region, region_by_hand(map_of(model, image), "minmax:0.3", 4, counts))
    assert not found.region[:4, :4].any() and np.isfinite(found.saliency_map).all()


def test_one_representative_of_each_block_may_count():
    counts = np.ones((5, 5), bool)
    counts[0, 0] = counts[4, 4] = False
    blocks = Blocks(3, (5, 5), counts)
    firsts = blocks.firsts(counts)
    assert firsts.sum() == 4 and not (firsts & ~counts).any()
    assert blocks.grid == (2, 2) and len(np.unique(blocks.numbers[firsts])) == 4


def scan(model, image, found, region_at, points=150):
    """Compare S with the regions of the runtime at points of the line; gives how many are inside."""
    region, rng = found.region, np.random.default_rng(0)
    weights = (region / region.sum() - ~region / (~region).sum()).reshape(image.shape)
    direction, seen = weights / (weights**2).sum(), []
    for z in rng.uniform(found.statistic - 2, found.statistic + 2, points):
        parts = (*found.truncation, *found.undecided)
        if min(abs(z - end) for part in parts for end in part) < 1e-4:
            continue
        if any(low < z < high for low, high in found.undecided):
            continue  # far out, beyond the precision
        moved = image + (z - (weights * image).sum()) * direction
        inside = any(low < z < high for low, high in found.truncation)
        assert np.array_equal(region_at(moved), region) == inside
        seen.append(inside)
    return seen


@pytest.mark.parametrize("threshold", ["0.1", "max:0.5", "minmax:0.4", "top:0.25"])
def test_s_is_what_a_dense_scan_finds(threshold):
    seen = []
    for seed in range(3):
        model = line_net(seed, (7, 8), 3)
        image = image_of(model, seed + 20)
        found = asked(model, image, threshold=threshold, coarsen=3, precision=1e-6)
        seen += scan(
            model, image, found, lambda x, model=model: region_by_hand(map_of(model, x), threshold, 3)
        )
    assert 0.03 < np.mean(seen) < 0.97


def test_components_are_those_of_blocks():
    model, several = line_net(0, (9, 9), 3), 0
    for seed in range(6):
        image = image_of(model, seed)
        wanted = region_by_hand(map_of(model, image), "max:0.4", 3)
        found = asked(model, image, threshold="max:0.4", coarsen=3, components=True)
        sizes = [part["pixels"] for part in found.to_dict()["region"]["components"]]
        assert sum(sizes) == wanted.sum() and all(size % 9 == 0 for size in sizes)
        assert all(0 <= one.p_value <= 1 for one in found.component_tests)
        several += len(sizes) > 1
    assert several > 2


def mapped(last, seed=1, outside=1):
    net = nets.Net(seed, (1, 1, 7, 8))
    x = net.conv(net.add("Relu", net.conv("x", 1, 3)), 3, outside)
    net.add("Identity", x, out="scores")
    net.add("Identity", last(net, x), out="map")
    return net.finish("map")


PROBABILITIES = {
    "Sigmoid": (1, lambda n, x: n.add("Sigmoid", x), lambda s: 1 / (1 + np.exp(-s)), 0.5),
    "Softmax": (2, lambda n, x: n.add("Softmax", x, axis=1), lambda s: 1 / (1 + np.exp(-s)), 0.45),
    "LogSoftmax": (2, lambda n, x: n.add("LogSoftmax", x, axis=1), lambda s: -np.log1p(np.exp(-s)), -1.0),
    "Sqrt of squares": (1, lambda n, x: n.add("Sqrt", n.add("Mul", x, x)), np.sqrt, 0.4),
}


@pytest.mark.parametrize("last", PROBABILITIES)
def test_scores_in_front_of_a_sigmoid_are_averaged(last):
    """Exact where the map is: a mean of probabilities is not piecewise linear. Every engine agrees."""
    channels, end, link, level = PROBABILITIES[last]
    model = mapped(end, outside=channels)

    def region_at(x):
        scores = run_onnx(model, x, "scores")[0][0].astype(np.float64)
        one = scores[1] - scores[0] if channels == 2 else scores[0] ** 2 if "squares" in last else scores[0]
        return averaged(one, 3), link(averaged(one, 3)) > level

    image = image_of(model, 2)
    options = {"coarsen": 3, "threshold": level, "target": 1 if channels == 2 else "predicted"}
    found = asked(model, image, engine="exact", precision=1e-6, **options)
    means, wanted = region_at(image)
    assert found.guarantee == "exact" and np.array_equal(found.region, wanted)
    np.testing.assert_allclose(found.saliency_map, link(means), atol=1e-5)
    assert any("averaged over the blocks" in text for text in found.defaults)
    scan(model, image, found, lambda x: region_at(x)[1], points=60)
    for how in ({"engine": "monte-carlo", "draws": 19}, {"thin": 0.01}):
        drawn = asked(model, image, **options, **how)
        assert drawn.guarantee != "exact"
        assert np.array_equal(drawn.region, wanted) or "thin" in how


ENDS = {
    "logits": lambda n, x: x,
    "Softmax": lambda n, x: n.add("Softmax", x, axis=1),
    "channels last": lambda n, x: n.add("Softmax", n.add("Transpose", x, perm=[0, 2, 3, 1]), axis=-1),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("target", [1, "predicted"])
def test_classes_are_chosen_by_their_averaged_scores(end, target):
    model = mapped(ENDS[end], seed=5, outside=3)

    def region_at(x):
        scores = run_onnx(model, x, "scores")[0][0].astype(np.float64)
        labels = np.array([averaged(s, 3) for s in scores]).argmax(axis=0)
        counts = np.bincount(labels.ravel(), minlength=3)
        return labels == (target if target == 1 else 1 + counts[1:].argmax())

    done = 0
    for seed in range(12):
        image = image_of(model, seed)
        if region_at(image).sum() in (0, 56):
            continue
        found = asked(model, image, coarsen=3, threshold="argmax", target=target, precision=1e-6)
        assert found.guarantee == "exact" and np.array_equal(found.region, region_at(image))
        scan(model, image, found, region_at, points=40)
        done += 1
        if done == 2:
            break
    assert done == 2


def test_labels_of_the_graph_are_a_vote():
    """An ArgMax in the file gives no scores: a block is in the region where most of its pixels are."""
    model = mapped(lambda n, x: n.add("ArgMax", x, axis=1, keepdims=0), outside=3)
    image = image_of(model, 3)
    votes = averaged(1.0 * (map_of(model, image) != 0), 3)
    found = asked(model, image, coarsen=3)
    assert np.array_equal(found.region, votes > 0.5) and found.guarantee == "exact"


def test_one_is_the_map_itself_and_a_single_block_is_refused():
    model = line_net(2, (7, 8), 3)
    image = image_of(model, 1)
    plain, one = asked(model, image), asked(model, image, coarsen=1)
    assert np.array_equal(plain.region, one.region) and plain.p_value == one.p_value
    assert one.to_dict()["saliency"]["coarsen"] == 1 and "blocks" not in one.summary()
    with pytest.raises(onnx_si.UsageError, match="one block would be the whole map of 7 x 8"):
        asked(model, image, coarsen=8)
    with pytest.raises(onnx_si.UsageError, match="coarsen"):
        asked(model, image, coarsen=0)


def test_result_and_words_say_it():
    model = line_net(2, (7, 8), 3)
    found = asked(model, image_of(model, 1), coarsen=3, threshold=0.1)
    document = found.to_dict()
    assert document["saliency"]["coarsen"] == document["config"]["coarsen"] == 3
    assert "averaged over blocks of side 3" in " ".join(found.summary().split())


def test_null_p_values_are_uniform():
    """At most alpha are rejected, and the naive test of the same regions is far off."""
    model = nets.bright_spots(3, size=7)
    images = np.random.default_rng(11).normal(size=(DRAWS, 1, 1, 7, 7))
    found, naive = [], []
    for image in images:
        try:
            result = asked(
                model, image, coarsen=3, threshold="max:0.5", precision=1e-3, verify=0, p_value_only=True
            )
        except onnx_si.NothingToTest:
            continue
        found.append(result.p_value)
        naive.append(2 * stats.norm.sf(abs(result.statistic / result.standard_error)))
    assert len(found) > 0.8 * DRAWS
    low, high = stats.binom.interval(0.999, len(found), 0.05)
    assert low <= np.count_nonzero(np.array(found) <= 0.05) <= high
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert np.count_nonzero(np.array(naive) <= 0.05) > high


def test_blocks_of_equal_pixels_are_equal_whatever_part_of_them_may_count():
    """Three pixels or four of one value have that average, so that neither is above the other."""
    net = nets.Net(0, (1, 1, 2, 8), dtype=np.float64)
    net.add("Clip", "x", net.const(np.array(-1.0)), net.const(np.array(0.7)), out="map")
    image = np.random.default_rng(0).normal(size=net.shape)
    image[..., :6] = 2.0 + 0.1 * image[..., :6]
    image[..., 6:] = -0.5 + 0.1 * image[..., 6:]
    mask = np.ones((2, 8), bool)
    mask[0, 0] = mask[0, 7] = mask[1, 2] = mask[1, 3] = False
    options = {"coarsen": 2, "mask": mask, "sigma": 1.0, "saliency": "output:map", "layout": "NCHW"}
    found = onnx_si.test(net.finish("map"), image, threshold=0.5, **options)
    assert found.saliency_map[:, :6] == pytest.approx(0.7, abs=1e-15)
    with pytest.raises(onnx_si.NothingToTest, match="no pixel"):  # three of four blocks tie for two places
        onnx_si.test(net.finish("map"), image, threshold="top:0.5", **options)
