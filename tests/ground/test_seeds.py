"""A child that is made later is the one that `spawn` gives."""

import numpy as np

from onnx_si.ground.seeds import child_of


def test_a_child_made_later_is_the_same():
    at_once, later = np.random.default_rng(5), np.random.default_rng(5)
    first, second = at_once.spawn(2)
    one, other = child_of(later), child_of(later)
    assert np.array_equal(other().random(4), second.random(4))  # in whatever order
    assert np.array_equal(one().random(4), first.random(4))
    assert at_once.spawn(1)[0].random() == later.spawn(1)[0].random()
    assert at_once.random() == later.random()
