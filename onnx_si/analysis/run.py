"""One test, from a model and an image to a result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

from numpy.typing import ArrayLike

from onnx_si.analysis.inputs import Path, require_read_so, several
from onnx_si.analysis.options import AllOptions
from onnx_si.analysis.options.of_image import how_of
from onnx_si.analysis.outcome import refusal
from onnx_si.analysis.prepare import prepare
from onnx_si.analysis.remarks import Notice
from onnx_si.graph import Loadable
from onnx_si.report import Result
from onnx_si.search import Progress, Stop
from onnx_si.statistics.noise import Covariance

__all__ = ["Notice", "refusal", "test"]


def test(
    model: Loadable,
    image: ArrayLike | Path,
    reference: ArrayLike | Path | Sequence[ArrayLike | Path] | None = None,
    *,
    mask: ArrayLike | Path | None = None,
    covariance: ArrayLike | Mapping[str, ArrayLike] | Covariance | Path | None = None,
    noise_from: ArrayLike | Path | Sequence[ArrayLike | Path] = (),
    sigma_from: ArrayLike | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
    notice: Notice | None = None,
    **options: Unpack[AllOptions],
) -> Result:
    """Test whether the salient region of a model's map on an image is real.

    Parameters
    ----------
    model : Model, or what `onnx_si.load` takes
        From `onnx_si.load`, or a path, the bytes of a file, or an `onnx.ModelProto`.
    image : array or path
        In the model's input shape, with or without the batch axis; floating point, in the units of `sigma`.
    reference : array or path, or a list of them, optional
        Images of the same kind of scene without the signal.
    mask : array or path, optional
        In the image's size: pixels that are zero can't be in the region and enter nothing.
    covariance : array, mapping of str to array, Covariance, or path, optional
        Of the noise, in place of `sigma`; see `onnx_si.statistics.noise.covariance_of`.
    noise_from : array or path, or a list of them, optional
        Independent images of pure background, from which the noise's scale is estimated.
    sigma_from : array or path, optional
        In the image's size: pixels that are not zero are background, from which the noise's scale is
        estimated; they enter no mean.
    progress : callable, optional
        Called with a `Progress` during the search.
    stop : onnx_si.search.Stop, optional
        `stop.ask()`, from any thread, ends the search; the result has the bounds so far.
    notice : callable, optional
        Called as notice("default" or "warning", text) when a choice is made; the result holds them as well.
    **options
        See docs/options.md; each has a record in `onnx_si.analysis.options`.

    Returns
    -------
    Result

    Raises
    ------
    UsageError, InputError, UnsupportedModel, NothingToTest

    Source
    ------
    Miwa, Duy, Takeuchi, "Valid p-value for deep learning-driven salient region", ICLR 2023.
    """
    require_read_so(how_of(options), (image, mask, sigma_from, *several(reference), *several(noise_from)))
    return prepare(model, **options).test(
        image,
        reference,
        mask=mask,
        covariance=covariance,
        noise_from=noise_from,
        sigma_from=sigma_from,
        progress=progress,
        stop=stop,
        notice=notice,
    )


test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest
