"""The deployed runtime as a witness: points of the line, asked of onnxruntime on the file itself.

S comes from this project's own handlers. The file comes from whoever made it. Where both are right they agree
at every point that the file's precision can tell from an end of S.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from onnx_si.analysis.blackbox import counted
from onnx_si.analysis.question import Question
from onnx_si.analysis.scene import Array, Mask
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.precision import rounded_at
from onnx_si.engines.engine import Answer
from onnx_si.engines.exact import Exact
from onnx_si.engines.proving import Certified
from onnx_si.errors import Contradicted, UnsupportedModel
from onnx_si.ground.deadline import GRACE, Deadline
from onnx_si.ground.intervals import Intervals
from onnx_si.report import Parity
from onnx_si.runtime.deployed import FileMap
from onnx_si.search.stop import WHY as INTERRUPTED
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Distribution

NEAR_END = 1e-4  # standard errors between an end of S and the points beside it,
ROUNDINGS = 64  # or so many roundings of the image there, if that is more
FEWEST_ROUNDINGS = 4  # nearer to an end, an image in the file's precision is the same as one beyond it
TINY = 1e-300  # a root of which nothing is left: nothing can be told
COPIES = 8  # images that differ by rounding, which must all contradict S
FARTHER, STEPS_FARTHER = 4.0, 5  # times as far from the end, so often, where a jump is open
REACH = 40.0  # standard errors beyond which nothing is drawn
HALVINGS = 25  # of an interval, for a draw
SHOWN = 8  # pixels in a message
FOR_ANSWERS = 0.07  # share of a time limit that may pass after it until the last answer,
AT_A_TIME = 4  # of which there are so many then before the clock is looked at
PARTS = 4  # a component's test is asked of so many times fewer points
ROOM = 2.0**10 * 2.0**-52  # of a place on the line, in double precision: S holds more than that around it
ENOUGH = 8  # points of S, at one of which at least the file gives the region
UNTOLD = (
    "at none of {} points of the truncation set does onnxruntime give the region that was found, and the "
    "pixels that differ are within rounding of the threshold everywhere: the file's own precision decides "
    "the region, and there is no p-value; choose another map (--saliency) or threshold"
)
ALONE = (
    "the truncation set contradicts the observed image: it holds the statistic with nothing but rounding "
    "around it, or not at all, and the deployed model can't be asked about it: there is no p-value; "
    "choose another map (--saliency) or threshold"
)


@dataclass(frozen=True)
class Point:
    """A place on the line, and whether S holds it."""

    place: float
    inside: bool


@dataclass(kw_only=True)
class Witness:
    """Asks the file about the sets of one test, and counts the answers."""

    test: Question
    rng: np.random.Generator
    map: FileMap
    points: int = 0
    agreeing: int = 0
    too_near: int = 0
    problem: str | None = None

    @classmethod
    def of(cls, test: Question, rng: np.random.Generator) -> "Witness | None":
        """None where nothing is to be asked, or the runtime can't run the file (its parity says why)."""
        if not test.settings.verify or not isinstance(test.selection.engine, Exact | Certified):
            return None  # where the runtime alone was asked there is nothing that it could contradict
        try:
            file = test.selection.marking.file
            return None if file.whole_numbers else cls(test=test, rng=rng, map=file)
        except UnsupportedModel:
            return None

    def parity(self, known: Parity) -> Parity:
        """What is known of the deployed runtime, with the answers so far."""
        if self.problem is not None:
            return replace(known, problem=self.problem)
        return replace(known, points=self.points, agreeing=self.agreeing, too_near=self.too_near)

    def of_part(self, line: ImageLine, event: RegionEvent, found: Answer) -> None:
        """Ask about the test of a component."""
        self._ask(line, event, found, self.test.settings.verify // PARTS)

    def of_whole(self, found: Answer) -> None:
        """Ask about the test of the whole region."""
        self._ask(self.test.line, self.test.selection.event, found, self.test.settings.verify)

    def _ask(self, line: ImageLine, event: RegionEvent, found: Answer, count: int) -> None:
        """Ask about one search.

        Raises
        ------
        Contradicted
            At the first point whose region contradicts S although rounding does not decide it; if S holds
            next to nothing around the statistic; and if the file gives the region nowhere in it.
        """
        if not _has_room(line, found):
            raise Contradicted(ALONE)
        points, skipped = choose(line, found, count, self.map.unit, self.rng)
        self.points += skipped
        self.too_near += skipped
        deadline = self.test.how.deadline.later(FOR_ANSWERS)
        if found.why == INTERRUPTED:
            deadline = Deadline.after(GRACE)
        together = AT_A_TIME if deadline.limits else max(1, len(points))
        held, asked, took = 0, 0, 0.0
        for start in range(0, len(points), together):
            left = deadline.left()
            if left <= took or self.problem is not None:
                return  # the next ones take as long as the last
            some = points[start : start + together]
            held += self._ask_about(some, line, event, found)
            asked += sum(point.inside for point in some)
            took = left - deadline.left() if deadline.limits else 0.0
        if not held and asked >= ENOUGH and self.problem is None:
            raise Contradicted(UNTOLD.format(asked))

    def _ask_about(self, points: list[Point], line: ImageLine, event: RegionEvent, found: Answer) -> int:
        """The points of S at which the file gives the region."""
        places = np.array([point.place for point in points]).reshape(-1, *(1,) * line.start.ndim)
        images = line.start + line.direction * places
        try:
            maps = self.map.run(images)
        except UnsupportedModel as error:
            self.problem = str(error)
            return 0
        self.points += len(points)
        held = 0
        for point, image, shown in zip(points, images, maps, strict=True):
            if self._holds(shown, event) == point.inside:
                self.agreeing += 1
                held += point.inside
                continue
            wrong = self._wrong(point, image, line, event, found)
            if wrong is None:
                self.too_near += 1
                continue
            raise Contradicted(_words(point, wrong, found))
        return held

    def _agrees_farther(self, point: Point, line: ImageLine, event: RegionEvent, found: Answer) -> bool:
        """Whether the region is what S says in the same part, farther from the end that is nearest."""
        parts = found.inside if point.inside else found.inside.union(found.undecided).complement()
        holding = (parts.bounds[:, 0] <= point.place) & (point.place <= parts.bounds[:, 1])
        for low, high in parts.bounds[holding]:
            end, sign = (low, 1.0) if point.place - low <= high - point.place else (high, -1.0)
            if math.isinf(end):
                continue  # the whole line: there is no end to be displaced
            steps = abs(point.place - end) * FARTHER ** np.arange(1, STEPS_FARTHER + 1)
            places = end + sign * steps[steps <= 0.5 * (high - low)]
            if len(places):
                at = places.reshape(-1, *(1,) * line.start.ndim)
                maps = self.map.run(line.start + line.direction * at, alone=True)
                return any(self._holds(shown, event) == point.inside for shown in maps)
        return False

    def _region(self, shown: Array) -> Mask:
        return self.test.selection.marker.region_of(shown)

    def _pixels(self, event: RegionEvent) -> Mask:
        """The pixels of which the event says what they are."""
        return counted(event, self.test.selection.marker.ranked)

    def _holds(self, shown: Array, event: RegionEvent) -> bool:
        return bool(((self._region(shown) == event.observed) | ~self._pixels(event)).all())

    def _wrong(
        self, point: Point, image: Array, line: ImageLine, event: RegionEvent, found: Answer
    ) -> Mask | None:
        """The pixels that contradict S at a point; None where rounding may be the reason.

        The image is rounded in several ways: if the region is what S says for one of them, it is too near.
        So it is where rounding may decide a jump inside the network, and the region is what S says a little
        farther from the end. And the margin of the pixels over the threshold is compared with the rounding
        errors that the file's precision allows there. A pixel whose margin is zero in every copy and in
        float64 is zero by construction, not by rounding.
        """
        selection = self.test.selection
        marker, saliency = selection.marker, selection.saliency
        noise = self.rng.uniform(-1.0, 1.0, (COPIES, *image.shape)) * ROUNDINGS * self.map.input_unit
        copies = np.concatenate([image[None], image[None] * (1.0 + noise)])
        maps = self.map.run(copies, alone=True)
        if any(self._holds(shown, event) == point.inside for shown in maps):
            return None
        engine = selection.engine
        if not isinstance(engine, Exact | Certified):
            raise TypeError("only what follows the network has rounding errors of its own")
        outputs, open_ = rounded_at(engine.program, image[None], self.map.unit)
        if open_[0] and self._agrees_farther(point, line, event, found):
            return None
        margin, allowed = outputs[engine.margin].values[0], outputs[engine.margin].errors[0]
        behind = saliency.behind(marker.threshold.kind)
        if (
            saliency.is_logit and behind
        ):  # a function of the margin, of this slope at most, and rounded itself
            slope = 0.25 if saliency.link == "probability" else 1.0
            allowed = slope * allowed + 4 * self.map.unit * (1 + abs(marker.threshold.level))
        top = ~event.observed if marker.threshold.kind == "top" else None
        above = np.array([marker.distance(shown, top) for shown in maps])
        distances = np.abs(above)
        if saliency.is_root and behind:  # roots differ by what their squares do, over the sum of both
            levels = (maps - above).min(axis=0)
            allowed = allowed / np.maximum(levels, TINY) + 4 * self.map.unit * (levels + maps.max(axis=0))
        constructed = (distances == 0).all(axis=0) & (margin == 0)
        far = (distances.min(axis=0) > allowed) | constructed
        pixels = self._pixels(event)
        if point.inside:
            differs: Mask = np.all([self._region(shown) != event.observed for shown in maps], axis=0) & pixels
            if top is not None and (differs & event.observed).any():
                differs &= event.observed  # two pixels that change places: those that leave decide
            wrong: Mask = differs & far
            return wrong if wrong.any() else None
        claimed: Mask = ((margin > 0) != event.observed) & pixels
        decisive = claimed if claimed.any() else pixels
        return claimed if far[decisive].all() else None


def choose(
    line: ImageLine, found: Answer, count: int, unit: float, rng: np.random.Generator
) -> tuple[list[Point], int]:
    """Points of the line to be asked about, and how many were left out because the precision can't tell.

    The observed image first; then, for half of them, just inside and just outside the ends of S nearest to
    it; the rest are draws from the null law inside S and outside.

    Parameters
    ----------
    line : ImageLine
    found : Search
    count : int
        How many points, at most.
    unit : float
        Machine epsilon of the file's precision.
    rng : Generator
    """
    inside, outside = found.inside, found.inside.union(found.undecided).complement()
    at, se = line.statistic, line.standard_error
    points = [Point(at, True)] if inside.contains(at) else []
    skipped = 0
    ends = sorted(inside.bounds[np.isfinite(inside.bounds)].tolist(), key=lambda end: abs(end - at))
    for end in ends[: max(1, count // 4)]:
        span = unit * _size(line, end)
        distance = max(NEAR_END * se, ROUNDINGS * span)
        for parts, holds in ((inside, True), (outside, False)):
            if not (parts.bounds == end).any():
                continue  # what is beside this end was not decided
            place = _beside(parts, end, distance, FEWEST_ROUNDINGS * span)
            if place is None:
                skipped += 1
            elif _possible(line.distribution, place, span):
                points.append(Point(place, holds))
    left = max(0, count - len(points) - skipped)
    reach = REACH * se * math.sqrt(1 + (line.degrees_of_freedom or 0)) + abs(at)
    points += draw(line.distribution, ((inside, True), (outside, False)), left, reach, rng)
    return points, skipped


def _has_room(line: ImageLine, found: Answer) -> bool:
    """Whether S, or what is not decided, goes on from the statistic to one side at least."""
    at = line.statistic
    least = ROOM * (abs(at) + _size(line, at))
    low, high = found.inside.union(found.undecided).bounds.T
    near = (low <= at + least / 4) & (high >= at - least / 4)  # between two parts a rounding may be missing
    return bool(near.any() and high[near].max() - low[near].min() >= least)


def _size(line: ImageLine, place: float) -> float:
    """The largest pixel of an image of the line, in units of its move along it."""
    return float(np.abs(line.start + line.direction * place).max() / np.abs(line.direction).max())


def _possible(distribution: Distribution, place: float, span: float) -> bool:
    """Whether the null law reaches a place: a length is not negative."""
    around = np.array([[place - span, place + span]])
    return bool(np.isfinite(distribution.log_masses(around)[0]))


def _beside(parts: Intervals, end: float, distance: float, least: float) -> float | None:
    """A point of a set near one of its ends; None where the stretch there is too short to hold one."""
    bounds = parts.bounds
    for column, sign in ((0, 1.0), (1, -1.0)):
        for low, high in bounds[bounds[:, column] == end]:
            step = min(distance, 0.5 * (high - low))
            return end + sign * step if step >= least else None
    return None


def draw(
    distribution: Distribution,
    sets: tuple[tuple[Intervals, bool], ...],
    count: int,
    reach: float,
    rng: np.random.Generator,
) -> list[Point]:
    """As many draws from a distribution truncated to each of some sets, by halving intervals until the masses
    fit; none from a set without mass.
    """
    rows, masses, insides = [], [], []
    for where, inside in sets:
        bounds = where.intersect(Intervals.of([(-reach, reach)])).bounds
        logs = distribution.log_masses(bounds)
        each = count // len(sets)
        if not each or not np.isfinite(logs).any():
            continue
        shares = np.exp(logs - logs.max())
        chosen = rng.choice(len(bounds), each, p=shares / shares.sum())
        rows.append(bounds[chosen])
        masses.append(logs[chosen])
        insides += [inside] * each
    if not rows:
        return []
    low, high = np.concatenate(rows).T.copy()
    start, wanted = low.copy(), np.concatenate(masses) + np.log(rng.uniform(size=len(low)))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = distribution.log_masses(np.stack([start, middle], axis=1)) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return [Point(z, inside) for z, inside in zip((0.5 * (low + high)).tolist(), insides, strict=True)]


def _words(point: Point, wrong: Mask, found: Answer) -> str:
    pixels = [tuple(int(i) for i in place) for place in np.argwhere(wrong)]
    shown = ", ".join(map(str, pixels[:SHOWN])) + (", ..." if len(pixels) > SHOWN else "")
    near = min((abs(end - point.place), end) for end in (*found.inside.bounds.ravel().tolist(), math.inf))[1]
    count = f"{len(pixels)} pixels: {shown}"
    if point.inside:
        what = f"S says that the region is the observed one; the file gives another ({count})"
    else:
        what = "S says that the region is another one; the file gives the observed one"
        what += f", though some should differ ({count})" if pixels else ""
    return (
        f"onnxruntime contradicts the test by more than rounding, at {point.place:.9g} on the line (the "
        f"nearest end of S is {near:.9g}): {what}. Either the analysis is wrong for this model, or the model "
        "computes something else in its own precision: there is no p-value. Please report it with model and "
        "image; another map (--saliency) or threshold may do, and --engine monte-carlo asks onnxruntime alone"
    )
