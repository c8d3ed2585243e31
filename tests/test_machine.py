"""What a search asks of the machine."""

import sys

import pytest
from threadpoolctl import threadpool_info

from onnx_si import machine


def blas_in_use():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_small_networks_use_one_blas_thread_and_large_ones_every_core():
    with machine.blas_threads(0):
        assert blas_in_use() == {1}
        with machine.blas_threads(machine.LARGE):
            assert blas_in_use() == {machine.cores()}
        assert blas_in_use() == {1}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is asked on Linux only")
def test_freed_memory_is_kept_where_the_allocator_takes_the_settings():
    assert machine.keep_freed_memory() in (True, False)
    assert machine.keep_freed_memory() is machine.keep_freed_memory()


def test_elsewhere_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine.keep_freed_memory.__wrapped__() is False
