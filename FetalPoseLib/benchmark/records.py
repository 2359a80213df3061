"""Records of a measurement, one JSON line each: a killed run goes on, and tables are made again without measuring.

Keys have the names that they had in the first records, so that all can be read: ``seen`` is 1 for each landmark within
the scanned sector, ``looks`` counts the further views of consensus, and ``missed`` in the tables the landmarks within
the sector that the network did not find.
"""

from __future__ import annotations

import json
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable, replacing

#: What must be the same for records to belong together; the rest of a header tells who measured, where and when.
IDENTITY = ("model", "model_sha256", "library_sha256", "version", "split", "spacing_mm", "iterations", "refinement",
            "network_spacing_mm")  # fmt: skip


class Records:
    """The records in the file `path`; its first line is the header, which says what was measured.

    Raises
    ------
    FetalPoseError
        The file holds records of something else, such as a model of the same name that was trained on.
    """

    def __init__(self, path: Path, header: dict, *, fresh: bool = False):
        self.path, self.header = Path(path), header
        self.rows: list[dict] = []
        check_writable(self.path)
        if self.path.exists() and not fresh:
            self.header, self.rows = read_records(self.path)
            self._check(header)
        with replacing(self.path) as temporary:  # without the line that a killed run left half written
            temporary.write_text("".join(map(_line, (self.header, *self.rows))), encoding="utf-8")
        self._names = {row["name"] for row in self.rows}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def append(self, row: dict) -> None:
        """Add a record and write it at once; its ``name`` is what it will be known by."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(_line(row))
        self.rows.append(row)
        self._names.add(row["name"])

    def _check(self, header: dict) -> None:
        for key in IDENTITY:
            if self.header.get(key) != header.get(key):
                raise FetalPoseError(
                    f"{self.path} was measured with {key} {self.header.get(key)}, not {header.get(key)}. "
                    "Measure afresh, or choose another output folder."
                )


def read_records(path: Path) -> tuple[dict, list[dict]]:
    """Header and records of a file, without a last line that was not finished."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    whole = lines[:-1]  # a finished line ends with a line feed
    try:
        header, *rows = [json.loads(line) for line in whole]
    except ValueError as error:
        raise FetalPoseError(f"{path} holds no records of a benchmark ({error}). Delete it.") from error
    return header, rows


def _line(row: dict) -> str:
    return json.dumps(row, allow_nan=False) + "\n"
