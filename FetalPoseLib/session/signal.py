"""A signal: one kind of event, told to all that are connected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Signal(Generic[Value]):
    """Tells its slots of an event, which is one object. Slots are called at once, in the order of their connection.

    Example
    -------
    >>> failed: Signal[str] = Signal()
    >>> failed.connect(print)
    >>> failed.emit("No volume.")
    No volume.
    """

    def __init__(self) -> None:
        self._slots: list[Callable[[Value], object]] = []

    def connect(self, slot: Callable[[Value], object]) -> None:
        """Call ``slot`` with every event from now on; a slot that is connected already stays connected once."""
        if slot not in self._slots:
            self._slots.append(slot)

    def emit(self, value: Value) -> None:
        """Call the slots that are connected now. An exception of a slot goes to the caller."""
        for slot in list(self._slots):
            slot(value)
