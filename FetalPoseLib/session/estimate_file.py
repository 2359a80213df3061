"""From a volume's file to files of its pose: what the command line does, and any program over many files.

One estimate from beginning to end, without a person who corrects it; `PoseSession` is for one who does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from FetalPoseLib import scene as mrml
from FetalPoseLib.body.age import contradiction, weeks_and_days
from FetalPoseLib.body.clinical import measure_table
from FetalPoseLib.body.dating import FORMULA, formula_named
from FetalPoseLib.body.estimate import Estimate, Progress
from FetalPoseLib.body.measurements import length_table, write_csv
from FetalPoseLib.body.plausibility import Doubt, checks_of_lengths, doubts
from FetalPoseLib.body.pose_library import PoseLibrary
from FetalPoseLib.errors import FetalPoseError
from FetalPoseLib.files import check_writable, replacing
from FetalPoseLib.measurement.crown_rump import crown_rump_length
from FetalPoseLib.measurement.head_turn import head_turn_deg
from FetalPoseLib.refinement.options import EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.volume.grid import Volume, mirror_matrix, transform_points
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Cancelled, Done, Failed, ProgressEvent

POLL_S = 0.02  # between two looks at what the network's process has said
PICTURE_NOTE = "Research use only. The model was trained on simulated volumes."


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Where the pose goes, and what a person knows about the volume."""

    output: Path  #: of the pose, .mrk.json
    table: Path | None = None  #: of the 15 lengths, .csv
    measures: Path | None = None  #: of crown-rump length, age, posture and bones, .csv
    picture: Path | None = None  #: of the pose over its volume, .png, .pdf or .svg
    report: Path | None = None  #: of all that is known of the pose, one page, .html or .pdf
    frame: int | None = None  #: which of the volumes over time that the file holds, from 1
    mirrored: bool = False  #: the file mirrors the volume: left and right are exchanged
    force: bool = False  #: write the pose even where no fetus seems to be
    age_days: int | None = None  #: gestational age, with which the crown-rump length is compared
    age_formula: str = FORMULA  #: of the gestational age that the crown-rump length gives, a key of `dating.FORMULAS`
    name: str | None = None  #: of the volume in pose and picture; None: that of its file, which may be a patient's


@dataclass(frozen=True, eq=False)
class FileResult:
    """The pose as it was written."""

    points: np.ndarray  #: (16, 3) RAS mm in the file's world, NaN where a landmark is not visible
    lengths: list[dict]  #: a row per segment, see `measurements.length_table`
    measures: list[dict]  #: a row per clinical measure, see `clinical.measure_table`
    warnings: tuple[str, ...]  #: sentences for the user, each of which went to ``warn``, too
    estimate: Estimate  #: all that the network said, with these points and the provenance as it was written
    volume: Volume  #: the volume as its file places it


class NoFetusError(FetalPoseError):
    """Nothing in the volume looks like a fetus; no pose was written."""


class NetworkFailedError(FetalPoseError):
    """The network's process gave no pose. ``details`` holds its traceback, or "" where a person can mend it."""

    def __init__(self, message: str, details: str = ""):
        super().__init__(message)
        self.details = details


