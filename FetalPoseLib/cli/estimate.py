"""Find the 16 landmarks of a fetus in a 3D ultrasound volume, refine them on line, and measure the 15 segments.

VOLUME is a NRRD, NIfTI, MetaImage or GE Kretz (.vol) file, or a folder with one DICOM series. The pose is written as
Slicer markups with the lengths and their origin inside: drag it onto 3D Slicer's window. The lengths are also printed.

  fetalpose estimate volume.nrrd --output pose.mrk.json
  fetalpose estimate volume.nrrd --output pose.mrk.json --table lengths.csv --picture pose.png
  fetalpose estimate dicom_folder --output pose.mrk.json --iterations 0 --device cpu

A landmark that is not visible is left without a position. After a length stands the interval that holds the true one
in 90 % of cases, if the model was calibrated. Research use only.
"""

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from FetalPoseLib.cli.options import ESTIMATE_ARGUMENTS, count, positive, take_defaults
from FetalPoseLib.errors import FetalPoseError, printable
from FetalPoseLib.files import check_writable, replacing
from FetalPoseLib.network.device import DEVICES
from FetalPoseLib.refinement.options import REFINEMENTS, EstimateOptions
from FetalPoseLib.resources import resource_path
from FetalPoseLib.worker.client import WorkerClient
from FetalPoseLib.worker.protocol import Done, Failed, ProgressEvent

_STAGES = ("open", "locate", "detect", "refine")  # a search is a part of "locate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "volume", metavar="VOLUME", type=Path, help="NRRD, NIfTI, MetaImage or GE Kretz file, or DICOM folder"
    )
    parser.add_argument("--output", metavar="POSE.mrk.json", type=Path, required=True, help="where the pose goes")
    parser.add_argument("--table", metavar="LENGTHS.csv", type=Path, help="write the 15 lengths as a table, too")
    parser.add_argument("--picture", metavar="POSE.png", type=Path, help="draw the pose over its volume, too")
    parser.add_argument("--frame", metavar="N", type=positive, help="which of the volumes over time that a file holds")
    parser.add_argument(
        "--gestational-age",
        metavar="12w3d",
        type=_days,
        help="of the fetus; a crown-rump length that does not go with it is named in a warning",
    )
    parser.add_argument(
        "--mirrored",
        action="store_true",
        help="the file mirrors the volume: left and right are exchanged (GE Kretz: compare with the machine)",
    )
    parser.add_argument("--force", action="store_true", help="write the pose even where no fetus seems to be")
    add_estimator_arguments(parser)


