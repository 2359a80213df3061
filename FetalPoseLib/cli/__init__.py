"""The command `fetalpose`: arguments are parsed and results are printed here, and nothing else is done here.

May import every room below. A new file here is one more command: it has `add_arguments(parser)` and `run(args)`, and a
place in `COMMANDS`. Its docstring is the help that a person reads. `options` holds the arguments that commands share,
`terminal` what they show.
"""

import argparse
import os
import sys
from importlib import import_module

from FetalPoseLib import __version__
from FetalPoseLib.errors import FetalPoseError, printable

#: command: (module with `add_arguments(parser)` and `run(args)`, what it does). Imported only when it is chosen.
COMMANDS = {
    "estimate": ("FetalPoseLib.cli.estimate", "find the 16 landmarks in a volume, refine and measure them"),
    "cohort": ("FetalPoseLib.cli.cohort", "find the landmarks in many volumes, on all cores or on a cluster"),
    "simulate": ("FetalPoseLib.cli.simulate", "make a simulated ultrasound volume with its true landmarks"),
    "evaluate": ("FetalPoseLib.cli.evaluate", "compare poses with the truth"),
    "compare": ("FetalPoseLib.cli.compare", "compare two poses of one fetus: growth and change of angles"),
    "train": ("FetalPoseLib.cli.train", "train a detector on simulated or on your own volumes"),
    "benchmark": ("FetalPoseLib.cli.benchmark", "measure accuracy, memory and speed: the tables of the README"),
    "demo": ("FetalPoseLib.cli.demo", "estimate the pose in the bundled sample volume and compare it with the truth"),
}

_STYLE = argparse.RawDescriptionHelpFormatter  # a docstring is shown as it stands
BROKEN_PIPE = 141  # as the shell says of a program that a broken pipe ended
_DESCRIPTION = "Find and measure the pose of a fetus in a 3D ultrasound volume."
_EPILOG = """\
'fetalpose COMMAND --help' explains a command. A first look:
  fetalpose demo
  fetalpose estimate volume.nrrd --output pose.mrk.json --picture pose.png

Research use only. The models are trained on simulated volumes; train on your own annotated data for anything else.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 0 only on success.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process if None.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        parser = _parser(next((word for word in argv if word in COMMANDS), None))
        args = parser.parse_args(argv)
        _replace_what_does_not_encode(sys.stdout)
        status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except FetalPoseError as error:
        return _fail(str(error))
    except BrokenPipeError:  # who reads our output has seen enough, as `head`
        _give_up_output()
        return BROKEN_PIPE
    except OSError as error:
        return _fail(_sentence(error))
    except MemoryError:
        return _fail("Not enough memory. Close other programs, or use a smaller volume.")
    except KeyboardInterrupt:
        return _fail("Stopped. Results that were there before are unchanged.", status=130)


def _sentence(error: OSError) -> str:
    """What went wrong with which file, and what to do."""
    name = f"{error.filename}: " if error.filename is not None else ""
    return f"{name}{error.strerror or error}. Check the name, your rights and the disk."


def _replace_what_does_not_encode(stream) -> None:
    """Names of files may hold what is no UTF-8; printing them must not fail."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _give_up_output() -> None:
    """Nothing is written when the interpreter ends, either."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is no file
        pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        """One line, as for every other error; argparse would print the usage before it."""
        self.exit(2, f"{self.prog}: error: {message}. See '{self.prog} --help'.\n")


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The whole parser, but with the arguments of the chosen command only: the others' modules stay unimported."""
    parser = _Parser(prog="fetalpose", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=_STYLE)
    parser.add_argument("--version", action="version", version=f"fetalpose {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, (module_name, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, formatter_class=_STYLE)
        if name == chosen:
            module = import_module(module_name)
            command.description = module.__doc__
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _fail(message: str, status: int = 1) -> int:
    print(f"fetalpose: error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status
