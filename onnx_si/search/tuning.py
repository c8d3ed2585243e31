"""The numbers of a search: what things cost, and what it makes of that.

Only its time depends on them, and how much is undecided when it ends, which its bounds allow for; which of
two engines answers depends on those of a forecast. What decides where S is stands where it is used: how many
units in the last place rounding may move a place, and by what a part of a network may differ from the whole.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured, by `python -m benchmarks.speed.costs`; what cells cost is told by their domains.

    Parameters
    ----------
    per_call : int
        What calling one rule costs besides its arithmetic, in multiply-adds: the time of a walk over the
        number of rules, where tensors are tiny, against the time of a multiply-add where they are large.
    making : float
        Calls of rules that making a part of the network takes, in those of a walk that resolves a cell.
    product, number, rule : float
        Seconds of one evaluation at a point by who proves bounds: for each multiply-add, each number that is
        made, each call of a rule. Rates of one core of a usual machine; the same command prints what they
        make of a cell beside what it takes, `python -m benchmarks.speed.forecasts` what all cells take.
    """

    per_call: int = 80_000
    making: float = 2.5
    product: float = 2.5e-10
    number: float = 2.5e-8
    rule: float = 3e-5


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What was chosen, because it is fast on the networks of `benchmarks/speed`.

    Which cells are looked at, and how many together:

    - `first_width`: least width of the first cell around the statistic, in standard errors
    - `widest_first`: the largest width of that cell
    - `far`: standard errors beyond zero and the statistic after which a search gives up
    - `few_knots`: expected in the narrowest cell that is cut off an unbounded end
    - `largest_resolved`: knots at most in one resolved cell while the rest may settle the question
    - `comparable`: cells examined together differ in probability by a factor of e to this at most,
    - `least_precision`: unless they must be settled anyway for bounds this close, or as close as wanted
    - `most_splits`: cells that are split in one step
    - `batch`: cells of which something is claimed together at most,
    - `batch_bytes`: as far as their largest tensor stays in the processor's cache
    - `large`: multiply-adds of a forward pass from which the first cell is measured, and a few cells are
      examined at the same time,
    - `together`: as many at most on any machine, so that the path does not depend on its cores
    - `step_work`: multiply-adds of a step, about two seconds, after which its bounds are told
    - `tensors`: share of the memory that is left that is theirs; one computation takes some of the rest, and
      gaps in the heap

    Claims and parts of the network:

    - `first_credit`: forward passes that failed claims may cost,
    - `lost_at_most`: and this share of the work that resolves cells besides what claims saved
    - `almost_free`: a box grows while its part costs no more than this times that of one pixel,
    - `part_of_probe`: or no more than this many forward passes
    - `worthwhile`: parts that cost a larger share of a forward pass are not used
    - `relative`: multiply-adds of a forward pass from which margins over one value in place of the largest
      are asked for, where others have no parts that are used
    - `smallest_side`: of a box
    - `first_knots`: expected where a part is followed for the first time, to know how many there are
    - `first_screen_credit`: forward passes that failed claims of parts may cost before any succeeded,
    - `at_stake`: and this share of what resolving a stretch would cost,
    - `screen_tries`: or so many claims, if that is more
    - `first_screen`: width of the first such cell, in those of the narrowest that is worth a claim
    - `screened_first`: cells that are looked at together before any were settled
    - `grows`: power of how clear a cell is by which the width grows
    - `close`: a cell that clear was far too wide,
    - `mostly`: unless so small a share of its pixels was left open

    A search by brackets:

    - `likely`: chance of success from which a cell is looked at before it is halved
    - `narrowed`: share of a cell that may be open if it counts as a success
    - `shrinks`: share of a remainder that is left in half of a cell, if more than rounding is in it,
    - `small`: as it may be in a remainder of at most so much,
    - `often`: looks in a row that tell nothing, from which on rounding may be why
    - `caches`: the tensors of a batch may take as many caches' size

    What is foretold of one, by cells at `places` (standard errors from the middle of the null law):

    - `ends`: cells that the ends of S take, wherever they are, for a p-value alone,
    - `interval_ends`: and for its interval, or the noise at which a decision turns, as well
    - `span`: standard errors of the line that have to be settled, by cells as wide as those that were tried
    - `nearer`: times as many cells take the surroundings of S as the rest, where cells have to be narrow
    - `narrower`: so many times are the cells that are tried next
    - `narrow`: standard errors of a cell in which nothing but rounding is left of a remainder,
    - `narrow_places`: tried at so many of the places
    - `fine_ends`, `fine`: cells that the ends of S take in finer numbers, where rounding asks for these, and
      how many times as long as by its counted work one takes
    - `most_left`: of the largest margin; with more, too many images are as near as that to another region
    - `decided_by`: seconds that proven bounds may be expected to take where no time limit is given
    - `slack`: times as many cells as these seconds have, after which a search ends with the bounds it has

    When it is enough:

    - `interval_passes`: forward passes that the confidence interval may cost beyond those of the p-value
    - `interval_rounds`: its ends move while S is completed,
    - `outlook`: an end is expected no farther out than so many times what is known there
    - `nearest_end`: where it may be nearest, in its distance if all beyond it were of S: half of p is that
    - `small_steps`: else they move so often to the nearest possible place,
    - `leap`: then so many times as far from the statistic as that
    - `roughly`: of an end's distance, as near as it has to be known to tell what is probable under it
    - `log_negligible`: share of undecided mass that hardly moves an end of the interval,
    - `log_nothing`: and that moves none of its digits, where what is too far out is undecided as well
    - `tipping_share`: share of the p-value's cost that the noise at which the decision turns may take,
    - `tipping_within`: known as closely as this, relatively, it is known well enough
    - `tipping_roughly`: relative distance within which its ends are found while more is examined
    - `first_lean`: factor by which the noise is made larger or smaller at first
    - `around_ends`: standard errors around an end of S that is looked at again, one after the other
    - `for_ends`: share of a time limit that the ends of S may take after it
    - `step_passes`: forward passes that count as a step without progress,
    - `step_splits`: and so many cells that are split
    - `check`: steps between two looks at what is left
    - `patience`: steps in a row that may pass
    - `least_progress`: while the undecided mass falls by less than this share
    """

    first_width: float = 2.0**-6
    widest_first: float = 12.0
    far: float = 200.0
    few_knots: float = 8.0
    largest_resolved: int = 256
    comparable: float = 3.0
    least_precision: float = 1e-6
    most_splits: int = 64
    batch: int = 8
    batch_bytes: int = 1 << 20
    large: int = 300_000_000
    together: int = 8
    step_work: float = 8e9
    tensors: float = 0.5
    first_credit: float = 12.0
    lost_at_most: float = 0.05
    almost_free: float = 1.25
    part_of_probe: float = 0.5
    worthwhile: float = 0.5
    relative: int = 100_000_000
    smallest_side: int = 2
    first_knots: float = 16.0
    first_screen_credit: float = 6.0
    at_stake: float = 0.15
    screen_tries: int = 6
    first_screen: float = 4.0
    screened_first: int = 4
    grows: float = 0.3
    close: float = 0.3
    mostly: float = 0.25
    likely: float = 0.5
    narrowed: float = 0.6
    shrinks: float = 0.75
    small: float = 1e-3
    often: int = 8
    caches: int = 4
    places: tuple[float, ...] = (0.0, -1.0, 1.0, -2.0, 2.0)
    ends: float = 4.0
    interval_ends: float = 64.0
    span: float = 16.0
    nearer: float = 6.0
    narrower: float = 4.0
    narrow: float = 2.0**-12
    narrow_places: int = 3
    fine_ends: float = 4.0
    fine: float = 1.6
    most_left: float = 3e-6
    decided_by: float = 60.0
    slack: float = 4.0
    interval_passes: int = 200
    interval_rounds: int = 12
    outlook: float = 12.0
    nearest_end: float = 0.8
    small_steps: int = 3
    leap: float = 2.0
    roughly: float = 1e-3
    log_negligible: float = math.log(1e-6)
    log_nothing: float = math.log(1e-14)
    tipping_share: float = 0.5
    tipping_within: float = 0.005
    tipping_roughly: float = 1e-4
    first_lean: float = 1.2
    around_ends: tuple[float, ...] = (2.0**-20, 2.0**-14, 2.0**-8, 2.0**-2)
    for_ends: float = 0.05
    step_passes: int = 1000
    step_splits: int = 16
    check: int = 64
    patience: int = 1024
    least_progress: float = 1e-3
