"""What a user asks of the images that are drawn."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from onnx_si.analysis.options.of_noise import MOST_FREEDOM
from onnx_si.errors import UsageError
from onnx_si.simulation.draws import Noise, Signalled


@dataclass(frozen=True, eq=False, kw_only=True)
class Wish:
    """What a user asked of the images; None: not chosen. As for `onnx_si.simulation.simulate`."""

    size: int | None = None
    references: int | None = None
    noise: Noise | Signalled | None = None
    estimate_sigma: bool = False
    noise_images: int = 0
    seed: int = 0
    mask: ArrayLike | None = None
    covariance: ArrayLike | Mapping[str, ArrayLike] | None = None
    base: Any = None

    def __post_init__(self) -> None:
        for name in ("references", "noise_images", "seed"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"{name.replace('_', ' ')} {value}; give a whole number of at least 0")

    def known(self, options: Mapping[str, Any]) -> str:
        """What the test is told of the noise.

        Raises
        ------
        UsageError
            If two options say it.
        """
        of_sigma = {
            "--estimate-sigma": self.estimate_sigma,
            "--noise-images": self.noise_images,
            "--covariance": self.covariance is not None,
            "--sigma-df": options.get("sigma_df") is not None,
        }
        of_draws = {
            "--covariance": self.covariance is not None,
            "--noise": self.noise is not None,
            "--sigma": options.get("sigma") is not None,
        }
        freedom = options.get("sigma_df")
        if freedom is not None and not 1 <= freedom <= MOST_FREEDOM:
            raise UsageError(f"--sigma-df: give 1 to {MOST_FREEDOM:g} degrees of freedom")
        given = [name for name, there in of_sigma.items() if there]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} both say what the test knows of sigma; give one")
        drawn = [name for name, there in of_draws.items() if there]
        signalled = isinstance(self.noise, Signalled)
        if signalled and "--sigma" in drawn:
            raise UsageError(f"--noise {self.noise} says how large the noise is; leave --sigma out")
        if signalled and freedom is not None:
            raise UsageError("--sigma-df estimates one sigma, and this noise has many; leave it out")
        if self.covariance is not None and len(drawn) > 1:
            raise UsageError(f"{' and '.join(drawn)} both say what noise is drawn; give one")
        if self.covariance is not None:
            return "covariance"
        told = "kind" if signalled else "sigma"
        return "image" if self.estimate_sigma else "images" if self.noise_images else told

    def checksums(self) -> dict[str, str]:
        """Of the arrays that a user gave."""
        given = {"mask": self.mask, "covariance": self.covariance}
        found = {}
        for name, value in given.items():
            if value is not None:
                arrays = value if isinstance(value, Mapping) else {"": value}
                digest = hashlib.sha256()
                for key in sorted(arrays):
                    array = np.asarray(arrays[key])
                    digest.update(f"{key} {array.dtype} {array.shape};".encode() + array.tobytes())
                found[name] = digest.hexdigest()
        return found
