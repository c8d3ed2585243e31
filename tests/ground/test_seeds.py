"""A child that is made later is the one that `spawn` gives."""

import numpy as np

from onnx_si.ground.seeds import Children


def test_a_child_made_later_is_the_same():
    at_once, later = np.random.default_rng(5), np.random.default_rng(5)
    first, second, third = at_once.spawn(3)
    children = Children(later)
    one, other, last = children.next(), children.next(), children.next()
    assert np.array_equal(other().random(4), second.random(4))  # in whatever order
    assert np.array_equal(one().random(4), first.random(4))
    assert np.array_equal(last().random(4), third.random(4))
    assert one().random() == first.random(), "the same child goes on"
    assert at_once.random() == later.random()
