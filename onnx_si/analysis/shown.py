"""The salient region by the deployed runtime alone, for models that are not followed exactly."""

from typing import TYPE_CHECKING

from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.marking import Marker
from onnx_si.analysis.scene import Mask, Scene
from onnx_si.analysis.settings import Settings
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.engines.engine import Engine
from onnx_si.ground.seeds import generator
from onnx_si.report import Parity
from onnx_si.runtime.session import RUNTIME

if TYPE_CHECKING:
    from onnx_si.engines.montecarlo.drawing import MonteCarlo

PASSES = 2  # runs of the model that tell the region, and that it is always the same
STREAM = 3  # the generator's child that the chains draw from; those before it draw other things


def parity_of_itself() -> Parity:
    """The region is the runtime's own."""
    return Parity(runtime=RUNTIME, pixels=(), max_difference=0.0)


def engine_of(scene: Scene, settings: Settings, box: BlackBox) -> Engine:
    """What answers for a region that the runtime marked."""
    if settings.thin is not None:
        from onnx_si.engines.thinning import Thinned

        return Thinned(PASSES, settings.seed)
    return chains_of(scene, settings, box)


def chains_of(scene: Scene, settings: Settings, box: BlackBox) -> "MonteCarlo":
    """The Monte-Carlo engine of a scene, with draws of its own."""
    from onnx_si.engines.montecarlo import Plan
    from onnx_si.engines.montecarlo.drawing import MonteCarlo  # most models are followed exactly

    rng = generator(settings.seed, scene.image, *scene.references).spawn(STREAM + 1)[STREAM]
    return MonteCarlo(
        box=box.line,
        plan=Plan(
            draws=settings.draws,
            steps=settings.steps,
            alpha=settings.alpha,
            around=not settings.p_value_only,
        ),
        seed=settings.seed,
        rng=rng,
    )


def event_of(marker: Marker, region: Mask) -> RegionEvent:
    """What has to be the same along the line: the region, whatever ties."""
    if marker.threshold.kind == "top":
        return TopEvent(region, region, 1, marker.ranked)
    return RegionEvent(region, marker.mask)
