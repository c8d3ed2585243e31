"""The ways to compute a convolution agree with each other and with sums written out."""

import itertools

import numpy as np
import pytest
from ops.cases import HANDLERS

from onnx_si.kernels import correlation
from onnx_si.rules.registry import Context, Variable


def conv(x, w, **attributes):
    rule = HANDLERS["Conv"].build((Variable(x.shape[1:]), w), attributes, Context(0, 1, 22))
    return rule.evaluate(x)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("block_bytes", [1, 1500, 5000])
def test_blocks_and_strips(monkeypatch, group, block_bytes):
    """Images one by one, and each in strips of places, give what one product over all windows gives."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 2, 4, 7, 6)), rng.normal(size=(6, 4 // group, 3, 2))
    attributes = {"group": group, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 0, 1]}
    whole = conv(x, w, **attributes)
    monkeypatch.setattr(correlation, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(correlation, "FEW_PLACES", 0)
    np.testing.assert_allclose(conv(x, w, **attributes), whole, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("maps", [4, 8])
@pytest.mark.parametrize("strides", [[1, 1], [2, 1]])
@pytest.mark.parametrize("block_bytes", [1, 16000, 1 << 22])
@pytest.mark.parametrize("large_windows", [0, 1 << 22])
def test_one_filter_for_each_channel(monkeypatch, maps, strides, block_bytes, large_windows):
    """A few channels at a time, gathered or shifted, with one or two maps from each, give the sums written
    out.
    """
    rng = np.random.default_rng(4)
    x, w = rng.normal(size=(3, 2, 4, 6, 7)), rng.normal(size=(maps, 1, 3, 2))
    padded = np.pad(x, [(0, 0)] * 3 + [(1, 0), (0, 2)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(3, 4))[..., ::2]
    seen = windows[:, :, :, :: strides[0], :: strides[1]]
    expected = np.einsum("nbcijkl,cmkl->nbcmij", seen, w.reshape(4, -1, 3, 2))
    monkeypatch.setattr(correlation, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(correlation, "SHIFT_BYTES", block_bytes)
    monkeypatch.setattr(correlation, "LARGE_WINDOWS", large_windows)
    y = conv(x, w, group=4, strides=strides, dilations=[1, 2], pads=[1, 0, 0, 2])
    np.testing.assert_allclose(y, expected.reshape(y.shape), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("strides", [[1, 1], [2, 3]])
def test_kernels_of_one_place_read_the_image_itself(strides):
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(2, 1, 4, 7, 8)), rng.normal(size=(6, 4, 1, 1))
    before = x.copy()
    seen = x[..., :: strides[0], :: strides[1]]
    expected = np.einsum("oc,nbcij->nboij", w[:, :, 0, 0], seen)
    np.testing.assert_allclose(conv(x, w, strides=strides), expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(x, before)


def test_against_sums_written_out():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(1, 1, 2, 5, 4)), rng.normal(size=(3, 2, 3, 2))
    y = conv(x, w, pads=[1, 0, 1, 1])
    expected = np.zeros((1, 1, 3, 5, 4))
    for o, i, j, c, di, dj in itertools.product(range(3), range(5), range(4), range(2), range(3), range(2)):
        if 0 <= i + di - 1 < 5 and j + dj < 4:
            expected[0, 0, o, i, j] += w[o, c, di, dj] * x[0, 0, c, i + di - 1, j + dj]
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)


def test_transposed_is_the_transpose():
    """<conv(x), y> = <x, conv_transpose(y)> with the same weights and attributes."""
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(1, 1, 4, 7, 8)), rng.normal(size=(6, 2, 3, 2))
    attributes = {"group": 2, "strides": [2, 3], "dilations": [1, 2], "pads": [1, 0, 2, 1]}
    forth = conv(x, w, **attributes)
    y = rng.normal(size=forth.shape)
    rule = HANDLERS["ConvTranspose"].build(
        (Variable(y.shape[1:]), w), attributes | {"output_padding": [1, 0]}, Context(0, 1, 22)
    )
    back = rule.evaluate(y)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.sum(forth * y), np.sum(x * back), rtol=1e-12)


@pytest.mark.parametrize("strides", [[1, 1], [1, 2], [2, 1]])
@pytest.mark.parametrize("maps", [3, 40])
@pytest.mark.parametrize("block_bytes", [1, 3000, 1 << 22])
def test_taps_along_the_first_axis_as_runs(monkeypatch, strides, maps, block_bytes):
    """A product for each of them, added up, where few maps are made of many channels: never by what is
    gathered along all axes.
    """
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(3, 1, 4, 9, 8)), rng.normal(size=(maps, 4, 3, 2))
    padded = np.pad(x, [(0, 0)] * 3 + [(1, 2), (0, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 2), axis=(3, 4))[..., ::2, :]
    expected = np.einsum("nbcijkl,mckl->nbmij", windows[:, :, :, :: strides[0], :: strides[1]], w)
    monkeypatch.setattr(correlation, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(correlation, "FEW_PLACES", 0)
    by_rows, used = correlation._by_rows, []
    monkeypatch.setattr(correlation, "_by_rows", lambda *asked: used.append(1) or by_rows(*asked))
    y = conv(x, w, strides=strides, dilations=[2, 1], pads=[1, 0, 2, 1])
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)
    assert bool(used) == (strides[0] == 1 and maps == 3)


WAYS = {  # the sizes at which one is taken, and what has to be small for images that a test can write out
    "_together": (5, 8, {}),
    "_by_maps": (1, 8, {"FEW_PLACES": 0, "BLOCK_BYTES": 1, "CACHED_BYTES": 1}),
    "_by_taps": (3, 8, {"FEW_PLACES": 0, "BLOCK_BYTES": 1, "TAPS_BYTES": 1}),
    "_by_rows": (3, 5, {"FEW_PLACES": 0}),
    "_in_strips": (40, 5, {"FEW_PLACES": 0, "BLOCK_BYTES": 1}),
    "_gathered": (40, 5, {"FEW_PLACES": 0}),
    "_by_channels": (6, 6, {"MANY_CHANNELS": 6, "CACHED_BYTES": 1}),
    "_by_shifts": (6, 6, {"LARGE_WINDOWS": 0, "SHIFT_BYTES": 1}),
    "_by_groups": (6, 6, {}),
}


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("name", WAYS)
def test_every_way_gives_the_sums_written_out(monkeypatch, name, small, dilation):
    """In one piece and in as many as there can be; of several images."""
    maps, channels, sizes = WAYS[name]
    group = channels if maps == channels else 1
    rng = np.random.default_rng(7)
    x, w = rng.normal(size=(3, 1, channels, 7, 6)), rng.normal(size=(maps, channels // group, 3, 2))
    padded = np.pad(x, [(0, 0)] * 3 + [(1, 2), (0, 1)])
    reach = 2 * dilation + 1, dilation + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(3, 4))
    windows = windows[..., ::dilation, ::dilation]
    expected = (
        np.einsum("nbcijkl,mckl->nbmij", windows, w)
        if group == 1
        else np.einsum("nbcijkl,ckl->nbcij", windows, w[:, 0])
    )
    for size, value in sizes.items():
        if small or not size.endswith("_BYTES") or size == "BLOCK_BYTES":
            monkeypatch.setattr(correlation, size, value)
    way, used = getattr(correlation, name), []
    monkeypatch.setattr(correlation, name, lambda *asked: used.append(1) or way(*asked))
    y = conv(x, w, group=group, dilations=[dilation] * 2, pads=[1, 0, 2, 1])
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-13)
    assert used


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 2, 1], [2, 2, 2, 2], [3, 0, 0, 0]])
def test_transposed_is_the_transpose_where_it_moves_by_one_place(group, pads):
    """As a convolution with the kernel turned, or by what each place adds where more is padded than that
    reaches.
    """
    rng = np.random.default_rng(6)
    x, w = rng.normal(size=(2, 1, 4, 7, 8)), rng.normal(size=(6, 4 // group, 3, 3))
    attributes = {"group": group, "pads": pads}
    rule = HANDLERS["Conv"].build((Variable(x.shape[1:]), w), attributes, Context(0, 1, 22))
    forth = rule.evaluate(x)
    y = rng.normal(size=forth.shape)
    (back,) = rule.linear.back(y, [x.shape[1:]], *rule.weights)
    assert back.shape == x.shape
    for image in range(2):
        np.testing.assert_allclose(
            np.sum(forth[image] * y[image]), np.sum(x[image] * back[image]), rtol=1e-11
        )
    place = np.zeros_like(x)
    place[0, 0, 1, 0, 7] = 1.0  # at a corner, so that what the pads are counts
    np.testing.assert_allclose(np.sum(rule.evaluate(place)[0] * y[0]), back[0, 0, 1, 0, 7], rtol=1e-11)


@pytest.mark.parametrize("taps", [(2,), (3, 2), (2, 1, 3)])
@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("group", [1, 2])
def test_a_transposed_convolution_whose_windows_do_not_overlap(taps, cut, group):
    """Each window's products stand side by side, as sums written out."""
    rng = np.random.default_rng(6)
    places = (4, 3, 5)[: len(taps)]
    x, w = rng.normal(size=(2, 1, 4, *places)), rng.normal(size=(4, 3, *taps))
    attributes = {"group": group, "strides": list(taps), "pads": [cut and n // 2 for n in taps] * 2}
    rule = HANDLERS["ConvTranspose"].build((Variable(x.shape[1:]), w), attributes, Context(0, 1, 22))
    assert rule.linear.win.tiles
    wanted = np.zeros((2, 1, 3 * group, *(n * m for n, m in zip(places, taps, strict=True))))
    for place in np.ndindex(*places):
        box = tuple(slice(p * n, (p + 1) * n) for p, n in zip(place, taps, strict=True))
        for channel in range(4):
            maps = slice(3 * (channel * group // 4), 3 * (channel * group // 4 + 1))
            wanted[(slice(None), slice(None), maps, *box)] += np.multiply.outer(
                x[(slice(None), slice(None), channel, *place)], w[channel]
            )
    inside = tuple(slice(cut and n // 2, m * n - (cut and n // 2)) for m, n in zip(places, taps, strict=True))
    np.testing.assert_allclose(rule.evaluate(x), wanted[(..., *inside)], rtol=1e-12, atol=1e-12)
