"""The noise of the image: its covariance, where that comes from, and estimates of its size."""

from onnx_si.statistics.noise.covariance import Covariance, Diagonal, Full, Scalar
from onnx_si.statistics.noise.estimate import (
    clipped_at,
    correlation,
    detail_std,
    estimate_from_image,
    estimate_from_images,
    estimate_from_pixels,
    robust_std,
)
from onnx_si.statistics.noise.loading import accepting, covariance_of, read_covariance
from onnx_si.statistics.noise.noise import Noise
from onnx_si.statistics.noise.physical import FORMS, Physical, parse_physical, plugged_in
from onnx_si.statistics.noise.shapes import INDEPENDENT, MODELS, estimate_covariance
from onnx_si.statistics.noise.structured import Separable, Stationary

__all__ = [
    "FORMS",
    "INDEPENDENT",
    "MODELS",
    "Covariance",
    "Diagonal",
    "Full",
    "Noise",
    "Physical",
    "Scalar",
    "Separable",
    "Stationary",
    "accepting",
    "clipped_at",
    "correlation",
    "covariance_of",
    "detail_std",
    "estimate_covariance",
    "estimate_from_image",
    "estimate_from_images",
    "estimate_from_pixels",
    "parse_physical",
    "plugged_in",
    "read_covariance",
    "robust_std",
]
