"""`fetalpose web`: its arguments, and what it says where the extra 'web' is not installed."""

import argparse
import importlib.util
from dataclasses import fields

import pytest

from FetalPoseLib.cli import main, web
from FetalPoseWeb import serve as serving
from FetalPoseWeb.options import WebOptions

HAS_TRAME = importlib.util.find_spec("trame_slicer") is not None


@pytest.fixture
def started(monkeypatch):
    """The options that the server was started with, instead of starting it."""
    options = []
    monkeypatch.setattr(serving, "serve", options.append)
    return options


def test_every_option_has_an_argument_with_its_default(started):
    assert main(["web"]) == 0
    assert started == [WebOptions()]
    parser = argparse.ArgumentParser()
    web.add_arguments(parser)
    named = {action.dest for action in parser._actions}
    assert {field.name for field in fields(WebOptions)} - {"secret"} <= named


def test_secret_comes_from_the_environment_and_stays_in_no_list_of_processes(started, monkeypatch):
    monkeypatch.setenv("FETALPOSE_WEB_SECRET", "of alice")
    arguments = ["web", "--origin", "https://a.example", "--limit", "7", "--idle", "2.5", "--forget", "--no-browser"]
    assert main(arguments) == 0
    (options,) = started
    assert options.secret == "of alice" and options.origins == ("https://a.example",)
    assert (options.limit_bytes, options.idle_min, options.forget, options.browser) == (7 * 2**20, 2.5, True, False)
    assert "of alice" not in " ".join(arguments)


def test_help_teaches_with_examples(capsys):
    with pytest.raises(SystemExit):
        main(["web", "--help"])
    assert "\n  fetalpose web volume.nrrd" in capsys.readouterr().out


@pytest.mark.skipif(HAS_TRAME, reason="the extra is installed here")
def test_without_the_extra_one_line_says_what_to_install(capsys):
    assert main(["web", "--no-browser"]) == 1
    error = capsys.readouterr().err
    assert "trame_slicer" in error and "pip install 'FetalPose[web]'" in error and error.count("\n") == 1


@pytest.mark.skipif(not HAS_TRAME, reason="needs the extra")
def test_volume_that_is_not_there_is_one_line(capsys):
    assert main(["web", "/nowhere/volume.nrrd", "--no-browser"]) == 1
    assert "/nowhere/volume.nrrd does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "is_local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False)]
)
def test_only_this_computers_addresses_are_local(host, is_local):
    assert WebOptions(host=host).is_local is is_local