def estimate_file(
    client: WorkerClient,
    source: Path,
    options: FileOptions,
    estimate: EstimateOptions,
    *,
    progress: Callable[[Progress], object] = lambda progress: None,
    warn: Callable[[str], object] = lambda sentence: None,
) -> FileResult:
    """Estimate the pose in a volume's file and write it; returns when all is done.

    Parameters
    ----------
    client : the network's process, which stays open for the next file.
    source : NRRD, NIfTI, MetaImage or GE Kretz file, DICOM file, or folder with one DICOM series.
    options : what is written, and what is known about the volume.
    estimate : model, device and refinement.
    progress : called with each `Progress`.
    warn : called with each sentence of doubt, before the pose is written or refused.

    Raises
    ------
    NetworkFailedError
        The network could not find a pose.
    FetalPoseError
        An output cannot be written; the volume is missing, damaged or not one to estimate a pose in; no fetus was
        found in it. No file is changed then.
    """
    source = Path(source)
    check_writable(options.output, ".mrk.json")
    if options.table is not None:
        check_writable(options.table, ".csv")
    if options.measures is not None:
        check_writable(options.measures, ".csv")
    if options.picture is not None:
        check_writable(options.picture, ".png", ".pdf", ".svg")
    if options.report is not None:
        check_writable(options.report, ".html", ".pdf")
    formula_named(options.age_formula)
    scene = mrml.new_scene()
    client.warm_up(estimate)  # the process starts while the volume is read
    node = mrml.read_volume(scene, source, frame=options.frame)
    shown = mrml.volume_from_node(node)
    mirror = mirror_matrix(shown) if options.mirrored else np.eye(4)
    volume = mrml.recorded_volume(node).moved(mirror)
    result = _answer(client, client.estimate(volume, estimate), progress)
    open_questions = mrml.doubts_of(node)
    of_pose = _warnings(result, options.age_days) + [doubt.sentence for doubt in open_questions]
    found = _doubtful(result)
    warnings = of_pose + [doubt.reason for doubt in found]
    for sentence in warnings:
        warn(sentence)
    _check_found(result, source, force=options.force)
    provenance = dict(result.provenance) | _provenance(options, [doubt.code for doubt in open_questions], warnings)
    result = replace(result, points=transform_points(mirror, result.points), provenance=provenance)
    pose = mrml.pose_node(scene, result, name=options.name or source.name.split(".")[0])
    mrml.set_crown_rump(pose, crown_rump_length(shown, result.points))
    mrml.set_head_turn(pose, head_turn_deg(shown, result.points))
    mrml.save_pose(pose, options.output)
    checks = checks_of_lengths(found, of_pose)
    rows = length_table(result.points, interval_mm=result.length_interval_mm, checks=checks)
    measures = measure_table(mrml.measures_of(pose))
    for path, table in ((options.table, rows), (options.measures, measures)):
        if path is not None:
            with replacing(path) as temporary:
                write_csv(temporary, table)
    if options.picture is not None:
        _draw(options.picture, shown, result, options.name or source.name)
    if options.report is not None:
        _report(options.report, shown, pose, rows, measures, options.name or source.name, warnings)
    return FileResult(result.points, rows, measures, tuple(warnings), result, shown)


def _answer(client: WorkerClient, request: int, progress: Callable[[Progress], object]) -> Estimate:
    """The estimate that the process sends. The request is cancelled if ``progress`` raises, or with Ctrl-C."""
    try:
        while True:
            for event in client.poll():
                if event.request != request:  # the warming up; what goes wrong there goes wrong again
                    continue
                if isinstance(event, Done):
                    return event.estimate
                if isinstance(event, Failed):
                    raise NetworkFailedError(event.message, event.details)
                if isinstance(event, Cancelled):
                    raise NetworkFailedError("The estimate was cancelled; nothing was written.")
                if isinstance(event, ProgressEvent):
                    progress(event.progress)
            time.sleep(POLL_S)
    finally:
        client.cancel()


def _warnings(result: Estimate, age_days: int | None) -> list[str]:
    against_age = None if age_days is None else contradiction(result.points, age_days)
    return [*result.warnings, *([against_age] if against_age else [])]


def _doubtful(result: Estimate) -> list[Doubt]:
    library = PoseLibrary.load(resource_path("pose_library.npz"))
    return doubts(result.points, result.confidence, library, radius_mm=result.radius_mm)


def _check_found(result: Estimate, source: Path, *, force: bool) -> None:
    if not np.isfinite(result.points).any():
        raise NoFetusError(f"No fetus was found in {source}; nothing was written. Choose another volume.")
    if not result.holds_fetus and not force:
        raise NoFetusError(
            f"No fetus was found in {source} with any certainty; nothing was written. Choose another volume, or "
            "force the pose to be written."
        )


def _provenance(options: FileOptions, unconfirmed: list[str], warnings: list[str]) -> dict[str, str]:
    """What the pose's file tells besides the estimator's own."""
    told = {"AgeFormula": options.age_formula}
    if unconfirmed:
        told["Unconfirmed"] = ", ".join(unconfirmed)
    if options.mirrored:
        told["Mirrored"] = "yes"
    if options.age_days is not None:
        told["GestationalAge"] = weeks_and_days(options.age_days)
    if warnings:
        told["Warnings"] = " ".join(warnings)
    return told


def _report(path: Path, volume: Volume, pose, lengths: list[dict], measures: list[dict], title: str, warnings) -> None:
    from FetalPoseLib.evaluation.pose_report import Report, write_report  # which imports matplotlib

    report = Report(
        title, mrml.points_of(pose), lengths, measures, mrml.provenance_of(pose), mrml.placed_landmarks(pose), warnings,
        mrml.head_turn_of(pose),
    )  # fmt: skip
    write_report(path, volume, report)


def _draw(path: Path, volume: Volume, result: Estimate, title: str) -> None:
    from FetalPoseLib.evaluation.pose_picture import draw_pose  # which imports matplotlib

    draw_pose(
        path, volume, result.points, confidence=result.confidence, radius_mm=result.radius_mm,
        length_interval_mm=result.length_interval_mm, title=title, note=PICTURE_NOTE,
    )  # fmt: skip
