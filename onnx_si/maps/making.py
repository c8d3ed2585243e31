"""What makes the map of each saliency method; those that are seldom asked for are imported when they are."""

import importlib
from collections.abc import Callable
from typing import Any

from onnx_si.choices import saliency as choices
from onnx_si.maps.cam import cam
from onnx_si.maps.map import SaliencyMap
from onnx_si.maps.output import output_map

Make = Callable[..., SaliencyMap]


def _later(module: str, name: str) -> Make:
    """What a module makes a map by; it is imported when that is first asked for."""

    def make(*asked: Any) -> SaliencyMap:
        made: SaliencyMap = getattr(importlib.import_module(f"onnx_si.maps.{module}"), name)(*asked)
        return made

    return make


MADE_BY: dict[str, Make] = {
    choices.OUTPUT.name: output_map,
    choices.CAM.name: cam,
    choices.GRADCAM.name: _later("gradcam", "gradcam"),
    choices.GRADIENT.name: _later("gradients", "gradient"),
    choices.GRAD_INPUT.name: _later("gradients", "grad_input"),
    choices.OCCLUSION.name: _later("occlusion", "occlusion"),
    choices.ROLLOUT.name: _later("rollout", "rollout"),
}
"""What makes the map of each record: (model, image, target, view), and what follows the name."""
