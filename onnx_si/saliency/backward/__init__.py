"""The backward pass of a score as ordinary nodes; one rule for each op says how a gradient goes through."""

from onnx_si.saliency.backward import gates, moves, sums, windows, winners
from onnx_si.saliency.backward.site import has_gradient
from onnx_si.saliency.backward.walk import differentiate, reached

__all__ = [
    "differentiate",
    "gates",
    "has_gradient",
    "moves",
    "reached",
    "sums",
    "windows",
    "winners",
]
