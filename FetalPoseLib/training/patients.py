"""Whose volume is whose: a patient must not stand on both sides, that which is learnt from and that which validates.

Each volume counts as a patient of its own, unless the folder holds a table ``patients.csv`` with the columns ``volume``
(a file's name without its suffix) and ``patient`` (any word).
"""

from __future__ import annotations

import csv
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.training.pool import OWN, load_case

TABLE = "patients.csv"
HELD_OUT = 0.25  # share of the patients that validate where the user gives no folder for it


def patients_of(folder: str | Path, cases: Sequence[Path]) -> dict[str, str]:
    """Patient of each case, by the case's name.

    Raises
    ------
    FetalPoseError
        The table is damaged, lacks a column, or does not name each volume of the folder once.
    """
    stems = {path.stem: path.stem.removeprefix(OWN) for path in cases}
    table = Path(folder) / TABLE
    if not table.exists():
        return stems
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise FetalPoseError(f"Cannot read {table}: {error.strerror}. Check your rights.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FetalPoseError(f"{table} is no table. Save it as CSV in UTF-8.") from error
    named = [((row.get("volume") or "").strip(), (row.get("patient") or "").strip()) for row in rows]
    found = dict(named)
    wrong = [stem for stem in stems.values() if not found.get(stem)]
    if wrong or len(found) != len(named):
        what = f"names no patient for {listed(wrong)}" if wrong else "names a volume twice"
        raise FetalPoseError(
            f"{table} {what}. It needs the columns volume,patient and a line for each volume, named without its suffix."
        )
    return {name: found[stem] for name, stem in stems.items()}


def check_apart(training: Mapping[str, str], validation: Mapping[str, str]) -> None:
    """FetalPoseError if a patient stands on both sides; each is of `patients_of`."""
    both = sorted(set(training.values()) & set(validation.values()))
    if both:
        raise FetalPoseError(
            f"Patients that stand in the data and in the validation: {listed(both)}. What was learnt from tells "
            "nothing about others: keep all volumes of a patient on one side."
        )


def check_differ(cases: Sequence[Path]) -> None:
    """FetalPoseError if two of the cases, of one folder or two, show the same volume under two names."""
    seen: dict[bytes, Path] = {}
    for path in cases:
        digest = hashlib.sha256(load_case(path).volume.tobytes()).digest()
        other = seen.setdefault(digest, path)
        if other is not path:
            names = [p.stem.removeprefix(OWN) for p in (other, path)]
            raise FetalPoseError(f"The volumes {names[0]} and {names[1]} are the same. Keep one of them, on one side.")


def held_out(patients: Mapping[str, str]) -> list[str]:
    """Names of the cases of a quarter of the patients, at least one; the same ones every time.

    FetalPoseError if there is one patient only.
    """
    everyone = sorted(set(patients.values()), key=lambda patient: (zlib.crc32(patient.encode()), patient))
    if len(everyone) < 2:
        what = "One volume is" if len(patients) == 1 else f"{len(patients)} volumes are"
        raise FetalPoseError(
            f"{what} of one patient. Adapting needs two patients at least, one to learn from "
            "and one to check on, and better 8 or more; or give others with --validation."
        )
    chosen = everyone[: max(1, round(HELD_OUT * len(everyone)))]
    return [name for name, patient in patients.items() if patient in chosen]
