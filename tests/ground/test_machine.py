"""What a search asks of the machine."""

import platform
import sys

import pytest
from threadpoolctl import threadpool_info

from onnx_si.ground import machine


def blas_in_use():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_a_search_uses_one_blas_thread_and_leaves_the_setting_as_it_was():
    before = blas_in_use()
    with machine.one_blas_thread():
        assert blas_in_use() == {1}
    assert blas_in_use() == before


def test_only_the_cores_that_the_process_may_use_count(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert machine.cores() == 2


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is asked")
def test_glibc_takes_the_settings():
    machine._mallopt.cache_clear()
    assert machine.keep_freed_memory(4 << 30) is True


@pytest.mark.parametrize(("limit", "kept"), [(64 << 30, 1 << 30), (4 << 30, 1 << 30), (1 << 30, 256 << 20)])
def test_what_is_kept_is_a_share_of_what_a_run_may_hold(monkeypatch, limit, kept):
    asked = {}
    monkeypatch.setattr(machine, "_mallopt", lambda: lambda name, value: asked.update({name: value}) or 1)
    assert machine.keep_freed_memory(limit)
    assert asked[machine.M_TRIM_THRESHOLD] == kept
    assert asked[machine.M_MMAP_THRESHOLD] == kept // 32 and asked[machine.M_TOP_PAD] == kept // 16


def test_elsewhere_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    machine._mallopt.cache_clear()
    assert machine.keep_freed_memory(4 << 30) is False
    machine._mallopt.cache_clear()
