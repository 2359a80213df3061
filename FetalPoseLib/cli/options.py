"""The defaults of a command's arguments are those of its options: they are typed there, once."""

import argparse
from dataclasses import MISSING, fields

ESTIMATE_ARGUMENTS = ("model", "device", "refinement", "iterations")  #: fields of EstimateOptions with an argument


def take_defaults(parser: argparse.ArgumentParser, options: type, names: tuple[str, ...] | None = None) -> None:
    """Give the arguments the defaults of the fields of the same names, or of those in ``names`` only.

    A repeatable argument (``append``) and one without a field keep their own: argparse appends to a list.
    """
    appended = {action.dest for action in parser._actions if isinstance(action, argparse._AppendAction)}
    known = {action.dest for action in parser._actions} - appended
    chosen = [field for field in fields(options) if field.name in known and (names is None or field.name in names)]
    parser.set_defaults(**{field.name: field.default for field in chosen if field.default is not MISSING})
