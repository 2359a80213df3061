"""A study on disk: what lies where, which volumes are done, and with which options.

Each volume has a record, one JSON file, written last: a volume with a record is done, whatever happened to the process
that made it. Names of files are those of `Study.name_of`: the pseudonym and the beginning of the content's SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from FetalPoseLib import __version__
from FetalPoseLib.cohort.jobs import LASTING, EstimateJob, Outcome
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import remove_unfinished, replacing
from FetalPoseLib.network.manifest import read_manifest
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.resources import resource_path

FOLDERS = ("poses", "thumbnails", "records")
DIGITS = 12  # of the content's SHA-256 in a name: two of 50,000 volumes share them with a chance of 1 in 200,000


class Study:
    """The folder of a study, and where things are in it.

    Parameters
    ----------
    folder : of the study
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def pose(self, name: str) -> Path:
        """Of the pose of a volume."""
        return self.folder / "poses" / f"{name}.mrk.json"

    def thumbnail(self, name: str) -> Path:
        """Of the small picture of a pose."""
        return self.folder / "thumbnails" / f"{name}.jpg"

    def record(self, name: str) -> Path:
        """Of all that is known of a volume."""
        return self.folder / "records" / f"{name}.json"

    def prepare(self, made: dict) -> str:
        """Make the folders, and note with what the study is made; the key of that.

        Raises
        ------
        FetalPoseError
            The folder cannot be made, or holds a study that was made otherwise.
        """
        try:
            for folder in FOLDERS:
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
                remove_unfinished(self.folder / folder)
        except OSError as error:
            raise FetalPoseError(
                f"Cannot make the folder {self.folder}: {error.strerror}. Choose another place for the study."
            ) from error
        remove_unfinished(self.folder)
        note_how_it_is_made(self.folder, made)
        return digest_of(made)

    def name_of(self, job: EstimateJob, content: str) -> str:
        """What a volume is called in the study."""
        frame = "" if job.frame is None else f"-frame{job.frame}"
        return f"{job.label or 'volume'}-{content[:DIGITS]}{frame}"

    def read(self, name: str) -> dict | None:
        """The record of a volume; None if there is none, or it is damaged."""
        return _read_json(self.record(name))

    def is_settled(self, job: EstimateJob, name: str) -> dict | None:
        """The record of a volume with which nothing is left to do."""
        record = self.read(name)
        if record is None or record.get("key") != job.key or record.get("volume") != volume_of(job):
            return None
        if record.get("kind"):
            return None if job.retry or record["kind"] not in LASTING else record
        return record if self.pose(name).exists() else None

    def write_record(self, name: str, record: dict) -> None:
        """Write a record; FetalPoseError if it cannot be written."""
        with replacing(self.record(name)) as temporary:
            temporary.write_text(json.dumps(record, allow_nan=False), encoding="utf-8")

    def note_failure(self, job: EstimateJob, outcome: Outcome) -> None:
        """Record that a volume failed."""
        name = outcome.name or unread_name(job)
        told = {"key": job.key, "volume": volume_of(job), "name": name, "content": outcome.content}
        self.write_record(name, {**told, "kind": outcome.kind, "reason": outcome.reason, "seconds": outcome.seconds})

    def forget_unread(self, job: EstimateJob) -> None:
        """Remove the record of a file that could not be read, because now it could."""
        self.record(unread_name(job)).unlink(missing_ok=True)

    def records(self, key: str) -> Iterator[dict]:
        """All records that were made with the key, in the order of their names."""
        for path in sorted((self.folder / "records").glob("*.json")):
            record = _read_json(path)
            if record is not None and record.get("key") == key:
                yield record


def unread_name(job: EstimateJob) -> str:
    """What a volume is called whose content is not known."""
    return f"{job.label}-input{job.number}" if job.label else f"input{job.number}"


def volume_of(job: EstimateJob) -> dict:
    """What a person has said of a volume, as its record holds it."""
    return {"pseudonym": job.label, "date": job.date, "age_days": job.age_days, "frame": job.frame,
            "mirrored": job.mirrored}  # fmt: skip


def made_with(options: EstimateOptions) -> dict:
    """What all volumes of a study have in common, except on which device they were computed.

    Raises
    ------
    FetalPoseError
        There is no such model or library.
    """
    values = asdict(options)
    del values["device"], values["libraries"]
    bundled = read_manifest(resource_path("models", "manifest.json")).get(options.model)
    model = bundled["sha256"] if bundled else _digest_of_file(options.model, "model")
    name = options.model if bundled else Path(options.model).name
    libraries = [_digest_of_file(path, "library") for path in options.libraries]
    return {"version": __version__, **values, "model": name, "model_sha256": model, "libraries_sha256": libraries}


def digest_of(made: dict) -> str:
    """The key of what a study is made with."""
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


def note_how_it_is_made(folder: Path, made: dict) -> None:
    """Write `made` into the folder's ``study.json``, or compare it with what stands there.

    Raises
    ------
    FetalPoseError
        The folder's results were made otherwise, or the file cannot be written.
    """
    path = folder / "study.json"
    former = _read_json(path)
    if former is None:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        return
    odd = [name for name in sorted(made.keys() | former.keys()) if made.get(name) != former.get(name)]
    if odd:
        changes = "; ".join(f"{name} {_short(former.get(name))}, now {_short(made.get(name))}" for name in odd[:3])
        raise FetalPoseError(
            f"The results in {folder} were made otherwise ({changes}). They are not mixed: choose another folder, or "
            "the former options."
        )


def _short(value: object) -> str:
    return str(value)[:24]


def _digest_of_file(path: str, what: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise FetalPoseError(
            f"The {what} {path} cannot be read: {error.strerror}. Give a file or a bundled model's name."
        ) from error


def _read_json(path: Path) -> dict | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def has_room(folder: Path, count: int = 1 << 18) -> bool:
    """Whether so many bytes can be written into the folder: quotas and shared disks tell so only when written to."""
    path = folder / f".fetalpose-room-{os.getpid()}"
    try:
        with open(path, "wb") as file:
            file.write(bytes(count))
            file.flush()
            os.fsync(file.fileno())
        return True
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
