"""What a result must be, told without onnx_si: regions in rational arithmetic, tails by mpmath."""

import math
from dataclasses import dataclass
from fractions import Fraction

import mpmath
import numpy as np

from .rational import Exact, exact

NEAR, FAR = Fraction(1, 10**9), Fraction(1, 10**6)
MOST_ENDS = 8


@dataclass(frozen=True)
class Disagreement:
    """`kind`: region, statistic, inside (a point of S without it), outside, sliver, p-value or crash."""

    kind: str
    text: str

    def __str__(self):
        return f"{self.kind}: {self.text}"


def region_of(values, threshold):
    """Pixels of a map above a threshold as it is written."""
    flat = list(values.ravel())
    kind, _, number = str(threshold).rpartition(":")
    if not kind:
        level = Fraction(float(number))
    elif kind == "max":
        level = Fraction(number) * max(flat)
    elif kind == "minmax":
        level = min(flat) + Fraction(number) * (max(flat) - min(flat))
    else:
        k = int(Fraction(number) * len(flat))
        level = sorted(flat, reverse=True)[k]
    return np.array([v > level for v in flat]).reshape(values.shape[-2:])


@dataclass(frozen=True)
class Line:
    """Images start + direction * z; for `global` z in units of the statistic."""

    observed: np.ndarray
    direction: np.ndarray
    statistic: Fraction
    error: float
    unit: Fraction = Fraction(1)
    freedom: int | None = None

    def at(self, z):
        return self.observed + self.direction * ((z - self.statistic) / self.unit)


def line_of(sample, region):
    """From the definition: eta, T = eta'X, c = eta / eta'eta for independent noise."""
    image = exact(sample.image)
    inside = np.broadcast_to(region, image.shape)
    options, sigma = sample.options, Fraction(sample.options["sigma"])
    m = int(inside.sum())
    if options["hypothesis"] in ("mean", "global"):
        k = len(sample.references)
        average = sum(exact(one) for one in sample.references) / k
        apart = (image - average) * np.where(inside, Fraction(1), Fraction(0))
        share = Fraction(k, k + 1)
        if options["hypothesis"] == "mean":
            direction = np.where(inside, share, Fraction(0))
            variance = sigma**2 * (1 + Fraction(1, k)) / m
            return Line(image, direction, sum(apart.ravel()) / m, math.sqrt(variance))
        squared = sum(v * v for v in apart.ravel()) * share / sigma**2
        root = Fraction(str(mpmath.sqrt(mpmath.mpf(squared.numerator) / squared.denominator)))
        return Line(image, apart * share, root, 1.0, unit=root, freedom=m)
    others = ~inside if options["hypothesis"] == "background" else _ring(region, options["ring"], image.shape)
    n = int(others.sum())
    eta = np.where(inside, Fraction(1, m), np.where(others, Fraction(-1, max(n, 1)), Fraction(0)))
    length = Fraction(1, m) + Fraction(1, max(n, 1))
    return Line(image, eta / length, sum((eta * image).ravel()), math.sqrt(sigma**2 * length))


def _ring(region, width, shape):
    padded = np.pad(region, width)
    near = np.zeros_like(region)
    for i, j in np.ndindex(2 * width + 1, 2 * width + 1):
        near |= padded[i : i + region.shape[0], j : j + region.shape[1]]
    return np.broadcast_to(near & ~region, shape)


def judged(sample, result):
    """Disagreements of a result of status `tested`, and how many points were looked at."""
    with mpmath.workdps(60):
        return _Judge(sample, result).all()


