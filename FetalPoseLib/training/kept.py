"""What a training keeps in its folder: states and a log, written whole or not at all, and checked when read."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.files import replacing

STATE, BEST, LOG = "state.pt", "best.pt", "log.jsonl"
#: What a state of `Trainer.save` holds, and of which type; a state of `BEST` is the weights alone.
STATE_TYPES = {
    "net": Mapping, "average": Mapping, "optimiser": Mapping, "step": int, "seconds": (int, float),
    "best": (int, float), "recipe": Mapping, "config": Mapping, "task": Mapping,
}  # fmt: skip


def write_state(path: Path, state: Mapping) -> None:
    """Write a state; the former one is replaced only by a whole one. FetalPoseError if it cannot be written."""
    with replacing(path) as temporary:
        torch.save(state, temporary)


def read_state(path: Path, device: str | torch.device = "cpu") -> dict:
    """A state with all that `Trainer.save` writes.

    Raises
    ------
    FileNotFoundError
        There is none.
    FetalPoseError
        The file cannot be read, is damaged or holds something else.
    """
    state = read_weights(path, device)
    wrong = [key for key, kind in STATE_TYPES.items() if not isinstance(state.get(key), kind)]
    if wrong:
        raise FetalPoseError(f"{path} is no state of a training: {listed(wrong)} missing or of another type. {_ADVICE}")
    return state


def read_weights(path: Path, device: str | torch.device = "cpu") -> dict:
    """The dict in a file of torch; raises as `read_state`."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FetalPoseError(f"Cannot read {path}: {error.strerror or error}. Check your rights.") from error
    except (RuntimeError, ValueError, KeyError, TypeError, EOFError, AttributeError, IndexError, RecursionError,
            pickle.UnpicklingError, zipfile.BadZipFile) as error:  # fmt: skip
        raise FetalPoseError(f"{path} is damaged. {_ADVICE}") from error
    if not isinstance(state, dict):
        raise FetalPoseError(f"{path} is no state of a training. {_ADVICE}")
    return state


def append_row(path: Path, row: Mapping) -> None:
    """Add a line to a log; a last line that was cut off when a training was killed is taken out first."""
    try:
        with open(path, "a+b") as file:
            file.seek(0)
            text = file.read()
            if text and not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
            file.write(json.dumps(row).encode() + b"\n")
    except OSError as error:
        raise FetalPoseError(
            f"Cannot write {path}: {error.strerror or error}. Free some room, or check your rights."
        ) from error


def read_rows(path: Path) -> list[dict]:
    """The rows of a log, none where there is no log; without a last line that was cut off.

    FetalPoseError if another line is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().decode("utf-8", errors="replace").splitlines(keepends=True)
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                raise ValueError("no row of a log")
        except (ValueError, RecursionError) as error:
            if number == len(lines) and not line.endswith("\n"):
                break
            raise FetalPoseError(f"Line {number} of {path} is damaged. Delete that line, or the file.") from error
        rows.append(row)
    return rows


_ADVICE = "Delete it to begin anew, or restore it from a copy."
