"""What is simulated: everything that a trial's numbers depend on, and nothing else."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx_si.errors import UsageError
from onnx_si.graph import Model
from onnx_si.hypotheses import HYPOTHESES
from onnx_si.options import Options
from onnx_si.probe import probe
from onnx_si.settings import Settings, settle
from onnx_si.simulate.draws import Noise

NOISE_KEY = "onnx_si.noise_std"


@dataclass(frozen=True)
class Plan:
    """One kind of trial on one model.

    Parameters
    ----------
    path, sha256 : str
        The model's file and its checksum.
    shape, axes : tuple of int
        Of the images that are drawn, and which of their axes are space.
    size : int
        Side of the square that holds the signal, in pixels.
    references : int
        Reference images, drawn without signal.
    noise : Noise
    sigma : float
        Standard deviation of what is drawn.
    knows : str
        What the test is told of sigma: `sigma`, `image` (it estimates it from the image) or `images`
        (from `noise_images` further images without signal).
    seed : int
    options : mapping
        For `onnx_si.test`.
    """

    path: str
    sha256: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    size: int
    references: int
    noise: Noise
    sigma: float
    knows: str
    noise_images: int
    seed: int
    options: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types, without the path: a model may move."""
        content = {**dataclasses.asdict(self), "noise": str(self.noise)}
        del content["path"]
        return content

    @property
    def methods(self) -> tuple[str, ...]:
        """The selective test, and those it is compared with."""
        asked = tuple(self.options["methods"])
        return asked if "selective" in asked else ("selective", *asked)


@dataclass(frozen=True)
class Wish:
    """What a user asked of the images; None: not chosen."""

    size: int | None = None
    references: int | None = None
    noise: Noise = dataclasses.field(default_factory=Noise)
    estimate_sigma: bool = False
    noise_images: int = 0
    seed: int = 0


def plan_of(model: Model, wish: Wish, **options: Any) -> tuple[Plan, Settings, tuple[str, ...]]:
    """Settle what was left open.

    Parameters
    ----------
    model : Model
        Loaded from a file: every worker loads it again.
    wish : Wish
    **options
        As for `onnx_si.test`; `sigma` is that of the noise that is drawn.

    Returns
    -------
    tuple of Plan, Settings, tuple of str
        The plan, the test's settings, and a line for each default with its reason.

    Raises
    ------
    UsageError, InputError, UnsupportedModel
        If something does not fit.
    """
    if model.path is None or model.sha256 is None:
        raise UsageError("a model in memory can't be simulated; save it and load it with onnx_si.load")
    if wish.references is not None and wish.references < 0:
        raise UsageError(f"references {wish.references}; give a whole number of at least 0")
    _check_noise(wish)
    options = {"methods": ("selective",), **options}
    settings = settle(Options(**options), model.metadata, has_reference=wish.references != 0)
    named = "hypothesis" in options or "onnx_si.hypothesis" in model.metadata
    needs = named and HYPOTHESES[settings.hypothesis].needs_reference
    references = int(needs) if wish.references is None else wish.references
    settings = settle(Options(**options), model.metadata, bool(references))
    if HYPOTHESES[settings.hypothesis].needs_reference and not references:
        raise UsageError(f"hypothesis {settings.hypothesis} needs --references of at least 1")
    sigma = 1.0 if settings.sigma is None else settings.sigma
    if not 0 < sigma < math.inf:
        raise UsageError(f"sigma {sigma:g}; it must be positive and finite")
    probed = probe(model, settings.dims or {}, settings.layout)
    shape, axes = probed.image.shape, probed.layout.spatial_axes
    space = [shape[axis] for axis in axes]
    size = max(1, min(space) // 2) if wish.size is None else wish.size
    if not 1 <= size <= min(space):
        raise UsageError(f"size {size}; the image has {space} pixels, so give 1 to {min(space)}")
    knows = "image" if wish.estimate_sigma else "images" if wish.noise_images else "sigma"
    defaults = [*settings.reasons, *probed.assumed]
    if wish.size is None:
        defaults.append(f"size {size}: half the image's side")
    if settings.sigma is None:
        defaults.append("sigma 1: of the noise that is drawn")
    if wish.references is None:
        why = f"hypothesis {settings.hypothesis} needs one" if needs else "no hypothesis needs one"
        defaults.append(f"references {references}: {why}")
    told = {name: value for name, value in options.items() if name not in ("sigma", "seed")}
    plan = Plan(
        model.path,
        model.sha256,
        shape,
        axes,
        size,
        references,
        wish.noise,
        sigma,
        knows,
        wish.noise_images,
        wish.seed,
        told,
    )
    return plan, settings, tuple(defaults)


def _check_noise(wish: Wish) -> None:
    if wish.seed < 0:
        raise UsageError(f"seed {wish.seed}; give a whole number of at least 0")
    if wish.noise_images < 0:
        raise UsageError(f"noise images {wish.noise_images}; give a whole number of at least 0")
    if wish.estimate_sigma and wish.noise_images:
        raise UsageError("--estimate-sigma and --noise-images both say where sigma comes from; give one")


def without_noise(model: Model) -> Model:
    """The same model that does not state the size of its noise."""
    proto = type(model.proto)()
    proto.CopyFrom(model.proto)
    kept = [(entry.key, entry.value) for entry in proto.metadata_props if entry.key != NOISE_KEY]
    del proto.metadata_props[:]
    for key, value in kept:
        proto.metadata_props.add(key=key, value=value)
    return model.with_proto(proto)
