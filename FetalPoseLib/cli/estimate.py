"""Find the 16 landmarks of a fetus in a 3D ultrasound volume, refine them on line, and measure the 15 segments.

VOLUME is a NRRD, NIfTI, MetaImage or GE Kretz (.vol) file, or a folder with one DICOM series. The pose is written as
Slicer markups with the lengths and their origin inside: drag it onto 3D Slicer's window. The lengths are also printed.

  fetalpose estimate volume.nrrd --output pose.mrk.json
  fetalpose estimate volume.nrrd --output pose.mrk.json --table lengths.csv --picture pose.png
  fetalpose estimate dicom_folder --output pose.mrk.json --iterations 0 --device cpu

A landmark that is not visible is left without a position. After a length stands the interval that holds the true one
in 90 % of cases, if the model was calibrated. Below the lengths stand the crown-rump length, the gestational age that
it gives by a published formula if the posture is neutral, and the posture. Research use only.
"""

import argparse
from pathlib import Path

from FetalPoseLib.body.dating import FORMULA, FORMULAS
from FetalPoseLib.cli.options import add_estimator_arguments, estimate_options, gestational_age, positive
from FetalPoseLib.cli.terminal import print_lengths, print_summary, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "volume", metavar="VOLUME", type=Path, help="NRRD, NIfTI, MetaImage or GE Kretz file, or DICOM folder"
    )
    parser.add_argument("--output", metavar="POSE.mrk.json", type=Path, required=True, help="where the pose goes")
    parser.add_argument("--table", metavar="LENGTHS.csv", type=Path, help="write the 15 lengths as a table, too")
    parser.add_argument(
        "--measures",
        metavar="MEASURES.csv",
        type=Path,
        help="write crown-rump length, gestational age, posture and long bones as a table, too",
    )
    parser.add_argument("--picture", metavar="POSE.png", type=Path, help="draw the pose over its volume, too")
    parser.add_argument(
        "--report",
        metavar="REPORT.html",
        type=Path,
        help="write one page with the pose, the standard planes, all tables and the provenance, .html or .pdf, too",
    )
    parser.add_argument("--frame", metavar="N", type=positive, help="which of the volumes over time that a file holds")
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
    from FetalPoseLib.session.estimate_file import FileOptions, estimate_file

    options = FileOptions(
        output=args.output, table=args.table, measures=args.measures, picture=args.picture, report=args.report,
        frame=args.frame, mirrored=args.mirrored, force=args.force, age_days=args.gestational_age,
        age_formula=args.age_formula,
    )  # fmt: skip
    result = shown(estimate_file, args.volume, options, estimate_options(args))
    print_lengths(result.lengths)
    print_summary(result.measures)
