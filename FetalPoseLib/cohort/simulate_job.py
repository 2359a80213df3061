"""One simulated volume of a folder, made unless it is there."""

from __future__ import annotations

from pathlib import Path

from FetalPoseLib.cohort.jobs import Outcome, SimulateJob
from FetalPoseLib.cohort.study import has_room
from FetalPoseLib.errors import FetalPoseError


def files_of(job: SimulateJob) -> tuple[Path, Path]:
    """The volume, and its landmarks, which are written last."""
    folder = Path(job.study)
    return folder / f"{job.name}.nrrd", folder / f"{job.name}.mrk.json"


def is_there(job: SimulateJob) -> bool:
    """Whether the volume and its landmarks were written."""
    return all(path.exists() for path in files_of(job))


def simulate_volume(job: SimulateJob) -> Outcome:
    """Do a job; what goes wrong is an outcome."""
    from FetalPoseLib.simulation.files import SimulationOptions, simulate_files

    if is_there(job):
        return Outcome(job.number, job.name, skipped=True)
    volume, landmarks = files_of(job)
    which = {"seed": job.number} if job.split is None else {"split": job.split, "subject": job.number}
    try:
        simulate_files(SimulationOptions(output=volume, landmarks=landmarks, spacing=job.spacing, **which))
        return Outcome(job.number, job.name)
    except Exception as error:
        if not has_room(volume.parent):
            return Outcome(job.number, job.name, kind="disk", reason="The disk is full, or cannot be written.")
        if isinstance(error, FetalPoseError):
            return Outcome(job.number, job.name, kind="refused", reason=str(error))
        return Outcome(job.number, job.name, kind="crash", reason=f"{type(error).__name__}: {error}")
