"""Find the 16 landmarks of a fetus in a 3D ultrasound volume, refine them on line, and measure the 15 segments.

Where VOLUME holds several volumes over time, an output that ends in .seq.mrb or .csv follows the fetus through them.

VOLUME is a NRRD, NIfTI, MetaImage or GE Kretz (.vol) file, or a folder with one DICOM series. The pose is written as
Slicer markups with the lengths and their origin inside: drag it onto 3D Slicer's window. The lengths are also printed.

  fetalpose estimate volume.nrrd --output pose.mrk.json
  fetalpose estimate volume.nrrd --output pose.mrk.json --table lengths.csv --picture pose.png
  fetalpose estimate dicom_folder --output pose.mrk.json --iterations 0 --device cpu

  fetalpose estimate sequence.seq.nrrd --output poses.seq.mrb --table movement.csv --movie movie.gif
  fetalpose estimate folder_of_volumes --fps 4 --output poses.csv --events events.csv --picture curves.png

Sequences are .seq.nrrd, .seq.mha, 4D NIfTI and NRRD, DICOM or GE Kretz files with several volumes, and folders of
numbered volumes. Slicer opens .seq.mrb as a sequence of markups.

A landmark that is not visible is left without a position. After a length stands the interval that holds the true one
in 90 % of cases, if the model was calibrated. Below the lengths stand the crown-rump length, the gestational age that
it gives by a published formula if the posture is neutral, and the posture. Research use only.
"""

import argparse
from pathlib import Path

from FetalPoseLib.body.dating import FORMULA, FORMULAS
from FetalPoseLib.cli.options import add_estimator_arguments, estimate_options, gestational_age, positive, rate
from FetalPoseLib.cli.terminal import SequenceBar, print_lengths, print_summary, shown
from FetalPoseLib.errors import FetalPoseError

SEQUENCE_OUTPUTS = (".seq.mrb", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "volume", metavar="VOLUME", type=Path, help="NRRD, NIfTI, MetaImage or GE Kretz file, or DICOM folder"
    )
    parser.add_argument(
        "--output",
        metavar="POSE.mrk.json",
        type=Path,
        required=True,
        help="where the pose goes; POSES.seq.mrb or POSES.csv for those of a sequence",
    )
    parser.add_argument(
        "--table",
        metavar="TABLE.csv",
        type=Path,
        help="write the 15 lengths as a table, too; of a sequence, joint angles and speeds in each volume",
    )
    parser.add_argument(
        "--measures",
        metavar="MEASURES.csv",
        type=Path,
        help="write crown-rump length, gestational age, posture and long bones as a table, too",
    )
    parser.add_argument(
        "--picture",
        metavar="PICTURE.png",
        type=Path,
        help="draw the pose over its volume, too; of a sequence, its curves over time",
    )
    parser.add_argument(
        "--report",
        metavar="REPORT.html",
        type=Path,
        help="write one page with the pose, the standard planes, all tables and the provenance, .html or .pdf, too",
    )
    parser.add_argument("--frame", metavar="N", type=positive, help="which of the volumes over time that a file holds")
    parser.add_argument(
        "--fps", metavar="RATE", type=rate, help="sequence: volumes a second, where the file states none"
    )
    parser.add_argument(
        "--events", metavar="EVENTS.csv", type=Path, help="sequence: list movements and periods of rest"
    )
    parser.add_argument("--movie", metavar="MOVIE.gif", type=Path, help="sequence: draw the poses over their volumes")
    parser.add_argument(
        "--gestational-age",
        metavar="12w3d",
        type=gestational_age,
        help="of the fetus; a crown-rump length that does not go with it is named in a warning",
    )
    parser.add_argument(
        "--age-formula",
        choices=tuple(FORMULAS),
        default=FORMULA,
        help="of the gestational age that the crown-rump length gives (default %(default)s)",
    )
    parser.add_argument(
        "--mirrored",
        action="store_true",
        help="the file mirrors the volume: left and right are exchanged (GE Kretz: compare with the machine)",
    )
    parser.add_argument("--force", action="store_true", help="write the pose even where no fetus seems to be")
    add_estimator_arguments(parser)


def run(args: argparse.Namespace) -> None:
    sequence = args.output.name.lower().endswith(SEQUENCE_OUTPUTS)
    _check_arguments(args, sequence)
    if sequence:
        _track(args)
    else:
        _estimate(args)


def _check_arguments(args: argparse.Namespace, sequence: bool) -> None:
    """Name what belongs to the other kind of output."""
    wrong = ("frame", "gestational_age", "measures", "report") if sequence else ("fps", "events", "movie")
    given = [f"--{name.replace('_', '-')}" for name in wrong if getattr(args, name) is not None]
    given += ["--force"] if sequence and args.force else []
    if given:
        kind = "one volume (.mrk.json)" if sequence else "a sequence (.seq.mrb or .csv)"
        raise FetalPoseError(f"{', '.join(given)} is for {kind}. The output {args.output} is for the other.")


def _track(args: argparse.Namespace) -> None:
    from FetalPoseLib import scene as mrml
    from FetalPoseLib.session.track_file import TrackFileOptions, track_file

    mrml.silence_log()
    options = TrackFileOptions(
        output=args.output, table=args.table, events=args.events, picture=args.picture, movie=args.movie, fps=args.fps,
        mirrored=args.mirrored,
    )  # fmt: skip
    bar = SequenceBar()
    try:
        result = track_file(args.volume, options, estimate_options(args), progress=bar.show, warn=bar.warn)
    finally:
        bar.close()
    track, activity = result.track, result.activity
    print(f"found in {int(track.found.sum())} of {len(track)} volumes")
    if activity is not None and track.times is not None:
        for event in activity.events:
            print(f"{event.start_s:8.2f} to {event.stop_s:.2f} s  {event.kind}")
        print(f"at rest {sum(stop - start for start, stop in activity.rests):.1f} of {track.times[-1]:.1f} s")
    print("median lengths:")
    print_lengths(result.lengths)


def _estimate(args: argparse.Namespace) -> None:
    from FetalPoseLib.session.estimate_file import FileOptions, estimate_file

    options = FileOptions(
        output=args.output, table=args.table, measures=args.measures, picture=args.picture, report=args.report,
        frame=args.frame, mirrored=args.mirrored, force=args.force, age_days=args.gestational_age,
        age_formula=args.age_formula,
    )  # fmt: skip
    result = shown(estimate_file, args.volume, options, estimate_options(args))
    print_lengths(result.lengths)
    print_summary(result.measures)
