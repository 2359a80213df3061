"""The key of a study: which file each volume is. It stands beside the study's folder, not in it, for its owner alone.

Paths may hold patients' names, so nothing in the folder repeats them; with the key a volume is found again. It also
keeps each file's SHA-256 with its size and time, so that a further run need not read what has not changed.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

from FetalPoseLib.cohort.content import stamp_of
from FetalPoseLib.cohort.inputs import Input
from FetalPoseLib.cohort.jobs import Outcome
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import replacing

_HEAD = ("number", "name", "frame", "bytes", "changed_ns", "content", "path")


@dataclass(frozen=True)
class Entry:
    """What is known of one input."""

    number: int  #: from 1, for good
    name: str = ""  #: of the volume in the study, "" while it is not known
    size: int = 0  #: bytes
    changed_ns: int = 0  #: time of the last change
    content: str = ""  #: SHA-256


class KeyFile:
    """The inputs of a study by path and frame.

    Parameters
    ----------
    study : folder of the study; the file is ``STUDY-key.csv`` beside it.

    Raises
    ------
    FetalPoseError
        The file is there, and is none.
    """

    def __init__(self, study: Path):
        self.path = study.with_name(f"{study.name}-key.csv")
        self._entries: dict[tuple[str, str], Entry] = {}
        if self.path.exists():
            try:
                with open(self.path, encoding="utf-8", errors="surrogateescape", newline="") as file:
                    for row in csv.DictReader(file):
                        entry = Entry(
                            int(row["number"]), row["name"], int(row["bytes"]), int(row["changed_ns"]), row["content"]
                        )
                        self._entries[row["path"], row["frame"]] = entry
            except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
                raise FetalPoseError(
                    f"{self.path} is not the key of a study ({error}). Restore it, or move it away: then all files are "
                    "read again."
                ) from error

    def number_of(self, volume: Input) -> int:
        """The number of an input, which it keeps."""
        return self._entry(volume).number

    def name_of(self, volume: Input) -> str:
        """What an input is called in the study, "" while it has not been read."""
        return self._entry(volume).name

    def content_of(self, volume: Input) -> str:
        """The SHA-256 of an input that has not changed since it was read; "" otherwise."""
        entry = self._entry(volume)
        return entry.content if entry.content and stamp_of(volume.path) == (entry.size, entry.changed_ns) else ""

    def learn(self, volume: Input, outcome: Outcome, stamp: tuple[int, int]) -> str:
        """Keep what a job has found out; the former name of a file whose content has changed, or "".

        ``stamp`` is that of the file before the job read it, so that a file that changes meanwhile is read again.
        """
        entry = self._entry(volume)
        if not outcome.content:
            return ""
        self._entries[_key(volume)] = replace(
            entry, name=outcome.name, size=stamp[0], changed_ns=stamp[1], content=outcome.content
        )
        return entry.name if entry.content not in ("", outcome.content) else ""

    def save(self) -> None:
        """Write the file, readable by its owner only; FetalPoseError if it cannot be written."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_HEAD)
        for (path, frame), entry in self._entries.items():
            writer.writerow([entry.number, entry.name, frame, entry.size, entry.changed_ns, entry.content, path])
        with replacing(self.path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape", newline="")

    def _entry(self, volume: Input) -> Entry:
        return self._entries.setdefault(_key(volume), Entry(len(self._entries) + 1))


def _key(volume: Input) -> tuple[str, str]:
    return str(volume.path), "" if volume.frame is None else str(volume.frame)
