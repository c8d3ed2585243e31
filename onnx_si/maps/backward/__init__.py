"""The backward pass of a score as ordinary nodes; one rule for each op says how a gradient goes through."""

from onnx_si.maps.backward import gates, moves, sliding, sums, winners
from onnx_si.maps.backward.site import has_gradient
from onnx_si.maps.backward.walk import differentiate, reached

__all__ = [
    "differentiate",
    "gates",
    "has_gradient",
    "moves",
    "reached",
    "sliding",
    "sums",
    "winners",
]
