"""An entry that no covariance has is refused by its name, before its values are read."""

import numpy as np
import pytest

from onnx_si.errors import InputError
from onnx_si.ground.layout import layout_of
from onnx_si.statistics.noise.loading import accepting, read_covariance

SHAPE = (1, 1, 8, 8)


def test_a_file_of_another_name(tmp_path):
    np.savez(tmp_path / "c.npz", a=np.eye(8))
    accept = accepting(SHAPE, layout_of(SHAPE, "NCHW"))
    with pytest.raises(InputError, match=r"entries \['a'\]; allowed are .* \['C', 'H', 'W'\]"):
        read_covariance(tmp_path / "c.npz", accept)


@pytest.mark.parametrize("name", ["a", "D", "N", "h", ""])
def test_strange_names(name):
    with pytest.raises(InputError, match="allowed are one matrix for each of the axes"):
        accepting(SHAPE, layout_of(SHAPE, "NCHW"))(name, (8, 8))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("H", (8, 8)), ("C", (1, 1)), ("variance", ()), ("autocovariance", (3, 3)), (None, (8, 8))],
)
def test_known_names(name, shape):
    accepting(SHAPE, layout_of(SHAPE, "NCHW"))(name, shape)
