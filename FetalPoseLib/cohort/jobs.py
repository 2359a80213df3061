"""A job is one volume: what travels to a worker, and what comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.worker.codec import dataclass_of_plain, plain_of_dataclass

#: Kinds of failures, and what each is. Those of `LASTING` lie in the volume itself, so that trying again is in vain.
KINDS = {
    "refused": "the volume cannot be used",
    "no fetus": "no fetus was found in the volume",
    "unreadable": "the file is not there, or could not be read",
    "time limit": "the volume took longer than the time limit",
    "memory": "the volume took more memory than allowed",
    "crash": "a process ended unexpectedly",
    "worker": "the Dask workers died",
    "disk": "the disk of the results is full",
}
LASTING = ("refused", "no fetus")


@dataclass(frozen=True)
class EstimateJob:
    """Estimate the pose in one volume. Its ``repr`` tells no path, because Dask writes it into logs."""

    number: int  #: of the input in the key file
    study: str  #: folder of the study, absolute
    key: str  #: digest of what the whole study has in common, see `study.Study`
    source: str = field(repr=False)  #: path of the volume, absolute
    options: EstimateOptions = field(default=EstimateOptions(), repr=False)
    label: str = ""  #: pseudonym, or ""
    date: str = ""  #: of the scan, or ""
    age_days: int | None = None  #: gestational age
    frame: int | None = None  #: which of the volumes over time, from 1
    mirrored: bool = False  #: the file exchanges left and right
    retry: bool = False  #: also if it failed before for a lasting reason
    network: tuple[str, ...] = field(default=(), repr=False)  #: command line of the network's process; (): the usual


@dataclass(frozen=True)
class SimulateJob:
    """Simulate one volume."""

    number: int  #: seed, or index in the split
    study: str  #: folder of the volumes, absolute
    spacing: float  #: of the voxels, mm
    split: str | None = None  #: a set of Sim-152; None: fresh

    @property
    def name(self) -> str:
        """Of the volume and of its landmarks."""
        return f"{self.split or 'fresh'}-{self.number:05d}"


Job = EstimateJob | SimulateJob
_JOBS: dict[str, type] = {"estimate": EstimateJob, "simulate": SimulateJob}


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    number: int  #: of the job
    name: str = ""  #: of the volume in the study, "" if it could not even be read
    content: str = ""  #: SHA-256 of the volume, "" if unknown
    kind: str = ""  #: "" if it is done, else one of `KINDS`
    reason: str = ""  #: of the failure, a sentence without any name from the volume
    skipped: bool = False  #: it was done, or had failed for good, before
    seconds: float = 0.0  #: that it took

    @property
    def done(self) -> bool:
        """The volume's results are in the study."""
        return not self.kind


@dataclass(frozen=True)
class Named:
    """What a volume process says of a job under way: what the volume is called, for the case that this is its end."""

    name: str
    content: str


def job_line(job: Job) -> str:
    """A job as a line for a volume process."""
    kind = next(kind for kind, cls in _JOBS.items() if isinstance(job, cls))
    return json.dumps({"kind": kind, "job": plain_of_dataclass(job)})


def job_in(line: str | bytes) -> Job:
    """The inverse of `job_line`."""
    message = json.loads(line)
    return dataclass_of_plain(_JOBS[message["kind"]], message["job"])


def answer_line(answer: Outcome | Named) -> str:
    """What a volume process says, as a line."""
    return json.dumps({"kind": type(answer).__name__, "answer": plain_of_dataclass(answer)})


def answer_in(line: str | bytes) -> Outcome | Named:
    """The inverse of `answer_line`; ValueError, KeyError or TypeError if it is none."""
    message = json.loads(line)
    return dataclass_of_plain({"Outcome": Outcome, "Named": Named}[message["kind"]], message["answer"])
