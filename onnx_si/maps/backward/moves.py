"""Ops that only move values: a gradient goes back to where the value came from."""

import math

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.kernels.interpolation import AlongAxes
from onnx_si.maps.appended import reshaped
from onnx_si.maps.backward.nodes import gathered_back
from onnx_si.maps.backward.site import OTHER_LAYER, Site, backwards
from onnx_si.rules.registry import with_gradient
from onnx_si.rules.rules import Affine
from onnx_si.rules.traits import Gradient


@backwards(*with_gradient(Gradient.PASSED), "CastLike")
def identity(at: Site) -> str:
    return at.gradient


@backwards(*with_gradient(Gradient.REGROUPED))
def reshape(at: Site) -> str:
    return reshaped(at.editor, at.gradient, at.wanted)


@backwards("Transpose")
def transpose(at: Site) -> str:
    perm = at.attributes.get("perm") or list(range(len(at.wanted)))[::-1]
    return at.add("Transpose", [at.gradient], perm=[int(i) for i in np.argsort(perm)])


@backwards(
    *with_gradient(Gradient.MOVED),
    *("Compress", "ReverseSequence", "Scatter", "ScatterElements", "ScatterND", "Trilu"),
)
def move(at: Site) -> str:
    """The places that an element went to are read off the op itself, run on the elements' numbers."""
    rule = at.rule
    if not isinstance(rule, Affine) or rule.weights:
        raise Refusal("where its values come from depends on the image", OTHER_LAYER)
    numbers = [
        np.arange(1.0, 1 + math.prod(at.shape(i))).reshape(1, *at.shape(i))
        if i == at.position
        else np.zeros((1, *at.shape(i)))
        for i in at.changing
    ]
    sources = rule.slope(*numbers).ravel().astype(np.int64) - 1
    return gathered_back(at, reshaped(at.editor, at.gradient, (-1,)), sources, at.wanted)


@backwards("Resize", "Upsample")
def resize(at: Site) -> str:
    """One matrix for each axis, transposed; nearest neighbours are moved values."""
    rule = at.rule
    if not isinstance(rule, Affine) or not isinstance(rule.linear, AlongAxes):
        return move(at)
    tensor, rank = at.gradient, len(at.given)
    for axis, matrix in zip(rule.linear.axes, rule.weights, strict=True):
        order = [a for a in range(rank) if a != axis] + [axis]
        moved = at.add("Transpose", [tensor], perm=order)
        product = at.add("MatMul", [moved, at.constant(matrix)])
        tensor = at.add("Transpose", [product], perm=[order.index(a) for a in range(rank)])
    return tensor
