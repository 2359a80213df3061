"""Keeping freed memory in the process, which makes training on a CPU faster on Linux.

glibc gives a large block back to the kernel as soon as it is freed, so that a network, which frees and asks for
hundreds of megabytes in every step, has the kernel clear the same pages again and again.
With it, 51,000 page faults in a training step on 80 x 80 x 64 voxels became one.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h; see mallopt(3)


def keep_freed_memory() -> bool:
    """Have glibc's malloc keep what is freed for the next request; returns whether it agreed.

    As the environment ``MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1`` would, but from within and at any time. The
    process then stays as large as it ever was. Other C libraries (macOS, Windows, musl) are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))  # -1: never
