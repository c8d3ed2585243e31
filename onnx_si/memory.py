"""Ask the C library's allocator to keep freed memory.

A search makes and drops tensors of some megabytes by the thousand. By default glibc gives each of them back
to the system at once, and getting zeroed pages again costs up to a third of the time.
"""

import ctypes
import functools
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
LARGEST_ON_HEAP = 32 << 20  # the largest value that glibc takes
KEPT = 1 << 30
PAD = 64 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Let freed tensors up to 32 MiB, 1 GiB in all, stay with the process; False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST_ON_HEAP), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, PAD))
    taken = [mallopt(name, value) for name, value in settings]
    return all(taken)
