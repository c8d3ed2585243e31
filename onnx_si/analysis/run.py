"""One test, from a model and an image to a result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from onnx_si.analysis.outcome import Notice, refusal
from onnx_si.analysis.prepare import prepare
from onnx_si.graph import Model
from onnx_si.report import Result
from onnx_si.search import Progress
from onnx_si.statistics.noise import Covariance

__all__ = ["Notice", "refusal", "test"]


def test(
    model: Model,
    image: ArrayLike,
    reference: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    mask: ArrayLike | None = None,
    covariance: ArrayLike | Mapping[str, ArrayLike] | Covariance | None = None,
    noise_from: Sequence[ArrayLike] = (),
    progress: Callable[[Progress], None] | None = None,
    notice: Notice | None = None,
    **options: Any,
) -> Result:
    """Test whether the salient region of a model's map on an image is real.

    Parameters
    ----------
    model : Model
        From `onnx_si.load`.
    image : array
        In the model's input shape, with or without the batch axis; floating point, in the units of `sigma`.
    reference : array or list of arrays, optional
        Images of the same kind of scene without the signal.
    mask : array, optional
        In the image's size: pixels that are zero can't be in the region and enter nothing.
    covariance : array, mapping of str to array, or Covariance, optional
        Of the noise, in place of `sigma`; see `onnx_si.statistics.noise.covariance_of`.
    noise_from : sequence of arrays, optional
        Independent images of pure background, from which the noise's scale is estimated.
    progress : callable, optional
        Called with a `Progress` during the search.
    notice : callable, optional
        Called as notice("default" or "warning", text) when a choice is made; the result holds them as well.
    **options
        The fields of `onnx_si.analysis.options.Options`.

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
    return prepare(model, **options).test(
        image,
        reference,
        mask=mask,
        covariance=covariance,
        noise_from=noise_from,
        progress=progress,
        notice=notice,
    )


test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest
