"""One volume of a study from beginning to end: known by its content, estimated, drawn, recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from FetalPoseLib.body.estimate import rows_of_points
from FetalPoseLib.cohort.content import content_of
from FetalPoseLib.cohort.jobs import EstimateJob, Named, Outcome
from FetalPoseLib.cohort.measured import values_of_rows
from FetalPoseLib.cohort.privacy import without_names
from FetalPoseLib.cohort.study import Study, has_room, volume_of
from FetalPoseLib.cohort.thumbnail import draw_thumbnail
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.session.estimate_file import (
    FileOptions,
    FileResult,
    NetworkFailedError,
    NoFetusError,
    estimate_file,
)
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.codec import ARRAYS


def estimate_volume(job: EstimateJob, client: WorkerClient, tell: Callable[[Named], object]) -> Outcome:
    """Do a job; whatever goes wrong with the volume is an outcome.

    Parameters
    ----------
    job : what is estimated
    client : the network's process
    tell : called with what the volume is called, once that is known
    """
    source, study = Path(job.source), Study(job.study)
    try:
        content = content_of(source)
    except (FetalPoseError, OSError) as error:
        sentence = str(error) if isinstance(error, FetalPoseError) else f"It cannot be read: {error.strerror}."
        return Outcome(job.number, kind="unreadable", reason=without_names(sentence, source))
    name = study.name_of(job, content)
    tell(Named(name, content))
    settled = study.is_settled(job, name)
    if settled is not None:
        kind, reason = settled.get("kind", ""), settled.get("reason", "")
        return Outcome(job.number, name, content, kind=kind, reason=reason, skipped=True)
    try:
        _estimate(job, client, study, name, content)
        return Outcome(job.number, name, content)
    except Exception as error:
        kind, sentence = _kind(error, study)
        return Outcome(job.number, name, content, kind=kind, reason=without_names(sentence, source))


def _estimate(job: EstimateJob, client: WorkerClient, study: Study, name: str, content: str) -> None:
    options = FileOptions(
        output=study.pose(name), frame=job.frame, mirrored=job.mirrored, age_days=job.age_days, name=name
    )
    source = Path(job.source)
    result = estimate_file(client, source, options, job.options)
    draw_thumbnail(study.thumbnail(name), result.volume, result.points)
    study.write_record(name, _record(job, name, content, result))


def _record(job: EstimateJob, name: str, content: str, result: FileResult) -> dict:
    found = result.estimate
    return {
        "key": job.key,
        "volume": volume_of(job),
        "name": name,
        "content": content,
        "points": rows_of_points(found.points),
        "confidence": ARRAYS["confidence"].encode(found.confidence),
        "radius_mm": ARRAYS["radius_mm"].encode(found.radius_mm),
        "length_interval_mm": ARRAYS["length_interval_mm"].encode(found.length_interval_mm),
        "measures": values_of_rows(result.measures),
        "warnings": [without_names(sentence, Path(job.source)) for sentence in result.warnings],
        "provenance": dict(found.provenance) | {"Model": Path(found.provenance["Model"]).name},
    }


def _kind(error: Exception, study: Study) -> tuple[str, str]:
    """The kind of a failure, and a sentence about it."""
    if not has_room(study.folder):
        return "disk", "The disk of the results is full, or cannot be written."
    if isinstance(error, NoFetusError):
        return "no fetus", str(error)
    if isinstance(error, NetworkFailedError) and error.details:
        return "crash", str(error)
    if isinstance(error, FetalPoseError):
        return "refused", str(error)
    if isinstance(error, MemoryError):
        return "memory", "Not enough memory. Use fewer workers."
    if isinstance(error, OSError):
        return "unreadable", f"The system says: {error.strerror or type(error).__name__}."
    return "crash", f"The program failed: {type(error).__name__}: {error}"
