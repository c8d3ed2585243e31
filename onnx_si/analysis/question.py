"""What is asked about a region: the noise, the data and the line of images that a hypothesis leaves."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnx_si.analysis.scene import Mask, Scene
from onnx_si.analysis.selection import Selection
from onnx_si.analysis.settings import Settings
from onnx_si.errors import InputError, NoBackground, UsageError
from onnx_si.search import SearchOptions
from onnx_si.statistics.hypotheses import HYPOTHESES, Data, randomised_line, thinned_line
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.noise import (
    INDEPENDENT,
    Noise,
    covariance_of,
    estimate_covariance,
    estimate_from_image,
    estimate_from_images,
    estimate_from_pixels,
    parse_physical,
    plugged_in,
)

MOST_ERRORS = 1e8  # standard errors: half of the digits of a double are left for the line


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question with everything settled: what the selective test works on."""

    scene: Scene
    selection: Selection
    noise: Noise
    line: ImageLine
    how: SearchOptions
    settings: Settings


def require_one_source(scene: Scene, settings: Settings, covariance: Any) -> None:
    """Refuse a noise that is said twice, or half.

    Raises
    ------
    UsageError
    """
    stated = settings.sigma is not None and "sigma" not in settings.left_open
    sources = {
        "--sigma": stated and settings.sigma_source == "given",
        "--covariance": covariance is not None,
        "--noise-from": scene.noise_images,
        "--sigma-from": scene.background is not None,
        "--noise": settings.noise is not None,
    }
    given = [name for name, there in sources.items() if there]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} both say what the noise is; give one of them")
    if settings.sigma_df is not None and given not in (["--sigma"], ["--covariance"]):
        raise UsageError(
            "--sigma-df is the degrees of freedom of an independent estimate: give that with --sigma or "
            "--covariance"
        )
    if settings.noise_model is not None and not scene.noise_images:
        raise UsageError("--noise-model says what to estimate from --noise-from; give such images")


def noise_of(scene: Scene, settings: Settings, covariance: Any = None) -> Noise:
    """The noise that the user or the model states, else an estimate: from independent images if there are
    any, from the image itself if not.

    Raises
    ------
    UsageError
        If more than one source is given.
    InputError
        If a covariance does not fit the image, or nothing can be estimated.
    """
    require_one_source(scene, settings, covariance)
    freedom = settings.sigma_df
    if covariance is not None:
        shape = covariance_of(covariance, scene.image.shape, scene.layout)
        source = "given" if freedom is None else f"given, its scale estimated on {freedom} degrees of freedom"
        return Noise(covariance=shape, source=source, known=freedom is None, degrees_of_freedom=freedom)
    if settings.noise is not None:
        return _plugged_in(scene, settings.noise)[0]
    if scene.background is not None:
        values = scene.layout.spread(scene.background, scene.image.shape)
        return estimate_from_pixels(scene.image, values, scene.layout.channel_axis)
    if scene.noise_images:
        if settings.noise_model in (None, INDEPENDENT):
            return estimate_from_images(scene.noise_images, scene.layout.channel_axis)
        return estimate_covariance(scene.noise_images, scene.layout, settings.noise_model)
    if settings.sigma is not None:
        source = settings.sigma_source
        source = source if freedom is None else f"{source}, an estimate on {freedom} degrees of freedom"
        return Noise.scalar(settings.sigma, source, known=freedom is None, degrees_of_freedom=freedom)
    return estimate_from_image(scene.image, scene.layout.spatial_axes, scene.mask_of_values)


def _plugged_in(scene: Scene, text: str) -> tuple[Noise, float]:
    images = np.stack([scene.image, *scene.references])
    return plugged_in(parse_physical(text), images, scene.layout.spatial_axes)


