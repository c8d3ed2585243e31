"""Counts and error control over the rows of an audit, read one by one."""

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from onnx_si.auditing.warned import warnings_of

ALL = "all"  # the group that every image is in
STATUSES = ("tested", "no_region", "refused", "failed")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What came of the images of a group.

    `rejected` are significant at the audit's rate, by the control over all images of the group. `fisher` and
    `simes` are p-values of 'no region of this group is real'.
    """

    images: int
    tested: int
    no_region: int
    refused: int
    failed: int
    rejected: int
    fisher: float | None
    simes: float | None
    uniform_p_value: float | None
    parity_pixels: int
    parity_unknown: int
    noise_estimated: int
    warned: int
    guarantees: tuple[str, ...]


class ByNumber(Mapping[int, float]):
    """Values by the numbers of images, which rise: sixteen bytes for each."""

    def __init__(self, numbers: "array[int]", values: NDArray[np.float64]):
        self._numbers, self._values = np.asarray(numbers), values

    def __getitem__(self, number: int) -> float:
        at = int(np.searchsorted(self._numbers, number))
        if at == len(self._numbers) or self._numbers[at] != number:
            raise KeyError(number)
        return float(self._values[at])

    def __iter__(self) -> Iterator[int]:
        return map(int, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def array(self) -> NDArray[np.float64]:
        """The values, as they stand."""
        return self._values


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of all images and of every group.

    `p_values` and `adjusted`, over all images, are by the number of the tested image.
    """

    groups: Mapping[str, Counts]
    adjusted: ByNumber
    p_values: ByNumber
    rate: float
    control: str


@dataclass(kw_only=True)
class _Pile:
    """Rows of one group, as they come."""

    status: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    p_values: "array[float]" = field(default_factory=lambda: array("d"))
    parity_pixels: int = 0
    parity_unknown: int = 0
    noise_estimated: int = 0
    warned: int = 0
    guarantees: set[str] = field(default_factory=set)

    def add(self, row: Mapping[str, Any]) -> None:
        self.status[row["status"]] += 1
        self.warned += bool(warnings_of(row))
        if row["status"] != "tested":
            return
        result = row["result"]
        self.numbers.append(row["number"])
        self.p_values.append(result["p_value"])
        pixels = result["parity"]["pixels"]
        self.parity_unknown += pixels is None
        self.parity_pixels = max(self.parity_pixels, len(pixels or ()))
        self.noise_estimated += result["noise"]["level"] != "exact"
        self.guarantees.add(result["guarantee"])

    def values(self) -> NDArray[np.float64]:
        return np.asarray(self.p_values)

    def counts(self, adjusted: NDArray[np.float64], rate: float) -> Counts:
        values = self.values()
        return Counts(
            images=sum(self.status.values()),
            **self.status,
            rejected=int(np.count_nonzero(adjusted <= rate)),
            fisher=fisher(values),
            simes=simes(values),
            uniform_p_value=float(scipy.stats.kstest(values, "uniform").pvalue) if len(values) else None,
            parity_pixels=self.parity_pixels,
            parity_unknown=self.parity_unknown,
            noise_estimated=self.noise_estimated,
            warned=self.warned,
            guarantees=tuple(sorted(self.guarantees)),
        )


def summarise(rows: Iterable[Mapping[str, Any]], control: str, rate: float) -> Summary:
    """Count rows, in memory that grows by a few numbers for each.

    Parameters
    ----------
    rows : iterable of mappings
        Of `results.jsonl`.
    control : str
        `benjamini-hochberg`, `benjamini-yekutieli` or `holm`.
    rate : float
        False discovery rate, or Holm's family-wise error rate.
    """
    piles: dict[str, _Pile] = {ALL: _Pile()}
    for row in rows:
        piles[ALL].add(row)
        if row["group"] is not None:
            piles.setdefault(row["group"], _Pile()).add(row)
    adjusted = {name: adjust(pile.values(), control) for name, pile in piles.items()}
    every = piles[ALL]
    return Summary(
        groups={name: pile.counts(adjusted[name], rate) for name, pile in piles.items()},
        adjusted=ByNumber(every.numbers, adjusted[ALL]),
        p_values=ByNumber(every.numbers, every.values()),
        rate=rate,
        control=control,
    )


def adjust(values: NDArray[np.float64], control: str) -> NDArray[np.float64]:
    """Adjusted p-values.

    Source
    ------
    Benjamini and Hochberg, JRSS B 57 (1995); Benjamini and Yekutieli, Annals of Statistics 29 (2001); Holm,
    Scandinavian Journal of Statistics 6 (1979).
    """
    if not len(values):
        return values
    if control == "holm":
        order = np.argsort(values, kind="stable")
        steps = np.maximum.accumulate(np.minimum(1.0, (len(values) - np.arange(len(values))) * values[order]))
        adjusted = np.empty(len(values))
        adjusted[order] = steps
        return adjusted
    method: Literal["bh", "by"] = "by" if control == "benjamini-yekutieli" else "bh"
    return np.asarray(scipy.stats.false_discovery_control(values, method=method), np.float64)


def fisher(values: NDArray[np.float64]) -> float | None:
    """Fisher's combination: small where many regions show something."""
    if not len(values):
        return None
    logs = np.log(np.maximum(values, math.ulp(0.0)))
    return float(scipy.special.chdtrc(2 * len(values), -2.0 * logs.sum()))


def simes(values: NDArray[np.float64]) -> float | None:
    """Simes' test: small where at least one region shows something."""
    if not len(values):
        return None
    ranks = np.arange(1, len(values) + 1)
    return float(min(1.0, (len(values) * np.sort(values) / ranks).min()))
