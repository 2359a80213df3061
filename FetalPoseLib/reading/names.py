"""Names of files as a terminal and a window may show them."""

from pathlib import Path

LONGEST = 200  # characters of a name in a message


def shown(name: str | Path) -> str:
    """The name with control characters, and bytes that are no UTF-8, as escapes; cut in the middle if it is very long.

    Example
    -------
    >>> shown("two\\nlines.nrrd")
    'two\\\\nlines.nrrd'
    """
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(name))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}"


def plain(name: str) -> str:
    """The name without what is not printable, for a node of a scene, which takes UTF-8 only."""
    return "".join(letter if letter.isprintable() else "_" for letter in name)[:LONGEST]