def data_of(scene: Scene, noise: Noise, settings: Settings) -> Data:
    """What a hypothesis may know of a scene."""
    reference = np.mean(scene.references, axis=0) if scene.references else None
    return Data(
        image=scene.image,
        reference=reference,
        references=len(scene.references),
        noise=noise,
        mask=scene.mask_of_values,
        spatial_axes=scene.layout.spatial_axes,
        ring=settings.ring,
        ring_mm=settings.ring_mm,
        spacing=scene.spacing,
    )


def test_line(scene: Scene, region: Mask, noise: Noise, settings: Settings) -> ImageLine:
    """The line of images that the hypothesis' conditioning leaves, for a region of pixels.

    Raises
    ------
    NoBackground
        If it overlaps what the noise is estimated from.
    """
    if scene.background is not None and (common := int(np.count_nonzero(region & scene.background))):
        raise NoBackground(
            f"--sigma-from: {common} of its pixels are in the region, which takes them for no "
            "background; choose others"
        )
    hypothesis, values = HYPOTHESES[settings.hypothesis], scene.values_of(region)
    data = data_of(scene, noise, settings)
    if scene.extra is None:
        return hypothesis.line(data, values)
    if settings.thin is not None:
        return thinned_line(hypothesis, data, values, scene.extra, settings.thin)
    return randomised_line(hypothesis, data, values, scene.extra, settings.randomise or 0.0)


def require_told_apart(line: ImageLine) -> None:
    """Refuse a statistic so large that double precision can't tell the images on its line apart.

    Raises
    ------
    InputError
        If it is not finite, or more than `MOST_ERRORS` standard errors.
    """
    errors = abs(line.statistic) / line.standard_error
    if not errors <= MOST_ERRORS:
        raise InputError(
            f"the statistic is {errors:.3g} standard errors from zero; {MOST_ERRORS:g} can be told apart "
            "in double precision; is the noise (--sigma, in the file's units, before --scale) the image's?"
        )


def with_extra_noise(scene: Scene, noise: Noise, settings: Settings, rng: np.random.Generator) -> Scene:
    """The scene with the noise that a randomised selection, or thinning, adds to the image: the same for
    both.
    """
    if settings.added is None:
        return scene
    drawn = noise.covariance.sample(rng, scene.image.shape)
    return dataclasses.replace(scene, extra=np.sqrt(settings.added) * drawn)


def warnings(scene: Scene, settings: Settings, noise: Noise) -> Iterator[str]:
    """What the user should know about noise and references."""
    if scene.references and not HYPOTHESES[settings.hypothesis].needs_reference:
        against = HYPOTHESES[settings.hypothesis].null.removeprefix("the region's mean is ")
        yield f"the reference is not used: hypothesis {settings.hypothesis} compares with {against}"
    if scene.noise_images and not noise.exact:
        yield (
            f"the noise's covariance was {noise.source} and is taken for the truth: the level of the test is "
            "then approximate, the closer the more images; --noise-model independent, where pixels are "
            "independent, and --covariance keep it exactly"
        )
    elif settings.noise is not None:
        _, far = _plugged_in(scene, settings.noise)
        kind = parse_physical(settings.noise)
        skewed = f"; {far:.0%} of its values are so low that they are skewed" if far else ""
        yield (
            f"noise {kind}: {kind.words} are taken for normal, with variances by the local mean of the image "
            f"itself: the level is approximate{skewed}; simulate --noise {kind.name} measures it"
        )
    elif scene.background is not None:
        yield (
            f"sigma {noise.std:.4g} was {noise.source}: the model sees these pixels too, so that the level "
            "of the test is approximate, the closer the more pixels; --noise-from another image "
            "keeps it"
        )
    elif not noise.exact:
        yield (
            f"sigma {noise.std:.4g} was {noise.source}: the level of the test is then approximate; "
            "give --sigma from independent data, or images of pure background with --noise-from"
        )
    elif settings.thin is not None and not noise.known:
        yield (
            "the noise that --thin adds has an estimated scale, so that the part that is tested is not quite "
            "independent of the selection: the level is approximate, the closer the more degrees of freedom"
        )