def add_estimator_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that estimates a pose."""
    parser.add_argument(
        "--model",
        help="fetal-frame (default) finds the fetus first, then looks closely; r4 and gcp are the paper's single pass "
        "at 1.25 and 1.0 mm; or a .safetensors file of your own training",
    )
    parser.add_argument(
        "--iterations",
        type=count,
        metavar="N",
        help="steps of refinement at most (default %(default)s; 0 for the bare detection); consensus takes one "
        "further look at most",
    )
    parser.add_argument(
        "--refinement",
        choices=tuple(REFINEMENTS),
        help="consensus (default) looks at the mirror image, too, and chooses the landmarks jointly, in one step; "
        "paper has the network learn from the pose library on line; holding does so, too, and keeps confident "
        "landmarks in place",
    )
    parser.add_argument("--device", choices=DEVICES, help="auto (default) takes a GPU if there is one")
    take_defaults(parser, EstimateOptions, ESTIMATE_ARGUMENTS)


def run(args: argparse.Namespace) -> None:
    estimate(
        args, args.volume, output=args.output, table=args.table, picture=args.picture, frame=args.frame,
        mirrored=args.mirrored, force=args.force, age_days=args.gestational_age,
    )  # fmt: skip


def estimate(
    args,
    source: Path,
    *,
    output: Path,
    table: Path | None = None,
    picture: Path | None = None,
    frame: int | None = None,
    mirrored: bool = False,
    force: bool = False,
    age_days: int | None = None,
) -> np.ndarray:
    """Estimate the pose in the file `source`, write and print what was asked for; the points (16, 3) in RAS mm."""
    check_writable(output, ".mrk.json")
    if table is not None:
        check_writable(table, ".csv")
    if picture is not None:
        check_writable(picture, ".png", ".pdf", ".svg")

    from FetalPoseLib import scene as mrml
    from FetalPoseLib.body.age import contradiction, weeks_and_days
    from FetalPoseLib.body.measurements import length_table, write_csv
    from FetalPoseLib.body.plausibility import doubts, holds_fetus
    from FetalPoseLib.body.pose_library import PoseLibrary
    from FetalPoseLib.volume.grid import Volume, mirror_matrix, transform_points

    mrml.silence_log()
    scene = mrml.new_scene()
    with WorkerClient() as client:
        client.warm_up(_options(args))  # the process starts while the volume is read
        node = mrml.read_volume(scene, source, frame=frame)
        shown = mrml.volume_from_node(node)
        mirror = mirror_matrix(shown) if mirrored else np.eye(4)
        volume = Volume(shown.array, mirror @ shown.ijk_to_ras)
        with tqdm(total=3 + args.iterations, desc="open", unit="step", file=sys.stderr, leave=False) as bar:
            result = _by_worker(client, args, volume, partial(_show, bar))
    open_questions = mrml.doubts_of(node)
    library = PoseLibrary.load(resource_path("pose_library.npz"))
    doubtful = doubts(result.points, result.confidence, library, radius_mm=result.radius_mm)
    against_age = None if age_days is None else contradiction(result.points, age_days)
    warnings = [*result.warnings, *([against_age] if against_age else [])]
    warnings += [*(doubt.sentence for doubt in open_questions), *(doubt.reason for doubt in doubtful)]
    for warning in warnings:
        print(f"fetalpose: warning: {printable(' '.join(warning.split()))}", file=sys.stderr)
    if not np.isfinite(result.points).any():
        raise FetalPoseError(f"No fetus was found in {source}; nothing was written. Choose another volume.")
    if not holds_fetus(result.confidence) and not force:
        raise FetalPoseError(f"No fetus was found in {source} with any certainty; nothing was written. Choose another "
                             "volume, or add --force to write the pose all the same.")  # fmt: skip
    provenance = dict(result.provenance)
    if open_questions:
        provenance["Unconfirmed"] = ", ".join(doubt.code for doubt in open_questions)
    if mirrored:
        provenance["Mirrored"] = "yes"
    if age_days is not None:
        provenance["GestationalAge"] = weeks_and_days(age_days)
    if warnings:
        provenance["Warnings"] = " ".join(warnings)
    result = replace(result, points=transform_points(mirror, result.points), provenance=provenance)

    mrml.save_pose(mrml.pose_node(scene, result, name=source.name.split(".")[0]), output)
    rows = length_table(result.points, interval_mm=result.length_interval_mm)
    if table is not None:
        with replacing(table) as temporary:
            write_csv(temporary, rows)
    if picture is not None:
        from FetalPoseLib.evaluation.pose_picture import draw_pose

        note = "Research use only. The model was trained on simulated volumes."
        draw_pose(
            picture, shown, result.points, confidence=result.confidence, radius_mm=result.radius_mm,
            length_interval_mm=result.length_interval_mm, title=source.name, note=note,
        )  # fmt: skip
    for row in rows:
        within = f"   {row['low_mm']:>6} to {row['high_mm']:>6} mm" if row.get("low_mm") else ""
        print(f"{row['segment']:<24}{row['length_mm'] or '-':>8} mm{within}")
    return result.points


def _days(text: str) -> int:
    from FetalPoseLib.body.age import parse_gestational_age

    try:
        return parse_gestational_age(text)
    except FetalPoseError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _by_worker(client: WorkerClient, args, volume, show):
    """The result of the process that runs the network, which is also the way that Slicer's module takes."""
    request = client.estimate(volume, _options(args))
    while True:
        for event in client.poll():
            if event.request != request:  # the warming up; what goes wrong there goes wrong again
                continue
            if isinstance(event, Done):
                return event.estimate
            if isinstance(event, Failed):
                if event.details:
                    print(printable(event.details.strip()), file=sys.stderr)
                raise FetalPoseError(event.message)
            if isinstance(event, ProgressEvent):
                show(event.progress)
        time.sleep(0.02)


def _show(bar, progress) -> None:
    bar.set_description(progress.stage, refresh=False)
    bar.total = 3 + progress.iterations
    stage = "locate" if progress.stage == "search" else progress.stage
    bar.n = min(_STAGES.index(stage) + (progress.iteration or 0), bar.total)
    bar.refresh()


def _options(args) -> EstimateOptions:
    return EstimateOptions(model=args.model, device=args.device, refinement=args.refinement, iterations=args.iterations)
