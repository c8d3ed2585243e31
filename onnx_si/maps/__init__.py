"""Saliency methods, one file each: a model in, a model with one more output out."""

from onnx_si.maps.choose import EACH, PREDICTED, build, methods
from onnx_si.maps.classes import agreement_map, labels_map
from onnx_si.maps.map import SaliencyMap, View, resize_matrix
from onnx_si.maps.pixel_blocks import Blocks, blocks_of
from onnx_si.maps.threshold import (
    ARGMAX,
    Threshold,
    default_threshold,
    parse_threshold,
    top_region,
    with_margin,
)

__all__ = [
    "ARGMAX",
    "EACH",
    "PREDICTED",
    "Blocks",
    "SaliencyMap",
    "Threshold",
    "View",
    "agreement_map",
    "blocks_of",
    "build",
    "default_threshold",
    "labels_map",
    "methods",
    "parse_threshold",
    "resize_matrix",
    "top_region",
    "with_margin",
]
