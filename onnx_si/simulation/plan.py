"""What is simulated: everything that a trial's numbers depend on, and nothing else."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from onnx_si.analysis.options import Options
from onnx_si.analysis.settings import Settings, settle
from onnx_si.errors import UsageError
from onnx_si.graph import Model
from onnx_si.inspection.probe import Probe, probe
from onnx_si.simulation.asked import Wish
from onnx_si.simulation.base import Base, base_of
from onnx_si.simulation.draws import Noise, Signalled
from onnx_si.statistics.hypotheses import HYPOTHESES
from onnx_si.statistics.noise import Covariance, covariance_of

NOISE_KEY = "onnx_si.noise_std"


@dataclass(frozen=True, eq=False, kw_only=True)
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
        Standard deviation of what is drawn; 1 where a covariance says it.
    knows : str
        What the test is told of the noise: `sigma`, `covariance`, `kind`, `image` (it estimates sigma
        from the image) or `images` (from `noise_images` further images without signal).
    seed : int
    options : mapping
        For `onnx_si.test`.
    mask : array, optional
        Pixels that may count.
    covariance : Covariance, optional
        Of what is drawn.
    base : Base, optional
        What noise and signal are added to; None: 0.
    arrays : mapping of str to str
        Checksums of mask, covariance and base.
    """

    path: str
    sha256: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    size: int
    references: int
    noise: Noise | Signalled
    sigma: float
    knows: str
    noise_images: int
    seed: int
    options: Mapping[str, Any]
    mask: ArrayLike | None = None
    covariance: Covariance | None = None
    base: Base | None = None
    arrays: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """In JSON's own types, without the path (a model may move), arrays by their checksums."""
        kept = [
            f.name for f in dataclasses.fields(self) if f.name not in ("path", "mask", "covariance", "base")
        ]
        base = {} if self.base is None else {"base": list(self.base.names)}
        return {**{name: getattr(self, name) for name in kept}, "noise": str(self.noise), **base}

    @property
    def methods(self) -> tuple[str, ...]:
        """The selective test, and those it is compared with."""
        asked = tuple(self.options["methods"])
        return asked if "selective" in asked else ("selective", *asked)

    @property
    def drawn(self) -> str:
        """What is drawn, in words."""
        noise = f"noise {self.noise} with std {self.sigma:g}"
        if self.covariance is not None:
            noise = f"noise {self.covariance}"
        elif isinstance(self.noise, Signalled):
            noise = f"noise {self.noise}"
        return noise if self.base is None else f"{noise}, added to {self.base}"


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
    options = {"methods": ("selective",), **options}
    knows = wish.known(options)
    settings, references, defaults = _settled(model, wish, options)
    sigma = 1.0 if settings.sigma is None or knows == "covariance" else settings.sigma
    if not 0 < sigma < math.inf:
        raise UsageError(f"sigma {sigma:g}; it must be positive and finite")
    shape, probed, sizes = _drawn_shape(model, settings)
    axes = probed.layout.spatial_axes
    space = [shape[axis] for axis in axes]
    size = max(1, min(space) // 2) if wish.size is None else wish.size
    if not 1 <= size <= min(space):
        raise UsageError(f"size {size}; the image has {space} pixels, so give 1 to {min(space)}")
    if wish.size is None:
        defaults.append(f"size {size}: half the image's side")
    if settings.sigma is None and knows not in ("covariance", "kind"):
        defaults.append("sigma 1: of the noise that is drawn")
    told = {name: value for name, value in options.items() if name not in ("sigma", "seed", "dims")}
    if isinstance(wish.noise, Signalled) and knows == "kind":
        told["noise"] = str(wish.noise.kind)
    covariance, base = wish.covariance, base_of(wish.base, shape, probed.layout, settings.scale is not None)
    if base is not None and isinstance(wish.noise, Signalled):
        raise UsageError(f"base with noise {wish.noise}, whose level stands behind @: leave the base out")
    if base is not None and wish.noise_images == 1 and not base.is_constant(axes):
        raise UsageError(
            "noise-images 1 is taken for constant background, and the base is none: give at least 2"
        )
    plan = Plan(
        path=model.path,
        sha256=model.sha256,
        shape=shape,
        axes=axes,
        size=size,
        references=references,
        noise=wish.noise or Noise(),
        sigma=sigma,
        knows=knows,
        noise_images=wish.noise_images,
        seed=wish.seed,
        options=told if sizes is None else {**told, "dims": sizes},
        mask=wish.mask,
        covariance=None if covariance is None else covariance_of(covariance, shape, probed.layout),
        base=base,
        arrays={**wish.checksums(), **({} if base is None else {"base": base.checksum})},
    )
    return plan, settings, (*settings.reasons, *probed.assumed, *defaults)


def _settled(model: Model, wish: Wish, options: Mapping[str, Any]) -> tuple[Settings, int, list[str]]:
    """The test's settings, and how many references there are."""
    settings = settle(Options(**options), model.metadata, has_reference=wish.references != 0)
    named = "hypothesis" in options or "onnx_si.hypothesis" in model.metadata
    needs = named and HYPOTHESES[settings.hypothesis].needs_reference
    references = int(needs) if wish.references is None else wish.references
    settings = settle(Options(**options), model.metadata, bool(references))
    if HYPOTHESES[settings.hypothesis].needs_reference and not references:
        raise UsageError(f"hypothesis {settings.hypothesis} needs --references of at least 1")
    if wish.references is not None:
        return settings, references, []
    why = f"hypothesis {settings.hypothesis} needs one" if needs else "no hypothesis needs one"
    return settings, references, [f"references {references}: {why}"]


def _drawn_shape(model: Model, settings: Settings) -> tuple[tuple[int, ...], Probe, Mapping[str, int] | None]:
    """Shape of the images, the model's input, and the sizes of its free axes that the test is told.

    Where the images are resized to the model's size, the sizes of space are those of the images.
    """
    sizes = dict(settings.dims or {})
    images = {letter: sizes.pop(letter) for letter in "DHW" if settings.resize_input and letter in sizes}
    probed = probe(model, sizes, settings.layout)
    strange = set(images) - set(probed.layout.axes)
    if strange:
        raise UsageError(f"no axis {sorted(strange)}; the images have the axes {probed.layout.axes}")
    named = zip(probed.layout.axes, probed.image.shape, strict=True)
    return tuple(images.get(letter, size) for letter, size in named), probed, sizes or None


def without_noise(model: Model) -> Model:
    """The same model that does not state the size of its noise."""
    proto = type(model.proto)()
    proto.CopyFrom(model.proto)
    kept = [(entry.key, entry.value) for entry in proto.metadata_props if entry.key != NOISE_KEY]
    del proto.metadata_props[:]
    for key, value in kept:
        proto.metadata_props.add(key=key, value=value)
    return model.with_proto(proto)
