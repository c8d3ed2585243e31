"""Command lines that once ended badly end as they should, in time, in little memory and in plain words."""

import pytest

from onnx_si.ground.guard import DEBUG

from .known import KNOWN
from .running import CAN_WATCH, run

pytestmark = pytest.mark.skipif(not CAN_WATCH, reason="peaks of memory are read from /proc, after a fork")


@pytest.mark.parametrize("name", KNOWN)
def test_known(name, tmp_path, monkeypatch):
    monkeypatch.delenv(DEBUG)
    make, codes = KNOWN[name]
    assert list(run(make(tmp_path), tmp_path).faults(codes)) == []
