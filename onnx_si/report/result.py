"""The result of one test: frozen, complete, and the same shape whatever happened."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Finding, UsageError
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.layout import Layout
from onnx_si.report.documents import RESULT
from onnx_si.report.figures import inside, is_loose, p_value_text
from onnx_si.report.pieces import (
    ClassTest,
    Comparison,
    ComponentTest,
    Estimate,
    Fragility,
    MapChosen,
    ModelIdentity,
    NoiseTaken,
    OtherNoise,
    Parity,
    PartTest,
)
from onnx_si.report.region import Component, bounding_box, components, in_millimetres
from onnx_si.report.text import guarantee_text, summary

if TYPE_CHECKING:
    from onnx_si.engines.engine import Spent

_REASONS = {
    "reason": "nothing went wrong",
    "degrees_of_freedom": "the statistic is normal under the null; tests by chi, t or F have some",
    "estimate": "the search stopped before it was certain, or the truncation set ends at the statistic",
    "estimate_bounds.*": "unbounded, as far as the truncation set was searched",
    "confidence_interval_bounds.*.*": "unbounded, by what was searched of S or by a one-sided test",
    "confidence_interval.0": "unbounded below: by the truncation set, as far as it was searched, or because "
    "the test is one-sided",
    "confidence_interval.1": "unbounded above: by the truncation set, as far as it was searched, or because "
    "the test is one-sided",
    **dict.fromkeys(
        ("truncation", "undecided"), "S is not known to this engine: search.estimate is what was seen of it"
    ),
    **dict.fromkeys(
        ("search.pieces", "search.cells", "search.peak_bytes", "search.fates.*"),
        "the network was not followed: the runtime was asked at places of the line, or once",
    ),
    **dict.fromkeys(("search.draws", "search.seed"), "the search drew nothing"),
    "search.estimate": "S is known: see truncation",
    "truncation.*.0": "minus infinity",
    "truncation.*.1": "infinity",
    "undecided.*.0": "minus infinity",
    "undecided.*.1": "infinity",
    **dict.fromkeys(
        ("region.spacing_mm", "region.size_mm", "region.bbox_mm"),
        "the image's file does not say how large a pixel is",
    ),
    **dict.fromkeys(
        ("region.components.*.*", "region.components.*.*.*"),
        "the region was tested as a whole, not component by component",
    ),
    "noise.std": "the values have different standard deviations, or are correlated",
    "fragility.distance": "the region is the same on all of the line",
    "fragility.information": "the statistic is a length, or was not asked for",
    "noise.degrees_of_freedom": "the noise was not estimated from independent data",
    "saliency.target": "the map belongs to no class",
    "classes": "not asked for: --target all tests each class of a map of classes",
    "comparison.*": "not among the methods asked for",
    "model.path": "the model was given in memory",
    "model.sha256": "the model was given in memory",
    "image.path": "the image was given in memory",
    "reference.paths": "no reference was read from a file",
    "parity.pixels": "the deployed runtime can't run the file",
    **dict.fromkeys(
        ("parity.points", "parity.agreeing", "parity.too_near"),
        "no points of the line were asked of the deployed runtime",
    ),
    "parity.max_difference": "the deployed runtime's map is not finite everywhere, or was not computed",
    "parity.problem": "the deployed runtime ran the model",
    "config.*": "not chosen: the image, or the model as it is, decides",
}


_NOT_TESTED = ComponentTest()
_OTHER_NOISE = ("noise.tipping_std", "noise.decision_holds_for.*")
_OPEN_END = {"less": 0, "greater": 1}  # of the interval of a one-sided test


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """One test from model and image to p-value, with its guarantee.

    Arrays are in the image's pixels; `statistic`, `standard_error`, `truncation`, the interval in its units.
    """

    status: str
    guarantee: str
    p_value: float
    p_value_bounds: tuple[float, float]
    statistic: float
    standard_error: float | None
    degrees_of_freedom: int | None
    alternative: str
    hypothesis: str
    estimated: Estimate = field(repr=False)
    confidence_level: float
    truncation: Intervals = field(repr=False)
    undecided: Intervals = field(repr=False)
    region: NDArray[np.bool_] = field(repr=False)
    saliency_map: NDArray[np.float64] = field(repr=False)
    image: NDArray[np.float64] = field(repr=False)
    layout: Layout = field(repr=False)
    saliency: MapChosen
    comparison: Comparison
    noise: NoiseTaken
    model: ModelIdentity = field(repr=False)
    search: "Spent" = field(repr=False)
    parity: Parity = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    references: int = field(default=0, repr=False)
    fragility: Fragility = field(default_factory=Fragility, repr=False)
    other_noise: OtherNoise = field(default_factory=OtherNoise, repr=False)
    component_tests: tuple[ComponentTest, ...] = field(default=(), repr=False)
    class_tests: tuple[ClassTest, ...] = field(default=(), repr=False)
    approximate: bool = field(default=False, repr=False)
    reasons: Mapping[str, str] = field(default_factory=dict, repr=False)
    image_path: str | None = field(default=None, repr=False)
    spacing: tuple[float, ...] | None = None
    reference_paths: tuple[str, ...] = field(default=(), repr=False)
    defaults: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def estimate(self) -> float | None:
        """Median-unbiased estimate; None where the test has none or it is not certain."""
        return self.estimated.value

    @property
    def confidence_interval(self) -> tuple[float, float] | None:
        """Ends of the confidence interval, possibly infinite; None where the test has none."""
        return self.estimated.interval

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """Connected components of the region, the largest first."""
        return components(self.region)

    def to_dict(self) -> dict[str, Any]:
        """The result as a document of schema `onnx-si/result/1`, ready for JSON."""
        same = (
            *("status", "guarantee", "p_value", "p_value_bounds", "statistic", "standard_error"),
            *("degrees_of_freedom", "alternative", "hypothesis", "estimate", "confidence_interval"),
            *("confidence_level", "saliency", "model", "config", "defaults", "warnings", "versions"),
        )
        seen = self.truncation.to_list()
        exactly = not self.approximate and self.noise.level == "exact"
        known = {name: getattr(self, name) for name in same} | {
            "truncation": None if self.approximate else seen,
            "undecided": None if self.approximate else self.undecided.to_list(),
            "search": {**self.search, "estimate": seen} if self.approximate else self.search,
            "confidence_interval_level": "exact" if exactly else "approximate",
            "region": self._region(),
            "comparison": self.comparison.p_values(),
            "classes": [_without_reason(one) for one in self.class_tests] or None,
            "estimate_bounds": self.estimated.value_bounds,
            "confidence_interval_bounds": self.estimated.interval_bounds,
            "image": {"path": self.image_path, "shape": self.image.shape},
            "reference": {"paths": self.reference_paths or None, "count": self.references},
            "parity": vars(self.parity),
            "fragility": self.fragility.known(),
            "noise": {
                **self.noise,
                "tipping_std": self.other_noise.tipping,
                "decision_holds_for": self.other_noise.holds,
            },
        }
        own = self._own_reasons()
        usual = {path: why for path, why in _REASONS.items() if path not in own}
        return RESULT.make(known, {**own, **usual}, "not known")

    def _own_reasons(self) -> dict[str, str]:
        """Why values of this very test are missing, by path."""
        compared = {f"comparison.{name}": text for name, text in self.comparison.reasons.items()}
        without = {
            f"region.components.{number}.*": test.reason
            for number, test in enumerate(self.component_tests)
            if test.reason is not None
        }
        without |= {
            f"classes.{number}.*": one.reason
            for number, one in enumerate(self.class_tests)
            if one.reason is not None
        }
        without |= {
            f"classes.{number}.{name}.*": one.reason
            for number, one in enumerate(self.class_tests)
            if one.reason is not None
            for name in ("p_value_bounds", "p_value_adjusted_bounds")
        }
        found = {**self.reasons, **compared, **without, **self.fragility.reasons()}
        if self.other_noise.reason is not None:
            found |= dict.fromkeys(_OTHER_NOISE, self.other_noise.reason)
        of_interval = ("confidence_interval.*", "confidence_interval_bounds.*.*")
        if self.estimated.reason is not None:
            paths = ("estimate", "estimate_bounds.*", *of_interval)
            found |= dict.fromkeys(paths, self.estimated.reason)
        elif self.estimated.interval_reason is not None:
            found |= dict.fromkeys(of_interval, self.estimated.interval_reason)
        elif self.alternative in _OPEN_END:
            end = _OPEN_END[self.alternative]
            ends = (f"confidence_interval.{end}", f"confidence_interval_bounds.{end}.*")
            found |= dict.fromkeys(ends, "the test is one-sided, and so is its interval")
        return found

    def _region(self) -> dict[str, Any]:
        pixels = int(np.count_nonzero(self.region))
        tests = self.component_tests or (_NOT_TESTED,) * len(self.components)
        parts = [
            {**vars(part), **_without_reason(test)} for part, test in zip(self.components, tests, strict=True)
        ]
        box = bounding_box(self.region)
        found = {"pixels": pixels, "fraction": pixels / self.region.size, "bbox": box, "components": parts}
        known = self.spacing if len(box) == len(self.spacing or ()) else None
        return {**found, **in_millimetres(pixels, box, known)}

    def summary(self, *, warnings: bool = True) -> str:
        """About a dozen lines: how to read the p-value, the p-value, and what was tested."""
        return summary(self.to_dict(), warnings=warnings)

    def _p_value_text(self) -> str:
        """The p-value behind these words; one from chains is valid as it stands."""
        bounds = self.p_value_bounds
        if self.approximate:
            return f"= {inside(self.p_value, bounds, 2)}"
        return f"{'' if is_loose(bounds) else '= '}{p_value_text(bounds)}"

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG: image and saliency with the region's outline, the p-value in the title.

        Parameters
        ----------
        path : path-like
            Must end in .png.

        Raises
        ------
        UsageError
            If it does not, or can't be written.
        """
        # matplotlib takes long to import, and few results are drawn
        from onnx_si.report.picture import noise_scale, save_png

        if Path(path).suffix.lower() != ".png":
            raise UsageError(f"{path}: pictures are written as .png")
        how = guarantee_text(self.guarantee, self.noise.level)
        title = f"selective p-value {self._p_value_text()} ({how})"
        pixels = int(np.count_nonzero(self.region))
        subtitle = (
            f"{self.hypothesis} test of {pixels} of {self.region.size} pixels, statistic {self.statistic:.3g}"
        )
        try:
            save_png(
                path,
                self.image,
                self.layout,
                self.saliency_map,
                self.region,
                title,
                subtitle,
                self.spacing,
                noise_scale(self.to_dict()),
            )
        except OSError as error:
            raise UsageError(f"{path}: can't be written ({error.strerror})") from error

    def thumbnail(self) -> bytes:
        """A small PNG of image and saliency with the region's outline, without words."""
        from onnx_si.report.thumbnail import thumbnail  # few results are drawn

        return thumbnail(self.image, self.layout, self.saliency_map, self.region)

    def to_html(self) -> str:
        """One self-contained page: the p-value in words, picture, numbers, assumptions, how to repeat it."""
        from onnx_si.report.html.pages import result_page  # few results are shown as a page

        return result_page(self.to_dict(), self.thumbnail())

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from onnx_si.report.html.pages import result_fragment

        return result_fragment(self.to_dict(), self.thumbnail())


