"""Arguments take the defaults of the options' fields; counts are whole numbers."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from FetalPoseLib.benchmark.run import BenchmarkOptions
from FetalPoseLib.cli import benchmark, estimate, train
from FetalPoseLib.cli.options import count, estimate_options, millimetres, positive, take_defaults
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.training.options import TrainingOptions


@dataclass(frozen=True)
class Options:
    needed: str
    size: int = 3
    names: Sequence[str] = ("first",)


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--needed")
    parser.add_argument("--size", type=int, help="(default %(default)s)")
    parser.add_argument("--names", action="append")
    parser.add_argument("--other", default="own")
    return parser


def test_arguments_take_the_fields_defaults_and_keep_their_own_without_a_field(parser):
    take_defaults(parser, Options)
    args = parser.parse_args([])
    assert (args.needed, args.size, args.names, args.other) == (None, 3, ["first"], "own")
    assert "(default 3)" in parser.format_help()


def test_a_repeated_argument_adds_to_a_copy_of_the_default(parser):
    take_defaults(parser, Options)
    assert parser.parse_args(["--names", "second"]).names == ["first", "second"]
    assert parser.parse_args([]).names == ["first"] and Options("").names == ("first",)


@pytest.mark.parametrize(
    ("command", "options", "needed"),
    [
        (train, TrainingOptions, ["--model", "r4", "--output", "a.safetensors"]),
        (benchmark, BenchmarkOptions, ["accuracy"]),
        (estimate, EstimateOptions, ["volume.nrrd", "--output", "pose.mrk.json"]),
    ],
)
def test_every_command_has_the_defaults_of_its_options(command, options, needed):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args(needed)
    defaults = {name: getattr(options, name) for name in options.__dataclass_fields__ if hasattr(options, name)}
    assert defaults, "no field has a default"
    for name, default in defaults.items():
        given = getattr(args, name)
        assert (tuple(given) if isinstance(given, list) else given) == default or f"--{name}" in needed


@pytest.mark.parametrize(("kind", "text", "value"), [(count, "0", 0), (count, "12", 12), (positive, "1", 1)])
def test_counts(kind, text, value):
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text"), [(positive, "0"), (count, "-1"), (count, "1.5"), (count, ""), (count, "²"), (positive, "two")]
)
def test_what_is_no_count_is_refused_by_name(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a count: give"):
        kind(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "wide", ""])
def test_what_is_no_length_is_refused_by_name(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no length: give"):
        millimetres(text)


def test_every_option_of_an_estimate_has_an_argument():
    parser = argparse.ArgumentParser()
    estimate.add_arguments(parser)
    given = ["--model", "r4", "--device", "cpu", "--refinement", "paper", "--iterations", "2", "--k", "5"]
    given += ["--spacing-mm", "1.5", "--library", "a.npz", "--library", "b.npz"]
    args = parser.parse_args(["volume.nrrd", "--output", "pose.mrk.json", *given])
    expected = EstimateOptions("r4", "cpu", "paper", 2, k=5, spacing_mm=1.5, libraries=("a.npz", "b.npz"))
    assert estimate_options(args) == expected
    defaults = vars(EstimateOptions())
    assert all(getattr(expected, name) != default for name, default in defaults.items()), "an option has no argument"