class _Judge:
    def __init__(self, sample, result):
        self.sample, self.result, self.model = sample, result, Exact(sample.proto)
        self.found, self.points = [], 0
        self.inside = [tuple(map(float, part)) for part in result.truncation]
        self.open = [tuple(map(float, part)) for part in result.undecided]

    def say(self, kind, text):
        self.found.append(Disagreement(kind, text))

    def all(self):
        self.observed = region_of(self.model(exact(self.sample.image)), self.sample.options["threshold"])
        if not np.array_equal(self.observed.ravel(), np.asarray(self.result.region).ravel()):
            wrong = np.flatnonzero(self.observed.ravel() != np.asarray(self.result.region).ravel())
            self.say("region", f"pixels {wrong.tolist()} of the image itself")
            return self.found, 1
        self.line = line_of(self.sample, self.observed)
        self.size = max(abs(self.line.statistic), Fraction(self.line.error))
        self._numbers()
        if not self.found:
            self._statistic_inside()
            self._ends()
            self._anywhere()
            self._tails()
        return self.found, self.points

    def _numbers(self):
        got, error = self.result.statistic, self.result.standard_error
        if abs(got - float(self.line.statistic)) > 1e-9 * float(self.size):
            self.say("statistic", f"{got}, right {float(self.line.statistic)}")
        if self.line.freedom is None and abs(error / self.line.error - 1) > 1e-9:
            self.say("statistic", f"standard error {error}, right {self.line.error}")

    def _statistic_inside(self):
        t, slack = self.result.statistic, 1e-12 * float(self.size)
        own = [part for part in self.inside if part[0] - slack <= t <= part[1] + slack]
        if not own:
            self.say("sliver", f"the statistic {t} lies in no part of S")
        elif max(b - a for a, b in own) < 1e-11 * float(self.size):
            self.say("sliver", f"S around the statistic is {own}")

    def _same(self, z):
        self.points += 1
        region = region_of(self.model(self.line.at(z)), self.sample.options["threshold"])
        return np.array_equal(region, self.observed)

    def _check(self, z, margin):
        """A point, unless it is nearer than `margin` to an end or not decided."""
        ends = [e for part in (*self.inside, *self.open) for e in part if math.isfinite(e)]
        if any(abs(Fraction(e) - z) < margin for e in ends):
            return
        if any(a <= z <= b for a, b in self.open) or (self.line.freedom and z < 0):
            return
        wanted = any(a <= z <= b for a, b in self.inside)
        if wanted != self._same(z):
            place = float((z - self.line.statistic) / Fraction(self.line.error))
            self.say("inside" if wanted else "outside", f"z = {float(z)!r}, {place:.6g} errors from T")

    def _ends(self):
        ends = sorted(
            {e for part in self.inside for e in part if math.isfinite(e)},
            key=lambda e: abs(e - self.result.statistic),
        )
        for end in ends[:MOST_ENDS]:
            scale = max(abs(Fraction(end)), Fraction(self.line.error))
            for share in (NEAR, FAR):
                for side in (-1, 1):
                    self._check(Fraction(end) + side * share * scale, share * scale * Fraction(9, 10))
        for a, b in self.inside:
            if math.isfinite(b - a) and 0 < b - a < 4e-9 * float(self.size):
                third = Fraction(a) + (Fraction(b) - Fraction(a)) / 3
                if not self._same(third):
                    self.say("sliver", f"[{a!r}, {b!r}] is not in S")

    def _anywhere(self):
        rng = np.random.default_rng(self.sample.seed)
        t, error = self.result.statistic, self.line.error
        finite = [e for part in (*self.inside, *self.open) for e in part if math.isfinite(e)]
        low, high = min([t - error, *finite]), max([t + error, *finite])
        places = [
            *rng.uniform(low, high, 6),
            *(t + error * rng.normal(size=6)),
            *(error * rng.normal(size=4)),
        ]
        for z in places:
            self._check(Fraction(float(np.float32(z))), NEAR * self.size)

    def _mass(self, a, b):
        if b <= a:
            return mpmath.mpf(0)
        if self.line.freedom is not None:
            return mpmath.gammainc(mpmath.mpf(self.line.freedom) / 2, max(a, 0) ** 2 / 2, max(b, 0) ** 2 / 2)
        a, b = (mpmath.mpf(v) / (mpmath.mpf(self.line.error) * mpmath.sqrt(2)) for v in (a, b))
        return mpmath.erfc(a) - mpmath.erfc(b) if a > 0 else mpmath.erfc(-b) - mpmath.erfc(-a)

    def _share(self, tail):
        """Bounds of the mass of `tail` (a list of intervals) in S."""

        def over(parts):
            total = sum(self._mass(mpmath.mpf(a), mpmath.mpf(b)) for a, b in parts)
            cut = [(max(a, u), min(b, v)) for a, b in parts for u, v in tail]
            within = sum(self._mass(mpmath.mpf(a), mpmath.mpf(b)) for a, b in cut if b > a)
            return within, total - within

        (a, b), (da, db) = over(self.inside), over(self.open)
        low, high = a + b + db, a + da + b  # without any mass nothing is known
        return a / low if low else mpmath.mpf(0), (a + da) / high if high else mpmath.mpf(1)

    def _tails(self):
        t, inf = self.result.statistic, math.inf
        kind = self.sample.options["alternative"]
        if kind == "two-sided":
            low, high = self._share([(-inf, t)])
            half = mpmath.mpf(1) / 2
            wanted = 2 * min(low, 1 - high), 1 if low <= half <= high else 2 * min(high, 1 - low)
        else:
            tails = {"greater": [(t, inf)], "less": [(-inf, t)]}
            wanted = self._share(tails.get(kind, [(-inf, -abs(t)), (abs(t), inf)]))
        got = self.result.p_value_bounds
        slack = 1e-7
        off = abs(self.result.p_value - float(wanted[1])) > slack
        if got[0] > wanted[0] + slack or got[1] < wanted[1] - slack or off:
            self.say("p-value", f"{got}, right {[float(v) for v in wanted]}")
        if got[1] - float(wanted[1]) > 1e-3 and len(self.found) == 0:
            self.say("p-value", f"{got} is much wider than {[float(v) for v in wanted]}")
