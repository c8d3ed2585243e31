"""One small handler per ONNX op, a file per family; importing this package registers them all."""

from onnx_si.ops import (
    activation,
    comparison,
    convolution,
    elementwise,
    linear,
    movement,
    pooling,
    reduction,
    resize,
    selection,
    smooth,
)

__all__ = [
    "activation",
    "comparison",
    "convolution",
    "elementwise",
    "linear",
    "movement",
    "pooling",
    "reduction",
    "resize",
    "selection",
    "smooth",
]
