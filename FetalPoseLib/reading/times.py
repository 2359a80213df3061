"""When the volumes of a sequence were taken: seconds, believed only where a unit of time is stated."""

import math
from collections.abc import Sequence

_SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3,
    "milliseconds": 1e-3, "us": 1e-6, "usec": 1e-6, "min": 60.0,
}  # fmt: skip


def seconds(unit: str) -> float | None:
    """Seconds in a unit; None if it is no unit of time."""
    return _SECONDS.get(unit.strip().lower())


def increasing(times: Sequence[float], count: int) -> tuple[float, ...] | None:
    """The times, from 0 at the first, if there are ``count`` of them and each is later than the one before."""
    if len(times) != count or not all(map(math.isfinite, times)):
        return None
    if any(after <= before for before, after in zip(times[:-1], times[1:], strict=True)):
        return None
    return tuple(time - times[0] for time in times)
