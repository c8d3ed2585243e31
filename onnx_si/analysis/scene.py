"""Image and references fitted to a model's input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnx_si.analysis.frame import Frame, Input
from onnx_si.analysis.gray import channels_saved, one_channel
from onnx_si.analysis.settings import Settings
from onnx_si.errors import InputError, UsageError
from onnx_si.ground.files import Accept
from onnx_si.ground.layout import Layout, fit
from onnx_si.ground.terminal import shown
from onnx_si.ground.words import so_many
from onnx_si.maps import View
from onnx_si.statistics.noise import accepting

LARGEST_VALUE = 1e30  # far above any image, and models in float32 overflow at 3e38

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Image and references as a model takes them, before any preprocessing.

    `noise_images` are independent images of background; `mask` says which pixels may count (None: all), and
    `channels` which channels enter the statistic, `background` pixels that the noise is estimated from, which
    enter none, `spacing` is the size of a pixel in mm. `extra` is noise that is added before the region is
    selected.
    """

    frame: Frame
    image: Array
    references: tuple[Array, ...] = ()
    noise_images: tuple[Array, ...] = ()
    mask: Mask | None = None
    channels: tuple[int, ...] | None = None
    background: Mask | None = None
    spacing: tuple[float, ...] | None = None
    extra: Array | None = None

    @property
    def seen(self) -> Array:
        """The image that the region is selected on."""
        return self.image if self.extra is None else self.image + self.extra

    @property
    def layout(self) -> Layout:
        return self.frame.layout

    @property
    def view(self) -> View:
        return self.frame.view

    @property
    def mask_of_values(self) -> Mask | None:
        """Values of the image that may enter the statistic, in its shape; None: all."""
        if self.mask is None and self.channels is None and self.background is None:
            return None
        shape = self.image.shape
        mask = np.ones(self.view.space, np.bool_) if self.mask is None else self.mask
        mask = mask if self.background is None else mask & ~self.background
        return self.layout.spread(mask, shape) & self._chosen_channels()

    def values_of(self, region: Mask) -> Mask:
        """A region of pixels as values of the image: all its chosen channels."""
        return self.layout.spread(region, self.image.shape) & self._chosen_channels()

    def _chosen_channels(self) -> Mask:
        axis = self.layout.channel_axis
        if self.channels is None or axis is None:
            return np.ones((1,) * self.image.ndim, np.bool_)
        chosen = np.isin(np.arange(self.image.shape[axis]), self.channels)
        return chosen.reshape([-1 if a == axis else 1 for a in range(self.image.ndim)])


def numbers(values: ArrayLike, what: str) -> Array:
    """An image as float64.

    Raises
    ------
    InputError
        If it holds integers, text, complex numbers, or values that are not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        low, high = (array.min(), array.max()) if array.size else (0, 0)
        top = 255 if high <= 255 and array.dtype != np.uint16 else 65535
        unit = f"--scale 1/{top} maps 0..{top} to 0..1, " if low >= 0 else ""
        raise InputError(
            f"{what} holds integers ({array.dtype}, {low} to {high}); say how they become the model's input: "
            f"{unit}--scale 1 takes them as they are, for a model that was given such numbers"
        )
    if array.size == 0:
        raise InputError(f"{what} is empty: its shape is {array.shape}")
    if array.dtype.kind != "f":
        raise InputError(
            f"{what} holds {so_many(array.size, 'value')} of type {array.dtype}; floating-point numbers are "
            "needed"
        )
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise InputError(
            f"{what} holds {bad} values that are NaN or infinite; the network reads them all, those under a "
            "mask too: replace them first"
        )
    largest = float(np.abs(array).max())
    if largest > LARGEST_VALUE:
        raise InputError(
            f"{what} holds values up to {largest:.3g}, more than float32 can compute with; rescale it"
        )
    return np.asarray(array, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Given:
    """The arrays that a test starts from, as the user gave them."""

    image: ArrayLike
    references: Sequence[ArrayLike] = ()
    noise_images: Sequence[ArrayLike] = ()
    mask: ArrayLike | None = None
    background: ArrayLike | None = None
    spacing: tuple[float, ...] | None = None

    @property
    def says_the_noise(self) -> bool:
        """Whether the noise is estimated from something that was given."""
        return bool(len(self.noise_images)) or self.background is not None


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was given, in the shape of the model's input and in float64."""

    image: Array
    references: tuple[Array, ...]
    noise_images: tuple[Array, ...]
    mask: Mask | None
    channels: tuple[int, ...] | None
    background: Mask | None
    spacing: tuple[float, ...] | None

    def in_frame(self, frame: Frame) -> Scene:
        """The scene, seen by a model."""
        return Scene(
            frame=frame,
            image=self.image,
            references=self.references,
            noise_images=self.noise_images,
            mask=self.mask,
            channels=self.channels,
            background=self.background,
            spacing=self.spacing,
        )


def fitted_shape(taken: Input, shape: tuple[int, ...], settings: Settings, what: str) -> tuple[int, ...]:
    """The shape of an array as the model takes it, by the array's shape alone.

    Raises
    ------
    InputError
        If it does not fit.
    """
    if 0 in shape:
        return shape  # an image of nothing is refused in words of its own
    axis = channels_saved(shape, taken) if settings.gray else None
    shape = tuple(1 if place == axis else size for place, size in enumerate(shape))
    blank = np.broadcast_to(np.zeros(()), shape)  # takes no memory
    return fit(blank, taken.accepted(settings), taken.layout, what).shape