def _without_reason(test: PartTest) -> dict[str, Any]:
    return {key: value for key, value in vars(test).items() if key != "reason"}


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A test that did not happen, as a document of the same shape: `no_region` or `refused`, and why."""

    status: str
    reason: str
    exit_code: int
    findings: tuple[Finding, ...] = ()
    region: Mapping[str, Any] = field(default_factory=dict)
    saliency: Mapping[str, Any] = field(default_factory=dict)
    model: ModelIdentity = field(default_factory=ModelIdentity)
    config: Mapping[str, Any] = field(default_factory=dict)
    image_path: str | None = None
    image_shape: tuple[int, ...] | None = None
    noise: Mapping[str, Any] = field(default_factory=dict)
    reference_paths: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The refusal as a document of schema `onnx-si/result/1`; what a test would have given is null."""
        same = (
            "status",
            "reason",
            "region",
            "saliency",
            "model",
            "config",
            "defaults",
            "warnings",
            "versions",
        )
        known = {name: getattr(self, name) for name in same} | {
            "findings": [vars(finding) for finding in self.findings],
            "alternative": self.config.get("alternative"),
            "hypothesis": self.config.get("hypothesis"),
            "confidence_level": 1 - self.config["alpha"] if "alpha" in self.config else None,
            "image": {"path": self.image_path, "shape": self.image_shape},
            "noise": self.noise,
            "reference": {"paths": self.reference_paths or None, "count": len(self.reference_paths)},
        }
        what = "there was nothing to test" if self.status == "no_region" else "the model can't be analysed"
        own = {name: _REASONS[name] for name in ("reference.paths", "config.*")}
        return RESULT.make(known, {**own, "*": f"no test: {what} (see `reason`)"})
