"""Sliding windows: the transpose of a convolution is a transposed convolution with the same weights."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.kernels.windows import Window
from onnx_si.maps.backward.formula import given
from onnx_si.maps.backward.reductions import power_of_norm
from onnx_si.maps.backward.site import Site, backwards
from onnx_si.ops.recipe import slid_over
from onnx_si.rules.registry import Variable
from onnx_si.rules.rules import Affine


def _spread(at: Site, tensor: str, weights: str, win: Window, group: int) -> str:
    """Every window's gradient put back on the elements that it saw; what fell on pads is cut off."""
    reach = [(a.output - 1) * a.stride + (a.taps - 1) * a.dilation + 1 for a in win.axes]
    missing = [a.begin + a.length - r for a, r in zip(win.axes, reach, strict=True)]
    return at.add(
        "ConvTranspose",
        [tensor, weights],
        group=group,
        strides=[a.stride for a in win.axes],
        dilations=[a.dilation for a in win.axes],
        pads=[a.begin for a in win.axes] + [max(0, -m) for m in missing],
        output_padding=[max(0, m) for m in missing],
    )


@backwards("Conv")
def conv(at: Site) -> str:
    return _spread(at, at.gradient, at.single(1), at.recipe.window, at.attributes.get("group", 1))


@backwards("AveragePool")
def average_pool(at: Site) -> str:
    """Each element gets its share of every window that saw it."""
    assert isinstance(at.rule, Affine)
    shares = at.add("Mul", [at.gradient, at.constant(1 / at.rule.weights[0])])
    win, channels = at.recipe.window, at.wanted[1]
    ones = at.constant(np.ones((channels, 1, *(axis.taps for axis in win.axes))))
    return _spread(at, shares, ones, win, channels)


@backwards("LpPool")
def lp_pool(at: Site) -> str:
    """Each element gets its part of every window's norm."""
    inner, outer = power_of_norm(at, float(at.attributes.get("p", 2)))
    win, channels = slid_over(Variable(at.wanted), at.attributes), at.wanted[1]
    ones = at.constant(np.ones((channels, 1, *(axis.taps for axis in win.axes))))
    return at.add("Mul", [inner.tensor, _spread(at, (given(at) * outer).tensor, ones, win, channels)])


@backwards("ConvTranspose")
def conv_transpose(at: Site) -> str:
    given, rank = at.attributes, len(at.wanted) - 2
    strides = given.get("strides") or [1] * rank
    extra = given.get("output_padding") or [0] * rank
    pads = given.get("pads") or [0] * 2 * rank
    auto = given.get("auto_pad", "NOTSET")
    if auto.startswith("SAME") or given.get("output_shape"):
        raise Refusal("auto_pad or output_shape", "export with explicit pads")
    if any(more >= stride for more, stride in zip(extra, strides, strict=True)):
        raise Refusal(f"output_padding {extra} with strides {strides}", "export with less output_padding")
    return at.add(
        "Conv",
        [at.gradient, at.single(1)],
        group=given.get("group", 1),
        strides=strides,
        dilations=given.get("dilations") or [1] * rank,
        pads=[0] * 2 * rank if auto == "VALID" else pads,
    )
