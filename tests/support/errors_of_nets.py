"""Maps of what an autoencoder gets wrong, and scans of the line that their S is compared with."""

import numpy as np

REACH = 6.0  # standard errors that are scanned,
BESIDE = 1e-7  # standard errors from an end to the points on both sides of it


def error_of(net, channels):
    """An image less what an untrained autoencoder makes of it."""
    x = net.add("Relu", net.conv("x", channels, 3))
    x = net.add("Relu", net.conv(x, 3, 2, kernel=1))
    return net.add("Sub", "x", net.conv(x, 2, channels))


def scan(case, found):
    """Places all over the line and beside the ends of S, without those that are undecided."""
    se, at = case.line.standard_error, case.line.statistic
    ends = found.inside.bounds[np.isfinite(found.inside.bounds)]
    around = np.concatenate([ends - BESIDE * se, ends + BESIDE * se])
    z = np.concatenate([se * np.linspace(-REACH, REACH, 1501), at + se * np.linspace(-0.5, 0.5, 301), around])
    z = np.sort(z[np.abs(z) <= REACH * se])
    low, high = found.undecided.union(found.blur).bounds.T
    near = 1e-9 * se
    left_out = high.searchsorted(z - near) != low.searchsorted(z + near)
    return z[~left_out]


def members(intervals, z):
    low, high = intervals.bounds.T
    return low.searchsorted(z, "right") - high.searchsorted(z, "left") > 0
