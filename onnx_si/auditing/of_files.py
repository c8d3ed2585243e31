"""One test of an audit or a replay: every file that a test reads, by its path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from onnx_si.analysis.door import is_file
from onnx_si.analysis.prepare import Analysis
from onnx_si.auditing.images import Entry
from onnx_si.report import Result


class Shared(Protocol):
    """The files that all images of an audit have in common."""

    @property
    def covariance(self) -> str | None: ...

    @property
    def noise_from(self) -> tuple[str, ...]: ...

    @property
    def sigma_from(self) -> str | None: ...


def input_files(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that hold values of the model's other inputs."""
    return tuple(str(value) for value in (options.get("inputs") or {}).values() if is_file(value))


def placed(options: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Options of an audit whose files are paths from a folder, as the test takes them, wherever it runs."""
    given = options.get("inputs")
    if not given:
        return dict(options)
    values = {name: str(base / value) if is_file(value) else value for name, value in given.items()}
    return {**options, "inputs": values}


@dataclass(frozen=True, kw_only=True)
class Files:
    """What a test reads, by paths from a folder."""

    image: str
    reference: Sequence[str] = ()
    mask: str | None = None
    covariance: str | None = None
    noise_from: Sequence[str] = ()
    sigma_from: str | None = None

    @classmethod
    def of(cls, entry: Entry, shared: Shared) -> "Files":
        """Of one image of an audit."""
        return cls(
            image=entry.image,
            reference=entry.reference,
            mask=entry.mask,
            covariance=shared.covariance,
            noise_from=shared.noise_from,
            sigma_from=shared.sigma_from,
        )

    def test(self, analysis: Analysis, base: Path, **options: Any) -> Result:
        """The test of the files themselves, which the options say how to read.

        Raises
        ------
        UsageError, InputError, UnsupportedModel, NothingToTest
        """

        def place(path: str | None) -> Path | None:
            return None if path is None else base / path

        return analysis.test(
            base / self.image,
            [base / path for path in self.reference] or None,
            mask=place(self.mask),
            covariance=place(self.covariance),
            noise_from=[base / path for path in self.noise_from],
            sigma_from=place(self.sigma_from),
            **options,
        )
