"""What the commands' arguments share: counts, and the defaults, which are those of the options and are typed there."""

import argparse
from dataclasses import MISSING, fields

ESTIMATE_ARGUMENTS = ("model", "device", "refinement", "iterations")  #: fields of EstimateOptions with an argument


def take_defaults(parser: argparse.ArgumentParser, options: type, names: tuple[str, ...] | None = None) -> None:
    """Give the arguments the defaults of the fields of the same names, or of those in ``names`` only.

    A sequence becomes a list, to a copy of which argparse appends.
    """
    defaults = {field.name: field.default for field in fields(options) if names is None or field.name in names}
    given = {name: default for name, default in defaults.items() if default is not MISSING}
    parser.set_defaults(**{name: list(value) if isinstance(value, tuple) else value for name, value in given.items()})


def positive(text: str) -> int:
    """The type of an argument that is 1, 2, ...: a count of at least one, or a number that counts from 1."""
    return _whole(text, least=1)


def count(text: str) -> int:
    """The type of an argument that is 0, 1, 2, ..."""
    return _whole(text, least=0)


def _whole(text: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise argparse.ArgumentTypeError(f"'{text}' is not a count: give {least}, {least + 1}, ...")
    return int(text)