@dataclass(frozen=True)
class Accepts:
    """What refuses files by the shapes that their headers say, before values are read."""

    taken: Input
    settings: Settings

    def image(self, what: str) -> Accept:
        """... an image, of that name in messages."""
        return lambda shape: fitted_shape(self.taken, shape, self.settings, what)

    def mask(self, image: tuple[int, ...], what: str = "mask") -> Accept:
        """... a mask, for an image of a shape."""
        space = self.taken.layout.spatial_shape(self._shape(image))
        return lambda shape: require_mask_shape(shape, space, what)

    def covariance(self, image: tuple[int, ...]) -> Callable[[str | None, tuple[int, ...]], object]:
        """... arrays of a covariance, by their names and shapes."""
        return accepting(self._shape(image), self.taken.layout)

    def _shape(self, image: tuple[int, ...]) -> tuple[int, ...]:
        return fitted_shape(self.taken, image, self.settings, "the image")


def require_mask_shape(shape: tuple[int, ...], space: tuple[int, ...], what: str = "mask") -> None:
    """Refuse a mask that is not of the image's size in space.

    Raises
    ------
    InputError
    """
    if tuple(n for n in shape if n != 1) != tuple(n for n in space if n != 1):
        raise InputError(
            f"the {what} has shape {shown(shape)}, the image {space} pixels; they must be the same"
        )


def fitted(taken: Input, given: Given, settings: Settings) -> Fitted:
    """Fit image, references, images of noise and mask to a model's input.

    Raises
    ------
    InputError, UsageError
        If they don't fit.
    """
    accepted, layout = taken.accepted(settings), taken.layout

    def fits(values: ArrayLike, what: str) -> Array:
        array = np.asarray(values)
        if array.dtype.kind in "iub" and (settings.scale is not None or taken.whole_numbers):
            array = array.astype(np.float64)
        if settings.gray:
            array = one_channel(array, taken, what)
        return fit(numbers(array, what), accepted, layout, what)

    image = fits(given.image, "the image")
    references = tuple(fits(r, f"reference {i + 1}") for i, r in enumerate(given.references))
    if any(r.shape != image.shape for r in references):
        raise InputError(f"image {image.shape} and references {[r.shape for r in references]} differ in size")
    return Fitted(
        image=image,
        references=references,
        noise_images=tuple(fits(n, f"noise image {i + 1}") for i, n in enumerate(given.noise_images)),
        mask=None if given.mask is None else _mask(given.mask, layout.spatial_shape(image.shape)),
        channels=_channels(settings.channels, layout, image.shape),
        background=_background(given, layout.spatial_shape(image.shape)),
        spacing=sizes_in_mm(given.spacing, layout),
    )


def sizes_in_mm(spacing: tuple[float, ...] | None, layout: Layout) -> tuple[float, ...] | None:
    """One size for each axis of space, where one or as many are known; None else."""
    count = len(layout.spatial_axes)
    if spacing is None or len(spacing) not in (1, count):
        return None
    return spacing * count if len(spacing) == 1 else spacing


def _background(given: Given, space: tuple[int, ...]) -> Mask | None:
    """The pixels that the noise is estimated from.

    Raises
    ------
    InputError
        If they don't fit, or leave nothing to test.
    """
    if given.background is None:
        return None
    chosen = pixels_of(given.background, space, "background")
    if np.count_nonzero(~chosen) < 2:
        raise InputError(
            f"--sigma-from: {np.count_nonzero(chosen)} of {chosen.size} pixels are background; "
            "none is left to test"
        )
    return chosen


def _mask(values: ArrayLike, space: tuple[int, ...]) -> Mask | None:
    """Pixels that may count: those that are not zero; None where all may.

    Raises
    ------
    InputError
        If it is not of the image's size in space, or leaves no choice.
    """
    mask = pixels_of(values, space)
    if np.count_nonzero(mask) < 2:
        raise InputError(
            f"the mask leaves {np.count_nonzero(mask)} pixels; at least two must be allowed to count"
        )
    return None if mask.all() else mask


def pixels_of(values: ArrayLike, space: tuple[int, ...], what: str = "mask") -> Mask:
    """The pixels that are not zero, of truth values or of whole numbers, as labels are.

    Raises
    ------
    InputError
        If it is not of the image's size in space, or holds anything else: a map of probabilities does not
        say by itself which pixels it means.
    """
    array = np.asarray(values)
    require_mask_shape(array.shape, space, what)
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and not np.isfinite(array).all()):
        raise InputError(
            f"the {what} holds {array.dtype}, or NaN; give truth values, or numbers with 0 for no"
        )
    if array.dtype.kind in "if" and array.size and (array.min() < 0 or (array != np.rint(array)).any()):
        raise InputError(
            f"the {what} holds numbers from {array.min():.4g} to {array.max():.4g} that are fractions, or "
            "below 0; give truth values, 0 and 1 (or 0 and 255), or labels of which 0 is no: cut a map of "
            "probabilities first"
        )
    return np.asarray((array != 0).reshape(space))


def _channels(
    chosen: tuple[int, ...] | None, layout: Layout, shape: tuple[int, ...]
) -> tuple[int, ...] | None:
    """The channels that enter the statistic.

    Raises
    ------
    UsageError
        If there is no such channel.
    """
    if chosen is None:
        return None
    count = 1 if layout.channel_axis is None else shape[layout.channel_axis]
    if not chosen or any(not 0 <= c < count for c in chosen):
        raise UsageError(f"channels {list(chosen)}; the image has {count}, numbered from 0")
    return tuple(sorted(set(chosen)))
