"""What a search asks of the machine."""

import sys

import pytest
from threadpoolctl import threadpool_info

from onnx_si import machine


def blas_in_use():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_a_search_uses_one_blas_thread_and_leaves_the_setting_as_it_was():
    before = blas_in_use()
    with machine.one_blas_thread():
        assert blas_in_use() == {1}
    assert blas_in_use() == before


def test_there_is_at_least_one_core():
    assert machine.cores() >= 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is asked on Linux only")
def test_freed_memory_is_kept_where_the_allocator_takes_the_settings():
    assert machine.keep_freed_memory() in (True, False)
    assert machine.keep_freed_memory() is machine.keep_freed_memory()


def test_elsewhere_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert machine.keep_freed_memory.__wrapped__() is False
