"""Which volumes a study has: from files, folders, globs and lists (.csv)."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from FetalPoseLib.body.age import parse_gestational_age
from FetalPoseLib.errors import FetalPoseError, listed
from FetalPoseLib.reading.dicom_files import is_dicom
from FetalPoseLib.reading.kretz_wrappers import is_kretz

SUFFIXES = (
    *(".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".hdr", ".vol", ".v00", ".v01", ".4dv"),
    *(".dcm", ".dicom", ".ima"),
)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima", "")  # of files in a folder that are looked into
COLUMNS = ("path", "pseudonym", "date", "gestational_age", "frame", "mirrored")
PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_YES = {"": False, "0": False, "no": False, "false": False, "1": True, "yes": True, "true": True}
_HEAD = 540  # bytes, which tell DICOM


@dataclass(frozen=True)
class Input:
    """One volume of the study, and what is known of it."""

    path: Path  #: absolute
    label: str = ""  #: pseudonym of the patient
    date: str = ""  #: of the scan, YYYY-MM-DD
    age_days: int | None = None  #: gestational age
    frame: int | None = None  #: which of the volumes over time
    mirrored: bool = False  #: the file exchanges left and right


def list_inputs(given: Sequence[str]) -> list[Input]:
    """The volumes that files, folders, globs and lists name, each once, in their order.

    A folder holds volumes at any depth; one with DICOM slices is a volume itself. A list is a CSV file with the column
    ``path``, and perhaps the others of `COLUMNS`; its paths are relative to it.

    Raises
    ------
    FetalPoseError
        Nothing of that name is there, a folder holds no volume, or a list has a line that cannot be used.
    """
    found: dict[tuple[Path, int | None], Input] = {}
    for one in given:
        for volume in _inputs(one):
            found.setdefault((volume.path, volume.frame), volume)
    return list(found.values())


def _inputs(given: str) -> Iterable[Input]:
    path = Path(given).absolute()
    if path.is_dir():
        return _in_folder(path)
    if path.suffix.lower() == ".csv":
        return _in_list(path)
    if path.exists():
        return [Input(path)]
    if glob.has_magic(given):
        matches = [Path(match).absolute() for match in sorted(glob.glob(given, recursive=True))]
        if not matches:
            raise FetalPoseError(f"Nothing matches {given}. Check the pattern.")
        return [volume for match in matches for volume in (_in_folder(match) if match.is_dir() else [Input(match)])]
    raise FetalPoseError(f"The input {given} does not exist. Give a file, a folder, a pattern or a list (.csv).")


def _in_folder(folder: Path) -> list[Input]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders.sort()
        files = [Path(root, name) for name in sorted(names) if not name.startswith(".")]
        named = [path for path in files if path.name.lower().endswith(SUFFIXES)]
        dicom = [path for path in files if path.suffix.lower() in DICOM_SUFFIXES and _is_dicom(path)]
        if dicom and not _is_a_volume(dicom[0]):
            found.append(Path(root))
            dicom_names = set(dicom)
            found += [path for path in named if path not in dicom_names]
        else:
            found += sorted({*named, *dicom})
    if not found:
        raise FetalPoseError(f"The folder {folder} holds no volume (NRRD, NIfTI, MetaImage, GE Kretz, DICOM).")
    return [Input(path) for path in found]


def _is_dicom(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return is_dicom(file.read(_HEAD))
    except OSError:  # whoever reads it tells
        return path.suffix != ""


def _is_a_volume(path: Path) -> bool:
    """Whether a DICOM file is a volume by itself, not a slice of one."""
    from pydicom import dcmread

    try:
        if is_kretz(path):
            return True
        header = dcmread(path, stop_before_pixels=True, specific_tags=["NumberOfFrames"], force=True)
        return int(header.get("NumberOfFrames") or 1) > 1
    except Exception:  # damaged in any way: the folder is read as a series, which tells
        return False


def _in_list(path: Path) -> list[Input]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            head = file.read(4096)
            file.seek(0)
            delimiter = ";" if head.splitlines() and head.splitlines()[0].count(";") > head.count(",") else ","
            rows = list(csv.DictReader(file, delimiter=delimiter))
    except OSError as error:
        raise FetalPoseError(f"The list {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FetalPoseError(f"The list {path} is no CSV file in UTF-8 ({error}). Save it as such.") from error
    if not rows:
        raise FetalPoseError(f"The list {path} is empty. Give it a line of headings, with path, and a line per volume.")
    rows = [{str(key).strip().lower(): (value or "") for key, value in row.items() if key} for row in rows]
    if "path" not in rows[0]:
        raise FetalPoseError(f"The list {path} has no column path, only {listed(list(rows[0]))}. Name it in line 1.")
    return [_of_row(path, number, row) for number, row in enumerate(rows, start=2)]


def _of_row(path: Path, number: int, row: dict[str, str]) -> Input:
    values = {column: str(row.get(column, "")).strip() for column in COLUMNS}

    def bad(what: str) -> FetalPoseError:
        return FetalPoseError(f"The list {path}, line {number}: {what}")

    if not values["path"]:
        raise bad("the column path is empty. Give the volume's file or folder.")
    label = values["pseudonym"]
    if label and not PSEUDONYM.fullmatch(label):
        raise bad(
            "the pseudonym names files, so it must be at most 40 letters (A to Z), digits, - and _. Choose another."
        )
    if values["date"]:
        try:
            date.fromisoformat(values["date"])
        except ValueError:
            raise bad(f"'{values['date'][:20]}' is no date. Write it like 2026-03-31.") from None
    try:
        age = parse_gestational_age(values["gestational_age"]) if values["gestational_age"] else None
    except FetalPoseError as error:
        raise bad(str(error)) from None
    frame = values["frame"]
    if frame and not (frame.isascii() and frame.isdigit() and int(frame)):
        raise bad(f"the frame '{frame[:20]}' is no number from 1.")
    if values["mirrored"].lower() not in _YES:
        raise bad(f"mirrored is '{values['mirrored'][:20]}'. Write yes or no.")
    source = (path.parent / os.path.expanduser(values["path"])).absolute()
    return Input(source, label, values["date"], age, int(frame) if frame else None, _YES[values["mirrored"].lower()])
