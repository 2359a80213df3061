"""What the commands' arguments share: those of an estimate, types, and the defaults, which are typed in the options."""

import argparse
import math
from dataclasses import MISSING, fields
from typing import Any

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.network.device import DEVICES
from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions


def add_estimator_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that estimates a pose, one for each field of `EstimateOptions`."""
    add = parser.add_argument
    add(
        "--model",
        help="fetal-frame (default) finds the fetus first, then looks closely; r4 and gcp are the paper's single pass "
        "at 1.25 and 1.0 mm; or a .safetensors file of your own training",
    )
    add(
        "--iterations",
        type=count,
        metavar="N",
        help="steps of refinement at most (default %(default)s; 0 for the bare detection); consensus takes one "
        "further view at most",
    )
    add(
        "--refinement",
        choices=tuple(REFINEMENTS),
        help="consensus (default) reads the mirror image, too, and chooses the landmarks jointly, in one step; "
        "paper has the network learn from the pose library on line; holding does so, too, and keeps confident "
        "landmarks in place",
    )
    add("--k", type=positive, metavar="K", help="paper, holding: atlases in the support set (default %(default)s)")
    add(
        "--spacing-mm",
        type=millimetres,
        metavar="MM",
        help="of the network's input, one that the model allows (default the model's own)",
    )
    add(
        "--library",
        dest="libraries",
        action="append",
        metavar="POSES.npz",
        help="your own atlases beside the bundled ones; may be given several times",
    )
    add("--device", choices=DEVICES, help="auto (default) takes a GPU if there is one")
    take_defaults(parser, EstimateOptions)


def estimate_options(args: argparse.Namespace) -> EstimateOptions:
    """The options that the arguments of `add_estimator_arguments` make."""
    values: dict[str, Any] = {field.name: getattr(args, field.name) for field in fields(EstimateOptions)}
    return EstimateOptions(**{**values, "libraries": tuple(args.libraries)})


def take_defaults(parser: argparse.ArgumentParser, options: type) -> None:
    """Give the arguments the defaults of the fields of the same names.

    A sequence becomes a list, to a copy of which argparse appends.
    """
    defaults = {field.name: field.default for field in fields(options)}
    given = {name: default for name, default in defaults.items() if default is not MISSING}
    parser.set_defaults(**{name: list(value) if isinstance(value, tuple) else value for name, value in given.items()})


def positive(text: str) -> int:
    """The type of an argument that is 1, 2, ...: a count of at least one, or a number that counts from 1."""
    return _whole(text, least=1)


def count(text: str) -> int:
    """The type of an argument that is 0, 1, 2, ..."""
    return _whole(text, least=0)


def millimetres(text: str) -> float:
    """The type of an argument that is a length of more than 0 mm."""
    return _above_zero(text, "no length: give a number of mm, such as 1.25")


def rate(text: str) -> float:
    """The type of an argument that is a number per second, more than 0."""
    return _above_zero(text, "no rate: give a number per second, such as 4")


def positive_number(text: str) -> float:
    """The type of an argument that is more than 0."""
    return _above_zero(text, "no number above 0")


def gestational_age(text: str) -> int:
    """The type of an argument such as 12w3d: days."""
    from FetalPoseLib.body.age import parse_gestational_age

    try:
        return parse_gestational_age(text)
    except FetalPoseError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _whole(text: str, *, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise argparse.ArgumentTypeError(f"'{text}' is not a count: give {least}, {least + 1}, ...")
    return int(text)


def _above_zero(text: str, complaint: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is {complaint}")
    return value
