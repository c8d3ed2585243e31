"""The backward pass of a score as ordinary nodes; one rule for each op says how a gradient goes through."""

from onnx_si.maps.backward import curves, moves, reductions, sliding, sums, winners
from onnx_si.maps.backward import gating as gates
from onnx_si.maps.backward import letters as einsum
from onnx_si.maps.backward import normed as norms
from onnx_si.maps.backward.site import has_gradient
from onnx_si.maps.backward.walk import differentiate, reached

__all__ = [
    "curves",
    "differentiate",
    "einsum",
    "gates",
    "has_gradient",
    "moves",
    "norms",
    "reached",
    "reductions",
    "sliding",
    "sums",
    "winners",
]
